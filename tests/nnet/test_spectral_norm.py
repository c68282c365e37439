"""Norms of spectral features: PyTorch's values, padding and processes do not count."""

import pytest
import torch

from speechbrain_fusion.nnet import BatchNorm, CumulativeNorm, FrameNorm
from speechbrain_fusion.nnet.spectral_norm import _Standardize
from tests.nnet.parameters import jittered
from tests.ranks import run_ranks


@pytest.mark.parametrize("shape", [(3, 4, 10), (3, 4, 10, 7)])
@pytest.mark.parametrize("valid", [None, torch.ones(3, 10, dtype=torch.bool)])
def test_without_padding_batch_norm_is_pytorchs(shape, valid):
    theirs = jittered(
        torch.nn.BatchNorm2d(4) if len(shape) > 3 else torch.nn.BatchNorm1d(4)
    )
    ours, x = BatchNorm(4), 3 * torch.randn(shape) + 1
    ours.load_state_dict(theirs.state_dict())
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    for norm, each in zip((ours, theirs), inputs, strict=True):
        y = norm(each, valid) if norm is ours else norm(each)
        y.pow(3).sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, atol=1e-4, rtol=1e-4)
    for (name, mine), other in zip(
        ours.state_dict().items(), theirs.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(mine, other, msg=name)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize("valid", [None, torch.ones(3, 10, dtype=torch.bool)])
def test_a_batch_that_is_not_finite_does_not_stay_in_the_statistics(valid):
    norm = BatchNorm(4)
    norm(torch.randn(3, 4, 10) + 1, valid)
    before = {name: x.clone() for name, x in norm.state_dict().items()}
    spoilt = torch.randn(3, 4, 10)
    spoilt[0, 1, 5], spoilt[1, 2, 3] = torch.inf, torch.nan
    assert not norm(spoilt, valid).isfinite().all()
    # whose square has no single precision
    loud = torch.randn(3, 4, 10)
    loud[:, 1:3] = 1e20 * (loud[:, 1:3] + 1)
    norm(loud, valid)
    after = norm.state_dict()
    for name in ("running_mean", "running_var"):
        assert torch.equal(after[name][1:3], before[name][1:3])
        assert (after[name][[0, 3]] != before[name][[0, 3]]).all()
    assert norm.eval()(torch.randn(3, 4, 10)).isfinite().all()


def test_padding_counts_neither_in_the_batch_nor_in_its_gradient():
    norm, x = jittered(BatchNorm(4)), torch.randn(2, 4, 10, 3)
    valid = torch.ones(2, 10, dtype=torch.bool)
    valid[1, 6:] = False
    x[1, :, 6:] = torch.nan
    x.requires_grad_()
    y = norm(x, valid).transpose(1, 2)[valid]
    (gradient,) = torch.autograd.grad(y.pow(3).sum(), x)
    # all valid frames in a row: one item without padding
    row = x.detach().transpose(1, 2)[valid].transpose(0, 1)[None].requires_grad_()
    weights = norm.weight, norm.bias
    expected = torch.nn.functional.batch_norm(row, None, None, *weights, True)
    (wanted,) = torch.autograd.grad(expected.pow(3).sum(), row)
    torch.testing.assert_close(y, expected[0].transpose(0, 1))
    torch.testing.assert_close(
        gradient.transpose(1, 2)[valid], wanted[0].transpose(0, 1), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("shape", [(3, 4, 10), (3, 4, 10, 7)])
def test_frame_norm_is_a_layer_norm_of_each_frame(shape):
    norm, x = FrameNorm(4), torch.randn(shape)
    frames = x.transpose(1, 2)
    expected = torch.nn.functional.layer_norm(frames, frames.shape[2:]).transpose(1, 2)
    torch.testing.assert_close(norm(x), expected)


def test_cumulative_norm_knows_what_was_heard_so_far():
    norm, x = CumulativeNorm(4), torch.randn(2, 4, 10, 7)
    y = norm(x)
    for frame in (0, 3, 9):
        seen = x[:, :, : frame + 1]
        expected = torch.nn.functional.layer_norm(seen, seen.shape[1:])
        torch.testing.assert_close(y[:, :, frame], expected[:, :, frame])


@pytest.mark.parametrize("kind", [FrameNorm, CumulativeNorm])
def test_a_mean_far_from_zero_costs_no_precision(kind):
    norm, x = kind(4), torch.randn(2, 4, 10, 7) + 1000
    torch.testing.assert_close(
        norm(x).double(), kind(4).double()(x.double()), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("kind", [BatchNorm, FrameNorm, CumulativeNorm])
def test_half_precision_is_normalized_in_single(kind):
    norm, x = kind(4), (torch.randn(2, 4, 10, 7) + 20).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y = norm(x)
    assert y.dtype == torch.bfloat16
    assert (y.float() - kind(4)(x.float())).abs().max() < 0.02


@pytest.mark.parametrize("padded", [False, True])
def test_batch_norm_has_the_gradient_of_what_it_computes(padded):
    x = torch.randn(2, 3, 4, 2, dtype=torch.float64, requires_grad=True)
    padding = torch.arange(4) >= torch.tensor([4, 2])[:, None]
    mask = padding[:, None, :, None] if padded else None
    assert torch.autograd.gradcheck(lambda z: _Standardize.apply(z, mask, 0.1)[0], x)


@pytest.mark.slow
@pytest.mark.parametrize("padded", [False, True])
def test_a_compiled_batch_norm_keeps_its_gradient(padded):
    norm, gradients = jittered(BatchNorm(3)), []
    x = torch.randn(2, 3, 4, 2, requires_grad=True)
    valid = torch.arange(4) < torch.tensor([4, 2])[:, None] if padded else None
    for run in (norm, torch.compile(norm, backend="aot_eager")):
        inputs = x, norm.weight, norm.bias
        gradients.append(torch.autograd.grad(run(x, valid).pow(3).sum(), inputs))
    for plain, compiled in zip(*gradients, strict=True):
        torch.testing.assert_close(compiled, plain)


RANKS = """
import torch
from speechbrain_fusion.nnet import BatchNorm
torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
torch.manual_seed(0)
x = torch.randn(4, 3, 8, 5, dtype=torch.float64)
valid = torch.arange(8) < torch.tensor([8, 3, 5, 1])[:, None]

def run(part, compiled=False):
    norm = BatchNorm(3).double()
    mine = x[part].clone().requires_grad_()
    network = torch.compile(norm, backend="aot_eager") if compiled else norm
    y = network(mine, valid[part])
    loss = (y.transpose(1, 2)[valid[part]] ** 3).sum()
    loss.backward()
    return norm, mine.grad

own = slice(0, 1) if rank == 0 else slice(1, 4)
norm, gradient = run(own)
_, of_compiled = run(own, compiled=True)
torch.distributed.barrier()
torch.distributed.destroy_process_group()
whole, expected = run(slice(0, 4))
keep = valid[own][:, None, :, None].expand_as(gradient)
torch.testing.assert_close(gradient[keep], expected[own][keep], atol=1e-10, rtol=0)
torch.testing.assert_close(of_compiled, gradient)
torch.testing.assert_close(norm.running_mean, whole.running_mean, atol=1e-12, rtol=0)
torch.testing.assert_close(norm.running_var, whole.running_var, atol=1e-12, rtol=0)
"""


@pytest.mark.slow
def test_two_processes_normalize_as_one(tmp_path):
    run_ranks(RANKS, tmp_path)
