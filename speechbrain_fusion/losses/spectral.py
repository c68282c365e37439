"""Losses on spectra: magnitudes, and real and imaginary parts.

Spectra are [batch, 2, frames, bins] (real and imaginary part), magnitudes [batch,
frames, bins]; `lengths` are relative lengths in frames. All losses are means over an
item's valid frames and all bins, and then over items, so that neither padding nor the
number of processes changes them. Computed in float32 (float64 for float64 inputs),
inside autocast too.

Source: Li et al., "On the importance of power compression and phase estimation in
monaural speech dereverberation", JASA Express Letters 1(1), 2021 (compression); Li,
Sun, Wang, Naqvi, "Joint Learning with Shared Latent Space for Self-Supervised Monaural
Speech Enhancement", SSPD 2023 (phase, several resolutions).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from speechbrain_fusion.losses.means import valid_mean
from speechbrain_fusion.losses.signal import check_pair, reduced
from speechbrain_fusion.nnet.compressed_stft import FLOOR, compress, modulus
from speechbrain_fusion.nnet.padding import (
    blank_frames,
    channels_as_items,
    valid_samples,
    valid_steps,
)
from speechbrain_fusion.nnet.precision import single
from speechbrain_fusion.nnet.resolutions import FFT_SIZES, MultiResolutionSTFT
from speechbrain_fusion.nnet.shapes import check_axes


def magnitude_loss(
    reference: Tensor,
    estimate: Tensor,
    lengths: Tensor | None = None,
    compression: float = 1.0,
    reduction: str = "mean",
) -> Tensor:
    """Squared distance of magnitudes.

    Arguments
    ---------
    reference, estimate : torch.Tensor
        Spectra [batch, 2, frames, bins] or magnitudes [batch, frames, bins], also one
        of each.
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1] in frames, shape [batch]; None for all of it.
    compression : float
        Exponent of the magnitudes.
    reduction : str
        "mean" over items, or "none".

    Returns
    -------
    torch.Tensor
        A scalar, or shape [batch] with "none".

    Raises
    ------
    ValueError
        If the shapes do not fit or the reduction is unknown.

    Example
    -------
    >>> spectrum = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    >>> magnitude_loss(spectrum, torch.full((1, 1, 1), 4.0))
    tensor(1.)
    """
    with torch.autocast(reference.device.type, enabled=False):
        target, other = (
            _compressed(_magnitude(own_frames(x, lengths)), compression)
            for x in (reference, estimate)
        )
        return _distance(target, other, lengths, reduction)


def complex_loss(
    reference: Tensor,
    estimate: Tensor,
    lengths: Tensor | None = None,
    compression: float = 1.0,
    reduction: str = "mean",
) -> Tensor:
    """Squared distance of real and imaginary parts, half of |S - Y|^2 in the mean.

    Arguments
    ---------
    reference, estimate : torch.Tensor
        Spectra, shape [batch, 2, frames, bins].
    lengths, compression, reduction
        See `magnitude_loss`; compression leaves the phase.

    Returns
    -------
    torch.Tensor
        A scalar, or shape [batch] with "none".

    Raises
    ------
    ValueError
        If the shapes do not fit or the reduction is unknown.

    Example
    -------
    >>> spectrum = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    >>> complex_loss(spectrum, -spectrum)
    tensor(50.)
    """
    with torch.autocast(reference.device.type, enabled=False):
        target, other = (
            compress(_spectrum(own_frames(x, lengths)), compression)
            for x in (reference, estimate)
        )
        return _distance(target, other, lengths, reduction)


def phase_loss(
    reference: Tensor,
    estimate: Tensor,
    lengths: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos of the difference of phases, weighted by the target's amplitude.

    Arguments
    ---------
    reference : torch.Tensor
        Spectra, shape [batch, 2, frames, bins].
    estimate : torch.Tensor
        Points on the unit circle, same shape.
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1] in frames, shape [batch]; None for all of it.
    reduction : str
        "mean" over items, or "none".

    Returns
    -------
    torch.Tensor
        Mean over bins of what amplitude is missed, from 0 to twice the amplitude; a
        scalar, or shape [batch] with "none".

    Raises
    ------
    ValueError
        If the shapes do not fit or the reduction is unknown.

    Example
    -------
    >>> spectrum = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    >>> phase_loss(spectrum, -spectrum / 5).round()
    tensor(10.)
    """
    check_pair(reference, estimate, lengths)
    with torch.autocast(reference.device.type, enabled=False):
        pair = [_spectrum(x) for x in (reference, estimate)]
        target, other = (own_frames(x, lengths) for x in pair)
        amplitude = (modulus(target) - FLOOR).clamp(min=0)
        missed = amplitude - (target * other).sum(1)
        return valid_mean(missed.transpose(1, 2), lengths, reduction)


def multi_resolution_loss(
    reference: Tensor,
    estimate: Tensor,
    lengths: Tensor | None = None,
    fft_sizes: Sequence[int] = FFT_SIZES,
    compression: float = 0.5,
    reduction: str = "mean",
) -> Tensor:
    """Mean over resolutions of the errors of compressed amplitudes and spectra.

    Arguments
    ---------
    reference, estimate : torch.Tensor
        Signals, shape [batch, time] or [batch, channels, time].
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1] in samples, shape [batch]; None for all of it.
    fft_sizes : sequence of int
        Samples of the windows (Hann), which overlap by three quarters.
    compression : float
        Exponent of the magnitudes.
    reduction : str
        "mean" over items, or "none".

    Returns
    -------
    torch.Tensor
        A scalar, or shape [batch] with "none".

    Raises
    ------
    ValueError
        If the shapes do not fit, a size is no multiple of four or the reduction is
        unknown.

    Example
    -------
    >>> signal = torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))
    >>> multi_resolution_loss(signal, signal)
    tensor(0.)
    """
    check_pair(reference, estimate, lengths)
    if not fft_sizes or any(size < 4 or size % 4 for size in fft_sizes):
        raise ValueError(f"fft_sizes: expected multiples of 4, got {[*fft_sizes]}")
    target, count = channels_as_items(single(reference), lengths)
    other, _ = channels_as_items(single(estimate), None)
    errors = [
        _at_resolution(target, other, count, size, compression) for size in fft_sizes
    ]
    values = torch.stack(errors).mean(0).view(len(reference), -1).mean(-1)
    return reduced(values, reduction)


def _distance(
    reference: Tensor, estimate: Tensor, lengths: Tensor | None, reduction: str
) -> Tensor:
    check_pair(reference, estimate, lengths)
    distance = own_frames(estimate - reference, lengths)
    return valid_mean(distance.square().mT, lengths, reduction)


def own_frames(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Blank the padding of spectra or magnitudes, before any power is taken of it.

    Arguments
    ---------
    x : torch.Tensor
        Shape [batch, ..., frames, bins].
    lengths : torch.Tensor or None
        Relative lengths in (0, 1] in frames, shape [batch]; None for all of it.

    Returns
    -------
    torch.Tensor
        Same shape.

    Example
    -------
    >>> own_frames(torch.ones(1, 2, 3), torch.tensor([0.5]))
    tensor([[[1., 1., 1.],
             [0., 0., 0.]]])
    """
    if lengths is None:
        return x
    valid = valid_steps(valid_samples(x.mT, lengths), x.shape[-2])
    return blank_frames(x, valid, axis=-2)


def _magnitude(x: Tensor) -> Tensor:
    """Take magnitudes [batch, frames, bins] of what may be spectra."""
    return single(x) if x.dim() == 3 else modulus(_spectrum(x))


def _spectrum(x: Tensor) -> Tensor:
    check_axes(x, batch=None, parts=2, frames=None, bins=None)
    return single(x)


def _compressed(magnitude: Tensor, exponent: float) -> Tensor:
    return magnitude if exponent == 1 else magnitude.clamp(min=FLOOR).pow(exponent)


def _at_resolution(
    reference: Tensor,
    estimate: Tensor,
    count: Tensor | None,
    size: int,
    compression: float,
) -> Tensor:
    stft = MultiResolutionSTFT((size,), size // 4, compression).to(reference)
    target, other = (stft.analyze(x, count) for x in (reference, estimate))
    valid = stft.valid(count, reference.shape[-1])
    pair = target, other, None if valid is None else valid.float().mean(-1)
    return magnitude_loss(*pair, reduction="none") + complex_loss(
        *pair, reduction="none"
    )
