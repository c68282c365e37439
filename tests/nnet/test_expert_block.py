"""Expert blocks: golden values, causality by gradient, and any number of bins."""

from pathlib import Path

import pytest
import torch

from speechbrain_fusion.nnet import CollaborativeExpertBlock
from tests.golden.loaders import load_two_branch

GOLDEN = Path(__file__).parents[1] / "golden"
NORMS = [None, "batch", "layer", "cumulative"]


@pytest.mark.parametrize(
    ("name", "results"),
    [("ceb", ("com", "y")), ("controlled_ceb", ("y",)), ("transposed_ceb", ("y",))],
)
def test_golden_values(name, results):
    block, inputs, outputs = load_two_branch(GOLDEN / f"{name}.npz")
    y, com = block(*inputs)
    found = {"y": y, "com": com}
    for result, expected in zip(results, outputs, strict=True):
        assert (found[result] - expected).norm() < 1e-5 * expected.norm()


def test_each_expert_is_gated_by_the_other():
    block, x = (
        CollaborativeExpertBlock(3, 4, (2, 3), experts=5),
        torch.randn(2, 3, 6, 9),
    )
    u = torch.nn.functional.conv2d(
        torch.nn.functional.pad(x, (0, 0, 1, 0)), block.input.weight, block.input.bias
    )
    left, right = block.experts(u).split(5, 1)
    halves = [
        torch.nn.functional.conv2d(
            expert, block.gates.weight[i : i + 5], block.gates.bias[i : i + 5]
        )
        for i, expert in ((0, left), (5, right))
    ]
    com = left * halves[1].sigmoid() + right * halves[0].sigmoid()
    y, found = block(x)
    torch.testing.assert_close(found, com)
    torch.testing.assert_close(y, block.output(com))


def test_a_control_of_the_experts_own_size_changes_the_gates_alone():
    block, x = CollaborativeExpertBlock(3, 4, experts=5), torch.randn(2, 3, 6, 9)
    _, com = block(x)
    _, silent = block(x, control=torch.zeros_like(com))
    _, loud = block(x, control=torch.full_like(com, 1e9))
    left, right = block.experts(
        block.input(torch.nn.functional.pad(x, (0, 0, 1, 0)))
    ).split(5, 1)
    # gates are all or nothing, and of each expert's own weights
    signs = [block.gates.weight[i : i + 5].sum((1, 2, 3)) > 0 for i in (0, 5)]
    open_ = [sign.to(left)[:, None, None] for sign in signs]
    torch.testing.assert_close(loud, left * open_[1] + right * open_[0])
    assert not torch.allclose(silent, com)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("transposed", [False, True])
def test_no_frame_hears_a_later_one_or_more_than_the_kernel(norm, transposed):
    block = CollaborativeExpertBlock(
        3, 4, (3, 3), transposed=transposed, norm=norm
    ).eval()
    x = torch.randn(1, 3, 12, 9, requires_grad=True)
    gradient = torch.autograd.grad(block(x)[0][:, :, 7].square().sum(), x)[0]
    heard = gradient.abs().sum((0, 1, 3)).nonzero().flatten().tolist()
    first = 0 if norm == "cumulative" else 5
    assert heard == list(range(first, 8))


@pytest.mark.parametrize("kernel", [3, 4, 5])
@pytest.mark.parametrize("bins", [9, 10, 33])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_transposed_leads_back_to_as_many_bins(kernel, bins, stride):
    down = CollaborativeExpertBlock(2, 4, (2, kernel), stride)
    up = CollaborativeExpertBlock(4, 2, (2, kernel), stride, transposed=True)
    y, com = down(torch.randn(1, 2, 7, bins))
    assert y.shape[2:] == com.shape[2:] == (7, (bins - kernel) // stride + 1)
    assert up(y, bins=bins)[0].shape == (1, 2, 7, bins)


@pytest.mark.parametrize("norm", ["batch", "layer", "cumulative"])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_padding_changes_no_valid_frame(norm, transposed, training):
    block = CollaborativeExpertBlock(3, 4, transposed=transposed, norm=norm)
    block.train(training)
    x, valid = torch.randn(2, 3, 8, 9), torch.ones(2, 8, dtype=torch.bool)
    valid[1, 5:] = False
    other = x.clone()
    other[1, :, 5:] = 1e3
    results = [
        block(each, valid=valid)[0].transpose(1, 2)[valid] for each in (x, other)
    ]
    torch.testing.assert_close(*results)


def test_an_unknown_norm_is_refused():
    with pytest.raises(ValueError, match=r"norm: expected one of .*group"):
        CollaborativeExpertBlock(2, 4, norm="group")
