"""What an enhancement network does to features: noise left over, and speech lost.

Both metrics split the squared distance of features to the clean ones in two: what
stands above the clean features is noise that is left, what is missing below them is
energy that was taken from the clean mixture. With the features of a unified system
(Hu et al., "Unifying Speech Enhancement and Separation with Gradient Modulation for
End-to-End Noise-Robust Speech Separation", ICASSP 2023) the noisy and the enhanced
ones are scored against those of the clean mixture: the residual noise's fall is the
network's noise reduction, the over-suppression's rise its price.
"""

import torch
from torch import Tensor

from speechbrain_fusion.losses.signal import align
from speechbrain_fusion.metrics.signal import SILENCE

# In dB: what is exactly nothing, or less than this, so that means stay finite.
FLOOR_DB = -100.0


def _surplus(above: Tensor, below: Tensor, reference: Tensor, count: Tensor) -> Tensor:
    """Energy of `above` over `below` in dB re the reference's, item by item."""
    surplus, energy = (
        values.square().flatten(1).sum(-1)
        for values in ((above - below).clamp(min=0), reference)
    )
    audible = energy / count.flatten() > SILENCE
    scorable = audible & (above + below).isfinite().flatten(1).all(1)
    decibel = (10 * torch.log10(surplus / energy)).clamp(min=FLOOR_DB)
    return torch.where(scorable, decibel, torch.nan)


def residual_noise(
    reference: Tensor, estimate: Tensor, lengths: Tensor | None = None
) -> Tensor:
    """Energy that features have above the clean ones, in dB re the clean ones.

    10 log10(sum max(estimate - reference, 0)^2 / sum reference^2): what it falls from
    the noisy to the enhanced features is the noise reduction.

    Arguments
    ---------
    reference : torch.Tensor
        Clean, non-negative features, shape [batch, ..., channels, frames].
    estimate : torch.Tensor
        Noisy or enhanced features, same shape.
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1] in frames, shape [batch]; None for all of it.

    Returns
    -------
    torch.Tensor
        In dB, float64, shape [batch]; -100 dB where there is none, or less than that.
        NaN where the reference is silent or either is not finite.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Example
    -------
    >>> clean = torch.ones(1, 2, 4)
    >>> residual_noise(clean, 1.1 * clean).round(decimals=3)
    tensor([-20.], dtype=torch.float64)
    """
    clean, latent, count = align(reference.double(), estimate.double(), lengths)
    return _surplus(latent, clean, clean, count)


def over_suppression(
    reference: Tensor, estimate: Tensor, lengths: Tensor | None = None
) -> Tensor:
    """Energy that features lack below the clean ones, in dB re the clean ones.

    10 log10(sum max(reference - estimate, 0)^2 / sum reference^2): 0 dB where all of
    the clean mixture is gone.

    Arguments
    ---------
    reference : torch.Tensor
        Clean, non-negative features, shape [batch, ..., channels, frames].
    estimate : torch.Tensor
        Noisy or enhanced features, same shape.
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1] in frames, shape [batch]; None for all of it.

    Returns
    -------
    torch.Tensor
        In dB, float64, shape [batch]; -100 dB where nothing lacks, or less than that.
        NaN where the reference is silent or either is not finite.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Example
    -------
    >>> clean = torch.ones(1, 2, 4)
    >>> over_suppression(clean, 0.9 * clean).round(decimals=3)
    tensor([-20.], dtype=torch.float64)
    """
    clean, latent, count = align(reference.double(), estimate.double(), lengths)
    return _surplus(clean, latent, clean, count)
