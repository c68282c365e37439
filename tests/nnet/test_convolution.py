import pytest
import torch
import torch.nn.functional as F

from speechbrain_fusion.nnet import DepthwiseConv, PointwiseConv
from speechbrain_fusion.nnet.convolution import direct_depthwise, fft_depthwise


def test_pointwise_conv_is_one_conv1d_per_ear():
    layer, x = PointwiseConv(4, 6, ears=2), torch.randn(3, 2, 4, 10)
    for ear in range(2):
        weight, bias = layer.weight[ear, ..., None], layer.bias[ear, :, 0]
        expected = F.conv1d(x[:, ear], weight, bias)
        torch.testing.assert_close(layer(x)[:, ear], expected)


@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize("taps", [1, 3, 16, 128])
@pytest.mark.parametrize("causal", [True, False])
def test_fft_and_direct_convolution_agree(taps, dilation, causal):
    layer = DepthwiseConv(5, taps, dilation, causal, ears=2)
    x = torch.randn(2, 2, 5, 301)
    arguments = (x, layer.weight, dilation, layer.padding)
    direct, fft = direct_depthwise(*arguments), fft_depthwise(*arguments)
    assert direct.shape == fft.shape == x.shape
    assert (direct - fft).norm() < 1e-5 * direct.norm()


def test_fft_and_direct_convolution_have_equal_gradients():
    x = torch.randn(2, 1, 3, 60, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(1, 3, 9, dtype=torch.float64, requires_grad=True)
    grads = [
        torch.autograd.grad(f(x, weight, 2, (16, 0)).square().sum(), (x, weight))
        for f in (direct_depthwise, fft_depthwise)
    ]
    for direct, fft in zip(*grads, strict=True):
        torch.testing.assert_close(direct, fft)


def test_a_signal_shorter_than_the_kernel_is_convolved_exactly():
    layer = DepthwiseConv(2, 64, 4, causal=True)
    x = torch.randn(1, 1, 2, 7)
    direct = direct_depthwise(x, layer.weight, 4, layer.padding)
    torch.testing.assert_close(layer(x), direct + layer.bias, rtol=1e-5, atol=1e-6)


def test_long_kernels_go_by_fft_and_short_ones_do_not():
    assert DepthwiseConv(2, 128).convolve is fft_depthwise
    assert DepthwiseConv(2, 3).convolve is direct_depthwise
    assert DepthwiseConv(2, 128, method="direct").convolve is direct_depthwise


def test_the_fft_runs_in_single_precision_inside_bf16():
    layer, x = DepthwiseConv(4, 64, causal=True), torch.randn(1, 1, 4, 200)
    exact = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        low = layer(x.bfloat16())
    assert (exact - low).norm() < 0.02 * exact.norm()


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match=r"method: expected one of .* got 'fast'"):
        DepthwiseConv(2, 3, method="fast")
