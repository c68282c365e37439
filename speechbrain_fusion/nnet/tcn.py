"""Temporal convolutions of a TasNet masker, for several networks in one call.

Source: Luo & Mesgarani, "Conv-TasNet", 2019, in the variant of Gajecki & Nogueira,
2021: the skip path starts from the residual path's 1x1, and the norms may be shared
by all blocks.
"""

import functools
import itertools
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from speechbrain_fusion.nnet.checkpointing import recompute
from speechbrain_fusion.nnet.convolution import (
    DepthwiseConv,
    PointwiseConv,
    pointwise,
)
from speechbrain_fusion.nnet.normalization import ChannelNorm, GlobalNorm
from speechbrain_fusion.nnet.options import check_sizes
from speechbrain_fusion.nnet.prelu import PReLU
from speechbrain_fusion.nnet.stepping import stepping

# Of a piece of up to as many frames, skips are summed one by one.
SKIP_FRAMES = 100
Steps = Iterable[tuple[nn.Module, tuple[nn.Module, nn.Module]]]


class TemporalConvBlock(nn.Module):
    """1x1, PReLU, norm, dilated depthwise, PReLU, norm, 1x1, and a skip of that.

    Arguments
    ---------
    bottleneck : int
        Channels B of the residual path.
    hidden : int
        Channels H inside.
    skip : int
        Channels S of the skip path.
    kernel_size : int
        Taps P of the depthwise convolution.
    dilation : int
        Its dilation.
    causal : bool
        Whether it pads in the past alone.
    ears : int
        Number of networks side by side.

    Example
    -------
    >>> block = TemporalConvBlock(4, 8, 6, kernel_size=3, dilation=2, causal=True)
    >>> norms = ChannelNorm(8), ChannelNorm(8)
    >>> block(torch.randn(1, 1, 4, 20), *norms).shape
    torch.Size([1, 1, 4, 20])
    """

    def __init__(
        self,
        bottleneck: int,
        hidden: int,
        skip: int,
        kernel_size: int,
        dilation: int,
        causal: bool,
        ears: int = 1,
    ) -> None:
        super().__init__()
        self.expand = PointwiseConv(bottleneck, hidden, ears)
        self.first_activation = PReLU(hidden, ears)
        self.depthwise = DepthwiseConv(hidden, kernel_size, dilation, causal, ears)
        self.second_activation = PReLU(hidden, ears)
        self.project = PointwiseConv(hidden, bottleneck, ears)
        self.skip = PointwiseConv(bottleneck, skip, ears)

    def forward(
        self,
        x: Tensor,
        first_norm: nn.Module,
        second_norm: nn.Module,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return what the residual path adds; `skip` of it is the block's output.

        Arguments
        ---------
        x : Tensor
            [batch, ears, bottleneck, frames].
        first_norm, second_norm : nn.Module
            Norms of `hidden` channels, before and after the depthwise convolution.
        mask : Tensor, optional
            [batch, 1, 1, frames], one where a frame is valid.

        Returns
        -------
        Tensor
            [batch, ears, bottleneck, frames].
        """
        y = first_norm(self.first_activation(self.expand(x)), mask)
        if mask is not None:
            # what lies beyond an item's end is silence, as at the end of a file
            y = y * mask
        y = self.depthwise(y)
        return self.project(second_norm(self.second_activation(y), mask))


class TemporalConvNet(nn.Module):
    """R repeats of X dilated blocks (dilation 1, 2, ... 2^(X-1)); the sum of skips.

    Arguments
    ---------
    channels : int
        Channels N in.
    bottleneck : int
        Channels B of the residual path.
    hidden : int
        Channels H inside a block.
    skip : int
        Channels S out.
    kernel_size : int
        Taps P of the depthwise convolutions.
    blocks : int
        Blocks X of a repeat.
    repeats : int
        Repeats R.
    causal : bool
        Channel norm and padding in the past, or global norm and symmetric padding.
    share_norms : bool
        Whether all blocks use the same two norms (the published systems) or each
        has its own.
    ears : int
        Number of networks side by side.
    eps : float
        Epsilon of the norms.
    checkpointing : bool
        Trade time for memory: compute activations again for the gradient.

    Raises
    ------
    ValueError
        If there are no taps, blocks or repeats.

    Example
    -------
    >>> tcn = TemporalConvNet(16, 8, 8, 12, 3, blocks=2, repeats=2, ears=2)
    >>> tcn(torch.randn(3, 2, 16, 50)).shape
    torch.Size([3, 2, 12, 50])
    """

    def __init__(
        self,
        channels: int,
        bottleneck: int,
        hidden: int,
        skip: int,
        kernel_size: int,
        blocks: int,
        repeats: int,
        causal: bool = True,
        share_norms: bool = False,
        ears: int = 1,
        eps: float = 1e-7,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        check_sizes(kernel_size=kernel_size, blocks=blocks, repeats=repeats)
        self.checkpointing = checkpointing
        norm = ChannelNorm if causal else GlobalNorm
        pairs = 1 if share_norms else blocks * repeats
        self.input_norm = norm(channels, ears, eps)
        self.bottleneck = PointwiseConv(channels, bottleneck, ears)
        self.norms = nn.ModuleList(norm(hidden, ears, eps) for _ in range(2 * pairs))
        self.blocks = nn.ModuleList(
            TemporalConvBlock(
                bottleneck, hidden, skip, kernel_size, 2**exponent, causal, ears
            )
            for _ in range(repeats)
            for exponent in range(blocks)
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Transform latents.

        Arguments
        ---------
        x : Tensor
            [batch, ears, channels, frames].
        mask : Tensor, optional
            [batch, 1, 1, frames], one where a frame is valid. With it an item of a
            padded batch gives what it gives alone.

        Returns
        -------
        Tensor
            [batch, ears, skip, frames].
        """
        x = self.bottleneck(self.input_norm(x, mask))
        pairs = itertools.cycle(zip(self.norms[::2], self.norms[1::2], strict=True))
        steps = zip(self.blocks, pairs, strict=False)
        if stepping() and x.shape[-1] <= SKIP_FRAMES:
            return self._continue(x, steps)
        if self.checkpointing and torch.is_grad_enabled():
            return self._recompute(x, steps, mask)
        updates = []
        for block, (first, second) in steps:
            updates.append(block(x, first, second, mask))
            x = x + updates[-1]
        return self._sum_skips(torch.cat(updates, dim=2))

    def _continue(self, x: Tensor, steps: Steps) -> Tensor:
        """Sum skip by skip: for few frames, to join the weights would take longer."""
        skips = []
        for block, norms in steps:
            x, skip = _pass_block(block, x, *norms, None)
            skips.append(skip)
        return functools.reduce(torch.add, skips)

    def _recompute(self, x: Tensor, steps: Steps, mask: Tensor | None) -> Tensor:
        """Sum skip by skip; of each block its input alone is kept for the gradient."""
        # as wide as one product would sum, inside autocast too
        total = x.new_zeros(1, dtype=self.bottleneck.weight.dtype)
        for block, norms in steps:
            x, skip = recompute(_pass_block, block, x, *norms, mask)
            total = total + skip
        return total.to(skip.dtype)

    def _sum_skips(self, updates: Tensor) -> Tensor:
        """Map all blocks' updates [..., blocks * B, frames] to the sum of skips.

        One product does for all: the wide sum is then never stored block by block. For
        its gradient the product keeps the updates, as the blocks' own skips would.
        """
        skips = [block.get_submodule("skip") for block in self.blocks]
        weight = torch.cat([skip.get_parameter("weight") for skip in skips], dim=2)
        biases: list[Tensor] = [skip.get_parameter("bias") for skip in skips]
        # not stacked: all gradients would be one memory, and clipped several times
        bias = functools.reduce(torch.add, biases)
        return pointwise(updates, weight, bias)


def _pass_block(
    block: Any, x: Tensor, first: nn.Module, second: nn.Module, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return a block's residual path and its skip."""
    update = block(x, first, second, mask)
    return x + update, block.skip(update)
