"""Ideal masks and classical methods: in time, at any level, better than nothing."""

import numpy as np
import pytest
import torch

from speechbrain_fusion.data.audio import read
from speechbrain_fusion.data.demo import demo_speech_folder
from speechbrain_fusion.metrics import si_sdr
from speechbrain_fusion.models import (
    ideal_complex_mask,
    ideal_ratio_mask,
    iterative_wiener,
    spectral_subtraction,
)

IDEAL = [ideal_ratio_mask, ideal_complex_mask]
CLASSICAL = [iterative_wiener, spectral_subtraction]


def speech_in_noise(samples: int = 32000, seed: int = 0):
    """A talker of the demo corpus in white noise of equal power."""
    paths = sorted((demo_speech_folder() / "test").glob("*/*.ogg"))
    voice = np.concatenate([read(path)[0][0] for path in paths[seed : seed + 2]])
    voice = voice[:samples].astype(float)
    noise = np.random.default_rng(seed).standard_normal(samples)
    mixture = voice + voice.std() * noise
    return (torch.from_numpy(x)[None, None].float() for x in (mixture, voice))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("process", "gain"),
    [
        (ideal_ratio_mask, 5.0),
        (ideal_complex_mask, 10.0),
        (iterative_wiener, 0.3),
        (spectral_subtraction, 1.0),
    ],
)
def test_the_estimate_is_nearer_to_the_target(process, gain):
    mixture, target = speech_in_noise()
    before, after = (si_sdr(target, x) for x in (mixture, process(mixture, target)))
    assert (after - before).item() > gain


@pytest.mark.slow
@pytest.mark.parametrize(
    ("process", "gain"), [(iterative_wiener, 5.66), (spectral_subtraction, 1.34)]
)
def test_classical_methods_gain_what_they_did(process, gain):
    """Measured with pyroomacoustics 0.10.1."""
    pytest.importorskip("pyroomacoustics")
    mixture, target = speech_in_noise()
    before, after = (si_sdr(target, x) for x in (mixture, process(mixture, target)))
    assert (after - before).item() == pytest.approx(gain, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("process", IDEAL + CLASSICAL)
def test_an_item_of_a_padded_batch_gives_what_it_gives_alone(process):
    pairs = [[*speech_in_noise(n, seed)] for seed, n in enumerate((16000, 9001))]
    lengths = torch.tensor([1.0, 9001 / 16000])
    batch = [
        torch.cat([one, torch.nn.functional.pad(two, (0, 6999), value=torch.nan)])
        for one, two in zip(*pairs, strict=True)
    ]
    together = process(*batch, lengths)
    torch.testing.assert_close(together[:1], process(*pairs[0]))
    torch.testing.assert_close(together[1:, :, :9001], process(*pairs[1]))
    assert (together[1, :, 9001:] == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("process", IDEAL + CLASSICAL)
def test_the_level_stays(process):
    mixture, target = speech_in_noise()
    soft = process(1e-3 * mixture, 1e-3 * target)
    torch.testing.assert_close(
        1e3 * soft, process(mixture, target), atol=1e-5, rtol=1e-3
    )


@pytest.mark.parametrize("process", IDEAL + CLASSICAL)
def test_silence_stays_silent(process):
    silence = torch.zeros(1, 2, 4000)
    assert (process(silence, silence) == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("process", [iterative_wiener, spectral_subtraction])
def test_what_is_not_finite_stops_nothing(process):
    pytest.importorskip("pyroomacoustics")
    mixture, target = speech_in_noise(8000)
    pair = torch.cat([mixture, mixture])
    pair[1, 0, 100] = torch.nan
    estimate = process(pair, torch.cat([target, target]))
    torch.testing.assert_close(estimate[:1], process(mixture, target))
    assert estimate[1].isnan().any()


@pytest.mark.parametrize(
    "process",
    [ideal_ratio_mask, ideal_complex_mask, iterative_wiener, spectral_subtraction],
)
def test_other_shapes_are_refused(process):
    with pytest.raises(ValueError, match=r"expected \[batch, channels, time\]"):
        process(torch.ones(2, 800), torch.ones(2, 800))


def test_the_bound_of_the_complex_mask_decides_how_near_it_comes():
    mixture, target = speech_in_noise()
    scores = [
        si_sdr(target, ideal_complex_mask(mixture, target, bound=bound)).item()
        for bound in (0.5, 1.0, 10.0)
    ]
    assert scores == sorted(scores)


def test_the_ratio_mask_leaves_what_has_no_noise():
    _, target = speech_in_noise()
    torch.testing.assert_close(
        ideal_ratio_mask(target, target), target, atol=1e-5, rtol=0
    )


def test_the_ratio_mask_is_the_root_of_the_share_of_power():
    """Speech 0.6 and noise 0.8 of one signal: 0.36 of the power of 0.36 + 0.64."""
    signal = torch.randn(1, 1, 4000, generator=torch.Generator().manual_seed(0))
    mixture = 0.6 * signal + 0.8 * signal
    estimate = ideal_ratio_mask(mixture, 0.6 * signal)
    torch.testing.assert_close(estimate, 0.6 * mixture, atol=1e-4, rtol=1e-4)
