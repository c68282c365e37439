import math

import pytest
import torch

from speechbrain_fusion.losses import latent_loss
from speechbrain_fusion.metrics import over_suppression, residual_noise
from speechbrain_fusion.metrics.info import gain

METRICS = [residual_noise, over_suppression]


def features(*shape, seed=0):
    """Rectified noise: about half of the values are zero, as behind a ReLU."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).relu()


@pytest.mark.parametrize("level", [-40.0, -6.0, 0.0, 20.0])
def test_added_energy_is_residual_noise_at_its_level(level):
    clean = features(3, 8, 50).double()
    noise = features(3, 8, 50, seed=1).double()
    noise *= clean.norm(dim=(1, 2), keepdim=True) / noise.norm(dim=(1, 2), keepdim=True)
    noisy = clean + 10 ** (level / 20) * noise
    assert residual_noise(clean, noisy).tolist() == pytest.approx([level] * 3)
    assert over_suppression(clean, noisy).tolist() == [-100] * 3


@pytest.mark.parametrize("mask", [0.0, 0.5, 0.99])
def test_a_mask_on_clean_features_only_suppresses(mask):
    clean = features(3, 8, 50).double()
    lost = over_suppression(clean, mask * clean)
    assert lost.tolist() == pytest.approx([20 * math.log10(1 - mask)] * 3)
    assert residual_noise(clean, mask * clean).tolist() == [-100] * 3


def test_halving_a_noise_reduces_it_by_6_db():
    clean, noise = features(2, 8, 50), features(2, 8, 50, seed=1)
    before = residual_noise(clean, clean + noise)
    after = residual_noise(clean, clean + 0.5 * noise)
    reduction = gain("residual_noise", before.mean().item(), after.mean().item())
    assert reduction == pytest.approx(20 * math.log10(2), abs=1e-5)


def test_a_harder_mask_trades_noise_for_clean_energy():
    clean, noise = features(4, 8, 50), features(4, 8, 50, seed=1)
    masks = (1.0, 0.9, 0.7, 0.4)
    left, lost = (
        torch.stack([metric(clean, mask * (clean + noise)) for mask in masks])
        for metric in METRICS
    )
    assert (left.diff(dim=0) < 0).all()
    assert (lost.diff(dim=0) > 0).all()


def test_both_together_are_the_enhancement_loss():
    clean, estimate = features(3, 8, 50).double(), features(3, 8, 50, seed=1).double()
    lengths = torch.tensor([1.0, 0.5, 0.7])
    shares = [10 ** (metric(clean, estimate, lengths) / 10) for metric in METRICS]
    energy = latent_loss(clean, torch.zeros_like(clean), lengths, reduction="none")
    loss = latent_loss(clean, estimate, lengths, reduction="none")
    torch.testing.assert_close((shares[0] + shares[1]) * energy, loss)


@pytest.mark.parametrize("metric", METRICS)
def test_nothing_wrong_is_the_floor_and_means_stay_finite(metric):
    clean = features(2, 8, 50)
    estimate = torch.stack([clean[0], features(8, 50, seed=1)])
    values = metric(clean, estimate)
    assert values.dtype == torch.float64
    assert values[0].item() == -100
    assert metric(clean, clean * (1 + 1e-7 * torch.randn(2, 8, 50))).min() >= -100
    assert values.mean().isfinite()


@pytest.mark.parametrize("metric", METRICS)
def test_levels_do_not_matter(metric):
    clean, estimate = features(2, 8, 50), features(2, 8, 50, seed=1)
    for level in (1e-6, 1e6):
        torch.testing.assert_close(
            metric(level * clean, level * estimate), metric(clean, estimate)
        )


@pytest.mark.parametrize("metric", METRICS)
def test_padding_does_not_matter(metric):
    clean, estimate = features(2, 8, 80), features(2, 8, 80, seed=1)
    clean[1, :, 60:], estimate[1, :, 60:] = math.nan, math.inf
    values = metric(clean, estimate, torch.tensor([1.0, 0.75]))
    alone = metric(clean[1:, :, :60], estimate[1:, :, :60])
    torch.testing.assert_close(values[1:], alone)


@pytest.mark.parametrize("metric", METRICS)
def test_what_cannot_be_scored_is_nan(metric):
    clean, estimate = features(6, 8, 50), features(6, 8, 50, seed=1)
    clean[1], clean[2, 3, 4] = 0, math.nan
    estimate[3, 3, 4], estimate[4, 3, 4] = math.inf, -math.inf
    lengths = torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, 1e-3])
    values = metric(clean, estimate, lengths)
    assert values.isnan().tolist() == [False, True, True, True, True, True]


def test_an_estimate_that_lost_everything_is_scored():
    clean = features(2, 8, 50)
    assert over_suppression(clean, 0 * clean).tolist() == [0, 0]
    assert residual_noise(clean, 0 * clean).tolist() == [-100, -100]


@pytest.mark.parametrize("metric", METRICS)
def test_shapes_are_checked(metric):
    with pytest.raises(ValueError, match="differ in shape"):
        metric(torch.ones(1, 2, 9), torch.ones(1, 2, 8))
    with pytest.raises(ValueError, match="lengths"):
        metric(torch.ones(1, 2, 9), torch.ones(1, 2, 9), torch.ones(2))
