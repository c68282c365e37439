"""`speechbrain-fusion export`: a model as ONNX."""

import argparse
from pathlib import Path

from speechbrain_fusion.commands.ending import DONE, UsageError, tell, tell_failures
from speechbrain_fusion.commands.models import load_model
from speechbrain_fusion.commands.outputs import refuse_existing
from speechbrain_fusion.inference.export import export_offline, export_step


def run(options: argparse.Namespace) -> int:
    """Write the step of a causal model, or the whole of any."""
    output = Path(options.output)
    refuse_existing(output, options.force)
    model = load_model(options)
    causal = model.system.causal
    if options.step and not causal:
        raise UsageError("--step needs a causal model, this one is not: use --offline")
    step = options.step or (causal and not options.offline)
    try:
        (export_step if step else export_offline)(model, output, options.force)
    except RuntimeError as error:
        return tell_failures([f"{output}: not exported: {error}"])
    if not options.quiet:
        tell(f"{'step' if step else 'offline model'} written to {output}")
    return DONE
