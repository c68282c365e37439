import math

import numpy as np
import pytest
import torch

from speechbrain_fusion.losses import MBSTOILoss
from speechbrain_fusion.losses import mbstoi as module
from speechbrain_fusion.metrics import mbstoi

RATE = 10000
SHORTEST = 30 * 128 + 256 + 1


def pair(items=1, samples=6000, seed=0, dtype=torch.float64, snr=0.0):
    """Modulated noise at two ears, and the same with noise on it."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn(2, items, 2, samples, generator=generator, dtype=torch.float64)
    time = torch.arange(samples) / RATE
    speech = draws[0] * (1.1 + torch.sin(2 * math.pi * 5 * time))
    return speech.to(dtype), (speech + 10 ** (-snr / 20) * draws[1]).to(dtype)


@pytest.mark.parametrize("rate", [8000, 10000, 16000])
def test_it_is_one_minus_the_metric(rate):
    reference, estimate = pair(items=2, samples=9000)
    expected = 1 - mbstoi(reference, estimate, rate).mean()
    torch.testing.assert_close(MBSTOILoss(rate)(reference, estimate), expected)
    single = MBSTOILoss(rate)(reference.float(), estimate.float())
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(expected.item(), abs=1e-4)


@pytest.mark.parametrize("rate", [8000, 10000, 16000])
def test_gradient_is_right(rate):
    samples = math.ceil(SHORTEST * rate / RATE) + 400
    reference, estimate = pair(items=2, samples=samples)
    lengths = torch.tensor([1.0, 0.95])
    assert torch.autograd.gradcheck(
        lambda x: MBSTOILoss(rate)(reference, x, lengths),
        estimate.requires_grad_(),
        fast_mode=True,
    )


def test_gradient_is_right_in_random_directions():
    reference, estimate = pair(items=1)
    loss = MBSTOILoss(RATE)
    estimate.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(reference, estimate), estimate)
    for seed in range(4):
        direction = pair(seed=10 + seed)[1]
        ahead, behind = (
            loss(reference, estimate + step * direction) for step in (1e-6, -1e-6)
        )
        slope = (gradient * direction).sum().item()
        assert ((ahead - behind) / 2e-6).item() == pytest.approx(slope, rel=1e-4)


def test_single_precision_gradient_points_the_same_way():
    reference, estimate = pair(items=2, samples=9000)
    gradients = [
        torch.autograd.grad(MBSTOILoss(8000)(reference.to(x), y), y)[0].double()
        for x in (torch.float64, torch.float32)
        for y in [estimate.to(x).requires_grad_()]
    ]
    similarity = torch.cosine_similarity(*(x.flatten() for x in gradients), dim=0)
    assert similarity > 0.99


def test_descent_raises_intelligibility():
    reference, noisy = pair(snr=-6.0)
    estimate = noisy.clone().requires_grad_()
    optimizer = torch.optim.Adam([estimate], 0.05)
    for _ in range(10):
        optimizer.zero_grad()
        MBSTOILoss(RATE)(reference, estimate).backward()
        optimizer.step()
    before, after = (mbstoi(reference, x, RATE) for x in (noisy, estimate.detach()))
    assert after > before + 0.1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_silence_is_finite(dtype):
    for silent in range(3):
        reference, estimate = pair(items=2, dtype=dtype)
        if silent != 1:
            reference[0] = 0
        if silent:
            estimate[0] = 0
        estimate.requires_grad_()
        value = MBSTOILoss(RATE)(reference, estimate)
        value.backward()
        assert value.isfinite()
        assert (estimate.grad[0] == 0).all()
        assert estimate.grad[1].isfinite().all()
        assert estimate.grad[1].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("quiet", [0.0, 1e-12, 1e-6])
def test_quiet_parts_and_a_quiet_ear_are_finite(dtype, quiet):
    reference, estimate = pair(items=3, dtype=dtype)
    estimate[0, :, 2000:] *= quiet
    estimate[1, 0] *= quiet
    reference[2, 0] *= quiet
    estimate[2, 0] *= quiet
    estimate.requires_grad_()
    value = MBSTOILoss(RATE)(reference, estimate)
    value.backward()
    assert 0 < value < 1.5
    assert estimate.grad.isfinite().all()


def test_a_silent_reference_costs_nothing_a_silent_estimate_one():
    reference, estimate = pair(items=4)
    reference[1], estimate[2], reference[3], estimate[3] = 0, 0, 0, 0
    lone = MBSTOILoss(RATE)(reference[:1], estimate[:1])
    value = MBSTOILoss(RATE)(reference, estimate)
    torch.testing.assert_close(value, (lone + 0 + 1 + 0) / 4)


def test_items_too_short_count_zero():
    reference, estimate = pair(items=3)
    estimate.requires_grad_()
    lengths = torch.tensor([1.0, 0.5, 0.0])
    value = MBSTOILoss(RATE)(reference, estimate, lengths)
    lone = MBSTOILoss(RATE)(reference[:1], estimate[:1])
    torch.testing.assert_close(value, lone / 3)
    value.backward()
    assert (estimate.grad[1:] == 0).all()


def test_a_batch_without_scores_still_has_a_gradient():
    reference, estimate = torch.zeros(2, 2, 900), torch.randn(2, 2, 900)
    value = MBSTOILoss(RATE)(reference, estimate.requires_grad_())
    value.backward()
    assert value == 0
    assert (estimate.grad == 0).all()


def test_padding_changes_neither_value_nor_gradient():
    reference, estimate = pair(items=2)
    reference[1, :, 4800:], estimate[1, :, 4800:] = math.nan, math.inf
    estimate.requires_grad_()
    lengths = torch.tensor([1.0, 0.8])
    value = MBSTOILoss(RATE)(reference, estimate, lengths)
    (gradient,) = torch.autograd.grad(value, estimate)
    alone = estimate[1:, :, :4800].detach().requires_grad_()
    lone = MBSTOILoss(RATE)(reference[1:, :, :4800], alone)
    (expected,) = torch.autograd.grad(lone, alone)
    torch.testing.assert_close(2 * gradient[1:, :, :4800], expected)
    assert (gradient[1, :, 4800:] == 0).all()


@pytest.mark.parametrize("broken", [0, 1])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_broken_signal_is_not_hidden(broken, value):
    signals = pair()
    signals[broken][0, 0, 1000] = value
    assert MBSTOILoss(RATE)(*signals).isnan()


def test_bfloat16_and_autocast_keep_float32():
    reference, estimate = pair(dtype=torch.float32)
    expected = MBSTOILoss(RATE)(reference, estimate)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = MBSTOILoss(RATE)(reference, estimate)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(expected.item(), abs=1e-6)
    half = estimate.bfloat16().requires_grad_()
    value = MBSTOILoss(RATE)(reference.bfloat16(), half)
    value.backward()
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(expected.item(), abs=1e-2)
    assert half.grad.isfinite().all()


def energies(features, level, delay, centre):
    """Energy behind the stage that subtracts the ears: [frames], any level, delay."""
    left, right, cross = features[0], features[1], features[2] + 1j * features[3]
    gain = 10 ** (level / 20)
    steered = (cross * np.exp(-1j * centre * delay)).real
    return gain * left + right / gain - 2 * steered


@pytest.mark.parametrize("band", [0, 7, 14])
@pytest.mark.parametrize("point", [(3, 10), (20, 49), (35, 95)])
def test_energies_are_means_over_the_jitter(band, point):
    """Gauss-Hermite quadrature of eqs. 5 to 8 instead of their closed form."""
    spectrum = np.random.default_rng(0).standard_normal((2, 2, 2, 30))
    left, right = spectrum[:, :, 0] + 1j * spectrum[:, :, 1]
    left, right = left.copy(), right.copy()
    cross = left * right.conj()
    features = np.stack(
        [abs(left) ** 2, abs(right) ** 2, cross.real, cross.imag], axis=1
    )
    features -= features.mean(-1, keepdims=True)

    level = np.linspace(-20, 20, 40)[point[0]]
    delay = np.linspace(-1e-3, 1e-3, 100)[point[1]]
    centre = 2 * math.pi * 150 * 2 ** (band / 3)
    level_jitter = math.sqrt(2) * 1.5 * (1 + (abs(level) / 13) ** 1.6)
    delay_jitter = math.sqrt(2) * 65e-6 * (1 + abs(delay) / 1.6e-3)
    nodes, masses = np.polynomial.hermite_e.hermegauss(80)
    masses = masses / masses.sum()
    expected = np.zeros(3)
    for a, p in zip(nodes, masses, strict=True):
        for b, q in zip(nodes, masses, strict=True):
            jittered = level + a * level_jitter, delay + b * delay_jitter
            x, y = (energies(f, *jittered, centre) for f in features)
            expected += p * q * np.array([x @ x, x @ y, y @ y])

    segments = torch.from_numpy(features)[:, None, None].expand(-1, 15, -1, -1, -1)
    weights = module._weights(segments)[:, band, 0].numpy()
    values = weights @ module._basis()[band, :, point[0] * 100 + point[1]]
    assert values == pytest.approx(expected, rel=1e-6)


def test_the_search_is_exhaustive_in_any_portions(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    shape = (2, 15, 9, 4, 30)
    segments = torch.randn(shape, generator=generator, dtype=torch.float64)
    weights = module._weights(segments)
    basis = torch.from_numpy(module._basis())
    ratios = (weights[0] @ basis) / (weights[2] @ basis)
    for points in (1, 2 * 15 * 4000, 2**30):
        monkeypatch.setattr(module, "POINTS_AT_ONCE", {"cpu": points})
        assert torch.equal(module._search(weights, basis), ratios.argmax(-1))


def test_third_octaves_follow_each_other():
    centres, bands = module._third_octaves()
    assert centres / (2 * math.pi) == pytest.approx(150 * 2 ** (np.arange(15) / 3))
    assert bands.sum(0).max() == 1
    assert (np.diff(bands.sum(1)) >= 0).all()
    used = np.flatnonzero(bands.sum(0)) * RATE / 512
    assert used[[0, -1]] == pytest.approx([134, 4276], abs=20)
