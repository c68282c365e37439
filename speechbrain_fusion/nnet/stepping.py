"""How layers compute while a signal arrives in pieces of few frames.

Of few frames the time goes into starting operations, not into arithmetic. Here are the
layers' functions in as few operations as possible, for a CPU and without gradients of
their own. In memory frames come before channels, as products of few frames are fastest
so: results are views whose last two axes are exchanged.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from speechbrain_fusion.nnet.exporting import is_exporting
from speechbrain_fusion.nnet.streaming import current_memory

# Up to as many frames, or taps, are computed one by one. More of them take longer than
# a library's convolution takes to begin (measured on one core with AVX-512).
FEW_FRAMES, FEW_TAPS = 6, 8


def stepping() -> bool:
    """Tell whether a signal comes in pieces, which is not being exported.

    Example
    -------
    >>> stepping()
    False
    """
    return current_memory() is not None and not is_exporting()


def step_pointwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Mix the channels of several networks: a product of frames and weights.

    Arguments
    ---------
    x : torch.Tensor
        Shape [batch, ears, in_channels, frames].
    weight : torch.Tensor
        Shape [ears, out_channels, in_channels].
    bias : torch.Tensor or None
        Shape [ears, out_channels, 1].

    Returns
    -------
    torch.Tensor
        Shape [batch, ears, out_channels, frames].

    Example
    -------
    >>> step_pointwise(torch.ones(1, 1, 3, 2), torch.ones(1, 1, 3), None).flatten()
    tensor([3., 3.])
    """
    (batch, ears, _, frames), channels = x.shape, weight.shape[1]
    rows = x.permute(1, 0, 3, 2).flatten(1, 2)
    if bias is None:
        y = torch.bmm(rows, weight.mT)
    else:
        y = torch.baddbmm(bias.mT, rows, weight.mT)
    return y.view(ears, batch, frames, channels).permute(1, 0, 3, 2)


def step_prelu(x: Tensor, slope: Tensor) -> Tensor:
    """PReLU of [batch, ears, channels, frames] with slopes [ears, channels].

    Example
    -------
    >>> step_prelu(torch.tensor([-4.0, 4.0]).view(1, 1, 1, 2), torch.ones(1, 1) / 4)
    tensor([[[[-1.,  4.]]]])
    """
    # not in place: torch.compile (2.11) would lose the gradient
    return torch.lerp(torch.relu(x), x, slope.unsqueeze(-1))


def step_channel_norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """Normalize each frame of [batch, ears, channels, frames] over its channels.

    Arguments
    ---------
    x : torch.Tensor
        Shape [batch, ears, channels, frames].
    gamma, beta : torch.Tensor
        Shape [ears, channels, 1].
    eps : float
        Added to the variance.

    Returns
    -------
    torch.Tensor
        Same shape.

    Example
    -------
    >>> x = torch.tensor([1.0, 3.0]).view(1, 1, 2, 1)
    >>> one = torch.ones(1, 2, 1)
    >>> step_channel_norm(x, one, 0 * one, eps=0.0).flatten()
    tensor([-1.,  1.])
    """
    y = F.layer_norm(x.mT, x.shape[2:3], eps=eps)
    return torch.addcmul(beta.mT, y, gamma.mT).mT


def step_depthwise(x: Tensor, weight: Tensor, dilation: int) -> Tensor:
    """Depthwise convolution of a piece behind its past.

    Arguments
    ---------
    x : torch.Tensor
        Shape [batch, ears, channels, (taps - 1) * dilation + frames].
    weight : torch.Tensor
        Shape [ears, channels, taps].
    dilation : int
        Frames between two taps.

    Returns
    -------
    torch.Tensor
        Shape [batch, ears, channels, frames].

    Example
    -------
    >>> x, weight = torch.ones(1, 1, 1, 4), torch.ones(1, 1, 3)
    >>> step_depthwise(x, weight, dilation=1).flatten()
    tensor([3., 3.])
    """
    taps = weight.shape[-1]
    reach = (taps - 1) * dilation
    frames = x.shape[-1] - reach
    if taps <= FEW_TAPS:
        y = x[..., :frames] * weight[..., :1]
        for tap in range(1, taps):
            heard = x[..., tap * dilation : tap * dilation + frames]
            y = torch.addcmul(y, heard, weight[..., tap : tap + 1])
        return y
    if frames <= FEW_FRAMES:
        parts = [x[..., i : i + reach + 1 : dilation] for i in range(frames)]
        return torch.stack([torch.linalg.vecdot(part, weight) for part in parts], -1)
    flat, filters = x.flatten(1, 2), weight.flatten(0, 1).unsqueeze(1)
    y = F.conv1d(flat, filters, dilation=dilation, groups=len(filters))
    return y.unflatten(1, x.shape[1:3])


def step_overlap_add(frames: Tensor, hop: int) -> Tensor:
    """Sum frames [..., size, frames] to [..., size + hop * (frames - 1)].

    Example
    -------
    >>> step_overlap_add(torch.ones(1, 4, 3), hop=2).flatten()
    tensor([1., 1., 2., 2., 2., 2., 1., 1.])
    """
    size, count = frames.shape[-2:]
    time = size + hop * (count - 1)
    flat = frames.reshape(-1, size, count)
    y = F.fold(flat, (1, time), (1, size), stride=(1, hop))
    return y.view(*frames.shape[:-2], time)
