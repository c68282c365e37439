"""PReLU of several networks: PyTorch's values, and the gradients of all orders."""

import pytest
import torch
import torch.nn.functional as F

from speechbrain_fusion.nnet.prelu import PReLU, SharedPReLU


def test_prelu_is_one_prelu_per_ear_and_channel():
    layer, x = PReLU(3, ears=2).double(), torch.randn(4, 2, 3, 7, dtype=torch.float64)
    torch.nn.init.normal_(layer.slope)
    for ear in range(2):
        expected = F.prelu(x[:, ear], layer.slope[ear])
        torch.testing.assert_close(layer(x)[:, ear], expected)


@pytest.mark.parametrize("check", ["gradcheck", "gradgradcheck"])
def test_the_gradients_of_prelu_are_the_differences_of_its_values(check):
    x = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    layer = PReLU(3, ears=2).double()

    def activate(x, slope):
        return torch.func.functional_call(layer, {"slope": slope}, (x,))

    inputs = (x, torch.randn(2, 3, dtype=torch.float64, requires_grad=True))
    assert getattr(torch.autograd, check)(activate, inputs)


def test_prelu_of_zero_passes_the_slope_of_the_negative_side_as_autograds_does():
    x = torch.zeros(1, 1, 1, 1, requires_grad=True)
    PReLU(1)(x).backward()
    assert x.grad.item() == 0.25


def test_a_shared_prelu_is_pytorchs_of_any_shape():
    layer, x = SharedPReLU(), torch.randn(2, 3, 4, 5, requires_grad=True)
    expected = F.prelu(x, layer.slope.view(1))
    torch.testing.assert_close(layer(x), expected)
    wanted = [x, layer.slope]
    torch.testing.assert_close(
        *(torch.autograd.grad(y.square().sum(), wanted) for y in (layer(x), expected))
    )
