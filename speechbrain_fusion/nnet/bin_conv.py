"""Convolutions over frames and bins that reduce or increase the number of bins.

A transposed convolution of stride s is s ordinary convolutions side by side, its
phases: phase p gives every s-th bin from bin p on. On CPUs that takes half the time,
and whatever works bin by bin can be applied before the phases are interleaved. Features
are [batch, channels, frames, bins], with separate phases [batch, s, channels, frames,
bins].

Source: Shi et al., "Is the deconvolution layer the same as a convolutional layer?",
arXiv 1609.07009 (phases of a transposed convolution).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechbrain_fusion.nnet.convolution import PointwiseConv
from speechbrain_fusion.nnet.streaming import pad_past


class BinConv(nn.Module):
    """Convolution or transposed convolution that does not look ahead.

    Weight and bias are those of `torch.nn.Conv2d` or `torch.nn.ConvTranspose2d`.

    Arguments
    ---------
    in_channels, out_channels : int
        Channels in and out.
    kernel_size : sequence of int
        Frames (this one and those before) and bins.
    stride : int
        Bins from one output to the next or, transposed, the other way round.
    transposed : bool
        Increase the number of bins.
    pad : bool
        Keep the number of frames, by zeros before the first one or, transposed, by
        dropping those after the last one. Otherwise a kernel of m frames gives m - 1
        frames fewer or more.

    Example
    -------
    >>> conv = BinConv(4, 6, (2, 5), 2, transposed=True, pad=False)
    >>> x = torch.randn(3, 4, 10, 79)
    >>> phases = conv(x)
    >>> phases.shape
    torch.Size([3, 2, 6, 11, 81])
    >>> expected = F.conv_transpose2d(x, conv.weight, conv.bias, stride=(1, 2))
    >>> torch.allclose(conv.join(phases, 79), expected, atol=1e-5)
    True
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sequence[int],
        stride: int,
        transposed: bool = False,
        pad: bool = True,
    ) -> None:
        super().__init__()
        self.transposed, self.pad, self.stride = transposed, pad, stride
        frames, self.kernel = kernel_size
        self.reach = frames - 1
        like = nn.ConvTranspose2d if transposed else nn.Conv2d
        model = like(in_channels, out_channels, (frames, self.kernel))
        assert model.bias is not None
        self.weight, self.bias = model.weight, model.bias

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, in, frames, bins] to [batch, phases, out, frames, bins].

        There is one phase unless transposed.
        """
        if not self.transposed:
            wide = pad_past(x, self.reach * self.pad, axis=-2)
            y = F.conv2d(wide, self.weight, self.bias, stride=(1, self.stride))
            return y.unsqueeze(1)
        stride = self.stride
        # one more than needed where that makes all sizes of the result possible
        taps = 1 + (self.kernel + stride - 2) // stride
        weight = F.pad(self.weight, (0, taps * stride - self.kernel)).flip(2)
        weight = weight.unflatten(3, (taps, stride)).flip(3)
        weight = weight.permute(4, 1, 0, 2, 3).flatten(0, 1)
        sides = (taps - 1, taps - 1, 0, self.reach * (not self.pad))
        wide = F.pad(pad_past(x, self.reach, axis=-2), sides)
        y = F.conv2d(wide, weight, torch.cat([self.bias] * stride))
        return y.unflatten(1, (stride, -1))

    def join(self, y: Tensor, bins: int, wanted: int | None = None) -> Tensor:
        """Join the phases of what comes of `forward`.

        Arguments
        ---------
        y : torch.Tensor
            Shape [batch, phases, channels, frames, bins].
        bins : int
            Of the input.
        wanted : int, optional
            Of the result, if transposed: one of the numbers that a convolution of this
            stride reduces to the input's, by default the smallest.

        Returns
        -------
        torch.Tensor
            Shape [batch, channels, frames, bins].

        Raises
        ------
        ValueError
            If a convolution of this stride does not reduce so many to the input's.
        """
        if not self.transposed:
            return y.squeeze(1)
        return join_phases(y, self.bins(bins, wanted))

    def bins(self, bins: int, wanted: int | None = None) -> int:
        """Compute the number of bins of the result.

        Takes the last two arguments of `join`.

        Raises
        ------
        ValueError
            If a convolution of this stride does not reduce so many to the input's.
        """
        if not self.transposed:
            return (bins - self.kernel) // self.stride + 1
        least = (bins - 1) * self.stride + self.kernel
        wanted = least if wanted is None else wanted
        if not least <= wanted < least + self.stride:
            raise ValueError(
                f"bins: expected {least} to {least + self.stride - 1}, got {wanted}"
            )
        return wanted


def join_phases(x: Tensor, bins: int | None = None) -> Tensor:
    """Interleave [batch, s, channels, frames, bins] to [batch, channels, frames, bins].

    Example
    -------
    >>> join_phases(torch.arange(6).view(1, 2, 1, 1, 3), bins=5).flatten()
    tensor([0, 3, 1, 4, 2])
    """
    if x.shape[1] == 1:
        return x.squeeze(1)[..., :bins]
    return x.movedim(1, -1).flatten(3)[..., :bins].contiguous()


def split_phases(x: Tensor, phases: int, bins: int) -> Tensor:
    """Take [batch, channels, frames, bins] apart, [batch, s, channels, frames, bins].

    Example
    -------
    >>> split_phases(torch.tensor([0, 3, 1, 4, 2]).view(1, 1, 1, 5), 2, 3).flatten()
    tensor([0, 1, 2, 3, 4, 0])
    """
    wide = F.pad(x, (0, phases * bins - x.shape[-1]))
    return wide.unflatten(-1, (bins, phases)).movedim(-1, 1)


def mix(x: Tensor, layer: PointwiseConv) -> Tensor:
    """Mix the channels of [batch, phases, channels, frames, bins] by a layer.

    Example
    -------
    >>> mix(torch.randn(2, 1, 6, 4, 5), PointwiseConv(3, 7, ears=2)).shape
    torch.Size([2, 1, 14, 4, 5])
    """
    flat = x.flatten(3).unflatten(2, (layer.weight.shape[0], -1))
    return layer(flat).flatten(2, 3).unflatten(3, x.shape[3:])
