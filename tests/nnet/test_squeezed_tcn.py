"""Squeezed temporal units: golden values, causality by gradient, padding."""

from pathlib import Path

import pytest
import torch

from speechbrain_fusion.nnet import SqueezedTemporalUnit
from tests.golden.loaders import load_two_branch

GOLDEN = Path(__file__).parents[1] / "golden"


def test_golden_values():
    unit, inputs, (expected,) = load_two_branch(GOLDEN / "s_tcm.npz")
    assert (unit(*inputs) - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize(
    ("causal", "heard"), [(True, [4, 7, 10]), (False, [7, 10, 13])]
)
def test_it_hears_its_taps_and_nothing_else(causal, heard):
    unit = SqueezedTemporalUnit(6, 4, 3, dilation=3, causal=causal).eval()
    x = torch.randn(1, 6, 20, requires_grad=True)
    gradient = torch.autograd.grad(unit(x)[..., 10].square().sum(), x)[0]
    assert gradient.abs().sum((0, 1)).nonzero().flatten().tolist() == heard


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("norm", ["batch", "layer", "cumulative"])
@pytest.mark.parametrize("training", [False, True])
def test_padding_changes_no_valid_frame(causal, norm, training):
    unit = SqueezedTemporalUnit(6, 4, dilation=2, causal=causal, norm=norm)
    unit.train(training)
    x, valid = torch.randn(2, 6, 12), torch.ones(2, 12, dtype=torch.bool)
    valid[1, 7:] = False
    other = x.clone()
    other[1, :, 7:] = 1e3
    results = [unit(each, valid).mT[valid] for each in (x, other)]
    torch.testing.assert_close(*results)
    if not training:
        alone = unit(x[1:, :, :7])[0].mT
        torch.testing.assert_close(results[0][-7:], alone)
