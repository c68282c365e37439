import csv
import functools
import json
import math

import pytest
import soundfile
import speechbrain as sb
import torch
from torch import nn

from speechbrain_fusion.data import Batch
from speechbrain_fusion.losses import latent_loss, pit_si_sdr_loss
from speechbrain_fusion.models.unified import Separation
from tests.brains import processes, talkers
from tests.brains.common import parameters
from tests.brains.talkers import Separating, ToyMixtures, make_brain
from tests.brains.test_distributed import assert_trained_as_one
from tests.report.test_report import png_size


def read_table(folder):
    with open(folder / "test_items.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def make_batch(count=3):
    mixtures = ToyMixtures(count, 7, torch.float64)
    return Batch.collate([mixtures[(1, index)] for index in range(count)])


@pytest.mark.slow
def test_a_run_leaves_tables_figures_and_talkers_to_listen_to(tmp_path):
    brain = make_brain(tmp_path, model=talkers.tiny_separator)
    talkers.evaluate(talkers.train(brain, torch.float32), torch.float32)
    rows = read_table(tmp_path)
    assert [row["id"] for row in rows] == [f"item{index:02d}" for index in range(4)]
    for column in (
        "si_sdr_unprocessed_talker_1",
        "si_sdr_enhanced_talker_2",
        "residual_noise_unprocessed",
        "over_suppression_enhanced",
    ):
        assert all(math.isfinite(float(row[column])) for row in rows)
    assert min(png_size(tmp_path / "run.png")) > 300
    assert (tmp_path / "gradients.png").is_file()
    first = [*tmp_path.glob("examples/*.wav")]
    sounds = {path.stem.removeprefix("item00_") for path in first}
    numbered = {f"{kind}_{n}" for kind in ("target", "enhanced") for n in (1, 2)}
    assert sounds == {"mixture", "clean", *numbered}
    infos = [soundfile.info(path) for path in first]
    assert {(x.channels, x.samplerate, x.frames) for x in infos} == {(1, 8000, 300)}


@pytest.mark.slow
def test_what_the_gradients_were_like_is_in_history_and_log(tmp_path):
    brain = talkers.train(make_brain(tmp_path))
    log = (tmp_path / "train_log.txt").read_text()
    for kind in ("cosine", "conflict", "norm", "kept"):
        figure = brain.history.epochs[-1][f"train_{kind}_enhancement"]
        assert math.isfinite(figure)
        assert log.count(f"train {kind}_enhancement:") == 2
    epochs = brain.history.epochs
    means = brain.gradient_log.curve()[6:]
    expected = sum(point["cosine_enhancement"] for point in means) / 6
    assert epochs[1]["train_cosine_enhancement"] == pytest.approx(expected)


class Swapping(nn.Module):
    """A network that knows the talkers and says them in the other order, softly."""

    def forward(self, noisy, lengths, clean):
        target = make_batch()["target"]
        estimate = 0.5 * target.flip(1) + 1e-5 * torch.randn_like(target)
        features = noisy.unsqueeze(1).abs()
        return Separation(
            estimate, features, features, clean.unsqueeze(1).abs(), lengths
        )


def test_estimates_are_scored_against_their_own_talkers(tmp_path):
    brain = make_brain(tmp_path, model=nn.Identity, gradient_modulation=UNSHARED)
    brain.modules.separator = Swapping()
    brain.on_stage_start(sb.Stage.TEST)
    brain.evaluate_batch(make_batch(), sb.Stage.TEST)
    scores = brain.table.summary()["si_sdr"]
    assert set(scores) == {"talker_1", "talker_2", "mean"}
    assert scores["talker_1"]["enhanced"] > 60 < scores["talker_2"]["enhanced"]
    assert scores["mean"]["unprocessed"] < 10


UNSHARED = {"main": "separation"}


def test_losses_compare_talkers_and_valid_frames_of_features(tmp_path):
    brain, batch = make_brain(tmp_path), make_batch()
    made = brain.compute_forward(batch, sb.Stage.TRAIN)
    terms = brain.compute_objectives(made, batch, sb.Stage.TRAIN)
    expected = {
        "separation": pit_si_sdr_loss(batch["target"], made.signals, batch.lengths),
        "enhancement": latent_loss(made.clean, made.enhanced, made.lengths),
    }
    assert terms == expected
    total = brain.compute_objectives(made, batch, sb.Stage.VALID)
    torch.testing.assert_close(total, terms["separation"] + 5 * terms["enhancement"])


@pytest.mark.parametrize("stage", [sb.Stage.VALID, sb.Stage.TEST])
def test_evaluation_runs_the_enhancement_network(tmp_path, stage):
    brain, batch = make_brain(tmp_path), make_batch()
    calls = []
    network = brain.modules.separator.enhancement
    network.register_forward_hook(lambda *call: calls.append(call))
    brain.on_stage_start(stage)
    brain.evaluate_batch(batch, stage)
    assert len(calls) == 1


@pytest.mark.slow
def test_separation_alone_has_no_enhancement(tmp_path):
    def model():
        return talkers.tiny_separator(separation_only=True).double()

    weights = {"separation": 1.0, "enhancement": 0.0}
    brain = make_brain(tmp_path, model=model, loss_weights=weights)
    talkers.evaluate(talkers.train(brain))
    assert not list(brain.modules.separator.enhancement.parameters())
    assert not (tmp_path / "gradients.csv").exists()
    assert "conflict_enhancement" not in (tmp_path / "train_log.txt").read_text()
    for row in read_table(tmp_path):
        # what comes out of no network is what went in
        for metric in ("residual_noise", "over_suppression"):
            assert row[f"{metric}_enhanced"] == row[f"{metric}_unprocessed"]


def trained(folder, granularity="tensor", weight=5.0):
    modulation = {
        "main": "separation",
        "shared": ["separator.encoder", "separator.enhancement"],
        "granularity": granularity,
    }
    weights = {"separation": 1.0, "enhancement": weight}
    changes = {"loss_weights": weights, "gradient_modulation": modulation}
    brain = talkers.train(make_brain(folder, **changes))
    return parameters(brain)


@pytest.mark.slow
def test_every_granularity_trains_another_network(tmp_path):
    names = ("none", "tensor", "module", "global")
    found = [trained(tmp_path / name, name) for name in names]
    for number, one in enumerate(found):
        assert one.isfinite().all()
        assert not any(torch.equal(one, other) for other in found[:number])


@pytest.mark.slow
def test_without_weight_modulation_makes_no_difference(tmp_path):
    first, *others = (
        trained(tmp_path / name, name, 0.0) for name in ("none", "tensor", "global")
    )
    assert all(torch.equal(first, other) for other in others)


@pytest.mark.slow
def test_batches_of_like_length_fill_the_seconds(tmp_path):
    brain = make_brain(tmp_path)
    seen = []
    compute_forward = brain.compute_forward

    def spying(batch, stage):
        if stage == sb.Stage.TRAIN:
            seen.append((batch.ids, batch["mixture"].shape))
        return compute_forward(batch, stage)

    brain.compute_forward = spying
    talkers.train(brain, max_batch_seconds=0.25)
    assert all(shape[0] * shape[-1] <= 2000 for _, shape in seen)
    items = [name for ids, _ in seen for name in ids]
    assert sorted(items) == sorted(2 * [f"item{index:02d}" for index in range(12)])
    assert max(len(ids) for ids, _ in seen) > 2


BAD = {
    "main": (
        {"gradient_modulation": {"main": "voice"}},
        r"gradient_modulation\.main: expected one of losses, .*got 'voice'",
    ),
    "no main": (
        {"gradient_modulation": {"shared": ["separator"]}},
        r"gradient_modulation\.main: expected the name of the main loss",
    ),
    "weights twice": (
        {"gradient_modulation": {"main": "separation", "weights": {"separation": 2}}},
        r"gradient_modulation\.weights: expected none, loss_weights has them",
    ),
    "weights of another loss": (
        {"loss_weights": {"separation": 1.0, "noise": 0.1}},
        r"loss_weights: expected keys \['enhancement', 'separation'\], got",
    ),
    "main loss of no weight": (
        {"loss_weights": {"separation": 0.0, "enhancement": 0.1}},
        r"gradient_modulation\.main: .*'separation', whose weight in loss_weights is 0",
    ),
    "weights below zero": (
        {"loss_weights": {"separation": 1.0, "enhancement": -0.1}},
        r"^loss_weights: expected factors of at least 0, got enhancement: -0\.1",
    ),
    "weights that are none": (
        {"loss_weights": {"separation": 1.0, "enhancement": "0.1x"}},
        r"^loss_weights: expected finite numbers, got enhancement: 0\.1x",
    ),
    "shared": (
        {"gradient_modulation": {"main": "separation", "shared": ["encoder"]}},
        r"gradient_modulation\.shared: expected modules.*got 'encoder'",
    ),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_settings_that_cannot_be(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        make_brain(tmp_path, **changes)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "factor"), [(2, 1), (2, 2), (3, 1)])
def test_processes_train_as_one_with_their_batches_together(tmp_path, count, factor):
    one, many = tmp_path / "one", tmp_path / "many"
    options = {"grad_accumulation_factor": factor}
    assert processes.run_processes(Separating(many, 1, options=options), count)
    assert processes.run_processes(Separating(one, count * factor))
    conflicts = json.loads((one / "history.json").read_text())
    assert any(epoch["train_conflict_enhancement"] > 0 for epoch in conflicts)
    if factor == 1:
        assert_trained_as_one(many, count, one)
    else:
        (alone,) = processes.load_ranks(one)
        for left in processes.load_ranks(many, count):
            torch.testing.assert_close(
                left["parameters"], alone["parameters"], rtol=0, atol=1e-10
            )


def test_what_is_solved_is_left_out_of_training_alone(tmp_path):
    loss = functools.partial(pit_si_sdr_loss, threshold=-30.0)
    brain = make_brain(
        tmp_path, losses={"separation": loss, "enhancement": latent_loss}
    )
    clean = torch.randn(2, 2, 400, dtype=torch.float64)
    error = torch.tensor([1e-4, 1.0]).view(2, 1, 1) * torch.randn_like(clean)
    estimate = clean.flip(1) + error
    brain.modules.train()
    training = brain.losses_in_use()["separation"](clean, estimate)
    brain.modules.eval()
    evaluation = brain.losses_in_use()["separation"](clean, estimate)
    each = pit_si_sdr_loss(clean, estimate, reduction="none")
    assert each[0] < -30 < each[1]
    torch.testing.assert_close(training, each[1])
    torch.testing.assert_close(evaluation, each.mean())
