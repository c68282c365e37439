import math

import pytest
import torch

from speechbrain_fusion.losses import si_sdr_loss, snr_loss
from speechbrain_fusion.losses.signal import FLOOR, REDUCTIONS
from tests.losses.signals import noise

LOSSES = [snr_loss, si_sdr_loss]
FLOOR_DB = 10 * math.log10(FLOOR)


def orthogonal_mix(snr, dtype=torch.float64):
    """A zero-mean target and zero-mean noise orthogonal to it, at a known SNR in dB."""
    target, other = (noise(3, 2, 4000, seed=s, dtype=dtype) for s in (0, 1))
    target, other = (x - x.mean(-1, keepdim=True) for x in (target, other))
    projected = (other * target).sum(-1, keepdim=True) / target.square().sum(
        -1, keepdim=True
    )
    other = other - projected * target
    ratio = target.norm(dim=-1, keepdim=True) / other.norm(dim=-1, keepdim=True)
    return target, target + other * ratio * 10 ** (-snr / 20)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("snr", [-20.0, 0.0, 15.0, 40.0])
def test_known_mixes_score_their_snr(loss, snr):
    reference, estimate = orthogonal_mix(snr)
    values = loss(reference, estimate, reduction="none")
    torch.testing.assert_close(
        values, torch.full((3, 2), -snr).double(), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(loss(reference, estimate), values.mean())


def test_si_sdr_ignores_scale_and_offset():
    reference, estimate = orthogonal_mix(10.0)
    for scale in (1e-3, 0.1, 30.0, 1e3, -1.0):
        value = si_sdr_loss(reference, scale * estimate + 0.3 * abs(scale))
        assert value == pytest.approx(-10.0, abs=2e-2)
    for scale in (1e-2, 1e3):
        value = si_sdr_loss(scale * reference, estimate)
        assert value == pytest.approx(-10.0, abs=1e-3)


def test_snr_ignores_a_common_gain():
    reference, estimate = orthogonal_mix(10.0)
    for scale in (1e-2, 1e3):
        assert snr_loss(scale * reference, scale * estimate) == pytest.approx(
            -10.0, abs=1e-3
        )


def test_offset_counts_without_zero_mean():
    reference = noise(1, 4000) + 0.5
    estimate = reference - 0.5
    assert si_sdr_loss(reference, estimate) < -80
    assert si_sdr_loss(reference, estimate, zero_mean=False) > -20


@pytest.mark.parametrize("zero_mean", [True, False])
def test_si_sdr_gradient_is_right(zero_mean):
    reference, estimate = (noise(2, 2, 20, seed=s, dtype=torch.double) for s in (2, 3))
    lengths = torch.tensor([1.0, 0.6])

    def loss(x):
        return si_sdr_loss(reference, x, lengths, zero_mean=zero_mean)

    assert torch.autograd.gradcheck(loss, estimate.requires_grad_())


def test_snr_gradient_is_right():
    reference, estimate = (noise(2, 2, 20, seed=s, dtype=torch.double) for s in (2, 3))
    lengths = torch.tensor([1.0, 0.6])
    assert torch.autograd.gradcheck(
        lambda x: snr_loss(reference, x, lengths), estimate.requires_grad_()
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_silent_reference_pushes_the_estimate_down(loss):
    estimate = noise(1, 2, 500).requires_grad_()
    reference = torch.zeros(1, 2, 500)
    before = loss(reference, estimate)
    (gradient,) = torch.autograd.grad(before, estimate)
    assert gradient.isfinite().all()
    assert ((gradient * estimate).sum(-1) > 0).all()
    halved = loss(reference, 0.5 * estimate)
    assert (before - halved).item() == pytest.approx(20 * math.log10(2), abs=1e-3)


@pytest.mark.parametrize("loss", LOSSES)
def test_silence_for_silence_costs_nothing(loss):
    estimate = torch.zeros(1, 2, 500, requires_grad=True)
    value = loss(torch.zeros(1, 2, 500), estimate)
    value.backward()
    assert value.item() == pytest.approx(0.0, abs=1e-4)
    assert (estimate.grad == 0).all()


def test_silent_estimate_is_bad_not_neutral():
    reference = noise(1, 2, 500)
    estimate = torch.zeros(1, 2, 500, requires_grad=True)
    for loss, expected in ((snr_loss, 0.0), (si_sdr_loss, -FLOOR_DB)):
        value = loss(reference, estimate)
        (gradient,) = torch.autograd.grad(value, estimate)
        assert value.item() == pytest.approx(expected, abs=1.0)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("scales", [(1e-6, 1e-6), (1e3, 1e3), (1e-6, 1e3), (1e3, 1e-6)])
def test_any_level_is_finite(loss, scales):
    reference, estimate = (
        scales[0] * noise(2, 2, 500),
        scales[1] * noise(2, 2, 500, seed=1),
    )
    estimate.requires_grad_()
    value = loss(reference, estimate)
    value.backward()
    assert value.isfinite()
    assert estimate.grad.isfinite().all()
    assert estimate.grad.abs().sum() > 0


@pytest.mark.parametrize("loss", LOSSES)
def test_perfect_estimate_is_finite(loss):
    estimate = noise(1, 2, 500).requires_grad_()
    value = loss(estimate.detach().clone(), estimate)
    value.backward()
    assert value.item() < -80
    assert estimate.grad.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES)
def test_padding_changes_neither_value_nor_gradient(loss):
    reference, estimate = noise(2, 2, 800), noise(2, 2, 800, seed=1)
    reference[1, :, 600:] = math.nan
    estimate[1, :, 600:] = math.inf
    estimate.requires_grad_()
    lengths = torch.tensor([1.0, 0.75])
    values = loss(reference, estimate, lengths, reduction="none")
    (gradient,) = torch.autograd.grad(values.sum(), estimate)
    alone = estimate[1:, :, :600].detach().requires_grad_()
    value = loss(reference[1:, :, :600], alone, reduction="none")
    (expected,) = torch.autograd.grad(value.sum(), alone)
    torch.testing.assert_close(values[1:], value)
    torch.testing.assert_close(gradient[1:, :, :600], expected)
    assert (gradient[1, :, 600:] == 0).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_items_and_ears_are_independent(loss):
    reference, estimate = noise(3, 2, 400), noise(3, 2, 400, seed=1)
    order = torch.tensor([2, 0, 1])
    values = loss(reference, estimate, reduction="none")
    permuted = loss(reference[order], estimate[order], reduction="none")
    torch.testing.assert_close(permuted, values[order])
    mono = loss(reference[:, 1], estimate[:, 1], reduction="none")
    torch.testing.assert_close(mono, values[:, 1])


@pytest.mark.parametrize("loss", LOSSES)
def test_bfloat16_autocast_keeps_float32(loss):
    reference, estimate = (x.float() for x in orthogonal_mix(30.0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(reference, estimate)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(-30.0, abs=1e-3)
    half = loss(reference.bfloat16(), estimate.bfloat16())
    assert half.dtype == torch.float32
    assert loss(reference.double(), estimate).dtype == torch.float64


@pytest.mark.parametrize("loss", LOSSES)
def test_wrong_arguments_are_named(loss):
    with pytest.raises(ValueError, match="differ in shape"):
        loss(torch.zeros(1, 2, 9), torch.zeros(1, 2, 8))
    with pytest.raises(ValueError, match="batch"):
        loss(torch.zeros(9), torch.zeros(9))
    with pytest.raises(ValueError, match="lengths"):
        loss(torch.zeros(2, 9), torch.zeros(2, 9), torch.ones(3))
    with pytest.raises(ValueError, match=REDUCTIONS[0]):
        loss(torch.zeros(2, 9), torch.zeros(2, 9), reduction="sum")


def test_from_silence_the_snr_leads_to_the_reference():
    reference = torch.randn(2, 2, 500)
    estimate = torch.zeros_like(reference, requires_grad=True)
    loss = si_sdr_loss(reference, estimate) + 0.1 * snr_loss(reference, estimate)
    loss.backward()
    step = -estimate.grad
    alignment = torch.cosine_similarity(step.flatten(), reference.flatten(), dim=0)
    assert alignment > 0.9


def test_what_is_all_missing_or_all_there_for_nothing_costs_120_db():
    """Of unit power, over the floor of -120 dB re full scale."""
    signal = torch.tensor([1.0, -1.0]).repeat(250)[None]
    silence = torch.zeros_like(signal)
    assert si_sdr_loss(signal, silence).item() == pytest.approx(120.0, abs=1e-3)
    assert snr_loss(silence, signal).item() == pytest.approx(120.0, abs=1e-3)
