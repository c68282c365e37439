"""SNR and SI-SDR as they are reported: float64, per item and ear, without floors."""

import torch
from torch import Tensor

from speechbrain_fusion.losses.signal import align

# Mean power, -200 dB re full scale: rounding left by taking out a mean is below it.
SILENCE = 1e-20


def _ratio(target: Tensor, error: Tensor, *powers: Tensor) -> Tensor:
    decibel = 10 * torch.log10(target / error)
    audible = torch.stack([power > SILENCE for power in powers]).all(0)
    return torch.where(audible, decibel, torch.nan)


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
    s, y, count = align(reference.double(), estimate.double(), lengths)
    target, error = s.square().sum(-1) / count, (y - s).square().sum(-1) / count
    return _ratio(target, error, target, y.square().sum(-1) / count)


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
    s, y, count = align(reference.double(), estimate.double(), lengths, zero_mean)
    power = s.square().sum(-1)
    scaled = ((s * y).sum(-1) / power).unsqueeze(-1) * s
    target, error = scaled.square().sum(-1), (y - scaled).square().sum(-1)
    return _ratio(target, error, power / count, y.square().sum(-1) / count)
