"""What validation decides: the rate, the end and the best checkpoint."""

import functools
import math

import pytest
import torch

from speechbrain_fusion.brains import EarlyStoppingCounter
from speechbrain_fusion.brains.selection import chosen_figure
from speechbrain_fusion.losses import si_sdr_loss
from speechbrain_fusion.metrics import ild_error, itd_error, pesq, si_sdr, snr
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


@pytest.mark.parametrize("direction", ["min", "max"])
def test_the_counter_may_look_for_less_or_more(tmp_path, direction):
    counter = EarlyStoppingCounter(6, 2, 0, direction)
    losses = [3.0, 2.0, 1.0, 1.5, 1.5, 0.0]
    brain = train_with(tmp_path, losses, epoch_counter=counter)
    assert len(brain.history.epochs) == 5


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


def test_an_unknown_criterion_is_refused_before_training(tmp_path):
    with pytest.raises(ValueError, match=r"select: expected one of .*'si_sdr'.*'pesq'"):
        make_brain(tmp_path, select="pesq")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"table_by": ["noise"]}, "table_by: expected the name of a condition, got "),
        ({"sample_rate": 8000.0}, "sample_rate: expected a whole number of Hz, got 80"),
        ({"sample_rate": 0}, "sample_rate: expected a whole number of Hz, got 0"),
    ],
)
def test_what_a_report_could_not_be_made_with_is_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        make_brain(tmp_path, **changes)


def test_a_network_that_is_broken_is_told_from_data_without_speech():
    """By the loss: without any talker it is finite."""
    summary = {"si_sdr": {"mean": {"enhanced": math.nan, "scored": 0, "total": 2}}}
    chosen = "si_sdr scored no item of the validation set in epoch 3"
    with pytest.raises(ValueError, match=f"{chosen}; the checkpoints"):
        chosen_figure("si_sdr", 3, -1.0, summary)
    with pytest.raises(ValueError, match=f"{chosen}; the loss is nan: .* may not"):
        chosen_figure("si_sdr", 3, math.nan, summary)


def test_the_lowest_validation_loss_can_decide(tmp_path, monkeypatch):
    brain = make_brain(tmp_path, epochs=3, select="loss", valid_metrics={})
    losses, decide = iter([2.0, 1.0, 3.0]), brain._decide
    states = []

    def decide_so(epoch, loss, **terms):
        states.append([p.detach().clone() for p in brain.modules.parameters()])
        decide(epoch, next(losses), **terms)

    monkeypatch.setattr(brain, "_decide", decide_so)
    train(brain)
    assert [x["valid_loss"] for x in brain.history.epochs] == [2.0, 1.0, 3.0]
    brain.on_evaluate_start(**brain.best_checkpoint())
    for found, expected in zip(brain.modules.parameters(), states[1], strict=True):
        assert torch.equal(found, expected)


def test_a_metric_that_gives_several_can_decide_by_each(tmp_path):
    def levels(reference, estimate, lengths=None):
        scored = reference, estimate, lengths
        return {"si_sdr": si_sdr(*scored), "snr": snr(*scored)}

    choice = {"select": "snr", "valid_metrics": {"levels": levels}}
    brain = train(make_brain(tmp_path, epochs=2, **choice))
    best = brain.checkpointer.find_checkpoint(max_key="snr")
    assert best.meta["snr"] == max(x["valid_snr"] for x in brain.history.epochs)
    with pytest.raises(ValueError, match=r"select: .*\['si_sdr', 'snr'\].*'levels'"):
        make_brain(tmp_path / "next", **{**choice, "select": "levels"})


def test_what_validation_cannot_compute_is_said_before_training(tmp_path):
    metrics = {"pesq": functools.partial(pesq, rate=11025)}
    with pytest.raises(ValueError, match=r"PESQ knows 8000 .*got 11025"):
        make_brain(tmp_path, select="pesq", valid_metrics=metrics)


def test_the_history_tells_what_was_chosen_by(tmp_path):
    brain = train(make_brain(tmp_path, epochs=2))
    scores = [(x["chosen"], x["valid_si_sdr"]) for x in brain.history.epochs]
    assert all(chosen == score for chosen, score in scores)


def test_a_metric_cannot_be_named_as_the_loss(tmp_path):
    with pytest.raises(ValueError, match="valid_metrics: expected no metric named los"):
        make_brain(tmp_path, select="loss", valid_metrics={"loss": si_sdr_loss})


def test_an_epoch_that_is_silent_on_some_items_is_not_the_best(tmp_path, monkeypatch):
    """However well it does on the others."""
    epochs = iter([[1.0, 1.0], [90.0, math.nan], [0.5, 0.5]])
    brain = make_brain(tmp_path, epochs=3)

    def judge():
        brain.table = brain._new_table()
        for system, values in (("unprocessed", [0.0, 0.0]), ("enhanced", next(epochs))):
            scores = {"si_sdr": torch.tensor(values).unsqueeze(1).expand(2, 2)}
            brain.table.add(system, ["a", "b"], [{}, {}], scores)

    monkeypatch.setattr(brain, "_merge_tables", judge)
    train(brain)
    assert [epoch["valid_si_sdr"] for epoch in brain.history.epochs] == [1.0, 90.0, 0.5]
    chosen = brain.checkpointer.find_checkpoint(max_key="si_sdr")
    assert chosen.meta["epoch"] == 1
