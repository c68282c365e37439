"""What tests share: real data where it is, and small folders of recordings."""

import functools
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import settings
from speechbrain.utils import logger
from speechbrain.utils.importutils import LazyModule

# Hypothesis asks all modules for their file, which would import upstream's lazy ones.
LazyModule.__file__ = None
# Every run asks pip for the installed packages: one answer is enough.
logger.get_environment_description = functools.cache(logger.get_environment_description)
# Tests run in parallel: one thread each is faster than all cores for each.
torch.set_num_threads(1)
# The same examples in every run, however busy the machine.
settings.register_profile("same", deadline=None, derandomize=True, database=None)
settings.load_profile("same")


# What tests know by name of the folder that SBF_REAL_DATA names
REAL_DATA = (
    *("speech/train", "speech/valid", "noise/ssn.flac"),
    *(f"hrir/mit_kemar_normal_{x}" for x in ("horizontal_16k.npz", "pinna.sofa")),
)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _speechbrains_variables() -> dict[str, str]:
    return {key: x for key, x in os.environ.items() if key.startswith("SB_")}


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Undo what a run does to the process: logging, hook for errors, variables."""
    hook, variables = sys.excepthook, _speechbrains_variables()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    sys.excepthook = hook
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in _speechbrains_variables():
        del os.environ[name]
    os.environ.update(variables)


@pytest.fixture
def real_data() -> Path:
    """Folder of real recordings, from the variable SBF_REAL_DATA."""
    folder = os.environ.get("SBF_REAL_DATA")
    if not folder:
        pytest.skip("SBF_REAL_DATA names no folder of real recordings")
    for name in REAL_DATA:
        if not Path(folder, name).exists():
            pytest.skip(f"SBF_REAL_DATA: {folder} has no {name}")
    return Path(folder)


@pytest.fixture
def hide_library(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A function that makes a library, and what is loaded of it, not importable."""

    def hide(name: str) -> None:
        loaded = [module for module in sys.modules if module.startswith(f"{name}.")]
        for module in [name, *loaded]:
            monkeypatch.setitem(sys.modules, module, None)

    return hide


def write_voice(path: Path, seconds: float, seed: int, rate: int = 16000) -> None:
    """Write a syllable-like modulated harmonic sound, as a stand-in for a talker."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    pitch = rng.uniform(90, 220)
    tones = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 12))
    envelope = 0.55 + 0.45 * np.sin(2 * np.pi * rng.uniform(3, 5) * time)
    path.parent.mkdir(parents=True, exist_ok=True)
    signal = 0.05 * tones * envelope + 0.001 * rng.standard_normal(time.size)
    soundfile.write(path, signal, rate)


def write_noise(path: Path, seconds: float, seed: int, rate: int = 16000) -> None:
    """Write white noise."""
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.05 * rng.standard_normal(round(seconds * rate)), rate)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A small folder of one's own recordings: 4 + 2 + 2 talkers, 5 noises."""
    folder = tmp_path / "recordings"
    talkers = {"train": 4, "valid": 2, "test": 2}
    for number, (split, count) in enumerate(talkers.items()):
        for talker in range(count):
            for utterance in range(2):
                seed = 100 * number + 10 * talker + utterance
                name = f"speech/{split}/{split}{talker}/{utterance}.wav"
                write_voice(folder / name, 1.5 + 0.25 * utterance, seed)
    for noise in range(5):
        write_noise(folder / "noise" / f"noise{noise}.flac", 2.0, 900 + noise)
    return folder
