"""Recordings to send through systems, and those that are refused."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.inference.audio_files import process_file
from tests.inference.stub_systems import Through

RATE = 8000


def tones(channels: int = 1, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    """Tones of below 1 kHz, [time, channels]: no rate and no codec harms them."""
    time = np.arange(round(seconds * rate)) / rate
    tone = [np.sin(2 * np.pi * (220 + 110 * k) * time + k) for k in range(channels)]
    return 0.4 * np.stack(tone, -1)


def write(path: Path, signal: np.ndarray, rate: int = RATE, subtype=None, **options):
    soundfile.write(path, signal, rate, subtype, **options)
    return path


def content(signal: np.ndarray, container: str = "WAV", rate: int = RATE, subtype=None):
    file = io.BytesIO()
    soundfile.write(file, signal, rate, subtype, format=container)
    return file.getvalue()


def refused(
    folder: Path, source: Path, target: str = "out.wav", system=None, **options
):
    """Process a file that cannot be: return the message; nothing is left behind."""
    before = {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(AudioError) as caught:
        process_file(system or Through(), RATE, source, folder / target, **options)
    assert {path: path.lstat().st_mtime_ns for path in folder.rglob("*")} == before
    return str(caught.value)
