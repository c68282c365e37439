"""Convolutions over bins: PyTorch's values, phase by phase, in all sizes."""

import pytest
import torch
import torch.nn.functional as F

from speechbrain_fusion.nnet.bin_conv import BinConv, join_phases, split_phases


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("frames", [1, 2, 3])
@pytest.mark.parametrize("pad", [True, False])
def test_transposed_is_pytorchs_of_every_size_and_its_gradients(
    kernel, stride, frames, pad
):
    torch.manual_seed(0)
    conv = BinConv(3, 4, (frames, kernel), stride, transposed=True, pad=pad).double()
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64, requires_grad=True)
    least = 6 * stride + kernel
    for extra in range(stride):
        whole = F.conv_transpose2d(
            x, conv.weight, conv.bias, (1, stride), output_padding=(0, extra)
        )
        expected = whole[:, :, :6] if pad else whole
        found = conv.join(conv(x), 7, least + extra)
        torch.testing.assert_close(found, expected)
        wanted = [x, conv.weight, conv.bias]
        weights = torch.randn_like(found)
        torch.testing.assert_close(
            *(
                torch.autograd.grad((y * weights).sum(), wanted)
                for y in (found, expected)
            )
        )
    assert conv.join(conv(x), 7).shape[-1] == least


@pytest.mark.parametrize("pad", [True, False])
def test_narrowing_is_pytorchs(pad):
    conv, x = BinConv(3, 4, (2, 3), 2, pad=pad), torch.randn(2, 3, 6, 9)
    wide = F.pad(x, (0, 0, 1, 0)) if pad else x
    expected = F.conv2d(wide, conv.weight, conv.bias, (1, 2))
    torch.testing.assert_close(conv.join(conv(x), 9), expected)


@pytest.mark.parametrize("phases", [1, 2, 3])
def test_phases_apart_and_together_are_inverse(phases):
    x = torch.randn(2, 3, 4, 6 * phases - 1)
    apart = split_phases(x, phases, 6)
    assert apart.shape == (2, phases, 3, 4, 6)
    assert torch.equal(join_phases(apart, x.shape[-1]), x)


@pytest.mark.parametrize("wanted", [20, 23])
def test_bins_that_the_stride_does_not_reach_are_refused(wanted):
    conv = BinConv(3, 4, (2, 5), 2, transposed=True)
    y = conv(torch.randn(1, 3, 4, 9))
    with pytest.raises(ValueError, match=f"bins: expected 21 to 22, got {wanted}"):
        conv.join(y, 9, wanted)
