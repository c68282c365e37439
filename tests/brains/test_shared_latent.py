"""Two stages in one command: what is trained when, selection, processes, pictures."""

import json

import pytest
import speechbrain as sb
import torch

from speechbrain_fusion.brains import EnhancementBrain, SharedLatentBrain
from speechbrain_fusion.data import Batch
from tests.brains.unpaired import (
    LOSSES,
    WEIGHTS,
    ToyClips,
    datasets,
    history,
    make_brain,
    no_phase,
    run,
    state,
)
from tests.ranks import run_ranks


@pytest.mark.slow
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


def test_what_is_decoded_is_called_enhanced(tmp_path):
    brain = make_brain(tmp_path)
    brain.modules.eval()
    batch = next(iter(brain.make_dataloader(datasets()["test"], sb.Stage.TEST)))
    mixture, lengths = batch["mixture"].squeeze(1), batch.own_lengths
    with torch.no_grad():
        decoded = brain.compute_forward(batch, sb.Stage.TEST)
        noisy = brain.reference_signals(batch, decoded)["noisy_phase"].squeeze(1)
        model = brain.modules.enhancer
        torch.testing.assert_close(decoded, model(mixture, lengths, noisy_phase=False))
        torch.testing.assert_close(noisy, model(mixture, lengths, noisy_phase=True))
    assert not torch.allclose(decoded, noisy)


@pytest.mark.slow
def test_stage_two_changes_nothing_of_stage_one(tmp_path, monkeypatch):
    brain = make_brain(tmp_path)
    kept = {}
    original = brain._keep_latents

    def note(dataset):
        kept.update(state(brain))
        original(dataset)

    monkeypatch.setattr(brain, "_keep_latents", note)
    after = run(brain)
    for name, value in after.items():
        assert torch.equal(value, kept[name]) == name.startswith("speech."), name


def test_stage_one_trains_the_speech_autoencoder_alone(tmp_path):
    before = state(make_brain(tmp_path / "a"))
    brain = make_brain(tmp_path / "b")
    brain._learn_speech(datasets())
    changed = {k for k, v in state(brain).items() if not torch.equal(v, before[k])}
    assert changed
    assert all(name.startswith("speech.") for name in changed)


@pytest.mark.slow
def test_the_lowest_validation_loss_is_tested(tmp_path, monkeypatch):
    brain = make_brain(tmp_path, epochs=3)
    losses = iter([2.0, 1.0, 3.0])
    decide = EnhancementBrain._decide
    states = []

    def decide_so(self, epoch, loss, **terms):
        if isinstance(self, SharedLatentBrain):
            loss = next(losses)
            states.append(state(self))
        decide(self, epoch, loss, **terms)

    monkeypatch.setattr(EnhancementBrain, "_decide", decide_so)
    tested = run(brain)
    for name, value in tested.items():
        assert torch.equal(value, states[1][name])


@pytest.mark.slow
def test_amplitudes_alone_train_too(tmp_path):
    run(make_brain(tmp_path, phase=False, **no_phase()))
    assert (tmp_path / "test_items.csv").stat().st_size > 0


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
from tests.brains.unpaired import make_brain, datasets, state

ddp_init_group(RunOptions(distributed_backend="gloo", device="cpu"))
options = dict(distributed_launch=True, distributed_backend="gloo")
folder = pathlib.Path({str(tmp_path)!r}, "two")
brain = make_brain(
    folder, options=options, loss_weights={weights!r},
    train_loader={{"batch_size": 1}}, **{PLAIN!r},
)
brain.run(datasets())
if if_main_process():
    torch.save(state(brain), folder / "end.pt")
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
        found.append(brain.means.over_processes())
    assert set(found[0]) == {"loss", *LOSSES}
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-6)


@pytest.mark.slow
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


@pytest.mark.slow
def test_without_a_phase_decoder_nothing_is_scored_twice(tmp_path):
    run(make_brain(tmp_path, phase=False, **no_phase()))
    summary = json.loads((tmp_path / "test_summary.json").read_text())
    assert "noisy_phase" not in summary["metrics"]["si_sdr"]["channels"]["mean"]
