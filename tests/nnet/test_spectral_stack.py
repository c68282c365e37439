"""Stacks of convolutions over time: published layers, padding, options."""

import pytest
import torch

from speechbrain_fusion.nnet.spectral_stack import SpectralLayer, SpectralStack


def test_it_is_pytorchs_convolution_norm_and_softplus():
    torch.manual_seed(0)
    layer, x = SpectralLayer(5, 4, 3), torch.randn(2, 5, 9)
    reference = torch.nn.Sequential(
        torch.nn.Conv1d(5, 4, 3, padding=1),
        torch.nn.BatchNorm1d(4),
        torch.nn.Softplus(),
    )
    reference[0].load_state_dict(layer.conv.state_dict())
    for training in (True, False):
        expected = reference.train(training)(x)
        torch.testing.assert_close(layer.train(training)(x), expected)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_padding_changes_nothing(training, kernel):
    torch.manual_seed(0)
    stack = SpectralStack([5, 6, 4], kernel).train(training)
    valid = torch.tensor([[True] * 9, [True] * 5 + [False] * 4])
    first, second = torch.randn(2, 5, 9), torch.randn(2, 5, 9)
    second[:] = first
    second[1, :, 5:] = torch.nan
    own = [stack(x, valid)[1, :, :5] for x in (first, second)]
    torch.testing.assert_close(*own)
    if not training:
        alone = stack(first[1:, :, :5])[0]
        torch.testing.assert_close(own[0], alone)


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("active", [True, False])
def test_the_last_layer_alone_may_lack_norm_and_softplus(norm, active):
    stack = SpectralStack([5, 6, 4], 3, norm, active)
    assert [layer.norm is not None for layer in stack.layers] == [True, norm]
    assert [layer.active for layer in stack.layers] == [True, active]
    y = stack(torch.randn(8, 5, 20))
    assert (y.min() < 0).item() is not active


@pytest.mark.parametrize("kernel", [0, 2, -1])
def test_even_kernels_are_refused(kernel):
    with pytest.raises(ValueError, match="kernel: expected an odd number"):
        SpectralStack([5, 4], kernel)
