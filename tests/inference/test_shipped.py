"""The model that ships with the package."""

import numpy as np
import pytest

from speechbrain_fusion.inference import load


@pytest.fixture(scope="module")
def model():
    return load()


def scene(seconds):
    """A voice from the left in noise at both ears, [ear, time] each."""
    rng, time = np.random.default_rng(0), np.arange(round(16000 * seconds)) / 16000
    tones = sum(np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 20))
    voice = 0.05 * tones * (np.sin(2 * np.pi * 4 * time) > 0)
    clean = np.stack([voice, 0.5 * np.roll(voice, 8)])
    return clean, clean + 0.01 * rng.standard_normal(clean.shape)


@pytest.mark.parametrize("gain", [1e-3, 0.1, 5.0])
def test_it_does_the_same_at_every_level(model, gain):
    _, noisy = scene(1.0)
    expected = model.enhance(noisy, 16000)
    found = model.enhance(gain * noisy, 16000) / gain
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_silence_stays_silent_before_and_after_sound(model):
    _, noisy = scene(0.5)
    quiet = np.zeros((2, 16000))
    y = model.enhance(np.concatenate([quiet, noisy, quiet], -1), 16000)
    assert not y[:, : 16000 - model.system.latency].any()
    assert not y[:, -16000 + model.system.latency :].any()


def test_it_takes_two_milliseconds_and_less_than_a_megabyte(model):
    assert model.system.latency / model.rate == 0.002
    assert model.config["precision"] == "float16"
    assert sum(p.numel() for p in model.parameters()) == 451_200


def test_noise_goes_and_the_voice_stays_on_its_side(model):
    clean, noisy = scene(3.0)
    y = model.enhance(noisy, 16000)
    before, after = (np.sqrt(np.square(x).mean(-1)) for x in (clean, y))
    assert abs(20 * np.log10(before[0] / before[1] * after[1] / after[0])) < 3
    noise = noisy - clean
    assert np.abs(model.enhance(noise, 16000)).mean() < np.abs(noise).mean()
