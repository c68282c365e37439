"""What validation decides: the rate, the end and the best checkpoint."""

import functools

import pytest

from speechbrain_fusion.metrics import ild_error, itd_error
from tests.brains.toy import RATE, ToyScenes, make_brain, train


def train_with(folder, losses, **options):
    """Train, while the loss of each epoch's validation is prescribed."""

    def prescribed(reference, estimate, lengths):
        # as many epochs as have been trained; training itself learns nothing
        return 0.0 * estimate.sum() + losses[len(brain.history.epochs) - 1]

    choice = {"select": "loss", "valid_metrics": {}, "rate": 0.01, **options}
    terms = {"losses": {"x": prescribed}, "loss_weights": {"x": 1.0}}
    brain = make_brain(folder, len(losses), **terms, **choice)
    short = {"train_set": ToyScenes(2, seed=1), "valid_set": ToyScenes(1, seed=2)}
    return train(brain, **short)


def rates(brain):
    return [epoch["lr"] for epoch in brain.history.epochs]


def test_while_the_loss_falls_training_goes_on_at_its_rate(tmp_path):
    falling = [2.0, 1.0, 0.0, -1.0, -2.0]
    brain = train_with(tmp_path, falling, patience=0, limit_to_stop=2)
    assert [epoch["valid_loss"] for epoch in brain.history.epochs] == falling
    assert rates(brain) == [0.01] * 5


@pytest.mark.parametrize("first", [1.0, -9.0])
def test_when_the_loss_rises_the_rate_is_halved_and_training_stops(tmp_path, first):
    rising = [first + epoch for epoch in range(6)]
    brain = train_with(tmp_path, rising, patience=0, limit_to_stop=2)
    assert rates(brain) == [0.01, 0.01, 0.005]


def test_the_checkpoint_of_the_lowest_loss_is_the_best(tmp_path):
    brain = train_with(tmp_path, [0.5, -1.5, -0.5, 1.0])
    best = brain.checkpointer.find_checkpoint(**brain.best_checkpoint())
    assert (best.meta["epoch"], best.meta["loss"]) == (2, -1.5)


@pytest.mark.parametrize("metric", [ild_error, itd_error])
def test_an_error_of_which_less_is_better_cannot_decide(tmp_path, metric):
    name = metric.__name__
    measured = {name: functools.partial(metric, rate=RATE)}
    pattern = f"select: expected a metric of which more is better, got '{name}'"
    with pytest.raises(ValueError, match=pattern):
        make_brain(tmp_path, select=name, valid_metrics=measured)
