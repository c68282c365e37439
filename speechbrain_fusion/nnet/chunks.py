"""Parts of dual-path networks: chunks that overlap by half, norms, positions.

A chunk is K frames. The signal has half a chunk of zeros before and after it, so that
every frame lies in two chunks; more zeros complete the last pair of chunks.

Source: Luo, Chen, Yoshioka: "Dual-Path RNN", ICASSP 2020, section 2.1.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechbrain_fusion.nnet.filterbank import overlap_add
from speechbrain_fusion.nnet.padding import Count
from speechbrain_fusion.nnet.precision import single


def positions(steps: int, channels: int, device: torch.device | None = None) -> Tensor:
    """Sinusoidal positional encoding of any number of steps: [steps, channels].

    Arguments
    ---------
    steps : int
        Length of the sequence.
    channels : int
        Even; sines and cosines take turns.
    device : torch.device, optional
        Where to compute it.

    Returns
    -------
    torch.Tensor
        float32, shape [steps, channels].

    Notes
    -----
    Vaswani et al., "Attention is All You Need", 2017, section 3.5.

    Example
    -------
    >>> positions(2, 4).round(decimals=2)
    tensor([[0.0000, 1.0000, 0.0000, 1.0000],
            [0.8400, 0.5400, 0.0100, 1.0000]])
    """
    exponents = torch.arange(0, channels, 2, device=device) / channels
    rates = torch.exp(-math.log(10000.0) * exponents)
    angles = torch.arange(steps, device=device).unsqueeze(-1) * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)


def count_chunks(frames: Count, chunk: int) -> Count:
    """Count the chunks that signals are cut into, always two or more.

    Arguments
    ---------
    frames : int or torch.Tensor
        Of a signal, or of each item of a batch.
    chunk : int
        Frames K of a chunk.

    Returns
    -------
    int or torch.Tensor
        Of the same kind as `frames`.

    Example
    -------
    >>> count_chunks(249, 100), count_chunks(250, 100)
    (6, 8)
    """
    return 2 * ((frames + chunk // 2) // chunk + 1)


def cut_chunks(x: Tensor, chunk: int) -> Tensor:
    """Cut [batch, channels, frames] into [batch, chunks, chunk, channels].

    Example
    -------
    >>> cut_chunks(torch.arange(1.0, 6.0).view(1, 1, 5), 4).squeeze()
    tensor([[0., 0., 1., 2.],
            [1., 2., 3., 4.],
            [3., 4., 5., 0.],
            [5., 0., 0., 0.]])
    """
    half, frames = chunk // 2, x.shape[-1]
    end = half * count_chunks(frames, chunk) - frames
    return F.pad(x, (half, end)).unfold(-1, chunk, half).permute(0, 2, 3, 1)


def join_chunks(x: Tensor, frames: int) -> Tensor:
    """Add [batch, chunks, chunk, channels] up to [batch, channels, frames].

    Every frame lies in two chunks.

    Example
    -------
    >>> x = torch.randn(2, 3, 17)
    >>> torch.equal(join_chunks(cut_chunks(x, 4), 17), 2 * x)
    True
    """
    half = x.shape[2] // 2
    return overlap_add(x.permute(0, 3, 2, 1), half)[..., half : half + frames]


def normalize(norm: nn.GroupNorm, x: Tensor, valid: Tensor | None) -> Tensor:
    """Normalize [batch, ..., channels] by an item's mean and variance.

    Computed in float32 also inside autocast: the epsilon is nothing in bfloat16.

    Arguments
    ---------
    norm : torch.nn.GroupNorm
        Of one group: gives weight, bias and epsilon.
    x : torch.Tensor
        Shape [batch, steps, channels] or [batch, chunks, chunk, channels].
    valid : torch.Tensor or None
        Boolean, shape [batch, steps]: the others are kept out of the statistics.

    Returns
    -------
    torch.Tensor
        Of the same shape.

    Example
    -------
    >>> x = torch.randn(2, 5, 3)
    >>> norm = torch.nn.GroupNorm(1, 3)
    >>> torch.allclose(normalize(norm, x, None).mT, norm(x.mT), atol=1e-6)
    True
    """
    with torch.autocast(x.device.type, enabled=False):
        y = single(x)
        if valid is None:
            y = F.layer_norm(y, y.shape[1:], eps=norm.eps)
        else:
            inside = valid.to(y.dtype).view(*valid.shape, *[1] * (y.dim() - 2))
            count = inside.sum(1, keepdim=True) * y[0, 0].numel()
            axes = tuple(range(1, y.dim()))
            y = y - (y * inside).sum(axes, keepdim=True) / count
            variance = (y * inside).square().sum(axes, keepdim=True) / count
            y = y * torch.rsqrt(variance + norm.eps)
        return torch.addcmul(norm.bias, y, norm.weight).to(x.dtype)
