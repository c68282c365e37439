"""What users of upstream's Brain take for granted, and what must not pass silently."""

import functools
import logging
import math

import pytest
import speechbrain as sb
import torch
from torch import nn

from tests.brains import multitask, processes
from tests.brains.common import parameters
from tests.brains.multitask import (
    Training,
    batches,
    changed,
    make_brain,
    make_data,
    make_modules,
)

NONE = {"granularity": "none"}


class Plain(sb.Brain):
    """The same tasks with upstream's own loop."""

    compute_forward = multitask.Tasks.compute_forward

    def compute_objectives(self, predictions, batch, stage):
        losses = multitask.Tasks.compute_objectives(self, predictions, batch, stage)
        return losses["speech"] + 3.0 * losses["music"]


def train_both(ours=multitask.Tasks, theirs=Plain, options=None, prepare=None, **how):
    """Train without modulation and with upstream's Brain, and compare."""
    brains = []
    for kind, modulation in ((ours, NONE), (theirs, None)):
        brain = make_brain(modulation, options, kind, **how)
        if prepare:
            prepare(brain)
        brain.fit(range(2), batches(make_data(24), 4))
        brains.append(brain)
    torch.testing.assert_close(*map(parameters, brains), rtol=0, atol=1e-12)
    return brains


# -- hooks, layouts ----------------------------------------------------------------


def test_hooks_on_latents_and_parameters_act_once():
    def hooked(kind):
        class Hooked(kind):
            def compute_forward(self, batch, stage):
                latent = self.modules.mixer(self.modules.encoder(batch[:, :4]))
                if latent.requires_grad:
                    latent.register_hook(lambda gradient: 0.5 * gradient)
                return self.modules.speech(latent), self.modules.music(latent)

        return Hooked

    def prepare(brain):
        weight = brain.modules.mixer[0].weight
        weight.register_hook(lambda gradient: 0.5 * gradient)

    train_both(hooked(multitask.Tasks), hooked(Plain), prepare=prepare)


class Images(multitask.Tasks):
    """Convolutions whose parameters lie in memory channel by channel."""

    def compute_forward(self, batch, stage):
        images = batch[:, :8].float().view(-1, 2, 2, 2)
        images = images.to(memory_format=torch.channels_last)
        latent = self.modules.encoder(images).flatten(1)
        return self.modules.speech(latent), self.modules.music(latent)


class PlainImages(Plain):
    """The same with upstream's own loop."""

    compute_forward = Images.compute_forward


def test_gradients_lie_in_memory_as_parameters_do():
    def modules():
        torch.manual_seed(0)
        encoder = nn.Conv2d(2, 3, 3, padding=1).to(memory_format=torch.channels_last)
        parts = {"encoder": encoder, "mixer": nn.Linear(1, 1)}
        return {**parts, "speech": nn.Linear(12, 2), "music": nn.Linear(12, 3)}

    found = []
    for kind, more in ((Images, {**NONE, "shared": ["encoder"]}), (PlainImages, None)):
        brain = make_brain(
            more,
            kind=kind,
            modules=modules(),
            optimizer=functools.partial(torch.optim.Adam, fused=True),
        )
        brain.fit(range(3), batches(make_data(24), 12))
        found.append(parameters(brain))
    torch.testing.assert_close(*found, rtol=0, atol=1e-6)


# -- what the loop reports ----------------------------------------------------------


def test_the_loop_reports_and_calls_as_upstreams():
    calls = {}

    def spying(kind):
        class Spying(kind):
            def on_fit_batch_start(self, batch, should_step):
                self.calls.append(("start", should_step, 0.0))

            def on_fit_batch_end(self, batch, outputs, loss, should_step):
                loss = float(loss.detach())
                self.calls.append(("end", len(outputs), should_step, loss))

            def on_stage_end(self, stage, stage_loss, epoch):
                self.calls.append((stage.name, epoch, float(stage_loss)))

        return Spying

    def prepare(brain):
        brain.calls = calls.setdefault(type(brain).__mro__[1], [])

    options = {"grad_accumulation_factor": 2}
    train_both(spying(multitask.Tasks), spying(Plain), options, prepare)
    ours, theirs = calls.values()
    assert len(ours) == len(theirs) == 2 * (2 * 6 + 1)
    assert [our[:-1] for our in ours] == [their[:-1] for their in theirs]
    losses = [[call[-1] for call in calls] for calls in (ours, theirs)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


def test_what_a_frozen_optimizer_holds_does_not_stop_the_others():
    class Frozen(multitask.Tasks):
        def init_optimizers(self):
            names = ("music", "encoder", "mixer", "speech")
            self.optimizers_dict = {
                name: self.opt_class(self.modules[name].parameters()) for name in names
            }

        def freeze_optimizers(self, optimizers):
            return {name: x for name, x in optimizers.items() if name != "music"}

    brain = make_brain(kind=Frozen)
    brain.modules.music.bias.register_hook(lambda gradient: gradient * math.nan)
    before = brain.modules.speech.weight.detach().clone()
    brain.fit(range(1), batches(make_data(12), 4))
    assert not torch.equal(brain.modules.speech.weight, before)
    assert brain.modules.speech.weight.isfinite().all()


def test_an_optimizer_may_be_made_by_hand():
    def handmade(kind):
        class Handmade(kind):
            def init_optimizers(self):
                self.optimizer = self.opt_class(self.modules.parameters())
                self.optimizers_dict = {"all": self.optimizer}

        return Handmade

    train_both(handmade(multitask.Tasks), handmade(Plain))


def test_parameters_in_bfloat16_stay_so():
    class Half(multitask.Tasks):
        def compute_forward(self, batch, stage):
            return super().compute_forward(batch.bfloat16(), stage)

        def compute_objectives(self, predictions, batch, stage):
            return super().compute_objectives(predictions, batch.bfloat16(), stage)

    modules = {name: part.bfloat16() for name, part in make_modules().items()}
    brain = make_brain(kind=Half, modules=modules)
    before = parameters(brain)
    brain.fit(range(1), batches(make_data(12), 4))
    assert parameters(brain).dtype == torch.bfloat16
    assert not torch.equal(parameters(brain), before)


# -- projection in a run ------------------------------------------------------------


def test_a_conflicting_step_is_not_twice_the_main_gradient():
    """The published code: a gradient kept by reference is overwritten by the next."""
    data, found = make_data(12), {}
    for name, weight in (("both", 3.0), ("main", 0.0)):
        modulation = {"weights": {"music": weight}, "granularity": "global"}
        brain = make_brain(modulation, {"max_grad_norm": -1.0}, rate=1.0)
        before = [p.detach().clone() for p in brain.modules.encoder.parameters()]
        brain.fit(range(1), batches(data, 12))
        after = brain.modules.encoder.parameters()
        found[name] = torch.cat(
            [(x - y).flatten() for x, y in zip(before, after, strict=True)]
        )
    step, main = found["both"].detach(), found["main"].detach()
    assert (step - 2 * main).norm() > 0.1 * main.norm()
    # the main task still gets what it asks for: nothing is taken from it
    assert step @ main > 0.5 * main @ main


class Three(multitask.Tasks):
    """A third loss, in conflict with both others."""

    def compute_objectives(self, predictions, batch, stage):
        losses = super().compute_objectives(predictions, batch, stage)
        losses["silence"] = -0.5 * losses["speech"] - 0.2 * losses["music"]
        turned = torch.distributed.is_initialized() and self.rank % 2
        return dict(reversed(losses.items())) if turned else losses


def test_the_order_of_projections_is_drawn_anew_in_each_step(monkeypatch):
    seen = []

    def keep(*arguments, **options):
        seen.append(arguments[5].initial_seed())
        return modulate(*arguments, **options)

    module = "speechbrain_fusion.brains.gradient_modulation.modulate_gradients"
    from speechbrain_fusion.brains import modulate_gradients as modulate

    monkeypatch.setattr(module, keep)
    brain = make_brain({"symmetric": True}, kind=Three)
    brain.fit(range(1), batches(make_data(24), 4))
    assert len(set(seen)) == 6


@pytest.mark.slow
@pytest.mark.parametrize("symmetric", [False, True])
def test_processes_project_many_losses_as_one(tmp_path, symmetric):
    how = {"kind": Three, "modulation": {"symmetric": symmetric}}
    many = Training(tmp_path / "many", 4, **how)
    one = Training(tmp_path / "one", 8, **how)
    assert processes.run_processes(many, 2)
    assert processes.run_processes(one)
    (alone,) = processes.load_ranks(one.folder)
    for left in processes.load_ranks(many.folder, 2):
        assert left["conflicts"] == alone["conflicts"] > 0
        torch.testing.assert_close(
            left["parameters"], alone["parameters"], rtol=0, atol=1e-10
        )


def test_tied_weights_may_be_shared_by_two_names():
    modules = make_modules()
    modules["mixer"] = nn.Sequential(nn.Linear(6, 5), nn.Tanh()).double()
    shared = ["encoder", "encoder.0", "mixer"]
    brain = make_brain({"shared": shared}, modules=modules)
    brain.fit(range(1), batches(make_data(12), 4))
    assert brain.gradient_statistics.groups[0] == "encoder.0.weight"


def test_a_step_without_an_auxiliary_gradient_is_no_conflict():
    brain = make_brain(
        kind=changed(
            lambda losses, step: (
                losses if step > 3 else {**losses, "music": torch.zeros(())}
            )
        )
    )
    brain.fit(range(1), batches(make_data(24), 4))
    with_both = [float(x.conflict_rate) for x in brain.seen[3:]]
    means = brain.gradient_figures()
    assert means["conflict_music"] == pytest.approx(sum(with_both) / 3)


def test_a_run_of_a_plain_brain_goes_on_modulated(tmp_path, caplog):
    how = {"folder": tmp_path, "epochs": 2}
    plain = make_brain(kind=Plain, **how)
    fit = {"train_loader_kwargs": {"batch_size": 6}}
    plain.fit(plain.hparams.counter, make_data(), **fit)
    plain.checkpointer.save_checkpoint()
    with caplog.at_level(logging.WARNING):
        brain = make_brain(folder=tmp_path, epochs=3)
        brain.fit(brain.hparams.counter, make_data(), **fit)
    assert brain.optimizer_step == plain.optimizer_step + 8
    assert len(brain.gradient_log.curve()) == 8


# -- processes -----------------------------------------------------------------------


class Alone(multitask.Tasks):
    """The first process has a loss that the others do not name."""

    def compute_objectives(self, predictions, batch, stage):
        losses = super().compute_objectives(predictions, batch, stage)
        if self.rank == 0:
            losses["silence"] = -losses["music"]
        return losses


@pytest.mark.slow
def test_a_loss_that_one_process_does_not_name_is_refused(tmp_path):
    run = Training(tmp_path / "run", 4, kind=Alone)
    message = "expected the same losses in every batch and process"
    with pytest.raises(AssertionError, match=message):
        processes.run_processes(run, 2)


class Validating(multitask.Tasks):
    """Keeps the buffer that a validation begins with."""

    def evaluate_batch(self, batch, stage):
        encoder = self.modules.encoder.module
        loss = super().evaluate_batch(batch, stage)
        # the forward added one and this process's number
        self.seen_in_validation = float(encoder.drift) - 1 - self.rank
        return loss

    def fit(self, counter, data):
        super().fit(counter, data, batches(make_data(4), 4))
        self.modules.encoder.module.drift.fill_(self.seen_in_validation)


@pytest.mark.slow
def test_all_processes_validate_with_the_first_ones_buffers(tmp_path):
    from tests.brains.test_gradient_modulation_runs import drifting_modules

    run = Training(tmp_path / "run", 4, make=drifting_modules, kind=Validating)
    assert processes.run_processes(run, 2)
    ranks = processes.load_ranks(run.folder, 2)
    assert torch.equal(ranks[0]["buffers"], ranks[1]["buffers"])


@pytest.mark.slow
def test_patience_is_lost_on_all_processes_together(tmp_path):
    options = {"nonfinite_patience": 0}
    run = Training(tmp_path / "run", 4, options, spoil=(1, 2, math.nan))
    with pytest.raises(AssertionError) as caught:
        processes.run_processes(run, 2)
    logs = [path.read_text() for path in sorted(run.folder.glob("log*.txt"))]
    assert len(logs) == 2
    assert "patience is exhausted" in str(caught.value)
