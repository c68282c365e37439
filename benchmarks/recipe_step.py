"""Training steps as the recipes take them: their Brains, losses and optimizers.

On noise, of any batch and length: no corpus is needed.
"""

import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from systems import RECIPES, find

from speechbrain_fusion.brains import (
    EnhancementBrain,
    SeparationBrain,
    SharedLatentBrain,
    TwoBranchBrain,
    start_run,
)
from speechbrain_fusion.data import Batch

BRAINS = {
    "binaural": EnhancementBrain,
    "librimix_noisy": SeparationBrain,
    "timit": TwoBranchBrain,
    "daps_noisex": SharedLatentBrain,
}
# The signals of a recipe's batches with their channels, or the key that has them
SIGNALS: dict[str, dict[str, Any]] = {
    "binaural": {"mixture": 2, "target": 2},
    "librimix_noisy": {"mixture": 1, "clean": 1, "target": "talkers"},
    "timit": {"mixture": 1, "target": 1},
    "daps_noisex": {"mixture": 1, "clean": 1, "added": 1},
}


def recipe_of(name: str) -> str:
    """Return the recipe of a system."""
    return find(name)[0].split("/")[0]


def make_brain(
    name: str, changes: dict[str, Any], folder: str, run_options: Sequence[str] = ()
) -> Any:
    """Make the Brain of a system's recipe, ready to train; it writes into a folder."""
    file, own = find(name)
    recipe = recipe_of(name)
    given = {**own, **changes, "output_folder": folder}
    keys = [f"--{key}={json.dumps(value)}" for key, value in given.items()]
    arguments = [str(RECIPES / file), *keys, *run_options]
    # what is logged is no part of a table
    with contextlib.redirect_stdout(sys.stderr):
        hparams, run_opts = start_run(arguments, RECIPES / recipe / "train.py")
    brain = BRAINS[recipe].from_yaml(hparams, run_opts)
    # what a corpus would say: a third of the mixtures is noise alone
    brain.noise_share = 0.3
    brain.on_fit_start()
    brain.modules.train()
    return brain


def make_batch(brain: Any, name: str, count: int, seconds: float) -> Batch:
    """Make a batch of noise for a system's Brain."""
    hparams = vars(brain.hparams)
    samples = round(hparams["sample_rate"] * seconds)
    noise = {
        signal: 0.1 * torch.randn(count, hparams.get(channels, channels), samples)
        for signal, channels in SIGNALS[recipe_of(name)].items()
    }
    info = [{"pure_noise": place % 4 == 3} for place in range(count)]
    ids = [str(place) for place in range(count)]
    return Batch(ids, noise, torch.ones(count), info, padded=False)


def step_of(brain: Any, batch: Batch) -> Callable[[], object]:
    """Return a function that takes one training step."""

    def take() -> None:
        brain.modules.train()
        brain.step += 1
        brain.fit_batch(batch)

    return take
