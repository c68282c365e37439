"""Losses on latents: how far a network's features are from what they should be.

Shapes are [batch, channels, frames].

Sources: Hu et al., "Unifying Speech Enhancement and Separation with Gradient Modulation
for End-to-End Noise-Robust Speech Separation", ICASSP 2023 (`latent_loss`); Wang,
Venkataramani, Smaragdis, "Self-supervised Learning for Speech Enhancement", arXiv
2006.10388 (prior and match). The spread is ours.
"""

import torch
from torch import Tensor

from speechbrain_fusion.losses.means import valid_mean
from speechbrain_fusion.losses.signal import align, reduced
from speechbrain_fusion.nnet.options import check_option
from speechbrain_fusion.nnet.precision import single_pair

LATENT_REDUCTIONS = ("mean", "sum", "none")
# Variance below which a latent channel counts as constant.
SPREAD_FLOOR = 1e-8


def latent_loss(
    reference: Tensor,
    estimate: Tensor,
    lengths: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Squared distance of two latents, summed over an item's valid frames.

    As a mean over items it does not depend on padding, batch size or the number of
    processes; the published code's sum over the batch does. Frames beyond an item's
    length, be they NaN, change neither value nor gradient. Computed in float32 (float64
    for float64 inputs), inside autocast too.

    Arguments
    ---------
    reference : torch.Tensor
        What the features should be, shape [batch, ..., channels, frames].
    estimate : torch.Tensor
        Same shape.
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1] in frames, shape [batch]; None for all of it.
    reduction : str
        "mean" over items, "sum" over them (as published), or "none".

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
    >>> latent_loss(latent, 3 * latent, torch.tensor([1.0, 0.5]))
    tensor(36.)
    """
    check_option("reduction", reduction, LATENT_REDUCTIONS)
    with torch.autocast(reference.device.type, enabled=False):
        target, latent, _ = align(*single_pair(reference, estimate), lengths)
        values = (latent - target).square().flatten(1).sum(-1)
    return values.sum() if reduction == "sum" else reduced(values, reduction)


def latent_prior_loss(
    latent: Tensor, lengths: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """Mean square of a latent: that of a unit normal prior.

    Arguments
    ---------
    latent : torch.Tensor
        Shape [batch, channels, frames].
    lengths, reduction
        Relative lengths in frames, and "mean" over items or "none".

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
        Relative lengths in frames, and "mean" over items or "none".

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
        target, other, _ = align(*single_pair(reference, estimate), lengths)
        return valid_mean((other - target).square(), lengths, reduction)


def latent_spread_loss(
    reference: Tensor,
    estimate: Tensor,
    lengths: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Squared difference of the standard deviations over time of latent channels.

    It keeps the latents of noisy speech from collapsing to their mean, which no other
    loss prevents: they must vary over time as much as those of clean speech do, though
    it be of another talker. Over pairs of unrelated clips its gradient leads, on
    average, to the mean spread.

    Arguments
    ---------
    reference, estimate : torch.Tensor
        Shape [batch, channels, frames]; the same lengths are those of both.
    lengths, reduction
        Relative lengths in frames, and "mean" over items or "none".

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
    (tensor(4.), tensor(0.))
    """
    with torch.autocast(reference.device.type, enabled=False):
        pair = single_pair(reference, estimate)
        target, other, count = align(*pair, lengths, zero_mean=True)
        # the floor keeps the root's gradient finite
        spreads = [
            (x.square().sum(-1) / count.clamp(min=1) + SPREAD_FLOOR).sqrt()
            for x in (target, other)
        ]
        values = (spreads[1] - spreads[0]).square().mean(-1)
    return reduced(values, reduction)
