"""Losses on spectra: what they measure, compression, padding, gradients at silence."""

import math

import pytest
import torch

from speechbrain_fusion.losses import complex_loss, magnitude_loss

LOSSES = [magnitude_loss, complex_loss]
LENGTHS = torch.tensor([1.0, 0.5])


def spectra(seed=0):
    return torch.randn(2, 2, 6, 5, generator=torch.Generator().manual_seed(seed))


def modulus(spectrum):
    return torch.view_as_complex(spectrum.movedim(1, -1).contiguous()).abs()


@pytest.mark.parametrize("compression", [1.0, 0.5, 0.3])
def test_magnitudes_are_compared_without_their_phases(compression):
    reference, estimate = spectra(), spectra(1)
    expected = (
        modulus(reference) ** compression - modulus(estimate) ** compression
    ) ** 2
    values = magnitude_loss(
        reference, estimate, compression=compression, reduction="none"
    )
    torch.testing.assert_close(values, expected.mean((1, 2)))
    mixed = magnitude_loss(reference, modulus(estimate), compression=compression)
    torch.testing.assert_close(mixed, values.mean())
    turned = torch.stack([-estimate[:, 1], estimate[:, 0]], 1)
    torch.testing.assert_close(
        magnitude_loss(reference, turned, compression=compression), values.mean()
    )


@pytest.mark.parametrize("compression", [1.0, 0.5])
def test_real_and_imaginary_parts_are_compared_at_compressed_magnitudes(compression):
    pair = spectra(), spectra(1)
    target, other = (x * modulus(x)[:, None] ** (compression - 1) for x in pair)
    values = complex_loss(*pair, compression=compression, reduction="none")
    torch.testing.assert_close(values, (target - other).square().mean((1, 2, 3)))


@pytest.mark.parametrize("loss", LOSSES)
def test_padding_changes_neither_value_nor_gradient(loss):
    reference, estimate = spectra(), spectra(1)
    reference[1, :, 3:], estimate[1, :, 3:] = math.nan, math.inf
    estimate.requires_grad_()
    values = loss(reference, estimate, LENGTHS, reduction="none")
    (gradient,) = torch.autograd.grad(values.sum(), estimate)
    alone = estimate[1:, :, :3].detach().requires_grad_()
    value = loss(reference[1:, :, :3], alone)
    (expected,) = torch.autograd.grad(value, alone)
    torch.testing.assert_close(values[1], value)
    torch.testing.assert_close(gradient[1:, :, :3], expected)
    assert (gradient[1, :, 3:] == 0).all()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("compression", [1.0, 0.5])
def test_silence_has_a_finite_gradient(loss, compression):
    estimate = torch.zeros(2, 2, 6, 5, requires_grad=True)
    for reference in (spectra(), torch.zeros_like(estimate)):
        value = loss(reference, estimate, compression=compression)
        (gradient,) = torch.autograd.grad(value, estimate)
        assert value.isfinite()
        assert gradient.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES)
def test_half_precision_is_computed_in_single(loss):
    reference, estimate = spectra(), spectra(1)
    expected = loss(reference.bfloat16().float(), estimate)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(reference.bfloat16(), estimate)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, expected)
    assert loss(reference.double(), estimate.double()).dtype == torch.float64


@pytest.mark.parametrize("loss", LOSSES)
def test_wrong_arguments_are_named(loss):
    with pytest.raises(ValueError, match=r"\[batch, 2 parts, .*\(2, 3, 6, 5\)"):
        loss(torch.zeros(2, 3, 6, 5), spectra())
    with pytest.raises(ValueError, match=r"mean.*none.*sum"):
        loss(spectra(), spectra(), reduction="sum")
    with pytest.raises(ValueError, match="differ in shape"):
        loss(spectra(), spectra()[:, :, :3])
