"""Squeezed temporal convolutions: dilated and gated, in few channels.

    z = conv1x1(x)                                              many channels to few
    a = conv(norm(prelu(z))),  b = sigmoid(conv(norm(prelu(z))))       dilated
    y = x + conv1x1(norm(prelu(a * b)))

Source: Li et al., "Two Heads are Better Than One: A Two-Stage Complex Spectral Mapping
Approach for Monaural Speech Enhancement", IEEE/ACM TASLP, 2021.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from speechbrain_fusion.nnet.convolution import same_padding
from speechbrain_fusion.nnet.padding import blank_frames
from speechbrain_fusion.nnet.spectral_norm import make_norm
from speechbrain_fusion.nnet.streaming import current_memory, pad_past


class SqueezedTemporalUnit(nn.Module):
    """Gated dilated convolution in few channels, with a residual path.

    Arguments
    ---------
    channels : int
        Channels in and out.
    squeezed : int
        Channels inside.
    kernel_size : int
        Taps.
    dilation : int
        Frames between two taps.
    causal : bool
        Depend on no later frame; otherwise on as much of both sides.
    norm : str
        "batch", "layer" or "cumulative".

    Raises
    ------
    ValueError
        If the norm is unknown.

    Example
    -------
    >>> import torch
    >>> SqueezedTemporalUnit(256, dilation=4)(torch.randn(3, 256, 40)).shape
    torch.Size([3, 256, 40])
    """

    def __init__(
        self,
        channels: int,
        squeezed: int = 64,
        kernel_size: int = 5,
        dilation: int = 1,
        causal: bool = False,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        self.padding = same_padding(kernel_size, dilation, causal)
        sizes = squeezed, kernel_size, dilation, norm
        self.squeeze = nn.Conv1d(channels, squeezed, 1)
        self.signal, self.gate = (_Path(squeezed, *sizes) for _ in range(2))
        self.expand = _Path(squeezed, channels, 1, 1, norm)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map [batch, channels, frames]; `valid` [batch, frames] are an item's own."""
        z = self.squeeze(x)
        signal = self.signal(z, valid, self.padding)
        gate = self.gate(z, valid, self.padding).sigmoid()
        return x + self.expand(signal * gate, valid)


class _Path(nn.Module):
    """PReLU, norm and convolution, which hears silence in the padding."""

    def __init__(
        self, channels: int, out: int, kernel_size: int, dilation: int, norm: str
    ) -> None:
        super().__init__()
        self.activation = nn.PReLU()
        self.norm = make_norm(norm, channels)
        self.convolution = nn.Conv1d(channels, out, kernel_size, dilation=dilation)

    def forward(
        self, z: Tensor, valid: Tensor | None, padding: tuple[int, int] = (0, 0)
    ) -> Tensor:
        z = blank_frames(self.norm(self.activation(z), valid), valid)
        if current_memory() is not None:
            return self.convolution(pad_past(z, padding[0]))
        return self.convolution(F.pad(z, padding))


class TemporalUnits(nn.ModuleList):
    """Groups of squeezed temporal units with dilations 1, 2, 4, ...

    Arguments
    ---------
    channels, squeezed, kernel_size, causal, norm
        See `SqueezedTemporalUnit`.
    groups : int
        How often the dilations are gone through.
    units : int
        Units of a group.

    Example
    -------
    >>> import torch
    >>> TemporalUnits(256, units=2, groups=1)(torch.randn(2, 256, 40)).shape
    torch.Size([2, 256, 40])
    """

    def __init__(
        self,
        channels: int,
        squeezed: int = 64,
        kernel_size: int = 5,
        groups: int = 3,
        units: int = 6,
        causal: bool = False,
        norm: str = "batch",
    ) -> None:
        super().__init__(
            SqueezedTemporalUnit(channels, squeezed, kernel_size, 2**unit, causal, norm)
            for _ in range(groups)
            for unit in range(units)
        )

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map [batch, channels, frames]; `valid` [batch, frames] are an item's own."""
        for unit in self:
            x = unit(x, valid)
        return x
