import math

import pytest
import torch

from speechbrain_fusion.losses import si_sdr_loss, snr_loss
from speechbrain_fusion.metrics import si_sdr, snr

PAIRS = [(snr, snr_loss), (si_sdr, si_sdr_loss)]


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("metric", "loss"), PAIRS)
def test_metric_is_the_negative_loss(metric, loss):
    reference = noise(3, 2, 900)
    estimate = 0.7 * reference + 0.2 * noise(3, 2, 900, seed=1) + 0.1
    lengths = torch.tensor([1.0, 0.5, 0.7])
    values = metric(reference, estimate, lengths)
    assert values.dtype == torch.float64
    expected = -loss(reference.double(), estimate.double(), lengths, reduction="none")
    torch.testing.assert_close(values, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("metric", "loss"), PAIRS)
def test_levels_do_not_matter(metric, loss):
    reference, estimate = noise(2, 2, 900), noise(2, 2, 900, seed=1)
    expected = metric(reference, estimate)
    for gain in (1e-6, 1e3):
        values = metric(gain * reference, gain * estimate)
        torch.testing.assert_close(values, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("metric", "loss"), PAIRS)
def test_padding_does_not_matter(metric, loss):
    reference, estimate = noise(2, 2, 800), noise(2, 2, 800, seed=1)
    reference[1, :, 600:], estimate[1, :, 600:] = math.nan, 1e6
    values = metric(reference, estimate, torch.tensor([1.0, 0.75]))
    alone = metric(reference[1:, :, :600], estimate[1:, :, :600])
    torch.testing.assert_close(values[1:], alone)


@pytest.mark.parametrize(("metric", "loss"), PAIRS)
def test_what_cannot_be_scored_is_nan(metric, loss):
    signal = noise(4, 2, 100)
    reference, estimate = signal.clone(), signal + 0.1 * noise(4, 2, 100, seed=1)
    reference[0, 1] = 0
    estimate[1] = 0
    values = metric(reference, estimate, torch.tensor([1.0, 1.0, 1.0, 1e-3]))
    unscored = torch.tensor([[0, 1], [1, 1], [0, 0], [1, 1]]).bool()
    assert torch.equal(values.isnan(), unscored)


def test_a_constant_is_silence_for_si_sdr():
    values = si_sdr(torch.full((1, 100), 0.3), noise(1, 100))
    assert values.isnan().all()


@pytest.mark.parametrize("metric", [si_sdr, snr])
def test_a_large_batch_is_scored_as_its_items_are(metric):
    reference, noise = torch.randn(2, 7, 2, 20000)
    estimate = reference + torch.logspace(-2, 1, 7)[:, None, None] * noise
    lengths = torch.linspace(0.3, 1.0, 7)
    for shares in (None, lengths):
        values = metric(reference, estimate, shares)
        each = [
            metric(
                reference[[n]], estimate[[n]], None if shares is None else shares[[n]]
            )
            for n in range(7)
        ]
        torch.testing.assert_close(values, torch.cat(each), rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="7 lengths"):
        metric(reference, estimate, lengths[:1])


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="differ in shape"):
        si_sdr(torch.zeros(1, 9), torch.zeros(2, 9))
