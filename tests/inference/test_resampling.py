"""Other rates and back: as long as before, not late, both ears alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechbrain_fusion.inference.resampling import (
    Resampler,
    resample,
    resample_blocks,
    resampled_length,
)

RATES = [8000, 11025, 16000, 22050, 32000, 37800, 44100, 48000, 96000, 192000]
SYSTEMS = [8000, 16000]


def bump(rate: int, at: float, width: float = 0.0005) -> np.ndarray:
    """A smooth click: half a second with a Gaussian `at` seconds, of below 2 kHz."""
    time = np.arange(rate // 2) / rate
    return np.exp(-0.5 * ((time - at) / width) ** 2)


def centre(signal: np.ndarray, rate: int) -> float:
    """When a bump is heard, in seconds."""
    return float(signal @ np.arange(signal.size) / signal.sum() / rate)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("system", SYSTEMS)
def test_there_and_back_is_neither_late_nor_another(rate, system):
    signal = np.stack([bump(rate, 0.2), bump(rate, 0.21)])
    there = resample(signal, rate, system)
    back = resample(there, system, rate, signal.shape[-1])
    assert back.shape == signal.shape
    np.testing.assert_allclose(back, signal, atol=1e-4)
    for ear in range(2):
        assert centre(there[ear], system) == pytest.approx(0.2 + 0.01 * ear, abs=1e-6)


@pytest.mark.parametrize("rate", RATES)
def test_a_click_stays_where_it_was(rate):
    click = np.zeros((1, rate // 4))
    click[0, 1234] = 1.0
    back = resample(resample(click, rate, 16000), 16000, rate, click.shape[-1])
    assert np.abs(back).argmax() == 1234


@pytest.mark.parametrize("rate", [11025, 44100, 48000])
def test_interaural_time_differences_are_kept_to_a_microsecond(rate):
    """The smallest that is heard is some ten microseconds."""
    for difference in (0.0, 20e-6, 300e-6, 700e-6):
        ears = np.stack([bump(rate, 0.2), bump(rate, 0.2 + difference)])
        back = resample(resample(ears, rate, 16000), 16000, rate, ears.shape[-1])
        heard = centre(back[1], rate) - centre(back[0], rate)
        assert heard == pytest.approx(difference, abs=1e-6)


def test_there_is_no_drift_in_minutes():
    rate, system, minutes = 11025, 16000, 3
    late = np.zeros((1, minutes * 60 * rate), np.float32)
    at = minutes * 60 - 0.3
    time = np.arange(-1000, 1000) + round(at * rate)
    late[0, time] = np.exp(-0.5 * ((time / rate - at) / 0.0005) ** 2)
    blocks = resample_blocks(np.array_split(late, 100, -1), rate, system)
    there = np.concatenate([*blocks], -1).astype(np.float64)
    assert centre(there[0], system) == pytest.approx(at, abs=2e-6)


@pytest.mark.slow
@given(
    rate=st.sampled_from([*RATES, 1000, 768_000, 12345]),
    system=st.sampled_from([8000, 16000]),
    samples=st.integers(1, 3000),
    block=st.integers(1, 997),
)
@settings(max_examples=150, deadline=None)
def test_lengths_are_exact_and_nothing_is_given_too_early(rate, system, samples, block):
    signal = np.random.default_rng(0).standard_normal((2, samples))
    there, back = Resampler(rate, system, 2), Resampler(system, rate, 2)
    parts = []
    for start in range(0, samples, block):
        parts.append(back.push(there.push(signal[:, start : start + block])))
    parts.append(back.push(there.flush()))
    assert there.given <= resampled_length(samples, rate, system)
    assert back.given <= samples
    parts.append(back.flush(samples))
    assert np.concatenate(parts, -1).shape == signal.shape


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("length", [0, 50, 40000])
def test_as_many_samples_as_are_asked_for(rate, length):
    assert resample(np.ones((1, 10000)), 8000, rate, length).shape == (1, length)


@pytest.mark.parametrize("block", [1, 100, 4410, 10**6])
def test_blocks_of_any_size_give_the_same(block):
    signal = np.random.default_rng(0).standard_normal((3, 10000)).astype(np.float32)
    blocks = (signal[:, i : i + block] for i in range(0, 10000, block))
    out = np.concatenate([*resample_blocks(blocks, 44100, 16000)], -1)
    np.testing.assert_allclose(out, resample(signal, 44100, 16000), atol=1e-6)


@pytest.mark.parametrize("rate", [11025, 44100])
def test_the_last_millisecond_is_there(rate):
    """It is in the filter when the signal ends."""
    end = rate // 2 / rate
    signal = bump(rate, end - 0.001, 0.0002)[np.newaxis]
    blocks = resample_blocks(np.array_split(signal, 7, -1), rate, 16000)
    there = np.concatenate([*blocks], -1)
    assert centre(there[0], 16000) == pytest.approx(end - 0.001, abs=1e-5)
    energy = np.square(there).sum() / 16000
    assert energy == pytest.approx(np.square(signal).sum() / rate, rel=0.01)


@pytest.mark.parametrize("samples", [5000, 5001, 5004])
@pytest.mark.parametrize(("source", "target"), [(48000, 8000), (44100, 16000)])
def test_the_last_sample_is_what_it_is_before_silence(source, target, samples):
    signal = np.random.default_rng(0).standard_normal((1, samples))
    longer = np.pad(signal, ((0, 0), (0, source // 10)))
    given = resample(signal, source, target)
    expected = resample(longer, source, target)[:, : given.shape[-1]]
    np.testing.assert_allclose(given, expected, atol=1e-6)


def test_level_is_kept_and_what_cannot_be_heard_any_more_is_gone():
    time = np.arange(48000) / 48000
    low, high = (np.sin(2 * np.pi * f * time)[np.newaxis] for f in (1000, 11000))
    inside = slice(1000, -1000)
    kept, gone = (resample(x, 48000, 16000)[:, inside] for x in (low, high))
    assert np.square(kept).mean() == pytest.approx(0.5, rel=1e-4)
    assert np.square(gone).mean() < 1e-9


def test_the_same_rate_is_left_alone():
    signal = np.random.default_rng(0).standard_normal((2, 999)).astype(np.float32)
    assert np.array_equal(resample(signal, 16000, 16000), signal)


@pytest.mark.parametrize("rate", [0, -8000, 999, 768_001, 2**31])
def test_rates_that_no_recording_has_are_refused(rate):
    with pytest.raises(
        ValueError, match=r"rate: expected a whole number of 1000 to 768000"
    ):
        Resampler(rate, 16000, 1)
