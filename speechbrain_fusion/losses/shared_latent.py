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
ours: without it no loss says which clean speech a noisy latent stands for.
"""

import torch
from torch import Tensor

from speechbrain_fusion.losses.latent import latent_match_loss
from speechbrain_fusion.losses.spectral import (
    complex_loss,
    magnitude_loss,
    own_frames,
    phase_loss,
)
from speechbrain_fusion.nnet.precision import single


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
        See `magnitude_loss`.

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

    Amplitude and phase together are a spectrum, whose inverse STFT is a signal. Where
    the two decoders do not agree, no signal has that spectrum, and the spectrum of the
    signal that they make is another one.

    Arguments
    ---------
    amplitude : torch.Tensor
        Decoded, shape [batch, frames, bins].
    phase : torch.Tensor
        Decoded, points on the unit circle, shape [batch, 2, frames, bins].
    again : torch.Tensor
        Spectrum of the signal that both make, shape [batch, 2, frames, bins].
    lengths, reduction
        See `magnitude_loss`.

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
    >>> complex_cycle_loss(torch.full((1, 1, 1), 5.0), spectrum / 5, spectrum)
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

    Clean training clips also go through the mixture encoder: they must get the latents
    that the speech encoder gives them, and be decoded to themselves. No noisy clip
    takes part, so that the data stays unpaired.

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
        See `magnitude_loss`.

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
    >>> latent, spectrum = torch.ones(1, 3, 1), torch.zeros(1, 2, 1, 5)
    >>> anchor_loss((latent, spectrum), 2 * latent, torch.zeros(1, 1, 5)).round()
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
