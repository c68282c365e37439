"""Convolutions over time whose channels are the bins of a spectrum.

    spectrum [batch, bins, frames] -> conv -> norm -> softplus -> ... -> latent

An item of a padded batch gives what it gives alone.

Source: Wang, Venkataramani, Smaragdis, "Self-supervised Learning for Speech
Enhancement", arXiv 2006.10388.
"""

import itertools
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from speechbrain_fusion.nnet.padding import blank_frames
from speechbrain_fusion.nnet.spectral_norm import BatchNorm


class SpectralLayer(nn.Module):
    """One convolution over time, batch norm and softplus.

    Arguments
    ---------
    inputs, outputs : int
        Channels.
    kernel : int
        Frames, an odd number.
    norm : bool
        Whether there is batch norm.
    active : bool
        Whether there is a softplus.

    Raises
    ------
    ValueError
        If the kernel is even.

    Example
    -------
    >>> import torch
    >>> SpectralLayer(161, 32)(torch.randn(2, 161, 50)).shape
    torch.Size([2, 32, 50])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 7,
        norm: bool = True,
        active: bool = True,
    ) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"kernel: expected an odd number, got {kernel}")
        self.conv = nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2)
        self.norm = BatchNorm(outputs) if norm else None
        self.active = active

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Process [batch, channels, frames]; `valid` is [batch, frames]."""
        y = self.conv(blank_frames(x, valid))
        if self.norm is not None:
            y = self.norm(y, valid)
        return F.softplus(y) if self.active else y


class SpectralStack(nn.Module):
    """Layers one after another.

    Arguments
    ---------
    channels : sequence of int
        Of the input, and of each layer's output.
    kernel : int
        Frames, an odd number.
    norm, active : bool
        Whether the last layer has batch norm and softplus, as the others have.

    Raises
    ------
    ValueError
        If there is no layer.

    Example
    -------
    >>> import torch
    >>> encoder = SpectralStack([513, 512, 256, 128, 64])
    >>> encoder(torch.randn(2, 513, 20)).shape
    torch.Size([2, 64, 20])
    """

    def __init__(
        self,
        channels: Sequence[int],
        kernel: int = 7,
        norm: bool = True,
        active: bool = True,
    ) -> None:
        super().__init__()
        if len(channels) < 2:
            raise ValueError(f"channels: expected two at least, got {[*channels]}")
        *inner, last = itertools.pairwise(channels)
        self.layers = nn.ModuleList(SpectralLayer(*pair, kernel) for pair in inner)
        self.layers.append(SpectralLayer(*last, kernel, norm, active))

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Process [batch, channels, frames]; `valid` is [batch, frames]."""
        for layer in self.layers:
            x = layer(x, valid)
        return x
