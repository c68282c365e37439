"""Batches: padded with zeros at the end, with relative lengths, from any worker."""

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from speechbrain_fusion.data.batch import Batch, Example
from speechbrain_fusion.data.sampler import EpochSampler

LENGTHS = [5, 8, 1, 8]


def example(number: int, length: int) -> Example:
    generator = torch.Generator().manual_seed(number)
    signals = {
        "mixture": torch.randn(2, length, generator=generator),
        "target": torch.randn(1, length, generator=generator),
    }
    return Example(f"item{number}", signals, {"snr": float(number)})


class Items(Dataset):
    """Examples of different lengths, by key (epoch, index)."""

    def __len__(self) -> int:
        return 11

    def __getitem__(self, key: tuple[int, int]) -> Example:
        epoch, index = key
        return example(100 * epoch + index, 20 + index)


@pytest.fixture
def examples() -> list[Example]:
    return [example(number, length) for number, length in enumerate(LENGTHS)]


@pytest.fixture
def batch(examples) -> Batch:
    return Batch.collate(examples)


def test_signals_are_kept_and_followed_by_zeros(examples, batch):
    assert batch["mixture"].shape == (4, 2, 8)
    assert batch["target"].shape == (4, 1, 8)
    for name, signal in batch.signals.items():
        for item, expected, length in zip(signal, examples, LENGTHS, strict=True):
            torch.testing.assert_close(item[:, :length], expected.signals[name])
            assert not item[:, length:].any()


def test_lengths_are_relative_to_the_longest(batch):
    torch.testing.assert_close(batch.lengths, torch.tensor([0.625, 1.0, 0.125, 1.0]))


@pytest.mark.parametrize("longest", [31999, 64000, 1_000_003])
def test_lengths_give_back_the_samples(longest):
    times = [longest, longest - 1, longest // 3, 1]
    items = [Example("", {"x": torch.zeros(1, time)}) for time in times]
    lengths = Batch.collate(items).lengths
    assert (lengths * longest).round().long().tolist() == times


def test_names_and_facts_stay_in_order(batch):
    assert batch.ids == ["item0", "item1", "item2", "item3"]
    assert [info["snr"] for info in batch.info] == [0.0, 1.0, 2.0, 3.0]
    assert len(batch) == 4


def test_facts_are_each_examples_own():
    first, second = (Example(name, {"x": torch.zeros(1, 1)}) for name in "ab")
    first.info["snr"] = 1.0
    assert second.info == {}


def test_moving_leaves_the_batch_and_moves_every_tensor(batch):
    moved = batch.to("meta")
    assert {s.device.type for s in [*moved.signals.values(), moved.lengths]} == {"meta"}
    assert moved["mixture"].shape == batch["mixture"].shape
    assert (moved.ids, moved.info) == (batch.ids, batch.info)
    assert batch["mixture"].device.type == "cpu"
    same = batch.to(torch.device("cpu"))
    torch.testing.assert_close(same["target"], batch["target"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU to pin for")
def test_pinning_pins_every_tensor(batch):
    pinned = batch.pin_memory()
    assert all(s.is_pinned() for s in [*pinned.signals.values(), pinned.lengths])
    torch.testing.assert_close(pinned.to("cuda")["mixture"].cpu(), batch["mixture"])


@pytest.mark.parametrize("train", [True, False])
def test_workers_give_the_same_batches_as_none(train):
    def batches(workers: int) -> list[Batch]:
        sampler = EpochSampler(len(Items()), 3, 0, train, rank=0, world=1)
        sampler.set_epoch(4)
        loader = DataLoader(
            Items(),
            batch_size=3,
            sampler=sampler,
            num_workers=workers,
            collate_fn=Batch.collate,
        )
        return list(loader)

    alone, helped = batches(0), batches(2)
    assert len(alone) == len(helped) == (3 if train else 4)
    for one, other in zip(alone, helped, strict=True):
        assert (one.ids, one.info) == (other.ids, other.info)
        assert torch.equal(one.lengths, other.lengths)
        assert one.signals.keys() == other.signals.keys()
        assert all(torch.equal(one[name], other[name]) for name in one.signals)
