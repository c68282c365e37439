"""1x1 and depthwise convolutions of several independent networks in one call.

The networks (two ears, say) are an axis of the input, and each has weights of its
own. Long depthwise kernels are convolved in the frequency domain: the product of
the real FFTs of signal and dilated kernel (the convolution theorem) costs
O(T log T) whatever the kernel, where the direct sum costs O(T P). It does *not* pay
for the kernels of 3 to 7 samples of most temporal convolution networks.
"""

import math

import torch
import torch.nn.functional as F
from scipy.fft import next_fast_len
from torch import Tensor, nn

# On a CPU (benchmarks/depthwise.py) the FFT is even here at dilation 1, 2x at 2.
FFT_KERNEL = 32
METHODS = ("auto", "direct", "fft")


class PointwiseConv(nn.Module):
    """1x1 convolution with its own weights for each of several networks.

    Arguments
    ---------
    in_channels : int
        Channels in.
    out_channels : int
        Channels out.
    ears : int
        Number of networks side by side.
    bias : bool
        Whether to add a bias.

    Example
    -------
    >>> PointwiseConv(4, 6, ears=2)(torch.randn(3, 2, 4, 10)).shape
    torch.Size([3, 2, 6, 10])
    """

    def __init__(
        self, in_channels: int, out_channels: int, ears: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        bound = 1 / math.sqrt(in_channels)
        shape = (ears, out_channels, in_channels)
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        self.bias = (
            nn.Parameter(torch.empty(ears, out_channels, 1).uniform_(-bound, bound))
            if bias
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, ears, in_channels, frames] to [batch, ears, out, frames]."""
        y = torch.matmul(self.weight, x)
        return y if self.bias is None else y + self.bias


class DepthwiseConv(nn.Module):
    """Dilated depthwise convolution that keeps the number of frames.

    Arguments
    ---------
    channels : int
        Channels of each network.
    kernel_size : int
        Taps P.
    dilation : int
        Frames between two taps.
    causal : bool
        All padding in the past, or half of it on either side.
    ears : int
        Number of networks side by side.
    method : str
        "direct", "fft" or "auto" (by FFT from 32 taps on).

    Example
    -------
    >>> layer = DepthwiseConv(4, kernel_size=64, dilation=2, causal=True, ears=2)
    >>> layer(torch.randn(3, 2, 4, 100)).shape
    torch.Size([3, 2, 4, 100])
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        dilation: int = 1,
        causal: bool = False,
        ears: int = 1,
        method: str = "auto",
    ) -> None:
        super().__init__()
        if method not in METHODS:
            raise ValueError(f"method: expected one of {METHODS}, got {method!r}")
        bound = 1 / math.sqrt(kernel_size)
        shape = (ears, channels, kernel_size)
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(ears, channels, 1).uniform_(-bound, bound))
        self.dilation = dilation
        self.padding = same_padding(kernel_size, dilation, causal)
        by_fft = method == "fft" or (method == "auto" and kernel_size >= FFT_KERNEL)
        self.convolve = fft_depthwise if by_fft else direct_depthwise

    def forward(self, x: Tensor) -> Tensor:
        """Convolve [batch, ears, channels, frames]; the shape stays."""
        return self.convolve(x, self.weight, self.dilation, self.padding) + self.bias


def same_padding(kernel_size: int, dilation: int, causal: bool) -> tuple[int, int]:
    """Frames of padding (past, future) under which a convolution keeps its length.

    With P taps and dilation d the receptive field reaches (P - 1) d frames::

        causal       |<-- (P-1) d -->|x x x x x|
        symmetric    |<- half ->|x x x x x|<- rest ->|

    Example
    -------
    >>> same_padding(3, 2, causal=True), same_padding(3, 2, causal=False)
    ((4, 0), (2, 2))
    """
    reach = (kernel_size - 1) * dilation
    return (reach, 0) if causal else (reach // 2, reach - reach // 2)


def direct_depthwise(
    x: Tensor, weight: Tensor, dilation: int, padding: tuple[int, int]
) -> Tensor:
    """Depthwise convolution by the direct sum.

    Arguments
    ---------
    x : Tensor
        [batch, ears, channels, frames].
    weight : Tensor
        [ears, channels, taps].
    dilation : int
        Frames between two taps.
    padding : tuple of int
        Zeros before and after.

    Returns
    -------
    Tensor
        [batch, ears, channels, frames] when the padding is `same_padding`'s.

    Example
    -------
    >>> x, weight = torch.ones(1, 1, 1, 4), torch.ones(1, 1, 3)
    >>> direct_depthwise(x, weight, dilation=1, padding=(2, 0)).flatten()
    tensor([1., 2., 3., 3.])
    """
    kernel = weight.flatten(0, 1).unsqueeze(1)
    padded = F.pad(x.flatten(1, 2), padding)
    y = F.conv1d(padded, kernel, dilation=dilation, groups=kernel.shape[0])
    return y.unflatten(1, x.shape[1:3])


def fft_depthwise(
    x: Tensor, weight: Tensor, dilation: int, padding: tuple[int, int]
) -> Tensor:
    """Depthwise convolution by real FFTs, equal to `direct_depthwise` to 1e-5.

    Takes and returns what `direct_depthwise` does. Computed in float32 also inside
    automatic mixed precision: half-precision FFTs exist on few devices and lengths.
    Causal up to rounding: a later sample enters an earlier output at 1e-7 of its size,
    and a NaN enters all.

    Example
    -------
    >>> x, weight = torch.ones(1, 1, 1, 4), torch.ones(1, 1, 3)
    >>> fft_depthwise(x, weight, dilation=1, padding=(2, 0)).flatten().round()
    tensor([1., 2., 3., 3.])
    """
    frames, reach = x.shape[-1], (weight.shape[-1] - 1) * dilation
    size = next_fast_len(frames + reach, real=True)
    with torch.autocast(x.device.type, enabled=False):
        single = torch.promote_types(x.dtype, torch.float32)
        kernel = torch.zeros(
            *weight.shape[:-1], reach + 1, dtype=single, device=x.device
        )
        # conv1d correlates: the convolution's kernel runs backwards
        kernel[..., ::dilation] = weight.flip(-1).to(single)
        spectrum = torch.fft.rfft(x.to(single), size) * torch.fft.rfft(kernel, size)
        y = torch.fft.irfft(spectrum, size)
    return y[..., padding[1] : padding[1] + frames].to(x.dtype)
