"""Any number of processes sees the same epochs; evaluation leaves nothing out."""

from collections import Counter
from itertools import chain

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributed
from torch.utils.data import DataLoader

from speechbrain_fusion.data import Batch, Example
from speechbrain_fusion.data.epoch_items import EpochItems
from speechbrain_fusion.data.sampler import EpochSampler

WORLDS = st.integers(1, 5)
BATCHES = st.integers(1, 7)


def keys(sampler: EpochSampler, epoch: int = 1) -> list[tuple[int, int]]:
    sampler.set_epoch(epoch)
    return list(sampler)


def steps(size, batch_size, world, seed=0, epoch=1, train=True) -> list[list[int]]:
    """Indices of every global batch, over all processes."""
    mine = [
        [
            index
            for _, index in keys(
                EpochSampler(size, batch_size, seed, train, rank, world), epoch
            )
        ]
        for rank in range(world)
    ]
    starts = range(0, len(mine[0]), batch_size)
    return [[i for part in mine for i in part[at : at + batch_size]] for at in starts]


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("size", [24, 29, 100])
def test_n_processes_see_step_by_step_what_one_sees(world, size):
    for epoch in (1, 2, 7):
        expected = steps(size, 4 * world, world=1, seed=5, epoch=epoch)
        assert steps(size, 4, world, seed=5, epoch=epoch) == expected


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), BATCHES, WORLDS, st.integers(0, 2**31), st.integers(1, 500))
def test_a_training_epoch_takes_each_item_at_most_once(
    size, batch_size, world, seed, epoch
):
    size = max(size, batch_size * world)
    batches = steps(size, batch_size, world, seed, epoch)
    taken = [*chain.from_iterable(batches)]
    assert len(set(taken)) == len(taken) == size - size % (batch_size * world)
    assert set(taken) <= set(range(size))
    assert all(len(batch) == batch_size * world for batch in batches)
    assert batches == steps(size, batch_size * world, 1, seed, epoch)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), BATCHES, WORLDS)
def test_evaluation_takes_every_item_and_keeps_processes_in_step(
    size, batch_size, world
):
    samplers = [
        EpochSampler(size, batch_size, 0, train=False, rank=rank, world=world)
        for rank in range(world)
    ]
    parts = [[index for _, index in sampler] for sampler in samplers]
    assert {len(part) for part in parts} == {len(samplers[0])}
    taken = Counter(chain.from_iterable(parts))
    assert set(taken) == set(range(size))
    # Only what fills the last round comes again.
    assert sum(taken.values()) - size < world
    if world == 1:
        assert parts[0] == list(range(size))


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_the_length_is_the_number_of_keys(train, world):
    for rank in range(world):
        sampler = EpochSampler(23, 4, 0, train, rank, world)
        assert len(sampler) == len(keys(sampler))


@pytest.mark.parametrize("size", [1, 4, 9, 100])
@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_what_is_ones_own_is_nobody_elses_and_comes_first(world, size):
    samplers = [EpochSampler(size, 1, 0, False, rank, world) for rank in range(world)]
    own = [key for each in samplers for key in [*each][: each.own]]
    assert sorted(own) == [(1, index) for index in range(size)]


def test_keys_carry_the_epoch():
    sampler = EpochSampler(6, 2, seed=0)
    assert {epoch for epoch, _ in sampler} == {1}
    assert {epoch for epoch, _ in keys(sampler, 9)} == {9}


def test_epochs_and_seeds_differ_and_can_be_had_again():
    orders = {
        (seed, epoch): tuple(i for _, i in keys(EpochSampler(50, 5, seed), epoch))
        for seed in (0, 1, 2)
        for epoch in (1, 2, 3)
    }
    assert len(set(orders.values())) == len(orders)
    again = keys(EpochSampler(50, 5, seed=1), 2)
    assert tuple(index for _, index in again) == orders[1, 2]


def test_the_order_does_not_touch_the_global_generator():
    before = torch.random.get_rng_state()
    keys(EpochSampler(50, 5, seed=0))
    torch.testing.assert_close(torch.random.get_rng_state(), before)


def test_what_is_left_out_changes_from_epoch_to_epoch():
    sampler = EpochSampler(11, 5, seed=0)
    taken = {index for epoch in range(1, 20) for _, index in keys(sampler, epoch)}
    assert taken == set(range(11))


@pytest.mark.parametrize(("size", "world"), [(3, 1), (7, 2), (0, 1)])
def test_too_few_items_to_train_are_refused(size, world):
    message = f"{size} items do not fill one batch of 4 on each of {world} processes"
    with pytest.raises(ValueError, match=message):
        EpochSampler(size, 4, seed=0, rank=0, world=world)
    assert len(EpochSampler(size, 4, 0, False, 0, world)) == -(-size // world)


def test_rank_and_number_are_those_of_the_running_processes(tmp_path):
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1
    )
    try:
        sampler = EpochSampler(8, 4, seed=0)
    finally:
        distributed.destroy_process_group()
    assert (sampler.rank, sampler.world) == (0, 1)


def test_rank_and_number_are_asked_of_torch(monkeypatch):
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    expected = keys(EpochSampler(8, 2, seed=0, rank=1, world=2))
    assert keys(EpochSampler(8, 2, seed=0)) == expected


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("size", [0, -1, None, 1.5])
def test_a_batch_of_no_items_is_refused(size, train):
    with pytest.raises(
        ValueError, match=f"batch_size: expected 1 at least, got {size}"
    ):
        EpochSampler(8, size, 0, train)


class Named(EpochItems):
    """Items that are called as they are asked for."""

    size = 4

    def _made(self, epoch: int, index: int) -> Example:
        return Example(f"{epoch} {index}", {"mixture": torch.ones(1, 2)})


WITHOUT = r"Named: expected a key \(epoch, index\), got .*EpochSampler.*Batch\.collate"


def test_items_go_by_epoch_and_index():
    sampler = EpochSampler(4, 2, seed=0, train=False)
    how = {"sampler": sampler, "collate_fn": Batch.collate}
    batches = DataLoader(Named(), batch_size=2, **how)
    assert [batch.ids for batch in batches] == [["1 0", "1 1"], ["1 2", "1 3"]]
    for key in (3, "13", (1, 2, 3)):
        with pytest.raises(TypeError, match=WITHOUT):
            Named()[key]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_without_a_sampler_is_told_of_one(workers):
    with pytest.raises(TypeError, match=WITHOUT):
        next(iter(DataLoader(Named(), batch_size=2, num_workers=workers)))
