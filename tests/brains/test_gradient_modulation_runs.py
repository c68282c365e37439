"""Whole runs with modulated gradients: what upstream's loop offers goes on working."""

import functools
import math
import os

import pytest
import torch
from torch import nn

from tests.brains import multitask, processes
from tests.brains.common import Killed, die_at, parameters
from tests.brains.multitask import Training, batches, make_brain, make_data


class Three(multitask.Tasks):
    """A third loss, in conflict with both others."""

    def compute_objectives(self, predictions, batch, stage):
        losses = super().compute_objectives(predictions, batch, stage)
        return {**losses, "silence": -0.5 * sum(losses.values())}


def test_projections_of_many_losses_repeat_themselves():
    def train(seed):
        brain = make_brain({"symmetric": True}, kind=Three)
        torch.manual_seed(seed)
        brain.fit(range(2), batches(make_data(), 6))
        assert brain.gradient_statistics.cosine.shape == (4, 2)
        return parameters(brain)

    assert torch.equal(train(0), train(1))


class Pulling(multitask.Tasks):
    """Four losses in conflict with each other, whose gradients never change."""

    def compute_objectives(self, predictions, batch, stage):
        directions = torch.diag(torch.tensor([6.0, 5.0, 4.0, 3.0])) - 1
        pulled = directions.double() @ self.modules.encoder[0].weight[0]
        return dict(zip(("speech", "music", "rain", "wind"), pulled, strict=True))


def updates(steps, seed=0, **options):
    """Return what each step adds to the parameters."""
    settings = {"symmetric": True, "shared": ["encoder"], "weights": {}}
    brain = make_brain(settings, kind=Pulling, **options)
    found, step = [], brain.optimizers_step

    def step_and_note():
        before = parameters(brain)
        step()
        found.append(parameters(brain) - before)

    brain.optimizers_step = step_and_note
    torch.manual_seed(seed)
    brain.fit(brain.hparams.counter, batches(make_data(2 * steps), 2))
    if brain.checkpointer is not None:
        brain.checkpointer.save_checkpoint()
    return torch.stack(found)


def test_the_order_of_projections_differs_from_step_to_step_but_not_between_runs():
    first, second = (updates(4, seed, epochs=1) for seed in (0, 1))
    assert torch.equal(first, second)
    for number, one in enumerate(first):
        assert not any(torch.allclose(one, other) for other in first[:number])


def test_the_order_of_projections_goes_on_after_a_restart(tmp_path):
    whole = updates(3, epochs=2)
    begun, resumed = (
        updates(3, seed, folder=tmp_path, epochs=epochs)
        for seed, epochs in ((1, 1), (2, 2))
    )
    torch.testing.assert_close(torch.cat([begun, resumed]), whole)


# -- accumulation, checkpoints ---------------------------------------------------


@pytest.mark.parametrize("granularity", ["tensor", "none"])
def test_accumulated_batches_equal_one_large_batch(granularity):
    many = make_brain({"granularity": granularity}, {"grad_accumulation_factor": 3})
    one = make_brain({"granularity": granularity})
    many.fit(range(2), batches(make_data(), 4))
    one.fit(range(2), batches(make_data(), 12))
    assert many.optimizer_step == one.optimizer_step == 8
    torch.testing.assert_close(parameters(many), parameters(one), rtol=0, atol=1e-12)
    for ours, theirs in zip(many.seen, one.seen, strict=True):
        torch.testing.assert_close(ours.norm, theirs.norm)
        torch.testing.assert_close(ours.modulated_norm, theirs.modulated_norm)


def test_a_dropped_tail_does_not_leak_into_the_next_epoch():
    options = {"grad_accumulation_factor": 2}
    brains = make_brain(None, options), make_brain(None, options)
    brains[0].fit(range(3), batches(make_data(20), 4))
    brains[1].fit(range(3), batches(make_data(16), 4))
    assert torch.equal(parameters(brains[0]), parameters(brains[1]))


@pytest.mark.slow
@pytest.mark.parametrize("interval", [1, 3, 5])
@pytest.mark.parametrize("after", [9, 11, 17])
def test_resuming_in_the_middle_of_a_window_changes_nothing(tmp_path, interval, after):
    options = {"grad_accumulation_factor": 4, "ckpt_interval_steps": interval}
    train = {"train_loader_kwargs": {"batch_size": 3}}
    make = functools.partial(make_brain, None, options, optimizer=torch.optim.Adam)
    data = make_data()
    whole = make(folder=tmp_path / "whole")
    whole.fit(whole.hparams.counter, data, **train)
    broken = make(folder=tmp_path / "broken")
    die_at(broken, "fit_batch", after + 1)
    with pytest.raises(Killed):
        broken.fit(broken.hparams.counter, data, **train)
    resumed = make(folder=tmp_path / "broken")
    resumed.fit(resumed.hparams.counter, data, **train)
    assert whole.optimizer_step == resumed.optimizer_step == 8
    # not from the beginning
    assert len(resumed.seen) < 8
    assert torch.equal(parameters(whole), parameters(resumed))


# -- processes ---------------------------------------------------------------------


def assert_trained_as_one(many, world, one):
    assert processes.run_processes(many, world)
    assert processes.run_processes(one)
    ranks, (alone,) = (
        processes.load_ranks(many.folder, world),
        processes.load_ranks(one.folder),
    )
    assert all(torch.equal(ranks[0]["parameters"], x["parameters"]) for x in ranks)
    assert ranks[0]["conflicts"] == alone["conflicts"] > 0
    assert ranks[0]["steps"] == alone["steps"]
    for key in ("parameters", "cosine"):
        torch.testing.assert_close(ranks[0][key], alone[key], rtol=0, atol=1e-10)
    return ranks, alone


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("factor", [1, 2])
def test_processes_train_as_one_with_the_large_batch(tmp_path, world, factor):
    many = Training(tmp_path / "many", 4, {"grad_accumulation_factor": factor})
    one = Training(tmp_path / "one", 4 * world * factor)
    assert_trained_as_one(many, world, one)


@pytest.mark.slow
@pytest.mark.parametrize("granularity", ["module", "global", "none"])
def test_processes_train_as_one_at_any_granularity(tmp_path, granularity):
    options = {"modulation": {"granularity": granularity}}
    accumulated = {"grad_accumulation_factor": 2}
    many = Training(tmp_path / "many", 4, accumulated, **options)
    one = Training(tmp_path / "one", 16, **options)
    assert_trained_as_one(many, 2, one)


class Drifting(nn.Linear):
    """A layer with a buffer that drifts differently in each process."""

    def __init__(self) -> None:
        super().__init__(4, 6)
        self.register_buffer("drift", torch.zeros(1))
        # what no loss reaches is left as it is, weight decay or not
        self.idle = nn.Parameter(torch.ones(2))

    def forward(self, signal):
        self.drift.add_(1 + int(os.environ["RANK"]))
        return super().forward(signal)


def drifting_modules():
    modules = multitask.make_modules()
    modules["encoder"] = Drifting().double()
    return modules


@pytest.mark.slow
@pytest.mark.parametrize("find_unused", [False, True])
def test_buffers_come_from_the_first_process_and_idle_parameters_stay(
    tmp_path, find_unused
):
    optimizer = functools.partial(torch.optim.AdamW, weight_decay=0.1)
    options = {"find_unused_parameters": find_unused}
    run = Training(
        tmp_path / "run", 4, options, optimizer=optimizer, make=drifting_modules
    )
    assert processes.run_processes(run, 2)
    ranks = processes.load_ranks(run.folder, 2)
    assert torch.equal(ranks[0]["parameters"], ranks[1]["parameters"])
    assert (ranks[0]["parameters"] == 1).sum() == 2
    # every step begins with the first one's
    assert ranks[0]["steps"] == 12
    assert [float(left["buffers"][-1]) for left in ranks] == [12, 13]


@pytest.mark.slow
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("factor", [1, 2])
def test_a_bad_batch_of_one_process_leaves_all_the_same_and_finite(
    tmp_path, value, factor
):
    options = {"grad_accumulation_factor": factor}
    run = Training(tmp_path / "run", 4, options, spoil=(1, 2, value))
    assert processes.run_processes(run, 2)
    ranks = processes.load_ranks(run.folder, 2)
    assert torch.equal(ranks[0]["parameters"], ranks[1]["parameters"])
    assert ranks[0]["parameters"].isfinite().all()
    untrained = parameters(make_brain())
    assert not torch.equal(ranks[0]["parameters"], untrained)


class ByChance(multitask.Tasks):
    """The auxiliary loss exists on the first process only."""

    def compute_objectives(self, predictions, batch, stage):
        losses = super().compute_objectives(predictions, batch, stage)
        if self.distributed_launch and self.rank > 0:
            losses["music"] = torch.zeros(())
        return losses


class Halved(multitask.Tasks):
    """The auxiliary loss of the first half of each batch, over all of it."""

    def compute_objectives(self, predictions, batch, stage):
        losses = super().compute_objectives(predictions, batch, stage)
        half = len(batch) // 2
        of_half = super().compute_objectives(
            tuple(x[:half] for x in predictions), batch[:half], stage
        )
        return {**losses, "music": of_half["music"] / 2}


@pytest.mark.slow
def test_a_loss_that_one_process_lacks_counts_as_zero(tmp_path):
    many = Training(tmp_path / "many", 4, kind=ByChance)
    assert_trained_as_one(many, 2, Training(tmp_path / "one", 8, kind=Halved))


# -- what is not finite, clipping --------------------------------------------------


def spoiled(number, value=math.nan):
    data = make_data(24)
    data[4 * number, 0] = value
    return batches(data, 4)


def test_a_step_that_is_not_finite_is_left_out():
    brain = make_brain(optimizer=torch.optim.Adam)
    brain.fit(range(1), spoiled(2))
    clean = make_brain(optimizer=torch.optim.Adam)
    kept = [x for i, x in enumerate(make_data(24).split(4)) if i != 2]
    clean.fit(range(1), torch.utils.data.DataLoader(kept, batch_size=None))
    assert torch.equal(parameters(brain), parameters(clean))


def test_losses_that_are_not_finite_exhaust_patience():
    brain = make_brain(None, {"nonfinite_patience": 1})
    data = make_data(24)
    data[4:12, 0] = math.nan
    with pytest.raises(ValueError, match="patience is exhausted"):
        brain.fit(range(1), batches(data, 4))
    assert parameters(brain).isfinite().all()


def two_groups(parameters, lr):
    first, *rest = parameters
    return torch.optim.SGD([{"params": [first]}, {"params": rest}], lr=lr)


def step_length(limit, optimizer=torch.optim.SGD, scaler=None):
    brain = make_brain(None, {"max_grad_norm": limit}, optimizer=optimizer, rate=1.0)
    if scaler is not None:
        brain.scaler = scaler
    before = parameters(brain)
    brain.fit(range(1), batches(make_data(12), 12))
    assert brain.max_grad_norm == limit
    return before - parameters(brain)


def test_clipping_covers_all_parameter_groups():
    free = step_length(1e6)
    for limit in (0.5, 0.01):
        clipped = step_length(limit, two_groups)
        assert clipped.norm() == pytest.approx(limit, rel=1e-4)
        cosine = torch.cosine_similarity(clipped, free, dim=0)
        assert cosine == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("limit", [-1.0, -5.0])
def test_a_negative_norm_disables_clipping(limit):
    assert torch.equal(step_length(limit, two_groups), step_length(1e6, two_groups))


@pytest.mark.parametrize("limit", [0.05, 5.0, -1.0])
def test_the_scaler_changes_nothing(limit):
    scaler = torch.GradScaler("cpu", init_scale=2.0**12)
    scaled = step_length(limit, two_groups, scaler)
    plain = step_length(limit, two_groups)
    torch.testing.assert_close(scaled, plain, rtol=1e-6, atol=0)


def test_the_scaler_leaves_out_what_is_not_finite():
    brain = make_brain()
    brain.scaler = torch.GradScaler("cpu", init_scale=2.0**12)
    brain.fit(range(1), spoiled(2, math.inf))
    assert parameters(brain).isfinite().all()
    assert brain.scaler.get_scale() == 2.0**11
    assert brain.gradient_statistics.norm.isfinite().all()
    plain = make_brain()
    plain.fit(range(1), spoiled(2, math.inf))
    torch.testing.assert_close(
        brain.gradient_statistics.norm, plain.gradient_statistics.norm
    )


# -- compilation ------------------------------------------------------------------


@pytest.fixture
def _donating():
    """Let compiled backward passes overwrite their buffers, as they do by default."""
    # not monkeypatch, which deletes what it set in a module of this kind
    with torch._functorch.config.patch(donated_buffer=True):
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("_donating")
def test_compiled_modules_train_alike():
    def modules():
        made = multitask.make_modules()
        mixer = [nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh()]
        return {**made, "mixer": nn.Sequential(*mixer).double()}

    # one module: compiling takes long
    compiled = {"compile_module_keys": ["mixer"], "compile": True}
    brains = [
        make_brain(None, {**options, "grad_accumulation_factor": 2}, modules=modules())
        for options in ({}, compiled)
    ]
    for brain in brains:
        brain.fit(range(2), batches(make_data(16), 4))
    assert hasattr(brains[1].modules.mixer, "_orig_mod")
    # or a second backward pass may find its buffers overwritten
    assert not torch._functorch.config.donated_buffer
    torch.testing.assert_close(
        parameters(brains[1]), parameters(brains[0]), rtol=0, atol=1e-12
    )


def test_jit_modules_train_alike():
    brains = [make_brain(None, {"jit": jit}) for jit in (False, True)]
    for brain in brains:
        brain.fit(range(2), batches(make_data(16), 4))
    torch.testing.assert_close(
        parameters(brains[1]), parameters(brains[0]), rtol=0, atol=1e-12
    )
