import math

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch

from speechbrain_fusion.metrics import sdr, si_sdr
from speechbrain_fusion.metrics.info import metric_info

RATE = 8000


def noise(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def filtered(signal, taps):
    """Filter by an FIR; the signal's end is cut as in a separated file."""
    return torch.from_numpy(scipy.signal.lfilter(taps, 1, signal.numpy()))


def talkers(samples=RATE, seed=0):
    """Two low-passed noises that come and go as syllables do, 60 dB down in between."""
    signals = filtered(noise(2, samples, seed=seed), scipy.signal.firwin(65, 0.2))
    time = torch.arange(samples) / RATE
    return signals * torch.stack([time % 0.5 < 0.3, time % 0.4 > 0.2]).clamp(min=1e-3)


def independent_sdr(reference, estimate):
    separation = pytest.importorskip("mir_eval.separation")
    pair = reference.numpy(), estimate.numpy()
    return separation.bss_eval_sources(*pair, compute_permutation=False)[0]


@pytest.mark.parametrize("level", [-10.0, 0.0, 20.0, 60.0])
@pytest.mark.parametrize("source", [talkers, lambda: noise(2, 6000)])
def test_equal_to_mir_eval(source, level):
    reference = source()
    leak = 10 ** (-level / 20) * reference.flip(0)
    estimate = filtered(reference, [0.2, 1.0, -0.4]) + leak
    expected = independent_sdr(reference, estimate)
    assert sdr(reference, estimate).tolist() == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("samples", [100, 256, 257, 511, 513])
def test_equal_to_mir_eval_for_short_signals(samples):
    # What comes before the reference starts is distortion: no causal filter gets there.
    reference = noise(2, samples) * (torch.arange(samples) > 20)
    estimate = reference + 0.1 * noise(2, samples, seed=1)
    expected = independent_sdr(reference, estimate)
    assert sdr(reference, estimate).tolist() == pytest.approx(expected, abs=0.01)


def test_equal_to_mir_eval_for_a_tone():
    tone = torch.sin(0.3 * torch.arange(RATE, dtype=torch.float64))[None]
    estimate = tone + 0.1 * noise(1, RATE)
    expected = independent_sdr(tone, estimate)
    assert sdr(tone, estimate).tolist() == pytest.approx(expected, abs=0.01)


def test_equal_to_mir_eval_for_speech(real_data):
    paths = sorted((real_data / "speech" / "valid").glob("*/*.flac"))
    speech = [
        soundfile.read(path, frames=3 * 16000)[0] for path in paths[:: len(paths) - 1]
    ]
    samples = min(map(len, speech))
    reference = torch.from_numpy(np.stack([talker[:samples] for talker in speech]))
    room = np.exp(-np.arange(300) / 50) * np.random.default_rng(0).standard_normal(300)
    estimate = filtered(reference, room) + 0.3 * reference.flip(0)
    expected = independent_sdr(reference, estimate)
    assert sdr(reference, estimate).tolist() == pytest.approx(expected, abs=0.01)


def test_a_filter_and_a_gain_are_free():
    reference = noise(1, 2, 3 * RATE)
    estimate = reference + 0.1 * noise(1, 2, 3 * RATE, seed=1)
    taps = 0.7 * np.array([0.0, 0.0, 1.0, 0.6, -0.3])
    colored = filtered(estimate, taps)
    torch.testing.assert_close(
        sdr(reference, colored), sdr(reference, estimate), atol=0.2, rtol=0
    )
    assert (si_sdr(reference, colored) < 0).all()


def test_noise_over_a_filtered_reference_is_the_distortion():
    reference, added = noise(1, 3 * RATE), noise(1, 3 * RATE, seed=1)
    target = filtered(reference, [0.2, 1.0, -0.4])
    expected = 10 * torch.log10(
        target.square().sum(-1) / (0.01 * added.square().sum(-1))
    )
    torch.testing.assert_close(
        sdr(reference, target + 0.1 * added), expected, atol=0.2, rtol=0
    )


@pytest.mark.parametrize("gain", [1e-8, -1.0, 1e3])
def test_levels_do_not_matter(gain):
    reference, estimate = noise(2, 2, 4000), noise(2, 2, 4000, seed=1)
    expected = sdr(reference, estimate)
    for pair in [(reference, gain * estimate), (gain * reference, estimate)]:
        torch.testing.assert_close(sdr(*pair), expected, atol=1e-6, rtol=0)


def test_a_perfect_estimate_scores_120_db():
    reference = talkers()[None]
    taps = [0.2, 1.0, -0.4]
    reference[..., -len(taps) :] = 0
    for estimate in (reference, -3 * reference, filtered(reference, taps)):
        values = sdr(reference, estimate)
        assert values.isfinite().all()
        assert (values > 100).all()


def test_one_sample_too_late_for_the_filter_is_distortion():
    reference = noise(1, RATE)
    reference[:, -600:] = 0
    assert sdr(reference, reference.roll(511, -1)).item() > 100
    assert sdr(reference, reference.roll(512, -1)).item() < 0


@pytest.mark.parametrize("length", [600, 300, 150])
def test_padding_does_not_matter(length):
    reference, estimate = noise(2, 2, 800), noise(2, 2, 800)
    estimate += 0.1 * noise(2, 2, 800, seed=1)
    estimate[..., 0] += 5
    reference[..., 0] = 0
    alone = sdr(reference[1:, :, :length], estimate[1:, :, :length])
    reference[1, :, length:], estimate[1, :, length:] = math.nan, 1e6
    values = sdr(reference, estimate, torch.tensor([1.0, length / 800]))
    torch.testing.assert_close(values[1:], alone, atol=1e-5, rtol=0)


def test_items_are_scored_apart():
    reference = noise(3, 2, 2000).float()
    estimate = reference + 0.3 * noise(3, 2, 2000, seed=1).float()
    values = sdr(reference, estimate)
    assert values.dtype == torch.float64
    assert values.shape == (3, 2)
    torch.testing.assert_close(sdr(reference[:, 1], estimate[:, 1]), values[:, 1])


def test_the_order_of_the_talkers_is_kept():
    reference = noise(1, 2, 4000)
    estimate = reference + 0.1 * noise(1, 2, 4000, seed=1)
    assert (sdr(reference, estimate) > 15).all()
    assert (sdr(reference, estimate.flip(1)) < 0).all()


def test_what_cannot_be_scored_is_nan_and_stops_nothing():
    reference = noise(6, 2, 900)
    estimate = reference + 0.1 * noise(6, 2, 900, seed=1)
    expected = sdr(reference, estimate)
    reference[0, 1] *= 1e-11
    reference[1, 0], estimate[1, 1] = 0, 0
    reference[2, 0, 50], estimate[3, 0, 50], estimate[3, 1, 50] = (
        math.nan,
        math.inf,
        -math.inf,
    )
    values = sdr(reference, estimate, torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, 1e-4]))
    unscored = torch.tensor([[0, 1], [1, 1], [1, 0], [1, 1], [0, 0], [1, 1]]).bool()
    assert torch.equal(values.isnan(), unscored)
    torch.testing.assert_close(values[~unscored], expected[~unscored])


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="differ in shape"):
        sdr(torch.zeros(1, 2, 9), torch.zeros(1, 3, 9))
    with pytest.raises(ValueError, match="lengths"):
        sdr(torch.zeros(1, 2, 9), torch.zeros(1, 2, 9), torch.ones(2))


@pytest.mark.parametrize(
    ("metric", "better"),
    [("sdr", "higher"), ("residual_noise", "lower"), ("over_suppression", "lower")],
)
def test_units_and_directions_are_known(metric, better):
    assert metric_info(metric) == ("dB", better)
