"""Loudness is BS.1770's: pyloudnorm's values, and what the standard says."""

import math

import numpy as np
import pytest

from speechbrain_fusion.data.audio import AudioError, read
from speechbrain_fusion.data.inspection import audio_files
from speechbrain_fusion.data.loudness import loudness, to_loudness

# pyloudnorm 0.2.0, Meter(rate).integrated_loudness
GOLDEN = {
    ("tone", 8000): -23.192,
    ("hiss", 8000): -31.974,
    ("loud", 8000): -4.483,
    ("pauses", 8000): -24.899,
    ("tone", 16000): -23.083,
    ("hiss", 16000): -31.329,
    ("loud", 16000): -3.836,
    ("pauses", 16000): -24.331,
    ("tone", 48000): -23.052,
    ("hiss", 48000): -30.892,
    ("loud", 48000): -3.392,
    ("pauses", 48000): -23.867,
}


def sound(kind: str, rate: int) -> np.ndarray:
    time = np.arange(4 * rate) / rate
    noise = np.random.default_rng(rate).standard_normal(time.size)
    return {
        "tone": 0.1 * np.sin(2 * np.pi * 997 * time),
        "hiss": 0.02 * noise,
        "loud": 0.5 * np.clip(noise, -1.9, 1.9),
        "pauses": (0.05 * (np.sin(np.pi * time) > 0) + 1e-5) * noise,
    }[kind]


@pytest.mark.parametrize(("kind", "rate"), GOLDEN)
def test_it_is_pyloudnorm_s(kind, rate):
    assert loudness(sound(kind, rate), rate) == pytest.approx(
        GOLDEN[kind, rate], abs=2e-3
    )


def test_a_tone_at_full_scale_has_what_the_standard_says():
    tone = np.sin(2 * np.pi * 997 * np.arange(96000) / 48000)
    # EBU Tech 3341 allows a meter 0.1 LU
    assert loudness(tone, 48000) == pytest.approx(-3.01, abs=0.1)


@pytest.mark.parametrize("gain", [-40.0, -6.0, 6.0, 30.0])
def test_a_gain_in_db_is_one_in_lu(gain):
    hiss = sound("hiss", 16000)
    louder = loudness(10 ** (gain / 20) * hiss, 16000)
    if gain > -40:
        assert louder - loudness(hiss, 16000) == pytest.approx(gain, abs=1e-6)
    else:
        assert louder == -math.inf


def test_pauses_do_not_count():
    # of 40 s only the blocks at the edge hear both
    speech = np.tile(sound("hiss", 16000), 10)
    pause = np.zeros(speech.size)
    assert loudness(np.append(speech, pause), 16000) == pytest.approx(
        loudness(speech, 16000), abs=0.02
    )


def test_a_sound_shorter_than_a_block_counts_as_if_repeated():
    tone = sound("tone", 16000)[: 16000 // 10]
    assert loudness(tone, 16000) == pytest.approx(
        loudness(np.tile(tone, 4), 16000), abs=1e-6
    )


def test_a_recording_gets_the_wanted_loudness(real_data):
    for path in audio_files(real_data / "speech" / "valid")[:8]:
        signal, rate = read(path)
        scaled = to_loudness(signal[0], rate, -29.0)
        assert loudness(scaled, rate) == pytest.approx(-29.0, abs=1e-3)


def test_what_would_clip_gets_a_peak_of_nine_tenths():
    clicks = 0.001 * np.random.default_rng(0).standard_normal(32000)
    clicks[::8000] = 0.5
    scaled = to_loudness(clicks.astype("f4"), 16000, -20.0)
    assert np.abs(scaled).max() == pytest.approx(0.9, abs=1e-6)


@pytest.mark.parametrize("gain", [1e-3, 1e-5, 1e-8])
def test_what_is_too_soft_for_the_meter_gets_its_loudness_too(gain):
    soft = (gain * sound("pauses", 16000)).astype("f4")
    assert loudness(to_loudness(soft, 16000, -30.0), 16000) == pytest.approx(-30.0)


def test_silence_is_refused_by_name():
    with pytest.raises(AudioError, match=r"a\.wav: silent, expected something"):
        to_loudness(np.zeros(16000, "f4"), 16000, -30.0, "a.wav")
