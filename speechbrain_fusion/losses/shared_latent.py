"""Losses of two autoencoders that share a latent space, each usable on its own.

    amplitude             `magnitude_loss` of the clean clip and its decoded amplitude
    phase                 `phase_loss`, of the clean clip and its decoded phase
    prior                 `latent_prior_loss`, of either latent
    mixture               `mixture_loss`, of the noisy clip and its own decoder's output
    latent match          `latent_match_loss`, of both encoders' latents
    spread                `latent_spread_loss`, of noisy and unrelated clean latents
    anchor                `anchor_loss`: clean clips through the mixture encoder
    cycle                 `cycle_loss`, of noisy clips that went through clean decoders
    complex cycle         `complex_cycle_loss`: decoded, put together, analysed again
    pure noise            `pure_noise_loss`: of noise alone nothing may be left
    multi-resolution      `multi_resolution_loss`, of clean clip and decoded signal

Spectra are compressed, [batch, 2, frames, bins] (real and imaginary part); amplitudes
are [batch, frames, bins], phases are points on the unit circle, [batch, 2, frames,
bins], and latents [batch, channels, frames]. `lengths` are relative lengths in frames.
All are means over an item's valid frames, and then over items, so that neither padding
nor the number of processes changes them, in float32 (float64 for float64 inputs) inside
autocast too. At zero and in silence values and gradients are finite.

Sources: Li, Sun, Wang, Naqvi, "Joint Learning with Shared Latent Space for
Self-Supervised Monaural Speech Enhancement", SSPD 2023; Wang, Venkataramani, Smaragdis,
"Self-supervised Learning for Speech Enhancement", arXiv 2006.10388 (SSE). The anchor is
ours: without it nothing says which clean speech a noisy latent stands for.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from speechbrain_fusion.losses.signal import (
    REDUCTIONS,
    align,
    check_pair,
    valid_samples,
)
from speechbrain_fusion.losses.spectral import complex_loss, magnitude_loss, own_frames
from speechbrain_fusion.nnet.compressed_stft import FLOOR, modulus, single
from speechbrain_fusion.nnet.resolutions import MultiResolutionSTFT

RESOLUTIONS = (1024, 512, 256, 128)
# Variance below which a latent channel counts as constant.
SPREAD_FLOOR = 1e-8


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
    >>> phase_loss(spectrum, -spectrum / 5)
    tensor(10.)
    """
    check_pair(reference, estimate, lengths)
    with torch.autocast(reference.device.type, enabled=False):
        target, other = (own_frames(single(x), lengths) for x in (reference, estimate))
        amplitude = (modulus(target) - FLOOR).clamp(min=0)
        missed = amplitude - (target * other).sum(1)
        return _frame_mean(missed.transpose(1, 2), lengths, reduction)


def latent_prior_loss(
    latent: Tensor, lengths: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """Mean square of a latent: that of a unit normal prior.

    Arguments
    ---------
    latent : torch.Tensor
        Shape [batch, channels, frames].
    lengths, reduction
        See `phase_loss`.

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
    >>> latent_prior_loss(torch.full((2, 3, 4), 2.0))
    tensor(4.)
    """
    return latent_match_loss(torch.zeros_like(latent), latent, lengths, reduction)


def latent_match_loss(
    reference: Tensor,
    estimate: Tensor,
    lengths: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Mean square of the difference of two latents.

    Beside `latent_loss` this is a mean over channels and frames, not a sum.

    Arguments
    ---------
    reference, estimate : torch.Tensor
        Shape [batch, channels, frames].
    lengths, reduction
        See `phase_loss`.

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
    >>> latent = torch.ones(2, 3, 4)
    >>> latent_match_loss(latent, 3 * latent, torch.tensor([1.0, 0.5]))
    tensor(4.)
    """
    with torch.autocast(reference.device.type, enabled=False):
        target, other, _ = align(single(reference), single(estimate), lengths)
        return _frame_mean((other - target).square(), lengths, reduction)


def latent_spread_loss(
    reference: Tensor,
    estimate: Tensor,
    lengths: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Squared difference of the standard deviations over time of latent channels.

    It keeps the latents of noisy speech from collapsing to their mean, of which other
    losses have no end: those of clean speech, be it another, vary as much. Of pairs of
    unrelated clips the gradient is on average that towards the mean spread.

    Arguments
    ---------
    reference, estimate : torch.Tensor
        Shape [batch, channels, frames]; the same lengths are those of both.
    lengths, reduction
        See `phase_loss`.

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
    >>> latent = torch.tensor([[[1.0, -1.0]]])
    >>> latent_spread_loss(latent, 3 * latent), latent_spread_loss(latent, -latent)
    (tensor(4.0000), tensor(0.))
    """
    with torch.autocast(reference.device.type, enabled=False):
        target, other, count = align(
            single(reference), single(estimate), lengths, zero_mean=True
        )
        # the floor keeps the root's gradient finite
        spreads = [
            (x.square().sum(-1) / count.clamp(min=1) + SPREAD_FLOOR).sqrt()
            for x in (target, other)
        ]
        values = (spreads[1] - spreads[0]).square().mean(-1)
    return _reduced(values, reduction)


def mixture_loss(
    reference: Tensor,
    estimate: Tensor,
    lengths: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Squared distance of a noisy spectrum and what its own decoder made of it.

    Arguments
    ---------
    reference : torch.Tensor
        Spectra, shape [batch, 2, frames, bins].
    estimate : torch.Tensor
        Spectra, of which magnitudes and parts count, or amplitudes [batch, frames,
        bins].
    lengths, reduction
        See `phase_loss`.

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
    >>> mixture_loss(spectrum, -spectrum), mixture_loss(spectrum, torch.ones(1, 1, 1))
    (tensor(50.), tensor(16.))
    """
    values = magnitude_loss(reference, estimate, lengths, reduction=reduction)
    if estimate.dim() == 4:
        values = values + complex_loss(reference, estimate, lengths, 1.0, reduction)
    return values


def cycle_loss(
    reference: Tensor,
    estimate: Tensor,
    lengths: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Squared distance of a noisy spectrum and what came back of it.

    The way is noisy -> latent -> clean decoders -> speech encoder -> noisy decoder:
    what is enhanced must still tell which mixture it came from. Takes the arguments of
    `mixture_loss`, and returns and raises the same.

    Example
    -------
    >>> spectrum = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    >>> cycle_loss(spectrum, spectrum)
    tensor(0.)
    """
    return mixture_loss(reference, estimate, lengths, reduction)


def complex_cycle_loss(
    amplitude: Tensor,
    phase: Tensor,
    again: Tensor,
    lengths: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Distance of decoded amplitude and phase from those of the signal they make.

    Amplitude and phase together are a spectrum, its inverse STFT is a signal; where two
    decoders do not agree, no signal has that spectrum, and the signal's own is another.

    Arguments
    ---------
    amplitude : torch.Tensor
        Decoded, shape [batch, frames, bins].
    phase : torch.Tensor
        Decoded, points on the unit circle, shape [batch, 2, frames, bins].
    again : torch.Tensor
        Spectrum of the signal that both make, shape [batch, 2, frames, bins].
    lengths, reduction
        See `phase_loss`.

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
    >>> complex_cycle_loss(modulus(spectrum), spectrum / 5, spectrum)
    tensor(0.)
    """
    amplitude, phase = (own_frames(single(x), lengths) for x in (amplitude, phase))
    together = amplitude.unsqueeze(1) * phase
    parts = complex_loss(again, together, lengths, reduction=reduction)
    return parts + magnitude_loss(again, amplitude, lengths, reduction=reduction)


def anchor_loss(
    reference: tuple[Tensor, Tensor],
    latent: Tensor,
    amplitude: Tensor,
    phase: Tensor | None = None,
    lengths: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Hold the mixture encoder to what the speech autoencoder makes of clean speech.

    Clean training clips, also through the mixture encoder, must have the latents that
    the speech encoder gives them, and be decoded to themselves. No noisy clip has a
    part in it: the data stays unpaired.

    Arguments
    ---------
    reference : tuple of torch.Tensor
        The speech encoder's latent [batch, channels, frames], and the clean spectrum
        [batch, 2, frames, bins].
    latent : torch.Tensor
        The mixture encoder's, same shape.
    amplitude : torch.Tensor
        Decoded of it, shape [batch, frames, bins].
    phase : torch.Tensor, optional
        Decoded of it, points on the unit circle, shape [batch, 2, frames, bins].
    lengths, reduction
        See `phase_loss`.

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
    >>> latent, spectrum = torch.ones(1, 3, 1), torch.ones(1, 2, 1, 5)
    >>> anchor_loss((latent, spectrum), 2 * latent, modulus(spectrum))
    tensor(1.)
    """
    target, spectrum = reference
    values = latent_match_loss(target, latent, lengths, reduction)
    values = values + magnitude_loss(spectrum, amplitude, lengths, 1.0, reduction)
    if phase is not None:
        values = values + phase_loss(spectrum, phase, lengths, reduction)
    return values


def pure_noise_loss(
    amplitude: Tensor,
    lengths: Tensor | None = None,
    compression: float = 0.5,
    reduction: str = "mean",
) -> Tensor:
    """Mean power of what is decoded of noise alone.

    Arguments
    ---------
    amplitude : torch.Tensor
        Decoded, compressed, shape [batch, frames, bins].
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1] in frames, shape [batch]; None for all of it.
    compression : float
        Exponent that the amplitudes have been raised to.
    reduction : str
        "mean" over items, or "none".

    Returns
    -------
    torch.Tensor
        A scalar, or shape [batch] with "none".

    Raises
    ------
    ValueError
        If the shapes do not fit, the reduction is unknown, or the compression is not in
        (0, 1].

    Example
    -------
    >>> pure_noise_loss(torch.full((1, 3, 5), 2.0))
    tensor(16.)
    """
    if not 0 < compression <= 1:
        raise ValueError(f"compression: expected above 0 to 1, got {compression}")
    with torch.autocast(amplitude.device.type, enabled=False):
        # the padding first: no power of it may be taken
        own = own_frames(single(amplitude), lengths)
        wide = own.abs().pow(1 / compression)
        return magnitude_loss(
            torch.zeros_like(wide), wide, lengths, reduction=reduction
        )


def multi_resolution_loss(
    reference: Tensor,
    estimate: Tensor,
    lengths: Tensor | None = None,
    fft_sizes: Sequence[int] = RESOLUTIONS,
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
    count = None if lengths is None else valid_samples(reference, lengths)
    channels = reference[0].numel() // reference.shape[-1]
    target, other = (single(x).reshape(-1, x.shape[-1]) for x in (reference, estimate))
    if count is not None:
        count = count.repeat_interleave(channels)
    errors = [
        _at_resolution(target, other, count, size, compression) for size in fft_sizes
    ]
    values = torch.stack(errors).mean(0).view(len(reference), -1).mean(-1)
    return _reduced(values, reduction)


def _at_resolution(
    reference: Tensor,
    estimate: Tensor,
    count: Tensor | None,
    size: int,
    compression: float,
) -> Tensor:
    stft = MultiResolutionSTFT((size,), size // 4, compression).to(reference)
    target, other = (stft.analyze(x, count) for x in (reference, estimate))
    lengths = None
    if count is not None:
        lengths = stft.valid(count, reference.shape[-1]).float().mean(-1)
    return mixture_loss(target, other, lengths, reduction="none")


def _frame_mean(x: Tensor, lengths: Tensor | None, reduction: str) -> Tensor:
    """Average [batch, ..., frames], whose padding is zero, over what is valid."""
    count = valid_samples(x, lengths) * (x[0].numel() // x.shape[-1])
    total = x.flatten(1).sum(-1)
    return _reduced(total / count.clamp(min=1).to(total), reduction)


def _reduced(values: Tensor, reduction: str) -> Tensor:
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {REDUCTIONS}, got {reduction!r}")
    return values.mean() if reduction == "mean" else values
