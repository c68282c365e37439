"""`speechbrain-fusion enhance` and `separate`: files through a model."""

import argparse
import warnings
from collections.abc import Sequence

from speechbrain_fusion.commands.ending import (
    UsageError,
    shows_progress,
    tell,
    tell_failures,
    tell_warning,
)
from speechbrain_fusion.commands.models import check_task, load_model
from speechbrain_fusion.commands.outputs import Job, plan
from speechbrain_fusion.inference.audio_reading import AudioWarning
from speechbrain_fusion.inference.many_files import process_files
from speechbrain_fusion.inference.model import Model

DONE_TO = {"enhance": "enhanced", "separate": "separated"}


def run(options: argparse.Namespace) -> int:
    """Process all that can be; say at the end what could not."""
    if options.task == "separate" and options.model is None:
        raise UsageError(
            "separate needs --model FOLDER: no model that separates ships with the "
            "package; speechbrain-fusion recipe librimix_noisy FOLDER trains one"
        )
    model = load_model(options)
    check_task(model, options.task)
    talkers = model.system.outputs if options.task == "separate" else 0
    jobs, missing = plan(options.inputs, options.output, options.force, talkers)
    failures = process(model, jobs, options) if jobs else []
    if not options.quiet:
        done = f"{len(jobs) - len(failures)} of {len(jobs) + len(missing)}"
        tell(f"{done} {DONE_TO[options.task]}: {options.output}")
    return tell_failures([*missing, *failures])


def process(
    model: Model, jobs: Sequence[Job], options: argparse.Namespace
) -> list[str]:
    """Process files; return a line for each that failed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AudioWarning)
        failures = process_files(
            model.system,
            model.rate,
            [job.source for job in jobs],
            [job.target for job in jobs],
            force=options.force,
            channel=options.channel,
            subtype=options.subtype,
            progress=shows_progress(options),
        )
    for warning in caught:
        if issubclass(warning.category, AudioWarning) and not options.quiet:
            tell_warning(str(warning.message))
    return [
        message if str(path) in message else f"{path}: {message}"
        for path, message in failures
    ]
