"""One point of growth.py: time and memory of a system's step and inference.

    python benchmarks/growth_point.py '{"family": "dprnn", "batch": 4}'

or under torchrun as several processes. Prints one line of JSON, of the first process.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import torch
from measure import interleave, peak_memory, watch_memory
from systems import RECIPES, YAMLS, make, sample_rate

from speechbrain_fusion.brains import (
    EnhancementBrain,
    SeparationBrain,
    SharedLatentBrain,
    TwoBranchBrain,
    start_run,
)
from speechbrain_fusion.data import Batch

BASE: dict[str, float] = {"width": 32, "batch": 1, "length": 1.0, "talkers": 2}
BRAINS = {
    "binaural": EnhancementBrain,
    "librimix_noisy": SeparationBrain,
    "timit": TwoBranchBrain,
    "daps_noisex": SharedLatentBrain,
}
Changes = dict[str, Any]


def binaural(width: int) -> Changes:
    """Scale the channels, keep kernels and depth."""
    return {"enhancer": {**dict.fromkeys("NBH", width), "S": 8 * width}}


def convtasnet(width: int) -> Changes:
    """Scale the channels, keep the depth."""
    inner = {"bottleneck": width, "hidden": 4 * width, "skip": width}
    return {"filters": 2 * width, "enhancement": inner, "separation": inner}


def dprnn(width: int) -> Changes:
    """Scale the channels; one and two blocks."""
    first, second = ({"hidden": width, "blocks": blocks} for blocks in (1, 2))
    return {"filters": width, "enhancement": first, "separation": second}


def sepformer(width: int) -> Changes:
    """Scale the channels; one block of one and of two layers."""
    first, second = (
        {"feedforward": 4 * width, "blocks": 1, "layers": layers} for layers in (1, 2)
    )
    return {"filters": width, "enhancement": first, "separation": second}


def two_branch(width: int) -> Changes:
    """Scale the channels, one group of temporal units."""
    return {"channels": width, "experts": width // 2, "squeezed": width, "groups": 1}


def shared_latent(width: int) -> Changes:
    """Scale the channels of hparams/small.yaml."""
    channels = [8 * width, 2 * width]
    return {
        "speech_channels": channels,
        "mixture_channels": [4 * width, 4 * width, *channels],
        "fft_sizes": [512, 256, 128],
        "hop": 128,
    }


# The system of systems.py, what scales it, and its signals with their channels
ONE = {"mixture": 1, "target": 1}
TALKERS = {"mixture": 1, "clean": 1, "target": "talkers"}
EARS = {"mixture": 2, "target": 2}
FAMILIES: dict[str, tuple[str, Callable[[int], Changes], dict[str, Any]]] = {
    "binaural": ("clarity", binaural, EARS),
    "release": ("release", binaural, EARS),
    "dprnn": ("dprnn", dprnn, TALKERS),
    "sepformer": ("sepformer", sepformer, TALKERS),
    "convtasnet": ("convtasnet", convtasnet, TALKERS),
    "two_branch": ("two_branch", two_branch, ONE),
    "shared_latent": (
        "shared_latent",
        shared_latent,
        {"mixture": 1, "clean": 1, "added": 1},
    ),
}
SEPARATORS = ("dprnn", "sepformer", "convtasnet")


def main() -> None:
    """Measure the point that the command line describes."""
    point = {**BASE, **json.loads(sys.argv[1])}
    torch.set_num_threads(point["threads"])
    device = point["device"]
    with tempfile.TemporaryDirectory() as folder:
        warm_up(point)
        brain, batch = prepare(point, folder)
        rest = watch_memory(device)
        time, memory = {}, {}
        # a step needs more, so that the peak is its own
        for task in point["tasks"]:
            way = {task: WAYS[task](brain, batch)}
            found = interleave(way, point["rounds"], device, point["clock"])
            # the least: what other work adds is none of ours
            time[task] = min(found[task])
            memory[task] = peak_memory(device) - rest
    if int(os.environ.get("RANK", 0)) == 0:
        print(json.dumps({"time": time, "memory": memory}))


def warm_up(point: dict[str, Any]) -> None:
    """Let the libraries take what they need, by a pass through the smallest network."""
    name, scale, signals = FAMILIES[point["family"]]
    network = make(name, **scale(int(BASE["width"])))
    mixture = torch.randn(1, signals["mixture"], sample_rate(name) // 4)
    network.process(mixture).square().sum().backward()


def prepare(point: dict[str, Any], folder: str) -> tuple[Any, Batch]:
    """Make the Brain of a recipe, ready to train, and a batch."""
    name, scale, signals = FAMILIES[point["family"]]
    file, changes = YAMLS[name]
    recipe = file.split("/")[0]
    if not point["published"]:
        changes = {**changes, **scale(int(point["width"]))}
    if recipe == "librimix_noisy":
        changes = {**changes, "talkers": int(point["talkers"])}
    given = {**changes, "output_folder": folder}
    run = [f"--{key}={json.dumps(value)}" for key, value in given.items()]
    hparams, run_opts = start_run(
        [str(RECIPES / file), *run, f"--device={point['device']}"],
        RECIPES / recipe / "train.py",
    )
    brain = BRAINS[recipe].from_yaml(hparams, run_opts)
    # what a corpus would say: a third of the mixtures is noise alone
    brain.noise_share = 0.3
    brain.on_fit_start()
    brain.modules.train()
    return brain, make_batch(point, signals, hparams["sample_rate"])


def make_batch(point: dict[str, Any], signals: dict[str, Any], rate: int) -> Batch:
    """Make a batch of noise."""
    count, samples = int(point["batch"]), round(rate * point["length"])
    noise = {
        name: 0.1 * torch.randn(count, int(point.get(channels, channels)), samples)
        for name, channels in signals.items()
    }
    info = [{"pure_noise": place % 4 == 3} for place in range(count)]
    ids = [str(place) for place in range(count)]
    return Batch(ids, noise, torch.ones(count), info, padded=False)


def step(brain: Any, batch: Batch) -> Callable[[], object]:
    """Return a function that takes one training step."""

    def take() -> None:
        brain.modules.train()
        brain.step += 1
        brain.fit_batch(batch)

    return take


def inference(brain: Any, batch: Batch) -> Callable[[], object]:
    """Return a function that enhances or separates a batch."""
    (network,) = brain.modules.values()
    network = getattr(network, "module", network)
    mixture = batch["mixture"].to(brain.device)

    def enhance() -> None:
        network.eval()
        with torch.no_grad():
            network.process(mixture)

    return enhance


WAYS = {"step": step, "inference": inference}


if __name__ == "__main__":
    main()
