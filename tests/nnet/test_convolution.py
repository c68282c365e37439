import pytest
import torch
import torch.nn.functional as F

from speechbrain_fusion.nnet import DepthwiseConv, PointwiseConv
from speechbrain_fusion.nnet.convolution import (
    FFT_FRAMES,
    depthwise,
    direct_depthwise,
    fft_depthwise,
    fft_pays,
    same_padding,
)

METHODS = (direct_depthwise, fft_depthwise, depthwise)


def dilated_conv1d(x, weight, dilation, padding):
    """The plain dilated depthwise convolution of the library."""
    kernel = weight.flatten(0, 1).unsqueeze(1)
    padded = F.pad(x.flatten(1, 2), padding)
    y = F.conv1d(padded, kernel, dilation=dilation, groups=kernel.shape[0])
    return y.unflatten(1, x.shape[1:3])


def test_pointwise_conv_is_one_conv1d_per_ear():
    layer, x = PointwiseConv(4, 6, ears=2), torch.randn(3, 2, 4, 10)
    for ear in range(2):
        weight, bias = layer.weight[ear, ..., None], layer.bias[ear, :, 0]
        expected = F.conv1d(x[:, ear], weight, bias)
        torch.testing.assert_close(layer(x)[:, ear], expected)


@pytest.mark.parametrize("convolve", METHODS)
@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize("taps", [1, 3, 16, 128])
@pytest.mark.parametrize("causal", [True, False])
def test_every_method_is_the_dilated_convolution(convolve, taps, dilation, causal):
    x, weight = torch.randn(2, 2, 5, 301), torch.randn(2, 5, taps)
    padding = same_padding(taps, dilation, causal)
    expected = dilated_conv1d(x, weight, dilation, padding)
    y = convolve(x, weight, dilation, padding)
    assert y.shape == expected.shape == x.shape
    assert (y - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize("frames", [1, 60, FFT_FRAMES + 1000])
@pytest.mark.parametrize("padding", [(16, 0), (8, 8)])
def test_every_method_has_the_dilated_convolutions_gradients(frames, padding):
    x = torch.randn(2, 1, 3, frames, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(1, 3, 9, dtype=torch.float64, requires_grad=True)
    grads = [
        torch.autograd.grad(f(x, weight, 2, padding).sin().sum(), (x, weight))
        for f in (dilated_conv1d, *METHODS)
    ]
    for expected, *others in zip(*grads, strict=True):
        for other in others:
            torch.testing.assert_close(other, expected)


@pytest.mark.parametrize(("taps", "dilation"), [(128, 2), (300, 11)])
def test_a_long_signal_is_cut_into_blocks_without_a_seam(taps, dilation):
    x = torch.randn(1, 1, 2, 2 * FFT_FRAMES + 7, dtype=torch.float64)
    weight = torch.randn(1, 2, taps, dtype=torch.float64)
    padding = same_padding(taps, dilation, causal=False)
    expected = dilated_conv1d(x, weight, dilation, padding)
    y = fft_depthwise(x, weight, dilation, padding)
    torch.testing.assert_close(y, expected)


def test_a_signal_shorter_than_the_kernel_is_convolved_exactly():
    layer = DepthwiseConv(2, 64, 4, causal=True)
    x = torch.randn(1, 1, 2, 7)
    direct = direct_depthwise(x, layer.weight, 4, layer.padding)
    torch.testing.assert_close(layer(x), direct + layer.bias, rtol=1e-5, atol=1e-6)


def test_the_fft_pays_for_long_kernels_on_signals_that_exceed_their_reach():
    assert not fft_pays(taps=3, reach=2, frames=4000, device="cpu")
    assert fft_pays(taps=128, reach=127, frames=4000, device="cpu")
    assert not fft_pays(taps=128, reach=127 * 64, frames=4000, device="cpu")
    assert not fft_pays(taps=128, reach=127, frames=1, device="cpu")


def test_the_fft_runs_in_single_precision_inside_bf16():
    layer, x = DepthwiseConv(4, 64, causal=True), torch.randn(1, 1, 4, 200)
    exact = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        low = layer(x.bfloat16())
    assert low.dtype == torch.bfloat16
    assert (exact - low).norm() < 0.02 * exact.norm()


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match=r"method: expected one of .* got 'fast'"):
        DepthwiseConv(2, 3, method="fast")


def test_a_pointwise_conv_stays_in_half_precision_inside_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        assert PointwiseConv(4, 6)(torch.randn(1, 1, 4, 9)).dtype == torch.bfloat16
