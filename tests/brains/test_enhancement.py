import csv
import json
import math

import pytest
import soundfile
import torch

from speechbrain_fusion.brains import LinearDecay, enhancement
from speechbrain_fusion.losses import si_sdr_loss
from speechbrain_fusion.metrics import si_sdr
from tests.brains import toy
from tests.brains.common import Killed, die_at, parameters
from tests.brains.toy import Forgetful, ToyScenes, make_brain, train


def rows(folder):
    with open(folder / "test_items.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_training_lowers_the_loss_and_raises_the_metric(tmp_path):
    brain = train(make_brain(tmp_path, epochs=4))
    first, last = brain.history.epochs[0], brain.history.epochs[-1]
    assert last["train_loss"] < first["train_loss"] - 1
    assert last["valid_loss"] < first["valid_loss"] - 1
    assert last["valid_si_sdr"] > first["valid_si_sdr"] + 1


def test_the_history_has_the_weighted_terms_of_the_loss(tmp_path):
    brain = train(make_brain(tmp_path, epochs=2))
    for epoch in brain.history.epochs:
        total = epoch["train_si_sdr"] + 0.1 * epoch["train_snr"]
        assert epoch["train_loss"] == pytest.approx(total, abs=1e-4)


@pytest.mark.slow
def test_the_best_checkpoint_is_evaluated_and_the_whole_history_reported(tmp_path):
    brain = make_brain(tmp_path, epochs=3)
    decide, kept = brain._decide, {}

    def decide_and_note(epoch, loss, **terms):
        decide(epoch, loss, **terms)
        kept[epoch] = parameters(brain)
        if epoch == 2:  # what comes now is worse
            with torch.no_grad():
                for parameter in brain.modules.parameters():
                    parameter.normal_()
            brain.optimizer.param_groups[0]["lr"] = 0.0

    brain._decide = decide_and_note
    train(brain)
    scores = [epoch["valid_si_sdr"] for epoch in brain.history.epochs]
    assert max(scores) == scores[1]
    toy.evaluate(brain)
    assert torch.equal(parameters(brain), kept[2])
    assert not torch.equal(kept[2], kept[3])
    history = json.loads((tmp_path / "history.json").read_text())
    assert [epoch["valid_si_sdr"] for epoch in history] == scores


@pytest.mark.slow
def test_the_rate_halves_after_the_plateau_and_training_stops_early(tmp_path):
    brain = make_brain(tmp_path, 20, rate=1e-3, patience=1, limit_to_stop=4)

    def falling(reference, estimate, lengths):
        return torch.full(estimate.shape[:1], 20.0 - len(brain.history.epochs))

    brain.hparams.valid_metrics = {"si_sdr": falling}
    train(brain)
    rates = [epoch["lr"] for epoch in brain.history.epochs]
    assert rates == [1e-3, 1e-3, 1e-3, 5e-4, 5e-4]
    assert brain.optimizer.param_groups[0]["lr"] == 2.5e-4


@pytest.mark.slow
def test_resuming_after_an_epoch_changes_nothing(tmp_path):
    whole = train(make_brain(tmp_path / "whole", epochs=3, model=Forgetful))
    train(make_brain(tmp_path / "parts", epochs=1, model=Forgetful))
    parts = train(make_brain(tmp_path / "parts", epochs=3, model=Forgetful))
    assert torch.equal(parameters(whole), parameters(parts))
    assert whole.history.epochs == parts.history.epochs


# an epoch has 6 steps: in the first, in the second, in its validation
@pytest.mark.parametrize(("what", "call"), [("fit", 4), ("fit", 10), ("evaluate", 4)])
def test_resuming_in_the_middle_of_an_epoch_changes_nothing(tmp_path, what, call):
    whole = train(make_brain(tmp_path / "whole", model=Forgetful))
    options = {"ckpt_interval_steps": 2}
    killed = make_brain(tmp_path / "parts", model=Forgetful, options=options)
    die_at(killed, f"{what}_batch", call)
    with pytest.raises(Killed):
        train(killed)
    parts = train(make_brain(tmp_path / "parts", model=Forgetful, options=options))
    assert torch.equal(parameters(whole), parameters(parts))
    assert whole.history.epochs == parts.history.epochs


@pytest.mark.slow
def test_no_checkpoint_is_taken_between_accumulated_gradients(tmp_path):
    accumulate = {"grad_accumulation_factor": 3}
    whole = train(make_brain(tmp_path / "whole", options=accumulate))
    often = {**accumulate, "ckpt_interval_steps": 2}
    killed = make_brain(tmp_path / "parts", options=often)
    die_at(killed, "fit_batch", 5)
    with pytest.raises(Killed):
        train(killed)
    parts = train(make_brain(tmp_path / "parts", options=often))
    assert torch.equal(parameters(whole), parameters(parts))


def test_two_accumulated_batches_equal_one_twice_as_large(tmp_path):
    def final(folder, batch_size, factor):
        options = {"grad_accumulation_factor": factor}
        brain = make_brain(tmp_path / folder, 2, toy.tiny_double_model, options)
        return parameters(train(brain, batch_size, dtype=torch.float64))

    torch.testing.assert_close(
        final("two", 2, 2), final("one", 4, 1), rtol=0, atol=1e-10
    )


@pytest.mark.slow
def test_validation_is_the_same_for_any_batch_size(tmp_path):
    one, three = (
        train(make_brain(tmp_path / f"{size}", epochs=2), eval_size=size)
        for size in (1, 3)
    )
    for ours, theirs in zip(one.history.epochs, three.history.epochs, strict=True):
        assert ours["valid_si_sdr"] == pytest.approx(theirs["valid_si_sdr"], abs=1e-4)


def test_the_seed_changes_the_order(tmp_path):
    brains = [make_brain(tmp_path / f"{seed}", 1, seed=seed) for seed in (5, 6)]
    assert not torch.equal(*(parameters(train(brain)) for brain in brains))


@pytest.mark.parametrize("option", ["precision", "eval_precision"])
def test_bfloat16_is_near_single_precision_and_not_the_same(option, tmp_path):
    found = {}
    for precision in ("fp32", "bf16"):
        options = {"precision": "fp32", "eval_precision": "fp32", option: precision}
        brain = train(make_brain(tmp_path / precision, epochs=2, options=options))
        found[precision] = brain
        first, last = brain.history.epochs
        assert last["train_loss"] < first["train_loss"]
    half, single = found["bf16"], found["fp32"]
    assert parameters(half).isfinite().all()
    figures = [
        [x["valid_loss"] for x in each.history.epochs] for each in (half, single)
    ]
    assert figures[0] != figures[1]
    assert figures[0] == pytest.approx(figures[1], rel=0.05, abs=0.05)
    same = torch.equal(parameters(half), parameters(single))
    assert same == (option == "eval_precision")


def spoil(index, signals):
    """Make one scene not a number."""
    if index == 3:
        signals["mixture"] = signals["mixture"] * float("nan")
    return signals


def test_a_batch_that_is_not_finite_is_passed_over(tmp_path):
    brain = make_brain(tmp_path, epochs=2, options={"skip_nonfinite_grads": True})
    train(brain, train_set=ToyScenes(12, seed=1, change=spoil))
    assert parameters(brain).isfinite().all()
    assert all(torch.tensor(e["train_loss"]).isfinite() for e in brain.history.epochs)


def test_a_negative_norm_disables_clipping(tmp_path):
    ended = []
    for limit in (-1.0, 1e9):
        brain = make_brain(tmp_path / f"{limit}", 1, options={"max_grad_norm": limit})
        ended.append(parameters(train(brain)))
    assert torch.equal(*ended)


def silence(index, signals):
    """Leave one scene without a talker."""
    if index == 2:
        signals["target"] = torch.zeros_like(signals["target"])
    return signals


@pytest.mark.slow
def test_what_cannot_be_scored_is_counted_and_stops_nothing(tmp_path, capsys):
    brain = make_brain(tmp_path, epochs=1)
    train(brain, valid_set=ToyScenes(5, seed=2, fixed=True, change=silence))
    toy.evaluate(brain, ToyScenes(7, seed=3, fixed=True, change=silence))
    summary = json.loads((tmp_path / "test_summary.json").read_text())
    figures = summary["metrics"]["si_sdr"]["channels"]["mean"]
    assert (figures["scored"], figures["total"]) == (6, 7)
    assert "si_sdr: 1 items could not be scored" in capsys.readouterr().out
    assert [row["id"] for row in rows(tmp_path)] == [f"item{i:02d}" for i in range(7)]


def test_validation_without_any_score_is_an_error(tmp_path):
    def all_silent(index, signals):
        return silence(2, signals)

    brain = make_brain(tmp_path, epochs=1)
    with pytest.raises(ValueError, match="select: si_sdr scored no item"):
        train(brain, valid_set=ToyScenes(2, 2, True, change=all_silent))


@pytest.mark.slow
def test_the_table_has_every_item_with_its_scores(tmp_path):
    brain = train(make_brain(tmp_path, epochs=1))
    test_set = ToyScenes(7, seed=3, fixed=True)
    toy.evaluate(brain, test_set)
    for index, row in enumerate(rows(tmp_path)):
        item = test_set[1, index]
        pair = item.signals["target"][None], item.signals["mixture"][None]
        expected = si_sdr(*pair)[0].tolist()
        found = [float(row[f"si_sdr_unprocessed_{ear}"]) for ear in ("left", "right")]
        assert (row["id"], row["noise"]) == (item.id, item.info["noise"])
        assert found == pytest.approx(expected, abs=1e-3)


@pytest.mark.slow
def test_examples_are_kept_as_they_are(tmp_path):
    brain = train(make_brain(tmp_path, epochs=1, examples=2))
    test_set = ToyScenes(7, seed=3, fixed=True, change=lambda _, s: loud(s))
    toy.evaluate(brain, test_set, eval_size=1)
    names = sorted(path.name for path in (tmp_path / "examples").iterdir())
    kinds = ("enhanced", "mixture", "target")
    audio = [f"item0{i}_{kind}.wav" for i in range(2) for kind in kinds]
    assert names == ["extremes", "index.json", *audio]
    for index in range(2):
        target, rate = soundfile.read(
            tmp_path / "examples" / f"item0{index}_target.wav", dtype="float32"
        )
        assert rate == toy.RATE
        assert (test_set[1, index].signals["target"].numpy() == target.T).all()


def loud(signals):
    """Exceed full scale, as a network trained scale-invariantly may."""
    return {name: 30 * signal for name, signal in signals.items()}


def test_evaluation_before_training_is_an_error(tmp_path):
    brain = make_brain(tmp_path)
    with pytest.raises(ValueError, match=r"save: no checkpoint .*train first"):
        toy.evaluate(brain)


def test_a_checkpoint_without_a_score_is_not_evaluated(tmp_path):
    killed = make_brain(tmp_path, options={"ckpt_interval_steps": 2})
    die_at(killed, "fit_batch", 4)
    with pytest.raises(Killed):
        train(killed)
    with pytest.raises(ValueError, match=r"no checkpoint that has si_sdr"):
        toy.evaluate(make_brain(tmp_path))


@pytest.mark.slow
def test_evaluation_alone_repeats_the_table_and_the_history(tmp_path):
    brain = train(make_brain(tmp_path, epochs=2))
    toy.evaluate(brain)
    names = ("test_items.csv", "test_summary.json", "history.json")
    before = [(tmp_path / name).read_bytes() for name in names]
    for name in names:
        (tmp_path / name).unlink()
    toy.evaluate(make_brain(tmp_path, epochs=2, options={"test_only": True}))
    assert [(tmp_path / name).read_bytes() for name in names] == before


@pytest.mark.slow
def test_published_figures_are_printed_as_others(tmp_path, capsys):
    published = {"published": {"SSE": {"pesq": [1.3]}}, "published_for": ["0 dB"]}
    brain = train(make_brain(tmp_path, epochs=1, **published))
    brain.evaluate(ToyScenes(2, seed=3), max_key="si_sdr")
    shown = capsys.readouterr().out
    assert "measured by others on ANOTHER test set" in shown
    assert ["SSE", "pesq", "1.300"] in [line.split() for line in shown.splitlines()]


def test_weights_must_fit_the_losses(tmp_path):
    with pytest.raises(ValueError, match=r"loss_weights: expected keys \['si_sdr'\]"):
        make_brain(tmp_path, losses={"si_sdr": si_sdr_loss}, loss_weights={"snr": 1.0})


def test_a_loss_of_weight_zero_is_not_computed(tmp_path):
    def broken(reference, estimate, lengths):
        raise AssertionError("computed")

    losses = {"si_sdr": si_sdr_loss, "broken": broken}
    weights = {"si_sdr": 1.0, "broken": 0.0}
    brain = make_brain(tmp_path, epochs=1, losses=losses, loss_weights=weights)
    assert math.isfinite(train(brain).history.epochs[0]["train_loss"])


def test_weights_that_are_all_zero_are_refused(tmp_path):
    weights = {"si_sdr": 0.0, "snr": 0.0}
    with pytest.raises(ValueError, match="loss_weights: expected one that is not 0"):
        make_brain(tmp_path, loss_weights=weights)


def test_too_few_scenes_for_a_batch_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="1 items do not fill one batch of 2"):
        train(make_brain(tmp_path), train_set=ToyScenes(1, seed=1))


def test_a_run_taken_up_for_longer_has_the_rates_of_the_longer_one(tmp_path):
    def brain(epochs):
        made = make_brain(tmp_path, epochs, limit_to_stop=99)
        made.hparams.lr_annealing = LinearDecay(0.01, epochs, hold=0.5)
        return made

    train(brain(2))
    longer = train(brain(4))
    rates = [epoch["lr"] for epoch in longer.history.epochs]
    assert rates[2:] == [LinearDecay(0.01, 4, hold=0.5).rate(n) for n in (3, 4)]


def test_means_are_those_of_one_order_on_every_process(tmp_path, monkeypatch):
    """Whose items a process has first must not decide on the last bits of a mean."""
    brain = make_brain(tmp_path)
    values = {"first": {"a": 0.1, "b": 0.2}, "second": {"c": 0.3}}
    states = []
    for items in values.values():
        table = brain._new_table()
        for name, value in items.items():
            scores = {"snr": torch.full((1, 2), value)}
            table.add("enhanced", [name], [{}], scores)
        states.append(table.state())
    monkeypatch.setattr(enhancement, "gather", lambda own: states)
    for own in states:
        brain.table = brain._new_table()
        brain.table.merge(own)
        brain._merge_tables()
        assert [*brain.table.state()["items"]] == ["a", "b", "c"]


def test_what_an_epoch_is_judged_by_is_told_if_it_is_not_all(tmp_path, caplog):
    def only_loud(reference, estimate, lengths=None):
        values = si_sdr(reference, estimate, lengths)
        values[0] = math.nan
        return values

    train(make_brain(tmp_path, epochs=1, valid_metrics={"si_sdr": only_loud}))
    assert "validation: si_sdr of 3 of 5 items" in caplog.text


def test_with_debug_all_processes_have_one_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(enhancement, "gather", lambda own: ["/of/the/first", own])
    assert str(make_brain(tmp_path).checkpointer.checkpoints_dir) == "/of/the/first"


def test_the_name_of_the_sum_is_none_of_a_loss(tmp_path):
    names = {"losses": {"loss": si_sdr_loss, "snr": si_sdr_loss}}
    with pytest.raises(ValueError, match="losses: loss is what their sum is called"):
        make_brain(tmp_path, **names, loss_weights={"loss": 1.0, "snr": 1.0})
