"""Clips are read where somebody speaks, as they are in the whole recording."""

import numpy as np
import pytest
import soundfile

from speechbrain_fusion.data.audio import AudioError, resample
from speechbrain_fusion.data.clips import at_snr, is_short, read_clip, samples_at
from tests.data.daps_tree import RATE, place_of
from tests.data.librimix_tree import voice, write


@pytest.fixture
def entry(tmp_path):
    write(tmp_path / "a.wav", voice(3 * RATE, 0), RATE)
    return place_of(tmp_path / "a.wav")


@pytest.mark.parametrize("place", [0.0, 0.3, 0.9999])
def test_a_clip_is_what_it_is_in_the_whole_recording(entry, place):
    whole = resample(soundfile.read(entry["file"])[0], RATE, 16000)
    assert whole.size == samples_at(entry, 16000)
    clip, start = read_clip(entry, place, 8000, 16000)
    assert start == int(place * (whole.size - 8000 + 1))
    np.testing.assert_allclose(clip, whole[start : start + 8000], atol=1e-5)


def test_all_of_a_recording_is_a_clip_of_it(entry):
    samples = samples_at(entry, 16000)
    clip, start = read_clip(entry, 0.7, samples, 16000)
    assert (clip.size, start) == (samples, 0)


def test_a_clip_is_not_where_the_talker_pauses(tmp_path):
    speech = np.zeros(10 * RATE)
    speech[7 * RATE : 8 * RATE] = voice(RATE, 1)
    write(tmp_path / "a.wav", speech, RATE)
    entry = place_of(tmp_path / "a.wav")
    for place in (0.0, 0.2, 0.95):
        clip, start = read_clip(entry, place, 8000, 16000)
        assert np.square(clip).mean() > 1e-8
        assert 6.5 * 16000 < start < 8 * 16000
    write(tmp_path / "a.wav", 0 * speech, RATE)
    with pytest.raises(AudioError, match=r"a\.wav: silent, expected speech"):
        read_clip(entry, 0.0, 8000, 16000)


@pytest.mark.parametrize("snr", [-20.0, 0.0, 7.5])
def test_noise_is_scaled_to_the_snr(snr):
    speech, noise = np.random.default_rng(0).standard_normal((2, 4000), "float32")
    scaled = at_snr(noise, speech, snr)
    ratio = np.square(speech).sum() / np.square(scaled).sum()
    assert 10 * np.log10(ratio) == pytest.approx(snr, abs=1e-3)


@pytest.mark.parametrize("rate", [16000, 22050, 44100, 48000])
def test_what_is_not_too_short_has_a_clip_at_any_rate(rate):
    for samples in range(round(1.1 * rate) - 3, round(1.1 * rate) + 3):
        entry = {"samples": samples, "rate": rate}
        assert is_short(entry, 1.1) == (samples < round(1.1 * rate))
        assert is_short(entry, 1.1) or samples_at(entry, 16000) >= 17600
