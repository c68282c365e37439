"""What a learned enhancer is compared with: ideal masks and classical methods.

Each is a function (mixture, target, lengths) -> estimate, all [batch, channels, time];
an item of a padded batch gives what it gives alone. The ideal masks know the target:
they are upper bounds. The classical methods do not use it.

Sources: Narayanan & Wang, "Ideal ratio mask estimation using deep neural networks for
robust speech recognition", ICASSP 2013; Williamson, Wang, Wang, "Complex ratio masking
for monaural speech separation", IEEE/ACM TASLP 24(3), 2016; Lim & Oppenheim, "All-pole
modeling of degraded speech", IEEE TASSP 26(3), 1978 (iterative Wiener filter); Boll,
"Suppression of acoustic noise in speech using spectral subtraction", IEEE TASSP 27(2),
1979.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from speechbrain_fusion.extras import import_extra
from speechbrain_fusion.losses.signal import check_pair
from speechbrain_fusion.nnet.compressed_stft import CompressedSTFT
from speechbrain_fusion.nnet.padding import channels_as_items, valid_samples
from speechbrain_fusion.nnet.shapes import check_axes

TINY = 1e-12
# RMS of a signal as the classical methods get it.
LEVEL = 0.05
# Share of half-frames that the Wiener filter takes for noise alone.
QUIET = 0.1
Mask = Callable[[Tensor, Tensor], Tensor]


def ideal_ratio_mask(
    mixture: Tensor,
    target: Tensor,
    lengths: Tensor | None = None,
    fft_size: int = 320,
    hop: int = 160,
) -> Tensor:
    """Enhance by the ideal ratio mask, sqrt(S^2 / (S^2 + N^2)), with the noisy phase.

    Arguments
    ---------
    mixture, target : torch.Tensor
        Shape [batch, channels, time].
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1], shape [batch]; None for all of it.
    fft_size, hop : int
        Samples of a Hann window, and between windows.

    Returns
    -------
    torch.Tensor
        Shape [batch, channels, time].

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Example
    -------
    >>> speech, noise = torch.randn(2, 1, 1, 8000)
    >>> error = ideal_ratio_mask(speech + noise, speech) - speech
    >>> bool(error.square().mean() < 0.6 * noise.square().mean())
    True
    """

    def mask(noisy: Tensor, clean: Tensor) -> Tensor:
        speech, noise = clean.abs().square(), (noisy - clean).abs().square()
        return (speech / (speech + noise + TINY)).sqrt()

    return _masked(mixture, target, lengths, mask, fft_size, hop)


def ideal_complex_mask(
    mixture: Tensor,
    target: Tensor,
    lengths: Tensor | None = None,
    fft_size: int = 320,
    hop: int = 160,
    bound: float = 1.0,
) -> Tensor:
    """Enhance by the complex ideal ratio mask, S / Y.

    Takes the arguments of `ideal_ratio_mask`, and

    bound : float
        Of the mask's real and imaginary parts, without which the target comes out
        itself.

    Returns
    -------
    torch.Tensor
        Shape [batch, channels, time].

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Example
    -------
    >>> speech, noise = torch.randn(2, 1, 1, 8000)
    >>> ideal = ideal_complex_mask(speech + noise, speech, bound=1e6)
    >>> bool((ideal - speech).abs().max() < 1e-3)
    True
    """

    def mask(noisy: Tensor, clean: Tensor) -> Tensor:
        ratio = clean * noisy.conj() / (noisy.abs().square() + TINY)
        parts = torch.view_as_real(ratio).clamp(-bound, bound)
        return torch.view_as_complex(parts)

    return _masked(mixture, target, lengths, mask, fft_size, hop)


def _masked(
    mixture: Tensor,
    target: Tensor,
    lengths: Tensor | None,
    mask: Mask,
    fft_size: int,
    hop: int,
) -> Tensor:
    """Multiply the mixture's STFT by a mask."""
    _check(mixture, target, lengths)
    stft, (_, count) = (
        CompressedSTFT(fft_size, hop),
        channels_as_items(mixture, lengths),
    )
    noisy, clean = (
        torch.view_as_complex(
            stft.analyze(x.flatten(0, 1), count).movedim(1, -1).contiguous()
        )
        for x in (mixture, target)
    )
    masked = torch.view_as_real(noisy * mask(noisy, clean)).movedim(-1, 1)
    estimate = stft.synthesize(masked, mixture.shape[-1], count)
    return estimate.view(mixture.shape).to(mixture.dtype)


def _check(mixture: Tensor, target: Tensor, lengths: Tensor | None) -> None:
    check_pair(mixture, target, lengths)
    check_axes(mixture, batch=None, channels=None, time=None)


def iterative_wiener(
    mixture: Tensor,
    target: Tensor,
    lengths: Tensor | None = None,
    frame: int = 512,
    order: int = 20,
    iterations: int = 2,
) -> Tensor:
    """Enhance by pyroomacoustics' iterative Wiener filter.

    It learns the noise in the tenth of half-frames that are the softest.

    Arguments
    ---------
    mixture : torch.Tensor
        Shape [batch, channels, time].
    target : torch.Tensor
        Not used.
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1], shape [batch]; None for all of it.
    frame, order, iterations : int
        Samples of a frame, order of the prediction, iterations in each frame.

    Returns
    -------
    torch.Tensor
        Shape [batch, channels, time].

    Raises
    ------
    ImportError
        Without pyroomacoustics, naming the extra to install.
    ValueError
        If the shapes do not fit.

    Notes
    -----
    Silent items and such that are not finite come back as they are.

    Example
    -------
    >>> noise = torch.randn(1, 1, 8000, generator=torch.Generator().manual_seed(0))
    >>> iterative_wiener(noise, torch.zeros_like(noise)).shape
    torch.Size([1, 1, 8000])
    """

    def process(signal: np.ndarray) -> np.ndarray:
        apply = _denoise().apply_iterative_wiener
        halves = signal[: signal.size // (frame // 2) * (frame // 2)]
        powers = halves.reshape(-1, frame // 2).var(1)
        quiet = np.quantile(powers[powers > 0], QUIET)
        return apply(signal, frame, order, iterations, thresh=quiet)

    _check(mixture, target, lengths)
    return _by_library(process, mixture, lengths, frame)


def spectral_subtraction(
    mixture: Tensor, target: Tensor, lengths: Tensor | None = None, frame: int = 512
) -> Tensor:
    """Enhance by pyroomacoustics' spectral subtraction, with its example's settings.

    Takes the arguments of `iterative_wiener`, and returns and raises the same.

    Example
    -------
    >>> noise = torch.randn(1, 1, 8000, generator=torch.Generator().manual_seed(0))
    >>> spectral_subtraction(noise, torch.zeros_like(noise)).shape
    torch.Size([1, 1, 8000])
    """

    def process(signal: np.ndarray) -> np.ndarray:
        # a bin that is silent in all frames is divided by zero there
        with np.errstate(invalid="ignore"):
            apply = _denoise().apply_spectral_sub
            return np.nan_to_num(apply(signal, frame, 25, 12, 30, 1))

    _check(mixture, target, lengths)
    return _by_library(process, mixture, lengths, frame)


def _denoise() -> Any:
    need = "classical enhancement needs pyroomacoustics"
    return import_extra("pyroomacoustics.denoise", "rooms", need)


def _by_library(
    process: Callable[[np.ndarray], np.ndarray],
    mixture: Tensor,
    lengths: Tensor | None,
    frame: int,
) -> Tensor:
    """Process each item at one level and undo the delay of half a frame."""
    estimate, delay = torch.zeros_like(mixture), frame // 2
    counts = valid_samples(mixture, lengths).tolist()
    for item, count in enumerate(counts):
        for channel, signal in enumerate(mixture[item, :, :count]):
            noisy = signal.double().cpu().numpy()
            if not noisy.any() or not np.isfinite(noisy).all():
                estimate[item, channel, :count] = signal
                continue
            # its thresholds are for signals of about this level
            level = np.sqrt(np.square(noisy).mean()) / LEVEL
            padded = np.pad(noisy / level, (0, -count % delay + 2 * delay))
            enhanced = level * process(padded)[delay : delay + count]
            estimate[item, channel, :count] = torch.from_numpy(enhanced).to(estimate)
    return estimate
