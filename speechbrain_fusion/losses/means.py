"""The mean over valid frames, which neither padding nor other items change."""

import math

from torch import Tensor

from speechbrain_fusion.losses.signal import reduced
from speechbrain_fusion.nnet.padding import valid_samples


def valid_mean(x: Tensor, lengths: Tensor | None, reduction: str) -> Tensor:
    """Average what has been compared over valid frames, and then over items.

    Arguments
    ---------
    x : torch.Tensor
        Shape [batch, ..., frames], zero where it is padding.
    lengths : torch.Tensor or None
        Relative lengths in (0, 1] in frames, shape [batch].
    reduction : str
        "mean" over items, or "none".

    Returns
    -------
    torch.Tensor
        A scalar, or shape [batch] with "none".

    Raises
    ------
    ValueError
        If the reduction is unknown.

    Example
    -------
    >>> import torch
    >>> valid_mean(torch.tensor([[[2.0, 0.0]]]), torch.tensor([0.5]), "mean")
    tensor(2.)
    """
    count = valid_samples(x, lengths) * math.prod(x.shape[1:-1])
    total = x.flatten(1).sum(-1)
    return reduced(total / count.clamp(min=1).to(total), reduction)
