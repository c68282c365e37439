"""Models of the command line: loaded, on a device, for a task."""

import argparse
import re

from speechbrain_fusion.commands.ending import UsageError
from speechbrain_fusion.inference.load import load
from speechbrain_fusion.inference.model import Model

DEVICE = re.compile(r"cpu|cuda(:[0-9]{1,3})?")


def load_model(options: argparse.Namespace) -> Model:
    """Load the model that --model names, or the one that ships with the package.

    Raises
    ------
    UsageError
        If it or the device cannot be used, naming it.
    """
    if not DEVICE.fullmatch(options.device):
        raise UsageError(f"--device {options.device}: expected cpu, cuda or cuda:N")
    try:
        return load(options.model, options.device, options.trust)
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error


def check_task(model: Model, task: str) -> None:
    """Refuse a model that was made for something else.

    Raises
    ------
    UsageError
        Naming the command that it is for.
    """
    made_for = model.system.task
    if made_for != task:
        raise UsageError(
            f"this model is made to {made_for}, not to {task}: "
            f"use `speechbrain-fusion {made_for}`"
        )
