"""Losses on waveforms: negative SNR and SI-SDR in decibels.

Other losses, and the metrics, take from here how a pair of signals is checked and
aligned.

Shapes are [batch, time] or [batch, ears, time]; `lengths` are SpeechBrain's relative
lengths. What lies beyond an item's length, be it NaN, changes neither value nor
gradient. Both losses are computed in float32 (float64 for float64 inputs), inside
autocast too: powers of quiet signals do not fit bfloat16's eight bits.

The floor: every mean power carries `FLOOR` = 1e-12, -120 dB re full scale, which is
below the quantisation noise of 16-bit audio (-101 dB). Signals heard in a recording
are not touched by it, and a silent reference or estimate gives a finite loss.
"""

import torch
from torch import Tensor

from speechbrain_fusion.nnet.options import check_option
from speechbrain_fusion.nnet.padding import blank_frames, valid_samples, valid_steps
from speechbrain_fusion.nnet.precision import single_pair
from speechbrain_fusion.nnet.shapes import check_lengths

FLOOR = 1e-12
REDUCTIONS = ("mean", "none")


def check_pair(reference: Tensor, estimate: Tensor, lengths: Tensor | None) -> None:
    """Refuse a reference and an estimate that cannot be compared.

    Arguments
    ---------
    reference, estimate : torch.Tensor
        Waveforms, shape [batch, ..., time].
    lengths : torch.Tensor or None
        Relative lengths, shape [batch].

    Raises
    ------
    ValueError
        If the shapes differ, lack a batch axis or do not fit the lengths.

    Example
    -------
    >>> check_pair(torch.ones(2, 8), torch.ones(2, 8), torch.ones(2))
    """
    if reference.shape != estimate.shape:
        shapes = f"{tuple(reference.shape)} and {tuple(estimate.shape)}"
        raise ValueError(f"reference and estimate differ in shape: {shapes}")
    check_lengths(reference, lengths)


def align(
    reference: Tensor, estimate: Tensor, lengths: Tensor | None, zero_mean: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Blank the padding of a pair and, if wanted, take out the means of the rest.

    Arguments
    ---------
    reference, estimate : torch.Tensor
        Waveforms, shape [batch, ..., time].
    lengths : torch.Tensor or None
        Relative lengths in (0, 1], shape [batch].
    zero_mean : bool
        Subtract each signal's mean over its valid samples.

    Returns
    -------
    reference, estimate : torch.Tensor
        Zero beyond the lengths, same shapes.
    count : torch.Tensor
        Valid samples, shape [batch, 1, ...], to divide sums over time by.

    Raises
    ------
    ValueError
        If the pair and its lengths do not fit.

    Example
    -------
    >>> align(torch.ones(1, 4), torch.ones(1, 4), torch.tensor([0.5]))[0]
    tensor([[1., 1., 0., 0.]])
    """
    check_pair(reference, estimate, lengths)
    count = valid_samples(reference, lengths)
    valid = None if lengths is None else valid_steps(count, reference.shape[-1])
    pair = [blank_frames(signal, valid) for signal in (reference, estimate)]
    count = count.view(-1, *[1] * (reference.dim() - 2))
    if zero_mean:
        samples = count.clamp(min=1).unsqueeze(-1)
        means = [signal.sum(-1, keepdim=True) / samples for signal in pair]
        pair = [
            blank_frames(signal - mean, valid)
            for signal, mean in zip(pair, means, strict=True)
        ]
    return pair[0], pair[1], count


def reduced(values: Tensor, reduction: str) -> Tensor:
    """Average over all values, or leave them as they are.

    Arguments
    ---------
    values : torch.Tensor
        Losses of items, shape [batch, ...].
    reduction : str
        "mean" or "none".

    Returns
    -------
    torch.Tensor
        A scalar, or the same shape with "none".

    Raises
    ------
    ValueError
        If the reduction is unknown.

    Example
    -------
    >>> reduced(torch.tensor([1.0, 3.0]), "mean")
    tensor(2.)
    """
    check_option("reduction", reduction, REDUCTIONS)
    return values.mean() if reduction == "mean" else values


def _decibel(power: Tensor) -> Tensor:
    return 10 * torch.log10(power)


def snr_loss(
    reference: Tensor,
    estimate: Tensor,
    lengths: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Negative signal-to-noise ratio of an estimate in dB.

    10 log10((|estimate - reference|^2 + FLOOR) / (|reference|^2 + FLOOR)), powers being
    means over the valid samples. Where the reference is silent this is the estimate's
    level over the floor, and its gradient pushes the estimate towards silence. Where
    the estimate is silent it is 0 dB: all of the reference is missing.

    Arguments
    ---------
    reference : torch.Tensor
        The target, shape [batch, time] or [batch, ears, time].
    estimate : torch.Tensor
        Same shape.
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1], shape [batch]; None for all of it.
    reduction : str
        "mean" over items and ears, or "none".

    Returns
    -------
    torch.Tensor
        In dB: a scalar, or shape [batch] or [batch, ears] with "none".

    Raises
    ------
    ValueError
        If the shapes do not fit or the reduction is unknown.

    Example
    -------
    >>> reference = torch.ones(1, 2, 100)
    >>> snr_loss(reference, 0.9 * reference).round(decimals=3)
    tensor(-20.)
    """
    with torch.autocast(reference.device.type, enabled=False):
        pair = single_pair(reference, estimate)
        s, y, count = align(*pair, lengths)
        count = count.clamp(min=1)
        noise, target = (y - s).square().sum(-1) / count, s.square().sum(-1) / count
        return reduced(_decibel(noise + FLOOR) - _decibel(target + FLOOR), reduction)


def si_sdr_loss(
    reference: Tensor,
    estimate: Tensor,
    lengths: Tensor | None = None,
    reduction: str = "mean",
    zero_mean: bool = True,
) -> Tensor:
    """Negative scale-invariant signal-to-distortion ratio of an estimate in dB.

    With S the reference's power, C the mean product of both signals and E the power of
    what the scaled reference does not explain, the loss is
    10 log10((S + FLOOR) (E + FLOOR) / (C^2 + FLOOR^2)). It treats both kinds of silence
    alike: a silent estimate scores the reference's level over the floor (not 0 dB), a
    silent reference the estimate's, with a gradient towards silence. Only where the
    estimate is exactly zero is there no gradient, as it may grow with either sign: the
    SNR's points to the reference there, so that a little of it helps (`snr_loss`).

    Arguments
    ---------
    reference : torch.Tensor
        The target, shape [batch, time] or [batch, ears, time].
    estimate : torch.Tensor
        Same shape.
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1], shape [batch]; None for all of it.
    reduction : str
        "mean" over items and ears, or "none".
    zero_mean : bool
        Take out the means over the valid samples first, as SI-SNR does.

    Returns
    -------
    torch.Tensor
        In dB: a scalar, or shape [batch] or [batch, ears] with "none".

    Raises
    ------
    ValueError
        If the shapes do not fit or the reduction is unknown.

    Notes
    -----
    Le Roux, Wisdom, Erdogan, Hershey: "SDR - half-baked or well done?", ICASSP 2019.

    Example
    -------
    >>> reference = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    >>> noise = torch.tensor([[0.1, 0.1, -0.1, -0.1]])
    >>> si_sdr_loss(reference, 5 * (reference + noise)).round(decimals=3)
    tensor(-20.)
    """
    with torch.autocast(reference.device.type, enabled=False):
        pair = single_pair(reference, estimate)
        s, y, count = align(*pair, lengths, zero_mean)
        count = count.clamp(min=1)
        target, common = s.square().sum(-1) / count, (s * y).sum(-1) / count
        scale = common / (target + FLOOR)
        error = (y - scale.unsqueeze(-1) * s).square().sum(-1) / count
        ratio = _decibel(target + FLOOR) - _decibel(common.square() + FLOOR**2)
        return reduced(ratio + _decibel(error + FLOOR), reduction)
