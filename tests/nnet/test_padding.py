"""Padding: what is marked as an item's own, and that nothing of the rest is left."""

import pytest
import torch

from speechbrain_fusion.nnet.padding import (
    blank,
    blank_frames,
    valid_samples,
    valid_steps,
)

COUNT = torch.tensor([5, 0, 3])


def test_an_items_own_steps_come_first():
    valid = valid_steps(COUNT, 5)
    assert valid.sum(1).tolist() == COUNT.tolist()
    assert (valid.int().diff() <= 0).all()


@pytest.mark.parametrize("shape", [(3, 5), (3, 2, 5), (3, 2, 4, 5)])
def test_padding_of_any_content_becomes_silence(shape):
    x = torch.randn(shape)
    own = blank(x, COUNT)
    for item, kept, count in zip(x, own, COUNT, strict=True):
        assert torch.equal(kept[..., :count], item[..., :count])
        assert (kept[..., count:] == 0).all()
    x[1], x[2, ..., 3:] = torch.nan, torch.inf
    assert torch.equal(blank(x, COUNT), own)


@pytest.mark.parametrize("axis", [-1, -2, -3])
def test_frames_may_be_any_axis(axis):
    x, valid = torch.randn(3, 5, 5, 5), valid_steps(COUNT, 5)
    expected = blank(x.movedim(axis, -1), COUNT).movedim(-1, axis)
    assert torch.equal(blank_frames(x, valid, axis), expected)


def test_padding_has_no_gradient():
    x = torch.full((1, 4), torch.nan, requires_grad=True)
    blank(x, torch.tensor([2])).nan_to_num().sum().backward()
    assert (x.grad[0, 2:] == 0).all()


def test_without_padding_nothing_is_copied():
    x = torch.randn(3, 5)
    assert blank(x, None) is x
    assert blank_frames(x, None) is x


def test_no_item_is_longer_than_the_signal():
    lengths = torch.tensor([1.5, 100.0, 0.5])
    assert valid_samples(torch.zeros(3, 100), lengths).tolist() == [100, 100, 50]
