"""Clips are read where somebody speaks, as they are in the whole recording."""

import numpy as np
import pytest
import soundfile

from speechbrain_fusion.data.audio import AudioError, resample
from speechbrain_fusion.data.clips import at_snr, is_short, read_clip, samples_at
from speechbrain_fusion.data.source import cut_speech
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


def test_a_recording_that_is_silent_but_for_a_place_is_heard_there():
    speech = np.zeros(400_000, "f4")
    speech[123_000:124_000] = 0.1 * np.random.default_rng(0).standard_normal(1000)

    def cut(start):
        return speech[start : start + 2000]

    for place in (0.0, 0.31, 0.99):
        heard, start = cut_speech(place, speech.size - 1999, cut, lambda: speech)
        assert np.square(heard).sum() == pytest.approx(np.square(speech).sum(), rel=0.5)
        assert np.array_equal(heard, cut(start))


def test_of_a_soft_recording_the_loudest_place_that_was_tried_is_heard():
    rng = np.random.default_rng(0)
    soft = (1e-5 * rng.standard_normal(40_000)).astype("f4")
    starts = {
        cut_speech(x, 38_001, lambda at: soft[at : at + 2000], lambda: soft)[1]
        for x in np.linspace(0, 0.05, 7)
    }
    assert len(starts) > 1
