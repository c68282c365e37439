"""Samplers that deal items out themselves, in a Brain of the user's own."""

import pytest
import torch
from speechbrain.dataio.dataloader import LoopedLoader
from torch.utils.data import BatchSampler, DataLoader, Dataset

from speechbrain_fusion.brains import GradientModulationBrain
from speechbrain_fusion.data import Batch, EpochSampler, Example
from speechbrain_fusion.data.batching import DynamicBatches
from tests.brains.common import ON_CPU
from tests.ranks import run_ranks

SIZE = 8


class Numbered(Dataset):
    """Items that are called as they are asked for."""

    def __len__(self):
        return SIZE

    def __getitem__(self, key):
        epoch, index = key
        return Example(f"{epoch} {index}", {"mixture": torch.ones(1, 2)})


class Own(GradientModulationBrain):
    """Keeps which items it was trained on, by epoch."""

    def compute_forward(self, batch, stage):
        self.heard[-1] += batch.ids
        return self.modules.net(batch["mixture"])

    def compute_objectives(self, predictions, batch, stage):
        return {"main": predictions.square().mean()}

    def on_stage_start(self, stage, epoch=None):
        self.heard = [*getattr(self, "heard", []), []]


def train(dataset, options=None, **loader):
    brain = Own(
        {"net": torch.nn.Linear(2, 1)},
        lambda parameters: torch.optim.SGD(parameters, lr=0.01),
        {"gradient_modulation": {"main": "main"}},
        {**ON_CPU, **(options or {})},
    )
    brain.fit(range(1, 3), dataset, train_loader_kwargs=loader)
    return brain.heard


def orders(heard):
    """Tell the orders of two epochs from what was heard of all items."""
    found = []
    for epoch, names in enumerate(heard, 1):
        keys = [tuple(map(int, name.split())) for name in names]
        assert sorted(keys) == [(epoch, index) for index in range(SIZE)]
        found.append([index for _, index in keys])
    return found


def epochs(**how):
    return EpochSampler(SIZE, 2, seed=0, **how)


def dynamic():
    return DynamicBatches(lambda key: 1.0, SIZE, 2.0, seed=0)


LOADERS = {
    "sampler": lambda: {"sampler": epochs(), "batch_size": 2},
    "batches of a sampler": lambda: {"batch_sampler": BatchSampler(epochs(), 2, True)},
    "batch sampler": lambda: {"batch_sampler": dynamic()},
}


@pytest.mark.parametrize("ready", [False, True, "looped"])
@pytest.mark.parametrize("name", LOADERS)
def test_each_epoch_has_its_own_items_in_its_own_order(name, ready):
    how = {**LOADERS[name](), "collate_fn": Batch.collate}
    if ready:
        loader = DataLoader(Numbered(), **how)
        heard = train(LoopedLoader(loader, 4) if ready == "looped" else loader)
    else:
        heard = train(Numbered(), **how)
    first, second = orders(heard)
    assert first != second


def test_other_samplers_are_upstreams():
    keys = [(1, 3), (1, 5)]
    how = {"sampler": keys, "collate_fn": Batch.collate}
    assert train(Numbered(), **how) == [["1 3", "1 5"]] * 2


RANKS = """
import pytest, torch
from speechbrain.utils.distributed import ddp_init_group
from speechbrain.utils.run_opts import RunOptions
from torch.utils.data import DataLoader
from tests.brains.test_kept_sampler import *

ddp_init_group(RunOptions(distributed_backend="gloo", device="cpu"))
options = dict(distributed_launch=True, distributed_backend="gloo")
collate = {"collate_fn": Batch.collate}
for how in LOADERS.values():
    ready = DataLoader(Numbered(), **how(), **collate)
    for heard in train(Numbered(), options, **how(), **collate), train(ready, options):
        everyone = [None, None]
        torch.distributed.all_gather_object(everyone, heard)
        first, second = orders([a + b for a, b in zip(*everyone)])
        assert first != second and len(heard[0]) == SIZE // 2

with pytest.raises(ValueError, match="expected one of 2 processes, got one of 1"):
    train(Numbered(), options, sampler=epochs(rank=0, world=1), **collate)
"""


@pytest.mark.slow
def test_two_processes_hear_every_item_once(tmp_path):
    run_ranks(RANKS, tmp_path)
