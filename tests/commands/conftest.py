"""Tiny models with random parameters, in folders as a run writes them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
import torch
from hyperpyyaml import load_hyperpyyaml

from speechbrain_fusion.inference.folder import write_model

RATE = 16000
NAME = "!new:speechbrain_fusion.models"
MASKER = "bottleneck: 6, hidden: 7, skip: 9, kernel_size: 3, blocks: 2, repeats: 1"
SEPARATOR = f"""{NAME}.UnifiedSeparator
        enhancement: {NAME}.ConvTasNetMasker {{channels: 8, masks: 1, {MASKER}}}
        separation: {NAME}.ConvTasNetMasker {{channels: 8, masks: 2, {MASKER}}}
        channels: 8
"""
BRANCHES = "fft_size: 64, hop: 32, channels: 4, experts: 4, kernels: [5, 3], units: 2"
SYSTEMS = {
    "binaural": f"{NAME}.BinauralTasNet "
    "{N: 16, L: 32, B: 8, H: 8, S: 12, P: 5, X: 2, R: 1}",
    "causal": f"{NAME}.TwoBranchEnhancer {{{BRANCHES}, causal: true}}",
    "offline": f"{NAME}.TwoBranchEnhancer {{{BRANCHES}}}",
    "separator": SEPARATOR,
    "causal_separator": SEPARATOR.replace("repeats: 1", "repeats: 1, causal: true"),
}


class Models(NamedTuple):
    """Folders of a model of each kind."""

    binaural: Path
    causal: Path
    offline: Path
    separator: Path
    causal_separator: Path


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return Models(**{name: write(folder, name, text) for name, text in SYSTEMS.items()})


def write(folder: Path, name: str, system: str) -> Path:
    torch.manual_seed(0)
    run = folder / f"{name}.yaml"
    run.write_text(f"sample_rate: {RATE}\nmodules:\n    system: {system}\n")
    with open(run, encoding="utf-8") as file:
        module = load_hyperpyyaml(file)["modules"]["system"]
    return write_model(folder / name, run, module, {"name": name})


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with recordings: mono.wav, stereo.wav and more in in/."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    names = {"mono": 1, "stereo": 2, "in/a": 2, "in/deep/b": 2}
    for name, channels in names.items():
        path = tmp_path / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        signal = 0.1 * rng.standard_normal((3000, channels))
        soundfile.write(path, signal, RATE, "PCM_16")
    return tmp_path


def signal(path: Path | str) -> torch.Tensor:
    """Read a recording: [channels, time]."""
    samples, _ = soundfile.read(path, dtype="float32", always_2d=True)
    return torch.from_numpy(samples.T.copy())
