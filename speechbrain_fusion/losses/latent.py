"""Losses on latents: what a network has made of features beside what they should be.

Source: the enhancement term of Hu et al., "Unifying Speech Enhancement and Separation
with Gradient Modulation for End-to-End Noise-Robust Speech Separation", ICASSP 2023.
"""

import torch
from torch import Tensor

from speechbrain_fusion.losses.signal import align

LATENT_REDUCTIONS = ("mean", "sum", "none")


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
    if reduction not in LATENT_REDUCTIONS:
        raise ValueError(
            f"reduction must be one of {LATENT_REDUCTIONS}, got {reduction!r}"
        )
    with torch.autocast(reference.device.type, enabled=False):
        dtype = torch.promote_types(reference.dtype, estimate.dtype)
        dtype = torch.promote_types(dtype, torch.float32)
        target, latent, _ = align(reference.to(dtype), estimate.to(dtype), lengths)
        values = (latent - target).square().flatten(1).sum(-1)
    if reduction == "none":
        return values
    return values.mean() if reduction == "mean" else values.sum()
