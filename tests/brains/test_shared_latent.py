"""Two stages in one command: what is trained when, resuming, selection, pictures."""

import json
import shutil

import pytest
import speechbrain as sb
import torch

from speechbrain_fusion.brains import EnhancementBrain, SharedLatentBrain, SpeechStage
from speechbrain_fusion.data import Batch
from speechbrain_fusion.data.manifest import write_manifest
from tests.brains.unpaired import LOSSES, ToyClips, datasets, make_brain, parameters
from tests.ranks import run_ranks


def run(brain):
    brain.run(datasets())
    return parameters(brain)


WEIGHTS = {**dict.fromkeys(LOSSES, 1.0), "prior": 0.001}


def history(folder, name="history.json"):
    return json.loads((folder / name).read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return folder, run(make_brain(folder))


def die_at(cls, method, call):
    """Make a method raise when it is called for the so many-th time."""
    original, calls = getattr(cls, method), []

    def dying(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    return dying


def test_a_run_leaves_both_stages_tables_and_pictures(finished):
    folder, _ = finished
    for name in ("terms.png", "latents.png", "test_items.csv", "test_summary.json"):
        assert (folder / name).stat().st_size > 0
    assert list(folder.glob("save/CKPT*"))
    assert list(folder.glob("save/speech/CKPT*"))
    for name, terms in (
        ("history.json", LOSSES),
        ("speech_history.json", ("amplitude", "phase", "prior", "complex_cycle")),
    ):
        epochs = history(folder, name)
        assert [x["epoch"] for x in epochs] == [1, 2]
        for term in terms:
            assert {f"train_{term}", f"valid_{term}"} <= {*epochs[0]}


def test_both_stages_learn(finished):
    folder, _ = finished
    for name in ("history.json", "speech_history.json"):
        first, last = history(folder, name)
        assert last["train_loss"] < first["train_loss"]


def test_the_noisy_phase_is_scored_beside_the_decoded(finished):
    summary = json.loads((finished[0] / "test_summary.json").read_text())
    scores = summary["metrics"]["si_sdr"]["channels"]["mean"]
    assert len({scores[x] for x in ("unprocessed", "enhanced", "noisy_phase")}) == 3


def test_stage_two_changes_nothing_of_stage_one(tmp_path, monkeypatch):
    brain = make_brain(tmp_path)
    kept = {}
    original = brain._keep_latents

    def note(dataset):
        kept.update(parameters(brain))
        original(dataset)

    monkeypatch.setattr(brain, "_keep_latents", note)
    after = run(brain)
    for name, value in after.items():
        assert torch.equal(value, kept[name]) == name.startswith("speech."), name


def test_stage_one_trains_the_speech_autoencoder_alone(tmp_path):
    before = parameters(make_brain(tmp_path / "a"))
    brain = make_brain(tmp_path / "b")
    brain._learn_speech(datasets())
    changed = {k for k, v in parameters(brain).items() if not torch.equal(v, before[k])}
    assert changed
    assert all(name.startswith("speech.") for name in changed)


def test_the_lowest_validation_loss_is_tested(tmp_path, monkeypatch):
    brain = make_brain(tmp_path, epochs=3)
    losses = iter([2.0, 1.0, 3.0])
    decide = EnhancementBrain._decide
    states = []

    def decide_so(self, epoch, loss, **terms):
        if isinstance(self, SharedLatentBrain):
            loss = next(losses)
            states.append(parameters(self))
        decide(self, epoch, loss, **terms)

    monkeypatch.setattr(EnhancementBrain, "_decide", decide_so)
    tested = run(brain)
    for name, value in tested.items():
        assert torch.equal(value, states[1][name])


@pytest.mark.parametrize(
    ("cls", "method", "call"),
    [
        (SpeechStage, "fit_batch", 5),
        (SpeechStage, "fit_batch", 6),
        (SharedLatentBrain, "_keep_latents", 1),
        (SharedLatentBrain, "fit_batch", 1),
        (SharedLatentBrain, "fit_batch", 5),
        (SharedLatentBrain, "score", 5),
    ],
)
def test_resuming_in_either_stage_changes_nothing(
    finished, tmp_path, monkeypatch, cls, method, call
):
    with monkeypatch.context() as patch:
        patch.setattr(cls, method, die_at(cls, method, call))
        with pytest.raises(KeyboardInterrupt):
            run(make_brain(tmp_path))
    # other random states than those of the first run
    torch.manual_seed(77)
    brain = make_brain(tmp_path)
    torch.manual_seed(78)
    resumed = run(brain)
    for name, value in finished[1].items():
        assert torch.equal(value, resumed[name]), name
    table = "test_items.csv"
    assert (tmp_path / table).read_bytes() == (finished[0] / table).read_bytes()


def test_a_finished_run_is_tested_again_alone(finished, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(finished[0], folder)
    (folder / "test_items.csv").unlink()
    brain = make_brain(folder, options={"test_only": True})
    run(brain)
    table = "test_items.csv"
    assert (folder / table).read_bytes() == (finished[0] / table).read_bytes()
    assert (folder / "latents.png").stat().st_size > 0


@pytest.mark.parametrize("one", [True, False])
def test_stage_two_starts_from_a_saved_stage_one(finished, tmp_path, one):
    saved = finished[0] / "save" / "speech"
    if one:
        saved = next(saved.glob("CKPT*"))
    brain = make_brain(tmp_path, speech_epochs=0, speech_checkpoint=str(saved))
    after = run(brain)
    assert not list(tmp_path.glob("save/speech/CKPT*"))
    for name, value in finished[1].items():
        if name.startswith("speech."):
            assert torch.equal(value, after[name])


def test_the_best_of_saved_stages_one_is_taken(tmp_path):
    brain = make_brain(tmp_path / "first")
    stage = SpeechStage.of(brain.enhancer.speech, vars(brain.hparams), brain.run_opts)
    states = []
    for loss in (2.0, 1.0, 3.0):
        with torch.no_grad():
            for parameter in brain.enhancer.speech.parameters():
                parameter.fill_(loss)
        stage.checkpointer.save_checkpoint(meta={"loss": loss})
        states.append(loss)
    saved = tmp_path / "first" / "save" / "speech"
    other = make_brain(tmp_path / "second", speech_checkpoint=str(saved))
    other._learn_speech(datasets())
    assert all((p == 1.0).all() for p in other.enhancer.speech.parameters())


NO_STAGE_ONE = {
    "no epoch": (
        {"speech_epochs": 0},
        r"stage two needs .*speech_epochs.*speech_check",
    ),
    "no folder": ({"speech_checkpoint": "nowhere"}, r"nowhere: no checkpoint of a spe"),
    "another stage": (
        {"speech_checkpoint": "two"},
        r"two.*: no checkpoint of a speech",
    ),
}


@pytest.mark.parametrize(
    ("changes", "pattern"), NO_STAGE_ONE.values(), ids=NO_STAGE_ONE
)
def test_stage_two_without_stage_one_is_an_error(
    finished, tmp_path, monkeypatch, changes, pattern
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished[0] / "save", tmp_path / "two")
    with pytest.raises(ValueError, match=pattern):
        run(make_brain(tmp_path / "out", **changes))
    assert not list((tmp_path / "out").glob("save/CKPT*"))


def test_a_stage_one_of_another_size_is_named(finished, tmp_path):
    saved = finished[0] / "save" / "speech"
    brain = make_brain(
        tmp_path, phase=False, **no_phase(), speech_checkpoint=str(saved)
    )
    with pytest.raises(ValueError, match=r"CKPT.*not a checkpoint of this model"):
        run(brain)


def no_phase():
    base = {**dict.fromkeys(LOSSES, 1.0), "complex_cycle": 0.0}
    speech = {"amplitude": 1.0, "phase": 0.0, "prior": 0.0, "complex_cycle": 0.0}
    return {
        "loss_weights": base,
        "speech_loss_weights": {**speech, "multi_resolution": 0.0},
    }


def test_amplitudes_alone_train_too(tmp_path):
    run(make_brain(tmp_path, phase=False, **no_phase()))
    assert (tmp_path / "test_items.csv").stat().st_size > 0


def test_losses_of_weight_zero_are_not_computed(tmp_path):
    def broken(*_):
        raise AssertionError

    names = ("anchor", "multi_resolution", "invariance", "remix", "cycle", "latent")
    weights = {**dict.fromkeys(LOSSES, 1.0), **dict.fromkeys(names, 0.0)}
    weights["complex_cycle"] = 0.0
    brain = make_brain(
        tmp_path,
        losses={**LOSSES, **dict.fromkeys(names, broken)},
        loss_weights=weights,
    )
    run(brain)
    assert "train_anchor" not in history(tmp_path)[0]


def test_the_loss_is_the_weighted_sum_of_its_terms(finished):
    for figures in history(finished[0]):
        for kind in ("train", "valid"):
            weights = {**dict.fromkeys(LOSSES, 1.0), "prior": 0.001}
            total = sum(w * figures[f"{kind}_{name}"] for name, w in weights.items())
            assert figures[f"{kind}_loss"] == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("granularity", ["tensor", "module", "global"])
def test_reconstruction_and_latent_losses_can_be_modulated(tmp_path, granularity):
    settings = {"main": "latent", "granularity": granularity}
    run(make_brain(tmp_path, gradient_modulation=settings))
    epochs = history(tmp_path)
    assert 0 <= epochs[0]["train_conflict_reconstruction"] <= 1
    assert (tmp_path / "gradients.png").stat().st_size > 0


def test_groups_without_modulation_are_the_plain_sum(tmp_path):
    """Of granularity none, the sum of the groups' gradients is the sum's gradient."""
    gradients = []
    for granularity in ("none", "global"):
        brain = make_brain(
            tmp_path / granularity,
            gradient_modulation={"main": "latent", "granularity": granularity},
            latent_noise=0.0,
        )
        brain.on_fit_start()
        batch = brain.make_dataloader(
            datasets()["train"], sb.Stage.TRAIN, ckpt_prefix=None, batch_size=4
        )
        first = next(iter(batch))
        torch.manual_seed(0)
        predictions = brain.compute_forward(first, sb.Stage.TRAIN)
        terms = brain.compute_objectives(predictions, first, sb.Stage.TRAIN)
        total = sum(terms.values())
        brain.enhancer.zero_grad()
        total.backward()
        first_layer = brain.enhancer.encoder.layers[0].conv.weight.grad
        gradients.append(first_layer.clone())
    torch.testing.assert_close(*gradients)


def test_training_never_sees_what_the_mixtures_were_made_of(tmp_path):
    """Sets of training and validation without any target train all the same."""
    for dataset in list(datasets().values())[:-1]:
        assert "target" not in dataset[(1, 0)].signals
    given = datasets()
    given["train"] = ToyClips(12, 3, "pairs")
    make_brain(tmp_path).run(given)


PLAIN = {"latent_noise": 0.0, "eval_loader": {"batch_size": 2}}


@pytest.mark.slow
@pytest.mark.parametrize("own", [None, "cycle", "pure_noise"])
def test_two_processes_train_as_one(tmp_path, own):
    """Also what batch norm knows; with batches that lack noise or speech."""
    weights = WEIGHTS if own is None else {**dict.fromkeys(LOSSES, 0.0), own: 1.0}
    run_ranks(
        f"""
import pathlib, torch
from speechbrain.utils.distributed import ddp_init_group, if_main_process
from speechbrain.utils.run_opts import RunOptions
from tests.brains.unpaired import make_brain, datasets, parameters

ddp_init_group(RunOptions(distributed_backend="gloo", device="cpu"))
options = dict(distributed_launch=True, distributed_backend="gloo")
folder = pathlib.Path({str(tmp_path)!r}, "two")
brain = make_brain(
    folder, options=options, loss_weights={weights!r},
    train_loader={{"batch_size": 1}}, **{PLAIN!r},
)
brain.run(datasets())
if if_main_process():
    torch.save(parameters(brain), folder / "end.pt")
""",
        tmp_path,
    )
    loader = {"train_loader": {"batch_size": 2}}
    alone = run(make_brain(tmp_path / "one", loss_weights=weights, **PLAIN, **loader))
    together = torch.load(tmp_path / "two" / "end.pt")
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, rtol=1e-4, atol=1e-6)
    assert len(history(tmp_path / "two")) == 2
    for one, two in zip(
        history(tmp_path / "one"), history(tmp_path / "two"), strict=True
    ):
        assert two == pytest.approx(one, rel=1e-3)


def terms_of(brain, items):
    """Compute the losses of a batch of some items, without noise on latents."""
    brain.make_dataloader(datasets()["train"], sb.Stage.TRAIN, ckpt_prefix=None)
    batch = Batch.collate([datasets()["train"][(1, i)] for i in items])
    brain.modules.eval()
    return brain.compute_terms(brain.compute_forward(batch, sb.Stage.TRAIN), batch)


def test_the_mean_over_small_batches_is_that_of_a_large_one(tmp_path):
    brain = make_brain(tmp_path)
    whole = terms_of(brain, range(12))
    parts = [terms_of(brain, range(first, first + 2)) for first in range(0, 12, 2)]
    for name, value in whole.items():
        mean = torch.stack([part[name] for part in parts]).mean()
        torch.testing.assert_close(mean, value, rtol=1e-6, atol=1e-9)


def test_validation_is_the_same_for_any_batch_size_and_random_state(tmp_path):
    found = []
    for size in (1, 4, 6):
        torch.manual_seed(size)
        brain = make_brain(tmp_path / f"{size}", speech_epochs=0, epochs=0)
        loader = brain.make_dataloader(
            datasets()["valid"], sb.Stage.VALID, ckpt_prefix=None, batch_size=size
        )
        brain.noise_share = 1 / 3
        torch.manual_seed(77 + size)
        brain.modules.eval()
        brain.on_stage_start(sb.Stage.VALID, 1)
        for batch in loader:
            brain.evaluate_batch(batch, sb.Stage.VALID)
        found.append(brain.noted())
    assert set(found[0]) == {"loss", *LOSSES}
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-6)


def test_a_validation_that_is_not_finite_is_no_best_one(tmp_path, monkeypatch):
    brain = make_brain(tmp_path, epochs=2)
    fit_batch = SharedLatentBrain.fit_batch

    def spoil(self, batch):
        loss = fit_batch(self, batch)
        if len(self.history.epochs) == 1:
            with torch.no_grad():
                self.enhancer.encoder.layers[0].conv.weight.fill_(torch.nan)
        return loss

    monkeypatch.setattr(SharedLatentBrain, "fit_batch", spoil)
    with pytest.raises(
        ValueError, match=r"select: the validation's loss is nan in epo"
    ):
        brain.run(datasets())
    kept = brain.checkpointer.find_checkpoint(min_key="loss")
    assert kept.meta["epoch"] == 1


def test_evaluation_alone_prints_and_draws(finished, tmp_path, capsys):
    folder = tmp_path / "copy"
    shutil.copytree(finished[0], folder)
    (folder / "latents.png").unlink()
    make_brain(folder).evaluate(datasets()["test"], min_key="loss")
    assert (folder / "latents.png").stat().st_size > 0
    assert "si_sdr" in capsys.readouterr().out


def test_latents_that_are_not_finite_cost_no_table(finished, tmp_path, capsys):
    folder = tmp_path / "copy"
    shutil.copytree(finished[0], folder)
    before = torch.load(folder / "latents_before.pt")
    torch.save(
        {k: torch.nan * v for k, v in before.items()}, folder / "latents_before.pt"
    )
    brain = make_brain(folder)
    brain._sample = lambda dataset: {"noisy": torch.nan * before["clean"]}
    brain.evaluate(datasets()["test"], min_key="loss")
    shown = capsys.readouterr().out
    assert shown.index("si_sdr") < shown.index(
        "no figure: latents: expected two frames"
    )


def test_a_half_finished_epoch_is_no_better_than_a_finished_one(tmp_path):
    brain = make_brain(tmp_path / "first")
    stage = SpeechStage.of(brain.enhancer.speech, vars(brain.hparams), brain.run_opts)
    for value, meta in ((1.0, {"loss": 1.0}), (2.0, {})):
        with torch.no_grad():
            for parameter in brain.enhancer.speech.parameters():
                parameter.fill_(value)
        stage.checkpointer.save_checkpoint(meta=meta)
    saved = tmp_path / "first" / "save" / "speech"
    other = make_brain(tmp_path / "second", speech_checkpoint=str(saved))
    other._learn_speech(datasets())
    assert all((p == 1.0).all() for p in other.enhancer.speech.parameters())


def test_a_stage_one_that_knows_the_mixtures_speech_is_refused(finished, tmp_path):
    first = tmp_path / "first"
    shutil.copytree(finished[0] / "save", first / "save")
    entry = {"file": "noisy.wav", "clean_file": "said.wav"}
    write_manifest(first / "save/clean_train.json", {"a": {"file": "said.wav"}})
    write_manifest(tmp_path / "second/save/speech_test.json", {"a": entry})
    brain = make_brain(
        tmp_path / "second",
        speech_checkpoint=str(first / "save/speech"),
        save_folder=str(tmp_path / "second/save"),
    )
    with pytest.raises(ValueError, match=r"clean speech of 1 recordings .*said\.wav"):
        run(brain)


def test_padded_clips_are_refused(tmp_path):
    brain = make_brain(tmp_path)
    short = datasets()["train"][(1, 1)]
    short.signals = {name: x[:, :300] for name, x in short.signals.items()}
    batch = Batch.collate([datasets()["train"][(1, 0)], short])
    with pytest.raises(ValueError, match="expected clips of one length"):
        brain.compute_forward(batch, sb.Stage.TRAIN)


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        ({"pure_noise": 0.0}, r"expected 0 for pure_noise, no item is noise alone"),
        ({"kind": "test"}, r"expected 0 for anchor, spread, .*no signal 'clean'"),
    ],
)
def test_losses_without_data_are_refused_before_training(tmp_path, change, pattern):
    given = datasets()
    for name, value in {"pure_noise": 0.3, **change}.items():
        setattr(given["train"], name, value)
    with pytest.raises(ValueError, match=pattern):
        make_brain(tmp_path).run(given)
    assert not list(tmp_path.glob("save/**/CKPT*"))


def test_without_a_phase_decoder_nothing_is_scored_twice(tmp_path):
    run(make_brain(tmp_path, phase=False, **no_phase()))
    summary = json.loads((tmp_path / "test_summary.json").read_text())
    assert "noisy_phase" not in summary["metrics"]["si_sdr"]["channels"]["mean"]


BAD = {
    "select": ({"select": "si_sdr", "valid_metrics": {}}, r"select: expected one of"),
    "unknown loss": (
        {"losses": {"voice": print}, "loss_weights": {"voice": 1.0}},
        r"losses: expected some of .*'voice'",
    ),
    "weights": ({"loss_weights": {"anchor": 1.0}}, r"loss_weights: expected keys"),
    "no phase": ({"phase": False}, r"speech_loss_weights: expected 0 for phase"),
    "main": (
        {"gradient_modulation": {"main": "cycle"}},
        r"gradient_modulation\.main: expected one of losses, \['reconstruction', 'lat",
    ),
    "empty group": (
        {
            "gradient_modulation": {"main": "latent"},
            "loss_weights": {
                **dict.fromkeys(LOSSES, 1.0),
                **dict.fromkeys(("latent", "prior", "anchor"), 0.0),
                **dict.fromkeys(("spread", "invariance", "remix"), 0.0),
            },
        },
        r"gradient_modulation: expected a weight that is not 0 of a latent loss",
    ),
    "unknown metric": (
        {"table_metrics": ["pesq"]},
        r"table_metrics: expected some of \['si_sdr'\], got \['pesq'\]",
    ),
}


@pytest.mark.parametrize(("changes", "pattern"), BAD.values(), ids=BAD)
def test_bad_settings_are_named_before_training(tmp_path, changes, pattern):
    with pytest.raises(ValueError, match=pattern):
        make_brain(tmp_path, **changes)


def test_bad_losses_of_stage_one_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"speech_losses: expected some of .*'x'"):
        make_brain(tmp_path, speech_losses={"x": print}, speech_loss_weights={"x": 1.0})
    with pytest.raises(ValueError, match=r"speech_loss_weights: expected keys"):
        make_brain(tmp_path, speech_loss_weights={"prior": 1.0})
    weights = {**no_phase()["speech_loss_weights"], "phase": 1.0}
    changes = {**no_phase(), "speech_loss_weights": weights}
    with pytest.raises(ValueError, match=r"expected 0 for phase, there is no phase"):
        make_brain(tmp_path, phase=False, **changes)
