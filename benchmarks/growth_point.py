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
from recipe_step import SIGNALS, make_batch, make_brain, recipe_of, step_of
from systems import make, sample_rate

from speechbrain_fusion.data import Batch

BASE: dict[str, float] = {"width": 32, "batch": 1, "length": 1.0, "talkers": 2}
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


# The system of systems.py, and what scales it
FAMILIES: dict[str, tuple[str, Callable[[int], Changes]]] = {
    "binaural": ("clarity", binaural),
    "release": ("release", binaural),
    "dprnn": ("dprnn", dprnn),
    "sepformer": ("sepformer", sepformer),
    "convtasnet": ("convtasnet", convtasnet),
    "two_branch": ("two_branch", two_branch),
    "shared_latent": ("shared_latent", shared_latent),
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
    name, scale = FAMILIES[point["family"]]
    network = make(name, **scale(int(BASE["width"])))
    channels = SIGNALS[recipe_of(name)]["mixture"]
    mixture = torch.randn(1, channels, sample_rate(name) // 4)
    network.process(mixture).square().sum().backward()


def prepare(point: dict[str, Any], folder: str) -> tuple[Any, Batch]:
    """Make the Brain of a recipe, ready to train, and a batch."""
    name, scale = FAMILIES[point["family"]]
    changes = {} if point["published"] else scale(int(point["width"]))
    if name in SEPARATORS:
        changes = {**changes, "talkers": int(point["talkers"])}
    brain = make_brain(name, changes, folder, [f"--device={point['device']}"])
    return brain, make_batch(brain, name, int(point["batch"]), point["length"])


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


WAYS = {"step": step_of, "inference": inference}


if __name__ == "__main__":
    main()
