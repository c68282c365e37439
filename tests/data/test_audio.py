"""Files are read as they are or refused by name; tones survive a change of rate."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechbrain_fusion.data.audio import AudioError, read, read_resampled, resample

RATES = [8000, 11025, 16000, 22050, 44100, 48000]


def tone(frequency: float, rate: int, seconds: float = 0.5) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return np.sin(2 * np.pi * frequency * time)


def write(path: Path, signal: np.ndarray, rate: int) -> None:
    """Write a signal [time, channels] without rounding."""
    soundfile.write(path, signal, rate, subtype="FLOAT")


@pytest.fixture
def stereo(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """A file of two channels at 44.1 kHz, and what is in it."""
    signal = 0.1 * np.random.default_rng(0).standard_normal((2, 4410))
    path = tmp_path / "stereo.wav"
    soundfile.write(path, signal.T, 44100, subtype="FLOAT")
    return path, signal.astype(np.float32)


def test_a_file_comes_as_channels_by_time_at_its_own_rate(stereo):
    path, expected = stereo
    signal, rate = read(path)
    assert (rate, signal.dtype) == (44100, np.float32)
    np.testing.assert_array_equal(signal, expected)


@pytest.mark.parametrize(("start", "frames"), [(0, 10), (100, -1), (4400, 50)])
def test_a_part_of_a_file_is_that_part(stereo, start, frames):
    path, expected = stereo
    stop = start + frames if frames >= 0 else None
    np.testing.assert_array_equal(read(path, start, frames)[0], expected[:, start:stop])


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_every_kind_of_file_holds_the_tone(tmp_path, suffix):
    path = tmp_path / f"tone{suffix}"
    expected = 0.3 * tone(440, 16000)
    soundfile.write(path, expected, 16000)
    signal, rate = read(str(path))
    assert (rate, signal.shape) == (16000, (1, 8000))
    assert np.corrcoef(signal[0], expected)[0, 1] > 0.99


def test_nothing_follows_the_end(stereo):
    path, expected = stereo
    assert read(path, expected.shape[1])[0].shape == (2, 0)


def test_a_place_behind_the_end_is_refused(stereo):
    with pytest.raises(AudioError, match=r"stereo\.wav: 4410 samples.*at least 4411"):
        read(stereo[0], 4411, 1)


def broken_flac(path: Path) -> None:
    """Write a FLAC file and cut it in the middle."""
    signal = 0.1 * np.random.default_rng(0).standard_normal(32000)
    soundfile.write(path, signal, 16000)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def piped_flac(path: Path) -> None:
    """Write a FLAC file whose header states no length, as encoders into pipes do."""
    soundfile.write(path, tone(440, 16000), 16000)
    content = bytearray(path.read_bytes())
    # The 36 bits of STREAMINFO's number of samples.
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: None,
        lambda path: path.mkdir(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("no audio"),
        lambda path: path.write_bytes(b"RIFF\0\0\0\0WAVE"),
        broken_flac,
        piped_flac,
    ],
    ids=["missing", "folder", "empty", "text", "header", "cut", "piped"],
)
def test_what_cannot_be_read_is_named(tmp_path, spoil):
    path = tmp_path / "spoilt.flac"
    spoil(path)
    with pytest.raises(AudioError, match=r"spoilt\.flac: "):
        read(path)


@pytest.mark.parametrize("source", RATES)
@pytest.mark.parametrize("target", [8000, 16000])
def test_a_tone_keeps_its_amplitude_phase_and_frequency(source, target):
    resampled = resample(tone(1000, source), source, target)
    middle = slice(target // 20, -target // 20)
    error = (resampled - tone(1000, target))[middle]
    assert np.abs(error).max() < 1e-3


@pytest.mark.parametrize(("source", "target"), [(16000, 8000), (44100, 16000)])
def test_a_tone_above_the_new_band_disappears(source, target):
    frequency = 0.5 * target * 1.1
    resampled = resample(tone(frequency, source), source, target)
    assert np.abs(resampled[target // 20 : -target // 20]).max() < 10 ** (-50 / 20)


def test_the_same_rate_changes_nothing():
    signal = np.random.default_rng(0).standard_normal((2, 100)).astype(np.float32)
    np.testing.assert_array_equal(resample(signal, 16000, 16000), signal)


def test_channels_are_resampled_on_their_own():
    signal = np.random.default_rng(0).standard_normal((3, 2, 441))
    together = resample(signal, 44100, 16000)
    assert (together.shape, together.dtype) == ((3, 2, 160), np.float32)
    alone = resample(signal[1, 0], 44100, 16000)
    np.testing.assert_allclose(together[1, 0], alone, atol=1e-6)


@pytest.mark.parametrize("source", RATES)
@pytest.mark.parametrize("target", RATES)
def test_the_length_follows_from_the_rates(source, target):
    for time in (1, 2, 3, 160, 441, 1009):
        resampled = resample(np.zeros(time), source, target)
        assert resampled.shape == (math.ceil(time * target / source),)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100])
@pytest.mark.parametrize("source", [44100, 48000])
def test_a_part_at_another_rate_is_as_in_the_whole_file(tmp_path, rate, source):
    path = tmp_path / "noise.wav"
    write(path, np.random.default_rng(0).standard_normal((source, 2)) / 10, source)
    expected = resample(*read(path), rate)
    for start in (0, 1, 39, 40, 41, 79, 1234, rate // 2, rate - 100):
        part = read_resampled(path, source, rate, start, 100)
        assert part.dtype == np.float32
        assert np.abs(part - expected[:, start : start + 100]).max() < 1e-6
    assert np.abs(read_resampled(path, source, rate, 0, rate) - expected).max() < 1e-6


def test_a_part_of_a_tone_keeps_level_and_place(tmp_path):
    heard = 0.5 * tone(1000, 44100)
    write(tmp_path / "tone.wav", np.stack([heard, heard / 2], 1), 44100)
    part = read_resampled(tmp_path / "tone.wav", 44100, 8000, 1001, 2000)
    expected = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(1001, 3001) / 8000)
    assert np.abs(part - [expected, expected / 2]).max() < 1e-3


def test_a_file_that_has_changed_is_named(tmp_path):
    path = tmp_path / "short.wav"
    write(path, 0.1 * np.ones((44100, 2)), 44100)
    for start in (7950, 9000):
        with pytest.raises(AudioError, match=r"short\.wav"):
            read_resampled(path, 44100, 8000, start, 100)
    write(path, 0.1 * np.ones((44100, 2)), 48000)
    with pytest.raises(AudioError, match=r"short\.wav: 48000 Hz, it had 44100 Hz"):
        read_resampled(path, 44100, 8000, 0, 100)


def test_a_name_that_is_no_text_is_read(tmp_path):
    path = tmp_path / os.fsdecode(b"m\xfcller.wav")
    with open(path, "wb") as file:
        soundfile.write(file, np.full(100, 0.25), 8000, format="WAV")
    signal, rate = read(path)
    assert (rate, signal.shape) == (8000, (1, 100))
    with pytest.raises(AudioError, match="not a readable audio file"):
        read(tmp_path / os.fsdecode(b"\xff.wav"))
