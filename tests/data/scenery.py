"""What the tests of scenes share: small sets of sounds, and how to look at a scene."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch

from speechbrain_fusion.data.audio import read
from speechbrain_fusion.data.batch import Example
from speechbrain_fusion.data.hrir import HeadResponses, rigid_sphere
from speechbrain_fusion.data.inspection import inspect
from speechbrain_fusion.data.manifest import write_manifest
from speechbrain_fusion.data.scenes import BinauralScenes, Scene

RATE = 16000
HEAD = rigid_sphere(RATE, range(0, 360, 10))
# One that leaves sources as they are, from the front and from the left.
THROUGH = HeadResponses.from_directions(
    [0, 90], np.ones((2, 2, 1), "f4"), RATE, "through"
)
Make = Callable[..., BinauralScenes]


def manifest(path: Path, files: list[Path]) -> Path:
    """Write a manifest of files, whose names begin with their talker's."""
    entries = {
        file.name: inspect(file, 8000)
        | {"name": file.stem, "talker": file.stem.split("_")[0]}
        for file in files
    }
    write_manifest(path, entries)
    return path


def one_each(
    folder: Path,
    speech: np.ndarray,
    noise: np.ndarray,
    rate: int = RATE,
    **options,
) -> BinauralScenes:
    """Scenes of one recording and one noise, written as FLAC files."""
    soundfile.write(folder / "speech.flac", speech, rate, subtype="PCM_24")
    soundfile.write(folder / "noise.flac", noise, rate, subtype="PCM_24")
    defaults = {"responses": THROUGH, "size": 4, "segment": 1.0, "separation": 0}
    return BinauralScenes(
        manifest(folder / "speech.json", [folder / "speech.flac"]),
        manifest(folder / "noise.json", [folder / "noise.flac"]),
        **(defaults | options),
    )


def hiss(samples: int, seed: int = 0) -> np.ndarray:
    return 0.05 * np.random.default_rng(seed).standard_normal(samples)


def tone(frequency: float, rate: int, seconds: float) -> np.ndarray:
    return 0.1 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def signals(scenes: BinauralScenes, epoch: int = 1, index: int = 0) -> tuple:
    """Mixture, target and what is left, in double precision."""
    item = scenes[epoch, index].signals
    mixture, target = (item[name].double().numpy() for name in ("mixture", "target"))
    return mixture, target, mixture - target


def decibels(ratio: float) -> float:
    return 10 * np.log10(ratio)


def same(one: Example, other: Example) -> bool:
    """Whether two examples are the same, bit by bit."""
    return (one.id, one.info) == (other.id, other.info) and all(
        torch.equal(one.signals[name], other.signals[name])
        for name in {*one.signals, *other.signals}
    )


def talker_image(scene: Scene, head: HeadResponses) -> np.ndarray:
    """Convolve the drawn stretch with a head's responses, sample by sample."""
    source = scene.target
    frames = round(scene.seconds * RATE)
    speech = read(source.entry["file"], round(source.start * RATE), frames)[0][0]
    pair = head.at(source.azimuth).astype(float)
    return np.stack([np.convolve(speech, ear)[:frames] for ear in pair])


def distance(one: float, other: float) -> float:
    return abs((one - other + 180) % 360 - 180)
