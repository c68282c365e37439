"""Expert blocks: golden values, causality by gradient, and any number of bins."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from speechbrain_fusion.nnet import CollaborativeExpertBlock
from speechbrain_fusion.nnet.expert_block import ConvBlock, gate_crosswise
from tests.golden.loaders import load_two_branch

GOLDEN = Path(__file__).parents[1] / "golden"
NORMS = [None, "batch", "layer", "cumulative"]
KINDS = [CollaborativeExpertBlock, ConvBlock]


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


def conv(x, layer, part=0):
    """Apply one 1x1 of a layer, as PyTorch's convolution."""
    return F.conv2d(x, layer.weight[part, ..., None, None], layer.bias[part, :, 0])


def hear(block, x):
    """Return what both experts say."""
    u = conv(F.pad(x, (0, 0, 1, 0)), block.input)
    weight, bias = block.experts.weight, block.experts.bias
    return F.conv2d(u, weight, bias, stride=(1, 2)).split(5, 1)


def test_each_expert_is_gated_by_the_other():
    block = CollaborativeExpertBlock(3, 4, (2, 3), experts=5)
    x = torch.randn(2, 3, 6, 9)
    left, right = hear(block, x)
    of_left, of_right = (
        conv(expert, block.gates, part).sigmoid()
        for part, expert in enumerate((left, right))
    )
    com = left * of_right + right * of_left
    y, found = block(x)
    torch.testing.assert_close(found, com)
    torch.testing.assert_close(y, conv(com, block.output))


def test_a_control_of_the_experts_own_size_changes_the_gates_alone():
    block, x = CollaborativeExpertBlock(3, 4, experts=5), torch.randn(2, 3, 6, 9)
    _, com = block(x)
    _, silent = block(x, control=torch.zeros_like(com))
    _, loud = block(x, control=torch.full_like(com, 1e9))
    left, right = hear(block, x)
    # gates are all or nothing, and of each expert's own weights
    signs = [block.gates.weight[part].sum(1) > 0 for part in (0, 1)]
    open_ = [sign.to(left)[:, None, None] for sign in signs]
    torch.testing.assert_close(loud, left * open_[1] + right * open_[0])
    assert not torch.allclose(silent, com)


def test_a_transposed_block_can_be_controlled_too():
    up = CollaborativeExpertBlock(3, 4, (2, 5), experts=5, transposed=True)
    _, com = up(torch.randn(2, 3, 6, 9), bins=22)
    x = torch.randn(2, 3, 6, 9)
    one, other = (up(x, control=c, bins=22)[1] for c in (com, com.clone()))
    torch.testing.assert_close(one, other)
    # of each bin's control alone
    changed = com.clone()
    changed[:, :, :, 13] += 1.0
    _, moved = up(x, control=changed, bins=22)
    where = (moved - one).abs().sum((0, 1, 2)).nonzero().flatten().tolist()
    assert where == [13]


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_a_control_of_another_size_is_refused(transposed, axis):
    block = CollaborativeExpertBlock(3, 4, experts=5, transposed=transposed)
    x = torch.randn(2, 3, 6, 9)
    _, com = block(x)
    with pytest.raises(ValueError, match=r"control: expected \(2, 5, 6, "):
        block(x, control=com.narrow(axis, 0, 1))


@pytest.mark.parametrize("compiling", [False, True])
def test_gates_have_the_gradient_of_what_they_compute(compiling, monkeypatch):
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: compiling)
    both, logits = torch.randn(2, 2, 1, 2, 6, 2, 3, dtype=torch.float64)
    both.requires_grad_(), logits.requires_grad_()
    assert torch.autograd.gradcheck(gate_crosswise, (both, logits))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("transposed", [False, True])
def test_no_frame_hears_a_later_one_or_more_than_the_kernel(kind, norm, transposed):
    block = kind(3, 4, (3, 3), transposed=transposed, norm=norm).eval()
    x = torch.randn(1, 3, 12, 9, requires_grad=True)
    gradient = torch.autograd.grad(block(x)[0][:, :, 7].square().sum(), x)[0]
    heard = gradient.abs().sum((0, 1, 3)).nonzero().flatten().tolist()
    first = 0 if norm == "cumulative" else 5
    assert heard == list(range(first, 8))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kernel", [3, 4, 5])
@pytest.mark.parametrize("bins", [9, 10, 33])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_transposed_leads_back_to_as_many_bins(kind, kernel, bins, stride):
    down = kind(2, 4, (2, kernel), stride)
    up = kind(4, 2, (2, kernel), stride, transposed=True)
    y, com = down(torch.randn(1, 2, 7, bins))
    assert y.shape[2:] == com.shape[2:] == (7, (bins - kernel) // stride + 1)
    assert up(y, bins=bins)[0].shape == (1, 2, 7, bins)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", ["batch", "layer", "cumulative"])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_padding_changes_no_valid_frame(kind, norm, transposed, training):
    block = kind(3, 4, transposed=transposed, norm=norm)
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


def test_a_block_without_gates_cannot_be_controlled():
    x = torch.randn(1, 2, 4, 9)
    with pytest.raises(ValueError, match="control: expected None"):
        ConvBlock(2, 4)(x, control=x)
