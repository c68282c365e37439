import math
import random

import numpy as np
import pytest
import torch

from speechbrain_fusion.brains import Checkpointer, state
from speechbrain_fusion.brains.state import History, RandomStates, draw_apart
from tests.ranks import run_ranks


def draw():
    """Draw from every generator that a training may use."""
    return [
        random.random(),
        random.gauss(0, 1),
        *np.random.standard_normal(3).tolist(),  # noqa: NPY002
        *torch.randn(3).tolist(),
    ]


def test_random_states_continue_the_same_sequence(tmp_path):
    draw()  # leaves half a pair in numpy's Gaussian generator
    states = RandomStates()
    states.save(tmp_path / "states")
    first = [draw(), draw()]
    states.load(tmp_path / "states", end_of_epoch=True)
    assert [draw(), draw()] == first


def test_random_states_are_part_of_a_checkpoint(tmp_path):
    checkpointer = Checkpointer(tmp_path, {"states": RandomStates()})
    checkpointer.save_checkpoint()
    first = draw()
    checkpointer.recover_if_possible()
    assert draw() == first


def test_states_of_another_number_of_processes_are_left_alone(tmp_path):
    states = RandomStates()
    states.save(tmp_path / "one")
    both = torch.load(tmp_path / "one", weights_only=True) * 2
    torch.save(both, tmp_path / "two")
    torch.manual_seed(7)
    states.load(tmp_path / "two", end_of_epoch=True)
    found = torch.rand(3)
    torch.manual_seed(7)
    assert torch.equal(torch.rand(3), found)


@pytest.mark.parametrize("rank", [0, 1])
def test_each_process_gets_its_own_states(rank, tmp_path, monkeypatch):
    states, drawn, both = RandomStates(), [], []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.save(tmp_path / "one")
        both += torch.load(tmp_path / "one", weights_only=True)
        drawn.append(torch.rand(3))
    torch.save(both, tmp_path / "two")
    monkeypatch.setattr(state, "this_process", lambda: (rank, 2))
    states.load(tmp_path / "two", end_of_epoch=True)
    assert torch.equal(torch.rand(3), drawn[rank])


def test_a_process_alone_draws_on():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    draw_apart()
    assert torch.equal(torch.rand(2), expected)


DRAWN = """
import torch
from speechbrain_fusion.brains.state import draw_apart
torch.distributed.init_process_group("gloo")

def drawn():
    # as upstream does
    torch.manual_seed(3)
    draw_apart()
    every = [torch.zeros(4) for _ in range(2)]
    torch.distributed.all_gather(every, torch.rand(4))
    return torch.stack(every)

first, again = drawn(), drawn()
assert torch.equal(first, again)
assert (first[0] != first[1]).all(), first
"""


@pytest.mark.slow
def test_processes_draw_numbers_of_their_own_the_same_in_every_run(tmp_path):
    run_ranks(DRAWN, tmp_path)


def test_a_history_reads_back_what_it_saved(tmp_path):
    history, other = History(), History()
    history.record(1, train_loss=0.1 + 0.2)
    history.record(1, valid_snr=math.pi)
    history.record(2, train_loss=-1.5)
    history.terms = {"snr": 1 / 3}
    history.save(tmp_path / "history")
    other.load(tmp_path / "history", end_of_epoch=False)
    assert other.epochs == history.epochs
    assert other.terms == history.terms
    assert history.epochs == [
        {"epoch": 1, "train_loss": 0.1 + 0.2, "valid_snr": math.pi},
        {"epoch": 2, "train_loss": -1.5},
    ]
