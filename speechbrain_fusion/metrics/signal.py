"""SNR and SI-SDR as they are reported: float64, per item and ear, without floors."""

import functools
import itertools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.linalg import vecdot

from speechbrain_fusion.losses.signal import align, check_pair

# Mean power, -200 dB re full scale: rounding left by taking out a mean is below it.
SILENCE = 1e-20
# Samples: 0.5 MiB in float64
AT_ONCE = 2**16


def _ratio(target: Tensor, error: Tensor, *powers: Tensor) -> Tensor:
    decibel = 10 * torch.log10(target / error)
    audible = torch.stack([power > SILENCE for power in powers]).all(0)
    return torch.where(audible, decibel, torch.nan)


def _piecewise(
    score: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    reference: Tensor,
    estimate: Tensor,
    lengths: Tensor | None,
) -> Tensor:
    """Score a batch, on a processor as many items at once as its cache holds."""
    check_pair(reference, estimate, lengths)
    items = max(1, AT_ONCE // max(1, reference[:1].numel()))
    if reference.device.type != "cpu" or len(reference) <= items:
        return score(reference, estimate, lengths)
    shares = itertools.repeat(None) if lengths is None else lengths.split(items)
    parts = zip(reference.split(items), estimate.split(items), shares, strict=False)
    return torch.cat([score(*part) for part in parts])


def snr(reference: Tensor, estimate: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Signal-to-noise ratio of an estimate in dB.

    Arguments
    ---------
    reference : torch.Tensor
        The target, shape [batch, time] or [batch, ears, time].
    estimate : torch.Tensor
        Same shape.
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1], shape [batch]; None for all of it.

    Returns
    -------
    torch.Tensor
        In dB, float64, shape [batch] or [batch, ears]. NaN where either signal is
        silent; inf where both are equal.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Example
    -------
    >>> reference = torch.ones(1, 2, 100)
    >>> snr(reference, 0.9 * reference).round(decimals=3)
    tensor([[20., 20.]], dtype=torch.float64)
    """
    return _piecewise(_snr, reference, estimate, lengths)


def _snr(reference: Tensor, estimate: Tensor, lengths: Tensor | None) -> Tensor:
    s, y, count = align(reference.double(), estimate.double(), lengths)
    rest = y - s
    target, error = vecdot(s, s) / count, vecdot(rest, rest) / count
    return _ratio(target, error, target, vecdot(y, y) / count)


def si_sdr(
    reference: Tensor,
    estimate: Tensor,
    lengths: Tensor | None = None,
    zero_mean: bool = True,
) -> Tensor:
    """Scale-invariant signal-to-distortion ratio of an estimate in dB.

    Arguments
    ---------
    reference : torch.Tensor
        The target, shape [batch, time] or [batch, ears, time].
    estimate : torch.Tensor
        Same shape.
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1], shape [batch]; None for all of it.
    zero_mean : bool
        Take out the means over the valid samples first, as the loss does.

    Returns
    -------
    torch.Tensor
        In dB, float64, shape [batch] or [batch, ears]. NaN where either signal is
        silent; inf where the estimate is a scaled reference to the last bit.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Notes
    -----
    Le Roux, Wisdom, Erdogan, Hershey: "SDR - half-baked or well done?", ICASSP 2019.

    Example
    -------
    >>> reference = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    >>> noise = torch.tensor([[0.1, 0.1, -0.1, -0.1]])
    >>> si_sdr(reference, 5 * (reference + noise)).round(decimals=3)
    tensor([20.], dtype=torch.float64)
    """
    score = functools.partial(_si_sdr, zero_mean=zero_mean)
    return _piecewise(score, reference, estimate, lengths)


def _si_sdr(
    reference: Tensor, estimate: Tensor, lengths: Tensor | None, zero_mean: bool
) -> Tensor:
    s, y, count = align(reference.double(), estimate.double(), lengths, zero_mean)
    power, product = vecdot(s, s), vecdot(s, y)
    # how much of the reference is in the estimate
    gain = product / power
    rest = torch.addcmul(y, s, gain.unsqueeze(-1), value=-1)
    target, error = gain * product, vecdot(rest, rest)
    return _ratio(target, error, power / count, vecdot(y, y) / count)
