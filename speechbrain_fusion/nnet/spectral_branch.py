"""Encoders and decoders of spectra made of expert blocks, and a network of both.

An encoder's blocks halve the number of bins; the decoder's double it again and also get
the output of the encoder's block of their size, a skip connection. In between, all
that is left of a frame goes through temporal units. Spectra are [batch, 2 (real,
imaginary), frames, bins].

Source: Tai et al., "Foster Strengths and Circumvent Weaknesses: a Speech Enhancement
Framework with Two-branch Collaborative Learning", arXiv 2110.05713.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from speechbrain_fusion.nnet.expert_block import (
    CollaborativeExpertBlock,
    ConvBlock,
    NormedBlock,
)
from speechbrain_fusion.nnet.options import check_option
from speechbrain_fusion.nnet.squeezed_tcn import TemporalUnits

BLOCKS = ("experts", "plain")
"""What encoders and decoders may be made of."""


def make_block(
    kind: str, inputs: int, outputs: int, bins: int, experts: int, **options: Any
) -> NormedBlock:
    """Make a block by its name, whose kernel is two frames.

    Arguments
    ---------
    kind : str
        "experts" for a `CollaborativeExpertBlock`, "plain" for a `ConvBlock`.
    inputs, outputs : int
        Channels in and out.
    bins : int
        Bins of the kernel.
    experts : int
        Channels of each expert; a plain block has none.
    **options
        Further arguments of the block.

    Returns
    -------
    NormedBlock
        Maps [batch, inputs, frames, bins] to [batch, outputs, frames, other bins].

    Raises
    ------
    ValueError
        If there is no such block.

    Example
    -------
    >>> type(make_block("plain", 2, 64, bins=5, experts=32)).__name__
    'ConvBlock'
    """
    check_option("blocks", kind, BLOCKS)
    if kind == "plain":
        return ConvBlock(inputs, outputs, (2, bins), **options)
    sizes = inputs, outputs, (2, bins)
    return CollaborativeExpertBlock(*sizes, experts=experts, **options)


def widths(bins: int, kernels: Sequence[int]) -> list[int]:
    """Tell how many bins are left after each block of stride 2.

    Raises
    ------
    ValueError
        If there are too few for a kernel.

    Example
    -------
    >>> widths(161, [5, 3, 3, 3, 3])
    [161, 79, 39, 19, 9, 4]
    """
    found = [bins]
    for kernel in kernels:
        if found[-1] < kernel:
            raise ValueError(
                f"fft_size: expected one that leaves {kernel} bins at block "
                f"{len(found)} of {len(kernels)}, got {2 * (bins - 1)}, which leaves "
                f"{found[-1]}"
            )
        found.append((found[-1] - kernel) // 2 + 1)
    return found


class SpectralEncoder(nn.Module):
    """Expert blocks that halve the bins.

    Arguments
    ---------
    channels : int
        Channels of each block's result.
    experts : int
        Channels of each expert.
    kernels : sequence of int
        Bins of each block's kernels, over two frames.
    norm : str
        "batch", "layer" or "cumulative".
    blocks : str
        "experts", or "plain" for one convolution each.

    Raises
    ------
    ValueError
        If norm or blocks are unknown.

    Example
    -------
    >>> encoder = SpectralEncoder(64, 32, [5, 3, 3])
    >>> features, experts = encoder(torch.randn(2, 2, 7, 161))
    >>> [tuple(x.shape) for x in features]
    [(2, 64, 7, 79), (2, 64, 7, 39), (2, 64, 7, 19)]
    """

    def __init__(
        self,
        channels: int,
        experts: int,
        kernels: Sequence[int],
        norm: str = "batch",
        blocks: str = "experts",
    ) -> None:
        super().__init__()
        ins = [2, *[channels] * (len(kernels) - 1)]
        self.blocks = nn.ModuleList(
            make_block(blocks, each, channels, kernel, experts, norm=norm)
            for each, kernel in zip(ins, kernels, strict=True)
        )

    def forward(
        self,
        x: Tensor,
        controls: Sequence[Tensor | None] | None = None,
        valid: Tensor | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Encode [batch, 2, frames, bins]; return each block's two results."""
        features, agreed = [], []
        for block, control in zip(
            self.blocks, controls or [None] * len(self.blocks), strict=True
        ):
            x, com = block(x, control, valid)
            features.append(x)
            agreed.append(com)
        return features, agreed


class SpectralDecoder(nn.Module):
    """Transposed expert blocks that double the bins, with skips from the encoder.

    Arguments
    ---------
    channels, experts, kernels, norm
        As of the `SpectralEncoder`.
    final_norm : bool
        Batch norm and PReLU at the end, as in the released network.
    blocks : str
        As of the `SpectralEncoder`.

    Example
    -------
    >>> features, _ = SpectralEncoder(64, 32, [5, 3])(torch.randn(2, 2, 7, 161))
    >>> SpectralDecoder(64, 32, [5, 3])(features[-1], features, [161, 79]).shape
    torch.Size([2, 7, 161])
    """

    def __init__(
        self,
        channels: int,
        experts: int,
        kernels: Sequence[int],
        norm: str = "batch",
        final_norm: bool = False,
        blocks: str = "experts",
    ) -> None:
        super().__init__()
        outs = [1, *[channels] * (len(kernels) - 1)]
        norms = ["batch" if final_norm else None, *[norm] * (len(kernels) - 1)]
        self.blocks = nn.ModuleList(
            make_block(
                blocks, 2 * channels, out, kernel, experts, transposed=True, norm=each
            )
            for out, kernel, each in zip(outs, kernels, norms, strict=True)
        )

    def forward(
        self,
        x: Tensor,
        features: Sequence[Tensor],
        bins: Sequence[int],
        valid: Tensor | None = None,
    ) -> Tensor:
        """Decode [batch, channels, frames, bins] to [batch, frames, bins].

        `features` are those of the encoder's blocks, and `bins` the numbers of bins at
        their inputs.
        """
        levels = list(zip(self.blocks, features, bins, strict=True))
        for block, heard, wanted in reversed(levels):
            x, _ = block(torch.cat([x, heard], 1), valid=valid, bins=wanted)
        return x.squeeze(1)


class SpectralBranch(nn.Module):
    """An encoder, temporal units over all that is left of a frame, and decoders.

    Arguments
    ---------
    bins : sequence of int
        At the input of each of the encoder's blocks, and behind the last.
    channels, experts, kernels, norm, final_norm, blocks
        See `SpectralEncoder` and `SpectralDecoder`.
    decoders : int
        Signals that come out.
    causal : bool
        Depend on no later frame.
    **temporal
        Further arguments of `TemporalUnits`.

    Example
    -------
    >>> branch = SpectralBranch([161, 79, 39], 64, 32, [5, 3], decoders=2, groups=1)
    >>> outputs, experts = branch(torch.randn(2, 2, 7, 161))
    >>> outputs.shape, [tuple(x.shape) for x in experts]
    (torch.Size([2, 2, 7, 161]), [(2, 32, 7, 79), (2, 32, 7, 39)])
    """

    def __init__(
        self,
        bins: Sequence[int],
        channels: int,
        experts: int,
        kernels: Sequence[int],
        norm: str = "batch",
        final_norm: bool = False,
        decoders: int = 1,
        causal: bool = False,
        blocks: str = "experts",
        **temporal: int,
    ) -> None:
        super().__init__()
        self.bins = [*bins[:-1]]
        sizes = channels, experts, kernels, norm
        self.encoder = SpectralEncoder(*sizes, blocks)
        self.temporal = TemporalUnits(
            channels * bins[-1], causal=causal, norm=norm, **temporal
        )
        self.decoders = nn.ModuleList(
            SpectralDecoder(*sizes, final_norm, blocks) for _ in range(decoders)
        )

    def forward(
        self,
        x: Tensor,
        controls: Sequence[Tensor | None] | None = None,
        valid: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Map spectra [batch, 2, frames, bins] to [batch, decoders, frames, bins].

        Returns that and `com` of each of the encoder's blocks, for another branch's
        controls.
        """
        features, agreed = self.encoder(x, controls, valid)
        # channels and bins of a frame together, channel by channel
        last = features[-1].transpose(2, 3)
        hidden = self.temporal(last.flatten(1, 2), valid)
        hidden = hidden.unflatten(1, last.shape[1:3]).transpose(2, 3)
        outputs = [d(hidden, features, self.bins, valid) for d in self.decoders]
        return torch.stack(outputs, 1), agreed
