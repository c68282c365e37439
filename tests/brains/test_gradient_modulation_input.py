"""What cannot be is refused, naming the key or the loss, before anything is trained."""

import math

import pytest
import torch

from tests.brains import multitask
from tests.brains.common import ON_CPU, parameters
from tests.brains.multitask import (
    batches,
    changed,
    make_brain,
    make_data,
    make_modules,
)


@pytest.mark.parametrize(
    ("modulation", "message"),
    [
        (
            {"main": None},
            "gradient_modulation.main: expected the name of the main loss",
        ),
        ({"main": ""}, "gradient_modulation.main: expected the name of the main loss"),
        (
            {"granularity": "row"},
            "gradient_modulation.granularity: expected one of .*'row'",
        ),
        (
            {"weights": {"music": -1.0}},
            "gradient_modulation.weights: .* got music: -1.0",
        ),
        (
            {"weights": {"music": math.nan}},
            "gradient_modulation.weights: .* got music: nan",
        ),
        (
            {"weights": {"speech": 0.0}},
            "gradient_modulation.weights: .* got speech: 0.0",
        ),
        ({"shared": []}, "gradient_modulation.shared: expected a list of modules"),
        (
            {"shared": "encoder"},
            "gradient_modulation.shared: expected a list of modules",
        ),
        (
            {"shared": ["coder"]},
            "gradient_modulation.shared: .*'encoder'.* got 'coder'",
        ),
        ({"shared": ["encoder.9"]}, "gradient_modulation.shared: .* got 'encoder.9'"),
        (
            {"share": ["encoder"]},
            r"gradient_modulation: expected keys .* got \['share'\]",
        ),
    ],
)
def test_settings_that_cannot_be(modulation, message):
    with pytest.raises(ValueError, match=message):
        make_brain(modulation)


def test_no_settings():
    with pytest.raises(ValueError, match=r"modulation\.main: expected"):
        multitask.Tasks(multitask.make_modules(), None, {}, ON_CPU)


@pytest.mark.parametrize(
    ("modulation", "message"),
    [
        (
            {"main": "voice"},
            "gradient_modulation.main: .*'music', 'speech'.* got 'voice'",
        ),
        ({"weights": {"noise": 1.0}}, "gradient_modulation.weights: .* got 'noise'"),
        ({"shared": ["music"]}, "'music' has no gradient of the main loss"),
        (
            {"shared": ["encoder", "speech"]},
            r"'speech' has no gradient of an auxiliary loss \(music\)",
        ),
    ],
)
def test_losses_that_do_not_fit_the_settings(modulation, message):
    brain = make_brain(modulation)
    before = parameters(brain)
    with pytest.raises(ValueError, match=message):
        brain.fit(range(1), batches(make_data(8), 4))
    assert torch.equal(parameters(brain), before)


def test_a_shared_module_that_is_not_trained():
    modules = multitask.make_modules()
    modules["encoder"].requires_grad_(False)
    brain = make_brain(modules=modules)
    with pytest.raises(ValueError, match="'encoder' has no gradient of the main loss"):
        brain.fit(range(1), batches(make_data(8), 4))


def test_a_loss_may_begin_later():
    class Later(multitask.Tasks):
        def compute_objectives(self, predictions, batch, stage):
            losses = super().compute_objectives(predictions, batch, stage)
            return losses if self.step > 2 else {**losses, "music": torch.zeros(())}

    brain = make_brain(kind=Later)
    brain.fit(range(1), batches(make_data(16), 4))
    norms = [float(x.norm[:, 1].sum()) for x in brain.seen]
    assert [norm > 0 for norm in norms] == [False, False, True, True]


def test_losses_without_names():
    class OneTensor(multitask.Tasks):
        def compute_objectives(self, predictions, batch, stage):
            return predictions[0].mean()

    message = "compute_objectives: expected a dict of named losses, got Tensor"
    with pytest.raises(ValueError, match=message):
        make_brain(kind=OneTensor).fit(range(1), batches(make_data(8), 4))


WRONG = {
    "detached": (
        lambda losses, step: {**losses, "speech": losses["speech"].detach()},
        "gradient_modulation.main: 'speech' has no gradient, is it detached",
    ),
    "not a tensor": (
        lambda losses, step: {**losses, "music": 0.5},
        r"compute_objectives: expected a scalar tensor, got music: 0\.5",
    ),
    "nothing": (
        lambda losses, step: {**losses, "music": None},
        "compute_objectives: expected a scalar tensor, got music: None",
    ),
    "not a scalar": (
        lambda losses, step: {**losses, "music": torch.ones(3)},
        r"expected a scalar tensor, got music: torch\.Size\(\[3\]\)",
    ),
    "more losses": (
        lambda losses, step: {
            **losses,
            **({"noise": losses["music"]} if step > 1 else {}),
        },
        r"expected the same losses in every batch and process, \['music', 'speech'\]",
    ),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_losses_that_cannot_be(change, message):
    brain = make_brain(kind=changed(change))
    with pytest.raises(ValueError, match=message):
        brain.fit(range(1), batches(make_data(12), 4))


@pytest.mark.parametrize(
    ("modulation", "message"),
    [
        ({"symmetric": "no"}, "symmetric: expected true or false, got 'no'"),
        ({"weights": None}, "weights: expected a factor by the name .*got None"),
        ({"weights": {"music": "0.1"}}, "weights: expected a finite factor"),
        ({"shared": 3}, "shared: expected a list of modules, got 3"),
    ],
)
def test_settings_of_another_kind(modulation, message):
    with pytest.raises(ValueError, match=message):
        make_brain(modulation)


def test_settings_that_are_no_mapping():
    hparams = {"gradient_modulation": "speech"}
    with pytest.raises(ValueError, match=r"expected keys \['main'.*got 'speech'"):
        multitask.Tasks(make_modules(), None, hparams, ON_CPU)
