import pytest
import torch
import torch.nn.functional as F

from speechbrain_fusion.nnet import ChannelNorm, GlobalNorm


def test_channel_norm_is_layer_norm_over_the_channels_of_a_frame():
    norm, x = ChannelNorm(6, ears=2), torch.randn(3, 2, 6, 9)
    expected = F.layer_norm(x.transpose(2, 3), (6,), eps=1e-7).transpose(2, 3)
    torch.testing.assert_close(norm(x), expected)


def test_global_norm_is_group_norm_with_one_group_per_ear():
    norm, x = GlobalNorm(6, ears=2), torch.randn(3, 2, 6, 9)
    expected = F.group_norm(x.flatten(1, 2), 2, eps=1e-7).view_as(x)
    torch.testing.assert_close(norm(x), expected)


def test_global_norm_leaves_padding_out_of_the_statistics():
    norm, x = GlobalNorm(6, ears=2), torch.randn(1, 2, 6, 9)
    padded = torch.cat([x, torch.full((1, 2, 6, 4), 50.0)], dim=-1)
    mask = (torch.arange(13) < 9).float().view(1, 1, 1, 13)
    torch.testing.assert_close(norm(padded, mask)[..., :9], norm(x))
    whole = torch.ones(1, 1, 1, 9)
    torch.testing.assert_close(norm(x, whole), norm(x))


@pytest.mark.parametrize("norm", [ChannelNorm, GlobalNorm])
@pytest.mark.parametrize("masked", [True, False])
def test_the_gradients_are_the_differences_of_the_values(norm, masked):
    x = torch.randn(2, 2, 3, 5, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 2, 3, 1, dtype=torch.float64, requires_grad=True)
    mask = torch.ones(2, 1, 1, 5, dtype=torch.float64)
    mask[0, ..., 3:] = 0

    def normalize(x, gamma, beta):
        parameters = {"gamma": gamma, "beta": beta}
        arguments = (x, mask if masked else None)
        return torch.func.functional_call(norm(3, ears=2), parameters, arguments)

    assert torch.autograd.gradcheck(normalize, (x, *weights.unbind(0)))


@pytest.mark.parametrize("norm", [ChannelNorm, GlobalNorm])
def test_a_norm_of_bf16_is_computed_in_single_precision(norm):
    layer, x = norm(6), 100 + torch.randn(1, 1, 6, 50).bfloat16()
    y = layer(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y, layer(x.float()).bfloat16())


@pytest.mark.parametrize("norm", [ChannelNorm, GlobalNorm])
def test_the_ears_do_not_meet_in_a_norm(norm):
    x = torch.randn(1, 2, 6, 9)
    other = torch.cat([x[:, :1], 100 * x[:, 1:]], dim=1)
    layer = norm(6, ears=2)
    assert torch.equal(layer(x)[:, 0], layer(other)[:, 0])


@pytest.mark.parametrize("norm", [ChannelNorm, GlobalNorm])
def test_silence_is_normalized_to_finite_values_and_gradients(norm):
    x = torch.zeros(1, 1, 6, 9, requires_grad=True)
    y = norm(6)(x)
    y.square().sum().backward()
    assert torch.isfinite(y).all()
    assert torch.isfinite(x.grad).all()
