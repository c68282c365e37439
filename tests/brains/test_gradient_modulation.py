import pytest
import speechbrain as sb
import torch
from torch import nn

from speechbrain_fusion.brains import Checkpointer, EnhancementBrain
from speechbrain_fusion.brains.gradient_modulation import GradientModulationBrain
from speechbrain_fusion.brains.gradient_sums import GradientSums
from speechbrain_fusion.brains.modulation_settings import Modulation
from tests.brains import multitask, toy
from tests.brains.common import parameters
from tests.brains.multitask import batches, make_brain, make_data

SHARED = ("encoder", "mixer")


def task_gradients(brain, data):
    """Gradients of both weighted losses by plain backward passes, by name."""
    found = []
    for weights in ((1.0, 0.0), (0.0, 3.0)):
        modules = {name: brain.modules[name] for name in brain.modules}
        for module in modules.values():
            module.zero_grad()
        outputs = brain.compute_forward(data, sb.Stage.TRAIN)
        losses = brain.compute_objectives(outputs, data, sb.Stage.TRAIN)
        total = weights[0] * losses["speech"] + weights[1] * losses["music"]
        total.backward()
        gradients = {}
        for name, parameter in brain.modules.named_parameters():
            gradient = parameter.grad
            gradients[name] = (
                torch.zeros_like(parameter) if gradient is None else gradient.clone()
            )
        found.append(gradients)
        brain.modules.zero_grad()
    return found


def expected_update(brain, data, group_of):
    """State a step's gradient: the projection of each group of shared parameters."""
    main, other = task_gradients(brain, data)
    update = {name: main[name] + other[name] for name in main}
    groups = {}
    for name in main:
        if name.startswith(SHARED):
            groups.setdefault(group_of(name), []).append(name)
    for names in groups.values():
        normal = torch.cat([main[name].flatten() for name in names])
        vector = torch.cat([other[name].flatten() for name in names])
        if normal @ vector < 0:
            basis, _ = torch.linalg.qr(normal[:, None])
            vector = vector - basis @ (basis.mT @ vector)
        parts = (normal + vector).split([main[name].numel() for name in names])
        for name, part in zip(names, parts, strict=True):
            update[name] = part.view_as(main[name])
    return update


GROUP_OF = {
    "tensor": lambda name: name,
    "module": lambda name: name.split(".")[0],
    "global": lambda name: "all",
}


@pytest.mark.parametrize("granularity", GROUP_OF)
def test_a_step_follows_the_projected_gradient(granularity):
    brain = make_brain({"granularity": granularity}, {"max_grad_norm": -1.0}, rate=1.0)
    data = make_data(12)
    update = expected_update(brain, data, GROUP_OF[granularity])
    before = {n: p.detach().clone() for n, p in brain.modules.named_parameters()}
    brain.fit(range(1), batches(data, 12))
    assert brain.gradient_statistics.conflict.any()
    for name, parameter in brain.modules.named_parameters():
        torch.testing.assert_close(
            before[name] - parameter, update[name], rtol=0, atol=1e-14
        )


class Plain(sb.Brain):
    """The same tasks with upstream's own loop."""

    compute_forward = multitask.Tasks.compute_forward

    def compute_objectives(self, predictions, batch, stage):
        losses = multitask.Tasks.compute_objectives(self, predictions, batch, stage)
        return losses["speech"] + 3.0 * losses["music"]


@pytest.mark.parametrize("factor", [1, 3])
@pytest.mark.parametrize("limit", [5.0, 0.1])
def test_without_modulation_it_is_upstreams_training(factor, limit):
    options = {"grad_accumulation_factor": factor, "max_grad_norm": limit}
    ours = make_brain({"granularity": "none"}, options, optimizer=torch.optim.Adam)
    theirs = make_brain(None, options, Plain, optimizer=torch.optim.Adam)
    for brain in (ours, theirs):
        brain.fit(range(2), batches(make_data(), 4), batches(make_data(8), 4))
    torch.testing.assert_close(parameters(ours), parameters(theirs), rtol=0, atol=1e-12)
    assert ours.gradient_statistics.conflict.any()


def test_validation_reports_the_weighted_sum():
    brains = make_brain(), make_brain(kind=Plain)
    values = [
        brain.evaluate_batch(make_data(8), sb.Stage.VALID).item() for brain in brains
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-12)


def test_symmetric_projects_the_main_gradient_too():
    steps = {}
    for symmetric in (False, True):
        brain = make_brain({"symmetric": symmetric, "granularity": "global"}, rate=1.0)
        before = brain.modules.encoder[0].weight.detach().clone()
        brain.fit(range(1), batches(make_data(12), 12))
        steps[symmetric] = before - brain.modules.encoder[0].weight.detach()
        left = brain.gradient_statistics
        changed = left.modulated_norm[0] < 0.999 * left.norm[0]
        assert changed.tolist() == [symmetric, True]
    assert not torch.allclose(steps[False], steps[True])


# -- precision, freezing ----------------------------------------------


def test_bf16_trains_float32_parameters_as_float32_does():
    brains = {}
    for precision in ("bf16", "fp32"):
        brain = make_brain(None, {"precision": precision}, dtype=torch.float32)
        before = parameters(brain)
        brain.fit(range(2), batches(make_data(dtype=torch.float32), 12))
        brains[precision] = parameters(brain) - before
        assert brain.gradient_statistics.norm.isfinite().all()
    assert brains["bf16"].dtype == torch.float32
    assert not torch.equal(brains["bf16"], brains["fp32"])
    cosine = torch.cosine_similarity(brains["bf16"], brains["fp32"], dim=0)
    assert cosine == pytest.approx(1.0, abs=1e-3)


def test_lower_precisions_are_summed_in_float32():
    parameter = nn.Parameter(torch.zeros(1, dtype=torch.bfloat16))
    sums = GradientSums({})
    for _ in range(300):
        sums.add(sums.main, parameter.sum(), [parameter])
    # bfloat16 would stop at 256
    assert sums.main[parameter].item() == 300


@pytest.mark.parametrize(
    "join", [torch.add, lambda *parts: torch.stack(parts).sum(0)], ids=["add", "stack"]
)
def test_gradients_that_autograd_returns_twice_are_clipped_once(join):
    class Twice(multitask.Tasks):
        def compute_forward(self, batch, stage):
            speech, music = super().compute_forward(batch, stage)
            offset = join(self.modules.offset["left"], self.modules.offset["right"])
            return speech + offset, music

    def offset():
        values = {name: torch.zeros(2).double() for name in ("left", "right")}
        return nn.ParameterDict(values)

    modules = {**multitask.make_modules(), "offset": offset()}
    options = {"max_grad_norm": 0.01}
    brain = make_brain(None, options, Twice, modules, rate=1.0)
    before = parameters(brain)
    brain.fit(range(1), batches(make_data(12), 12))
    assert (before - parameters(brain)).norm() == pytest.approx(0.01, rel=1e-3)
    left, right = brain.modules.offset["left"], brain.modules.offset["right"]
    assert left.abs().min() > 0
    assert torch.equal(left, right)


class TwoOptimizers(multitask.Tasks):
    """The encoder has an optimizer of its own, which rests for three steps."""

    def init_optimizers(self):
        encoder = list(self.modules.encoder.parameters())
        rest = [
            p for p in self.modules.parameters() if all(p is not q for q in encoder)
        ]
        self.optimizers_dict = {
            "encoder": self.opt_class(encoder),
            "rest": self.opt_class(rest),
        }

    def freeze_optimizers(self, optimizers):
        if self.optimizer_step < 3:
            return {"rest": optimizers["rest"]}
        return optimizers


def test_a_frozen_optimizer_rests_and_nothing_is_left_of_that_time():
    data = make_data(48).split(12)
    brain = make_brain(kind=TwoOptimizers)
    before = brain.modules.encoder[0].weight.detach().clone()
    brain.fit(range(1), torch.utils.data.DataLoader(data[:3], batch_size=None))
    assert torch.equal(brain.modules.encoder[0].weight, before)
    update = expected_update(brain, data[3], GROUP_OF["tensor"])
    brain.max_grad_norm = -1.0
    brain.fit_batch(data[3])
    step = before - brain.modules.encoder[0].weight
    torch.testing.assert_close(step, 0.1 * update["encoder.0.weight"])


def test_parameters_may_be_frozen_between_batches():
    brain = make_brain(None, {"grad_accumulation_factor": 2})
    brain.fit(range(1), batches(make_data(16), 4))
    for parameter in brain.modules.mixer.parameters():
        parameter.requires_grad_(False)
    frozen, free = (
        [p.detach().clone() for p in brain.modules[name].parameters()]
        for name in ("mixer", "encoder")
    )
    brain.fit(range(1), batches(make_data(16), 4))
    for kept, name in ((True, "mixer"), (False, "encoder")):
        before = frozen if kept else free
        after = brain.modules[name].parameters()
        assert all(
            torch.equal(x, y) == kept for x, y in zip(before, after, strict=True)
        )


class Checkpointed(multitask.Tasks):
    """The encoder's activations are computed again in each backward pass."""

    def compute_forward(self, batch, stage):
        encoded = torch.utils.checkpoint.checkpoint(
            self.modules.encoder, batch[:, :4], use_reentrant=False
        )
        latent = self.modules.mixer(encoded)
        return self.modules.speech(latent), self.modules.music(latent)


def test_activation_checkpointing_changes_nothing():
    brains = make_brain(), make_brain(kind=Checkpointed)
    for brain in brains:
        brain.fit(range(2), batches(make_data(16), 4))
    assert torch.equal(parameters(brains[0]), parameters(brains[1]))


# -- adoption -----------------------------------------------------------------------


def test_parts_of_a_module_may_be_shared():
    modules = {"model": nn.ModuleDict(multitask.make_modules())}

    class Nested(multitask.Tasks):
        def compute_forward(self, batch, stage):
            parts = self.modules.model
            latent = parts["mixer"](parts["encoder"](batch[:, :4]))
            return parts["speech"](latent), parts["music"](latent)

    shared = {"shared": ["model.encoder", "model.mixer"], "granularity": "module"}
    nested = make_brain(shared, None, Nested, modules)
    flat = make_brain({"granularity": "module"})
    for brain in (nested, flat):
        brain.fit(range(2), batches(make_data(), 12))
    assert nested.gradient_statistics.groups == ("model.encoder", "model.mixer")
    assert torch.equal(parameters(nested), parameters(flat))


def test_all_modules_are_shared_if_none_are_named():
    brain = make_brain({"shared": None, "granularity": "module"})
    named = make_brain({"granularity": "module"})
    for x in (brain, named):
        x.fit(range(2), batches(make_data(), 12))
    assert brain.gradient_statistics.groups == (*SHARED, "speech", "music")
    # elsewhere there is nothing to project
    assert torch.equal(parameters(brain), parameters(named))


def test_a_loss_of_weight_zero_is_left_out():
    brain = make_brain({"weights": {"music": 0.0}})
    brain.fit(range(2), batches(make_data(), 12))
    untrained = multitask.make_modules()["music"]
    assert torch.equal(brain.modules.music.weight, untrained.weight)
    assert brain.gradient_statistics.cosine.shape == (4, 0)


class Enhancement(EnhancementBrain, GradientModulationBrain):
    """Ours with two losses in conflict."""

    def compute_objectives(self, predictions, batch, stage):
        target, mixture = batch["target"], batch["mixture"]
        losses = {
            "clean": (predictions - target).square().mean(),
            "noisy": (predictions + mixture).square().mean(),
        }
        return losses if stage == sb.Stage.TRAIN else self.weighted_sum(losses)


@pytest.mark.slow
def test_the_enhancement_brain_can_be_combined(tmp_path):
    base = toy.make_brain(tmp_path)
    modulation = Modulation("clean", {"noisy": 0.5}, ["enhancer"], "global")
    hparams = vars(base.hparams)
    parts = {
        "enhancer": base.modules.enhancer,
        "epoch_counter": hparams["epoch_counter"],
    }
    brain = Enhancement(
        {"enhancer": base.modules.enhancer},
        base.opt_class,
        {**hparams, "gradient_modulation": modulation},
        {"device": "cpu", "noprogressbar": True, "grad_accumulation_factor": 2},
        Checkpointer(tmp_path / "combined", parts),
    )
    before = parameters(brain)
    toy.train(brain)
    assert len(brain.history.epochs) == 3
    assert brain.gradient_statistics.groups == ("global",)
    assert brain.gradient_statistics.conflict.all()
    assert not torch.equal(parameters(brain), before)
