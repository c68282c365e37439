"""1x1 and depthwise convolutions of several independent networks in one call.

The networks (two ears, say) are an axis of the input, and each has weights of its
own. Long depthwise kernels are convolved in the frequency domain: the product of
the real FFTs of signal and dilated kernel (the convolution theorem) costs the same
whatever the kernel, where the direct sum costs O(T P). It does *not* pay for the
kernels of 3 to 7 samples of most temporal convolution networks.

Source of the blocks of long signals: overlap-save, Oppenheim & Schafer, "Discrete-Time
Signal Processing", section 8.7.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from scipy.fft import next_fast_len
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from speechbrain_fusion.nnet.exporting import is_exporting
from speechbrain_fusion.nnet.options import choose
from speechbrain_fusion.nnet.precision import single
from speechbrain_fusion.nnet.stepping import step_depthwise, step_pointwise, stepping
from speechbrain_fusion.nnet.streaming import current_memory, pad_past

# Taps of the direct sum that take as long as the FFTs, forward and backward. On a CPU
# benchmarks/depthwise.py finds it between 64 and 128; on CUDA it is not measured:
# both are bound by memory there, and the FFTs read and write some 16 times.
FFT_TAPS = {"cpu": 80, "cuda": 64}
# A longer signal is cut: longer FFTs leave the cache (three times slower at 600 000).
FFT_FRAMES = 16384


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
        own = x.dim() == 4 and x.shape[1] == len(self.weight)
        if own and stepping():
            return step_pointwise(x, self.weight, self.bias)
        return pointwise(x, self.weight, self.bias)


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Mix the channels of several networks.

    Arguments
    ---------
    x : Tensor
        [batch, ears, in_channels, frames].
    weight : Tensor
        [ears, out_channels, in_channels].
    bias : Tensor, optional
        [ears, out_channels, 1].

    Returns
    -------
    Tensor
        [batch, ears, out_channels, frames].

    Example
    -------
    >>> pointwise(torch.ones(1, 1, 3, 2), torch.ones(1, 1, 3)).flatten()
    tensor([3., 3.])
    """
    if is_exporting() and x.dim() == 4 and x.shape[1] == weight.shape[0]:
        # ONNX Runtime packs this one's weights once, where a product takes the triple
        image, filters = x.flatten(1, 2).unsqueeze(2), weight.flatten(0, 1)
        offset = None if bias is None else bias.flatten()
        y = F.conv2d(image, filters[..., None, None], offset, groups=weight.shape[0])
        return y.squeeze(2).unflatten(1, weight.shape[:2])
    y = torch.matmul(weight, x)
    return y if bias is None else y.add_(bias)


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
        "direct", "fft" or "auto" (what is faster for the input at hand).

    Raises
    ------
    ValueError
        If the method is unknown.

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
        bound = 1 / math.sqrt(kernel_size)
        shape = (ears, channels, kernel_size)
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(ears, channels, 1).uniform_(-bound, bound))
        self.dilation = dilation
        self.padding = same_padding(kernel_size, dilation, causal)
        self.convolve = choose("method", method, METHODS)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve [batch, ears, channels, frames]; the shape stays."""
        if current_memory() is not None:
            y = self._continue(x)
        else:
            y = self.convolve(x, self.weight, self.dilation, self.padding)
        return y + self.bias.to(y.dtype)

    def _continue(self, x: Tensor) -> Tensor:
        """Convolve a piece of a signal behind what was heard before."""
        wide = pad_past(x, self.padding[0])
        if is_exporting():
            return direct_depthwise(wide, self.weight, self.dilation, (0, 0))
        return step_depthwise(wide, self.weight, self.dilation)


def same_padding(kernel_size: int, dilation: int, causal: bool) -> tuple[int, int]:
    """Frames of padding (past, future) under which a convolution keeps its length.

    With P taps and dilation d the receptive field reaches (P - 1) d frames::

        causal       |<-- (P-1) d -->|x x x x x|
        symmetric    |<- half ->|x x x x x|<- rest ->|

    Arguments
    ---------
    kernel_size : int
        Taps P.
    dilation : int
        Frames d between two taps.
    causal : bool
        All padding in the past, or half of it on either side.

    Returns
    -------
    tuple of int
        Zeros before and after.

    Example
    -------
    >>> same_padding(3, 2, causal=True), same_padding(3, 2, causal=False)
    ((4, 0), (2, 2))
    """
    reach = (kernel_size - 1) * dilation
    return (reach, 0) if causal else (reach // 2, reach - reach // 2)


def depthwise(
    x: Tensor, weight: Tensor, dilation: int, padding: tuple[int, int]
) -> Tensor:
    """Depthwise convolution by the direct sum or by FFT, whichever is faster.

    Takes and returns what `direct_depthwise` does.

    Example
    -------
    >>> x, weight = torch.ones(1, 1, 1, 4), torch.ones(1, 1, 3)
    >>> depthwise(x, weight, dilation=1, padding=(2, 0)).flatten()
    tensor([1., 2., 3., 3.])
    """
    by_fft = fft_pays(weight.shape[-1], sum(padding), x.shape[-1], x.device.type)
    return (fft_depthwise if by_fft else direct_depthwise)(x, weight, dilation, padding)


def fft_pays(taps: int, reach: int, frames: int, device: str) -> bool:
    """Tell whether the FFT is faster than the direct sum.

    The sum takes `taps` steps for each frame; the FFTs also transform the padding.

    Arguments
    ---------
    taps : int
        Of the kernel.
    reach : int
        Frames of padding.
    frames : int
        Of the signal.
    device : str
        Its type, as "cpu" or "cuda".

    Returns
    -------
    bool
        Whether it is, by what was measured on such a device.

    Example
    -------
    >>> fft_pays(3, 2, 4000, "cpu"), fft_pays(128, 254, 4000, "cpu")
    (False, True)
    """
    return taps * frames > FFT_TAPS.get(device, FFT_TAPS["cuda"]) * (frames + reach)


def direct_depthwise(
    x: Tensor, weight: Tensor, dilation: int, padding: tuple[int, int]
) -> Tensor:
    """Depthwise convolution by the direct sum.

    With d frames, one dilation, to a row of an image, the dilated convolution is a
    plain one down its columns, which libraries do several times faster::

        x0 x1 x2 x3 x4 x5    d = 2 -->    x0 x1
                                          x2 x3
                                          x4 x5

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
    # the image's rows are no shape that Inductor or a tracer can keep open
    if torch.compiler.is_compiling():
        padded, plain = F.pad(x.flatten(1, 2), padding), weight.flatten(0, 1)[:, None]
        y = F.conv1d(padded, plain, dilation=dilation, groups=len(plain))
        return y.unflatten(1, x.shape[1:3])
    if is_exporting():
        # ONNX Runtime takes ten times as long for one axis, Inductor loses its way
        # among two: it keeps a length open in the shape, but not in the strides
        padded = F.pad(x.flatten(1, 2), padding).unsqueeze(2)
        plain = weight.flatten(0, 1)[:, None, None]
        y = F.conv2d(padded, plain, dilation=(1, dilation), groups=len(plain))
        return y.squeeze(2).unflatten(1, x.shape[1:3])
    past, future = padding
    out = x.shape[-1] + past + future - (weight.shape[-1] - 1) * dilation
    padded = F.pad(x.flatten(1, 2), (past, future + -out % dilation))
    kernel = weight.flatten(0, 1)[:, None, :, None]
    image = padded.unflatten(-1, (-1, dilation))
    y = F.conv2d(image, kernel, groups=kernel.shape[0])
    return y.flatten(2)[..., :out].unflatten(1, x.shape[1:3])


def fft_depthwise(
    x: Tensor, weight: Tensor, dilation: int, padding: tuple[int, int]
) -> Tensor:
    """Depthwise convolution by real FFTs, equal to `direct_depthwise` to 1e-5.

    Takes what `direct_depthwise` does, with `same_padding`'s padding, and returns the
    same. Computed in float32 also inside automatic mixed precision: half-precision
    FFTs exist on few devices and lengths. Differentiable once. Causal up to rounding:
    a later sample enters an earlier output at 1e-7 of its size, and a NaN enters all.

    Example
    -------
    >>> x, weight = torch.ones(1, 1, 1, 4), torch.ones(1, 1, 3)
    >>> fft_depthwise(x, weight, dilation=1, padding=(2, 0)).flatten().round()
    tensor([1., 2., 3., 3.])
    """
    if is_exporting():
        return direct_depthwise(x, weight, dilation, padding)
    with torch.autocast(x.device.type, enabled=False):
        wide = single(x)
        y = _FFTDepthwise.apply(wide, weight.to(wide.dtype), dilation, padding)
    return y.to(x.dtype)


class _FFTDepthwise(torch.autograd.Function):
    """Overlap-save convolution; backward needs half the FFTs autograd would use.

    conv1d correlates: forward takes the kernel's conjugate, the gradient of x does not.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, dilation: int, padding: tuple[int, int]
    ) -> Tensor:
        frames, past, reach = x.shape[-1], padding[0], sum(padding)
        size, step = _block_size(frames, reach)
        total = (-(-frames // step) - 1) * step + size
        padded = F.pad(x, (past, total - frames - past))
        taps = weight.new_zeros(*weight.shape[:-1], 1, reach + 1)
        taps[..., ::dilation] = weight.unsqueeze(-2)
        signal = torch.fft.rfft(padded.unfold(-1, size, step))
        response = torch.fft.rfft(taps, size)
        ctx.save_for_backward(signal, response)
        ctx.sizes = dilation, past, reach, size, step
        y = torch.fft.irfft(signal * response.conj(), size)[..., :step]
        return y.flatten(-2)[..., :frames]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        signal, response = ctx.saved_tensors
        dilation, past, reach, size, step = ctx.sizes
        frames = grad.shape[-1]
        missing = -frames % step
        whole = F.pad(grad, (0, missing)) if missing else grad
        # padded here: rfft's own padding takes longer than the transform
        padded = F.pad(whole.unflatten(-1, (-1, step)), (0, size - step))
        spectrum = torch.fft.rfft(padded)
        of_x = _overlap_add(torch.fft.irfft(spectrum * response, size), step)
        cross = spectrum.conj_physical_().mul_(signal).sum((0, -2))
        of_taps = torch.fft.irfft(cross, size)[..., : reach + 1 : dilation]
        return of_x[..., past : past + frames], of_taps, None, None


def _block_size(frames: int, reach: int) -> tuple[int, int]:
    """Choose the FFTs' size and how many of its frames are new in each block."""
    size = next_fast_len(frames + reach, real=True)
    if size <= max(FFT_FRAMES, 8 * reach):
        return size, frames
    size = next_fast_len(max(FFT_FRAMES // 4, 8 * reach), real=True)
    return size, size - reach


def _overlap_add(blocks: Tensor, step: int) -> Tensor:
    """Sum blocks [..., n, size] that begin every `step` frames, size <= 2 step.

    Example
    -------
    >>> _overlap_add(torch.ones(2, 3), step=2)
    tensor([1., 1., 2., 1., 1., 0.])
    """
    if blocks.shape[-2] == 1:
        return blocks.flatten(-2)
    y = F.pad(blocks[..., :step], (0, 0, 0, 1))
    y[..., 1:, : blocks.shape[-1] - step] += blocks[..., step:]
    return y.flatten(-2)


Convolution = Callable[[Tensor, Tensor, int, tuple[int, int]], Tensor]
METHODS: dict[str, Convolution] = {
    "auto": depthwise,
    "direct": direct_depthwise,
    "fft": fft_depthwise,
}
