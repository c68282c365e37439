"""Padding of a batch: which frames are an item's own, and silence behind them.

Items of a batch are as long as the longest of them. What lies behind an item's own end
is padding, be it NaN: it is blanked before anything hears it, so that an item of a
padded batch gives what it gives alone. An item's own end is given by a `count` of its
frames or samples, [batch], or by a mask `valid`, bool [batch, frames]. None for either
means that all items are as long as the batch.
"""

from typing import TypeVar

import torch
from torch import Tensor

from speechbrain_fusion.nnet.streaming import along

Count = TypeVar("Count", int, Tensor)
"""Frames or samples: a number, or one for each item of a batch."""


def valid_steps(count: Tensor, total: int) -> Tensor:
    """Mark the frames or samples that are an item's own.

    Arguments
    ---------
    count : torch.Tensor
        How many are each item's own, shape [batch].
    total : int
        Frames or samples of the batch.

    Returns
    -------
    torch.Tensor
        bool, shape [batch, total].

    Example
    -------
    >>> valid_steps(torch.tensor([3, 1]), 3)
    tensor([[ True,  True,  True],
            [ True, False, False]])
    """
    return torch.arange(total, device=count.device) < count.unsqueeze(-1)


def blank(x: Tensor, count: Tensor | None) -> Tensor:
    """Set [batch, ..., steps] to zero behind each item's own steps, [batch].

    Example
    -------
    >>> blank(torch.ones(2, 3), torch.tensor([3, 1]))
    tensor([[1., 1., 1.],
            [1., 0., 0.]])
    """
    if count is None:
        return x
    return blank_frames(x, valid_steps(count, x.shape[-1]))


def blank_frames(x: Tensor, valid: Tensor | None, axis: int = -1) -> Tensor:
    """Set the frames to zero that are not valid.

    Arguments
    ---------
    x : torch.Tensor
        Shape [batch, ...].
    valid : torch.Tensor or None
        bool, shape [batch, frames].
    axis : int
        Of the frames, counted from behind.

    Returns
    -------
    torch.Tensor
        Same shape.

    Example
    -------
    >>> blank_frames(torch.ones(1, 2, 3), torch.tensor([[True, False]]), axis=-2)
    tensor([[[1., 1., 1.],
             [0., 0., 0.]]])
    """
    if valid is None:
        return x
    return x.masked_fill(~along(valid, x.dim(), axis), 0.0)
