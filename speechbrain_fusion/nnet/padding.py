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


def valid_samples(signal: Tensor, lengths: Tensor | None) -> Tensor:
    """Count each item's samples before its padding.

    Arguments
    ---------
    signal : torch.Tensor
        Waveforms, shape [batch, ..., time].
    lengths : torch.Tensor or None
        Relative lengths in (0, 1], shape [batch]; None for all of it.

    Returns
    -------
    torch.Tensor
        round(lengths * time) as int64, shape [batch], and no more than there are.

    Example
    -------
    >>> valid_samples(torch.zeros(2, 100), torch.tensor([1.0, 0.25]))
    tensor([100,  25])
    """
    time = signal.shape[-1]
    if lengths is None:
        return torch.full((len(signal),), time, device=signal.device)
    # Apple's GPUs have no double precision
    dtype = torch.float32 if signal.device.type == "mps" else torch.float64
    return (lengths.to(signal.device, dtype) * time).round().long().clamp(max=time)


def own_samples(signal: Tensor, lengths: Tensor | None) -> Tensor | None:
    """Count each item's samples, or return None where there is no padding.

    Takes the arguments of `valid_samples`.

    Example
    -------
    >>> own_samples(torch.zeros(2, 100), None) is None
    True
    """
    return None if lengths is None else valid_samples(signal, lengths)


def channels_as_items(
    signal: Tensor, lengths: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Make an item of each channel, for what knows no channels.

    Arguments
    ---------
    signal : torch.Tensor
        Shape [batch, ..., time].
    lengths : torch.Tensor or None
        Relative lengths in (0, 1], shape [batch]; None for all of it.

    Returns
    -------
    signal : torch.Tensor
        Shape [items, time], the channels of an item one after the other.
    count : torch.Tensor or None
        Samples of each before its padding, shape [items]; None without lengths.

    Example
    -------
    >>> flat, count = channels_as_items(torch.zeros(2, 3, 8), torch.tensor([1.0, 0.5]))
    >>> flat.shape, count
    (torch.Size([6, 8]), tensor([8, 8, 8, 4, 4, 4]))
    """
    flat, count = signal.reshape(-1, signal.shape[-1]), own_samples(signal, lengths)
    if count is not None:
        count = count.repeat_interleave(len(flat) // max(len(signal), 1))
    return flat, count
