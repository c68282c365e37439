"""Gradients of several processes become their mean, as one with all batches has it."""

import pytest
import torch
from torch import distributed, nn

from speechbrain_fusion.brains.gradient_sums import GradientSums


@pytest.fixture
def parameters():
    """A shared parameter, one of the main loss alone, and one that nothing reaches."""
    return [nn.Parameter(torch.zeros(size)) for size in (3, 2, 1)]


def make_sums(parameters, rank):
    """Sum up what one of two processes has seen; the first lacks a loss's gradient."""
    shared, own, _ = parameters
    sums = GradientSums({shared: "encoder"})
    sums.loss = torch.tensor(float(rank))
    sums.add(sums.main, (1 + rank) * shared.sum() + 4 * own.sum(), parameters)
    noise = sums.auxiliaries.setdefault("noise", {})
    if rank:
        sums.add(noise, -6 * shared.sum() + 2 * own.sum(), parameters)
    return sums


def reduce_together(monkeypatch, parameters, count=2):
    """Reduce as processes do: each gets the sum of all messages."""
    messages = []
    monkeypatch.setattr(distributed, "get_world_size", lambda: count)
    monkeypatch.setattr(distributed, "all_reduce", lambda x: messages.append(x.clone()))
    for rank in range(count):
        make_sums(parameters, rank).reduce(parameters)
    together = torch.stack(messages).sum(0)
    monkeypatch.setattr(distributed, "all_reduce", lambda x: x.copy_(together))
    ranks = [make_sums(parameters, rank) for rank in range(count)]
    for sums in ranks:
        sums.reduce(parameters)
    return ranks


def test_every_process_has_the_mean_of_all(monkeypatch, parameters):
    shared, own, idle = parameters
    for sums in reduce_together(monkeypatch, parameters):
        assert sums.main[shared].tolist() == [1.5, 1.5, 1.5]
        # what is not shared has one sum of all losses
        assert sums.main[own].tolist() == [5.0, 5.0]
        assert sums.auxiliaries["noise"][shared].tolist() == [-3.0, -3.0, -3.0]
        assert sums.loss.item() == 0.5
        assert idle not in sums.main
        assert {*sums.auxiliaries["noise"]} == {shared}
