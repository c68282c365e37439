"""Batches of like length, the same for any number of processes and restarts."""

from itertools import chain

import pytest
import speechbrain as sb
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from speechbrain.dataio.dataloader import SaveableDataLoader
from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.epoch_loop import EpochCounter
from torch import distributed
from torch.utils.data import Dataset

from speechbrain_fusion.brains.loaders import loader_options
from speechbrain_fusion.data import Batch, DynamicMixtures
from speechbrain_fusion.data.batching import DynamicBatches, cut_batches
from speechbrain_fusion.data.sampler import EpochSampler

LENGTHS = st.lists(st.floats(0.1, 20), min_size=5, max_size=80)


class Items(Dataset):
    """Items (epoch, index) of 1 to 16 s, of other lengths in every epoch."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.asked: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: tuple[int, int]) -> tuple[int, int]:
        return key

    def seconds(self, key: tuple[int, int]) -> float:
        self.asked.append(key)
        generator = torch.Generator().manual_seed(1000 * key[0] + key[1])
        return float(1 + 15 * torch.rand((), generator=generator))

    def batches(self, limit: float = 40.0, seed: int = 0, **options) -> DynamicBatches:
        return DynamicBatches(self.seconds, self.size, limit, seed, **options)


def keys(batches: DynamicBatches, epoch: int = 1) -> list[list[tuple[int, int]]]:
    batches.set_epoch(epoch)
    return list(batches)


def padding(items: Items, batches: list[list[tuple[int, int]]]) -> float:
    """Share of the batches' samples that is padding."""
    lengths = [[items.seconds(key) for key in batch] for batch in batches]
    return 1 - sum(map(sum, lengths)) / sum(len(x) * max(x) for x in lengths)


# -- a batch -------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    LENGTHS,
    st.floats(0.05, 100),
    st.one_of(st.none(), st.integers(1, 9)),
    st.integers(0, 2**31),
    st.integers(1, 500),
)
def test_bounds_are_kept_and_each_item_comes_once(lengths, limit, most, seed, epoch):
    sampler = DynamicBatches(
        lambda key: lengths[key[1]], len(lengths), limit, seed, most
    )
    batches = keys(sampler, epoch)
    for batch in batches:
        longest = max(lengths[index] for _, index in batch)
        assert len(batch) == 1 or len(batch) * longest <= limit
        assert len(batch) <= (most or len(lengths))
    expected = [(epoch, index) for index in range(len(lengths))]
    assert sorted(chain.from_iterable(batches)) == expected
    assert len(sampler) == len(batches)


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.floats(0.05, 100), st.one_of(st.none(), st.integers(1, 9)))
def test_no_batch_has_room_for_the_next_item(lengths, limit, most):
    sizes = cut_batches(lengths, limit, most)
    assert sum(sizes) == len(lengths)
    start = 0
    for size in sizes[:-1]:
        wider = lengths[start : start + size + 1]
        full = size == (most or len(lengths) + 1)
        assert full or len(wider) * max(wider) > limit
        start += size


def test_padding_falls_to_a_fifth_of_that_of_random_batches():
    items = Items(1000)
    batches = list(items.batches())
    size = round(len(items) / len(batches))
    plain = list(EpochSampler(len(items), size, seed=0))
    chance = [plain[at : at + size] for at in range(0, len(plain), size)]
    assert padding(items, batches) < 0.2 * padding(items, chance)
    assert padding(items, batches) < 0.05


def test_items_of_one_length_fill_every_batch_but_the_last():
    batches = list(DynamicBatches(lambda key: 4.0, 26, 32.0, seed=0))
    assert sorted(map(len, batches)) == [2, 8, 8, 8]


@pytest.mark.slow
def test_a_batch_of_mixtures_has_no_more_samples_than_its_bound(manifests):
    mixtures = DynamicMixtures(*manifests, 8000, size=12, speeds=(80, 100, 125))
    batches = DynamicBatches(mixtures.seconds, len(mixtures), 6.0, seed=0)
    loader = SaveableDataLoader(
        mixtures, batch_sampler=batches, collate_fn=Batch.collate
    )
    sizes = [len(batch) for batch in loader]
    assert sum(sizes) == 12
    assert max(sizes) > 1
    for batch in loader:
        # lengths are told to a sample
        assert len(batch) * (batch["mixture"].shape[-1] - 1) <= 6.0 * 8000


# -- an epoch ------------------------------------------------------------------------


@pytest.mark.parametrize("world", [2, 3, 4])
@pytest.mark.parametrize("epoch", [1, 2, 7])
def test_processes_take_turns_at_the_batches_of_one(world, epoch):
    alone = keys(Items(150).batches(seed=5), epoch)
    ranks = [
        Items(150).batches(seed=5, rank=rank, world=world) for rank in range(world)
    ]
    parts = [keys(batches, epoch) for batches in ranks]
    assert {len(part) for part in parts} == {len(alone) // world}
    assert {len(batches) for batches in ranks} == {len(alone) // world}
    together = [*chain.from_iterable(zip(*parts, strict=True))]
    assert together == alone[: len(alone) // world * world]


def test_the_length_is_that_of_the_current_epoch():
    batches, lengths = Items(150).batches(), set()
    for epoch in range(1, 9):
        batches.set_epoch(epoch)
        lengths.add(len(batches))
        assert len(batches) == len(list(batches))
    assert len(lengths) > 1


def test_batches_come_in_random_order_of_length():
    items = Items(600)
    longest = [max(map(items.seconds, batch)) for batch in items.batches()]
    places = torch.arange(float(len(longest)))
    correlation = torch.corrcoef(torch.stack([places, torch.tensor(longest)]))[0, 1]
    assert abs(correlation) < 0.2


def test_fixed_lengths_are_grouped_anew_in_every_epoch():
    items = Items(300)
    batches = DynamicBatches(lambda key: items.seconds((1, key[1])), 300, 40.0, seed=0)
    groups = [
        {frozenset(index for _, index in batch) for batch in keys(batches, epoch)}
        for epoch in (1, 2, 3)
    ]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert len(groups[one] & groups[other]) < 0.1 * len(groups[one])


def test_epochs_and_seeds_differ_and_can_be_had_again():
    orders = {
        (seed, epoch): tuple(map(tuple, keys(Items(50).batches(seed=seed), epoch)))
        for seed in (0, 1, 2)
        for epoch in (1, 2, 3)
    }
    assert len(set(orders.values())) == len(orders)
    batches = Items(50).batches(seed=1)
    for epoch in (3, 2):
        again = tuple(map(tuple, keys(batches, epoch)))
        assert again == orders[1, epoch]


def test_the_order_does_not_touch_the_global_generator():
    before = torch.random.get_rng_state()
    assert len(Items(50).batches()) > 0
    torch.testing.assert_close(torch.random.get_rng_state(), before)


def test_every_length_is_asked_for_once_in_an_epoch():
    items = Items(40)
    batches = items.batches()
    for epoch in (1, 2):
        batches.set_epoch(epoch)
        assert len(list(batches)) == len(batches) == len(list(batches))
    assert items.asked == [(epoch, index) for epoch in (1, 2) for index in range(40)]


def test_rank_and_number_are_asked_of_torch(monkeypatch):
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    assert list(Items(50).batches()) == list(Items(50).batches(rank=1, world=2))


# -- in SpeechBrain ------------------------------------------------------------------


def loader(batches: DynamicBatches, **options) -> SaveableDataLoader:
    return SaveableDataLoader(
        Items(60), batch_sampler=batches, collate_fn=list, **options
    )


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_loader_goes_on_with_the_same_batches(tmp_path, workers):
    expected = keys(Items(60).batches(), epoch=3)
    batches = Items(60).batches()
    batches.set_epoch(3)
    stopped = loader(batches, num_workers=workers)
    iterator = iter(stopped)
    assert [next(iterator) for _ in range(4)] == expected[:4]
    Checkpointer(tmp_path, {"loader": stopped}).save_checkpoint(end_of_epoch=False)

    batches = Items(60).batches()
    resumed = loader(batches, num_workers=workers)
    Checkpointer(tmp_path, {"loader": resumed}).recover_if_possible()
    batches.set_epoch(3)
    assert len(resumed) == len(expected)
    assert list(resumed) == expected[4:]
    batches.set_epoch(4)
    assert list(resumed) == keys(Items(60).batches(), epoch=4)


def test_lasting_workers_get_each_epochs_batches():
    batches = Items(60).batches()
    lasting = loader(batches, num_workers=1, persistent_workers=True)
    for epoch in (1, 2):
        batches.set_epoch(epoch)
        assert list(lasting) == keys(Items(60).batches(), epoch)


class Stop(Exception):
    """A run that ends in the middle of an epoch."""


class Recorder(sb.Brain):
    """Upstream's loop, which notes the batches and may stop before one."""

    def __init__(self, folder, stop: tuple[int, int] | None = None) -> None:
        self.counter = EpochCounter(3)
        checkpointer = Checkpointer(folder, {"counter": self.counter})
        super().__init__(run_opts={"ckpt_interval_steps": 2}, checkpointer=checkpointer)
        self.stop, self.taken = stop, []

    def fit_batch(self, batch):
        if (self.counter.current, self.step) == self.stop:
            raise Stop
        self.taken.append(batch)
        return torch.tensor(1.0)

    def on_stage_end(self, stage, stage_loss, epoch=None):
        self.checkpointer.save_checkpoint()

    def train(self) -> None:
        batches = Items(60).batches()
        train_set = self.make_dataloader(
            Items(60), sb.Stage.TRAIN, batch_sampler=batches, collate_fn=list
        )
        self.train_sampler = batches
        self.fit(self.counter, train_set)


@pytest.mark.slow
def test_a_brain_says_the_epoch_and_shows_its_number_of_steps(tmp_path, monkeypatch):
    bars, bar = [], sb.core.tqdm

    def watch(*args, **options):
        bars.append(bar(*args, **options))
        return bars[-1]

    monkeypatch.setattr(sb.core, "tqdm", watch)
    brain = Recorder(tmp_path)
    brain.train()
    expected = [keys(Items(60).batches(), epoch) for epoch in (1, 2, 3)]
    assert brain.taken == [*chain.from_iterable(expected)]
    assert [bar.total for bar in bars] == [len(batches) for batches in expected]


@pytest.mark.slow
@pytest.mark.parametrize("stop", [(1, 4), (2, 3), (3, 9)])
def test_a_brain_resumes_in_the_middle_of_an_epoch(tmp_path, stop):
    expected = [keys(Items(60).batches(), epoch) for epoch in (1, 2, 3)]
    with pytest.raises(Stop):
        Recorder(tmp_path, stop).train()
    resumed = Recorder(tmp_path)
    resumed.train()
    epoch, step = stop
    # the last checkpoint before the step that was not taken
    saved = (step - 1) // 2 * 2
    rest = [expected[epoch - 1][saved:], *expected[epoch:]]
    assert resumed.taken == [*chain.from_iterable(rest)]


# -- bad input -----------------------------------------------------------------------


def test_items_without_lengths_of_their_own_are_refused():
    with pytest.raises(ValueError, match=r"max_batch_seconds: .*batch_size.* of range"):
        loader_options(range(4), True, 0, {"max_batch_seconds": 2.0})


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_a_bound_that_no_item_keeps_is_refused(limit):
    with pytest.raises(ValueError, match="max_batch_seconds: expected more than 0"):
        Items(5).batches(limit)


def test_a_batch_size_below_one_is_refused():
    with pytest.raises(ValueError, match="max_batch_size: expected 1 at least, got 0"):
        Items(5).batches(max_batch_size=0)


@pytest.mark.parametrize("wrong", [0.0, -2.0, float("nan"), float("inf")])
def test_an_item_without_length_is_named(wrong):
    lengths = [1.0, 2.0, wrong, 1.0]
    batches = DynamicBatches(lambda key: lengths[key[1]], 4, 8.0, seed=0)
    with pytest.raises(ValueError, match=rf"more than 0 for \(1, 2\), got {wrong}"):
        list(batches)


@pytest.mark.parametrize(("size", "world", "made"), [(0, 1, 0), (5, 3, 2), (1, 2, 1)])
def test_too_few_batches_for_the_processes_are_refused(size, world, made):
    batches = DynamicBatches(lambda key: 1.0, size, 4.0, seed=0, rank=0, world=world)
    message = f"{size} items make {made} batches of 4.0 s.* each of {world} processes"
    with pytest.raises(ValueError, match=message):
        len(batches)
