"""A run ends with a model folder, and may begin with one."""

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from hyperpyyaml.core import resolve_references

from speechbrain_fusion.brains import EnhancementBrain
from speechbrain_fusion.brains.release import initialize, release, start_from
from speechbrain_fusion.brains.settings import check_same_run
from speechbrain_fusion.brains.speech_stage import SpeechStage
from speechbrain_fusion.inference import load, write_model
from speechbrain_fusion.inference.weights import Fit
from speechbrain_fusion.models import MaskEnhancer
from tests.brains import talkers, toy, unpaired
from tests.brains.common import parameters

# as the networks of the toys are, with references as in a recipe
TOY = """
name: toy
seed: 5
enhancer: !new:speechbrain_fusion.models.BinauralTasNet
    {N: 8, L: 8, B: 4, H: 4, S: 6, P: 3, X: 1, R: 1}
modules:
    enhancer: !ref <enhancer>
"""
TALKERS = """
enhancement: !new:speechbrain_fusion.models.ConvTasNetMasker
    [8, 1, 6, 7, 9, 3, 2, 1]
separation: !new:speechbrain_fusion.models.ConvTasNetMasker
    [8, 2, 6, 7, 9, 3, 2, 1]
separator: !new:speechbrain_fusion.models.UnifiedSeparator
    enhancement: !ref <enhancement>
    separation: !ref <separation>
    channels: 8
modules:
    separator: !ref <separator>
"""
UNPAIRED = """
fft_sizes: [128, 64]
speech: !new:speechbrain_fusion.models.SpeechAutoencoder
    {fft_sizes: !ref <fft_sizes>, hop: 32, channels: [12, 6], kernel: 1,
     latent_noise: 0.1}
enhancer: !new:speechbrain_fusion.models.SharedLatentEnhancer
    speech: !ref <speech>
    channels: [10, 12, 6]
    kernel: 3
modules:
    enhancer: !ref <enhancer>
"""


def keep_settings(folder: Path, text: str) -> None:
    """Leave the settings of a run as `start_run` does."""
    folder.mkdir(parents=True, exist_ok=True)
    head = "# From /srv/me/recipes/toys/hparams/common.yaml\nsample_rate: 8000\n"
    resolved = resolve_references(f"{head}{text}").read()
    (folder / "hyperparams.yaml").write_text(resolved)


@pytest.fixture(scope="module")
def toy_run(tmp_path_factory) -> Path:
    """A run of two epochs that has been tested."""
    folder = tmp_path_factory.mktemp("toy_run")
    keep_settings(folder, TOY)
    names = {"name": "toy", "data_folder": "/srv/me/VOICES", "noise_folder": None}
    brain = toy.make_brain(folder, epochs=2, examples=0, **names)
    toy.evaluate(toy.train(brain))
    return folder


def test_the_model_of_a_run_is_its_best(toy_run):
    again = toy.make_brain(toy_run, examples=0)
    again.on_evaluate_start(max_key="si_sdr")
    model, noisy = load(toy_run / "model"), torch.randn(1, 2, 300)
    with torch.inference_mode():
        expected = again.modules.enhancer.eval()(noisy)
    assert torch.equal(model.enhance(noisy[0], toy.RATE), expected[0])


def test_a_model_says_what_run_it_is_from(toy_run):
    config = load(toy_run / "model").config
    about = {"name": "toy", "corpus": "VOICES", "recipe": "toys", "seed": 5}
    assert config.items() >= about.items()
    summary = json.loads((toy_run / "test_summary.json").read_text())["metrics"]
    assert [*config["metrics"]] == [*summary]
    for name, means in config["metrics"].items():
        expected = summary[name]["channels"]["mean"]
        assert means == {key: expected[key] for key in ("unprocessed", "enhanced")}
    for path in (toy_run / "model").glob("*.[jmy]*"):
        assert str(toy_run) not in path.read_text()


def test_a_run_says_where_its_model_is(tmp_path, capsys):
    keep_settings(tmp_path, TOY)
    brain = toy.make_brain(tmp_path, epochs=1, examples=0)
    toy.evaluate(toy.train(brain))
    assert f"\nmodel            {tmp_path / 'model'}\n" in capsys.readouterr().out
    config = load(tmp_path / "model").config
    assert config["corpus"] is None
    brain.hparams.data_folder = None
    release(brain)
    assert load(tmp_path / "model").config["corpus"] == "embedded demo corpus"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (None, "hyperparams.yaml is not there"),
        ("modules: {a: 1, b: 2}", "expected the resolved YAML of a run with"),
    ],
)
def test_a_run_without_settings_ends_well(settings, message, tmp_path):
    brain = toy.make_brain(tmp_path, examples=0)
    if settings is not None:
        keep_settings(tmp_path, settings)
    assert message in release(brain)[0]
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_a_separator_is_kept_too(tmp_path):
    keep_settings(tmp_path, TALKERS)
    options = {"model": talkers.tiny_separator, "examples": 0}
    brain = talkers.make_brain(tmp_path, 1, **options)
    talkers.evaluate(talkers.train(brain, torch.float32), torch.float32)
    model, noisy = load(tmp_path / "model"), torch.randn(1, 300)
    with torch.inference_mode():
        expected = brain.modules.separator.eval()(noisy).signals[0]
    assert torch.equal(model.separate(noisy, talkers.RATE), expected)
    assert {*model.config["metrics"]} == {
        *("si_sdr", "residual_noise", "over_suppression"),
    }


@pytest.mark.slow
def test_a_shared_latent_space_is_kept_whole_and_can_be_begun_with(finished, tmp_path):
    run, state = finished
    keep_settings(tmp_path, UNPAIRED)
    brain = unpaired.make_brain(run, examples=0)
    brain.hparams.output_folder = str(tmp_path)
    brain.on_evaluate_start(min_key="loss")
    release(brain)
    model, noisy = load(tmp_path / "model"), torch.randn(1, 600)
    with torch.inference_mode():
        expected = brain.enhancer.float().eval()(noisy)
    assert torch.equal(model.enhance(noisy, unpaired.RATE), expected)

    given = {"init_from": str(tmp_path / "model"), "examples": 0}
    other = unpaired.make_brain(tmp_path / "other", **given)
    start_from(other)
    begun = unpaired.state(other)
    torch.testing.assert_close(begun, state, check_dtype=False, atol=1e-6, rtol=1e-5)
    # there is no stage one: it would change the speech autoencoder
    other._learn_speech(unpaired.datasets())
    after = unpaired.state(other)
    assert all(torch.equal(after[name], value) for name, value in begun.items())


def test_another_speech_autoencoder_is_trained(tmp_path, monkeypatch):
    """Where not all of it is in the folder, what is there is a beginning."""
    brain = unpaired.make_brain(tmp_path, examples=0)
    names = [*brain.enhancer.state_dict()]
    speech = [name for name in names if name.startswith("speech.")]
    learned = []
    monkeypatch.setattr(SpeechStage, "learn", lambda stage, sets: learned.append(1))
    for missing in ([], speech[:1], names[-1:]):
        found = [name for name in names if name not in missing]
        brain.initialized = Fit(found, missing, [], {})
        brain._learn_speech(unpaired.datasets())
    assert learned == [1]


def test_a_test_of_other_data_leaves_the_model_as_it_is(tmp_path, capsys):
    names = {"data_folder": "/srv/me/VOICES"}
    keep_settings(tmp_path, f"{TOY}data_folder: /srv/me/VOICES\n")
    toy.evaluate(toy.train(toy.make_brain(tmp_path, epochs=1, examples=0, **names)))
    card = (tmp_path / "model" / "README.md").read_text()
    changes = {"seed": 77, "data_folder": "/srv/me/OTHERS"}
    options = {"options": {"test_only": True}, "examples": 0}
    toy.evaluate(toy.make_brain(tmp_path, **changes, **options))
    assert (tmp_path / "model" / "README.md").read_text() == card
    assert f"{tmp_path / 'model'}, as it was" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "model")
    toy.evaluate(toy.make_brain(tmp_path, **changes, **options))
    config = load(tmp_path / "model").config
    assert (config["seed"], config["corpus"]) == (5, "VOICES")


# -- init_from ---------------------------------------------------------------------


def begin(folder: Path, source: Path, **changes) -> EnhancementBrain:
    brain = toy.make_brain(folder, init_from=str(source), examples=0, **changes)
    start_from(brain)
    return brain


def test_a_run_begins_with_a_model(toy_run, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        brain = begin(tmp_path, toy_run / "model")
    expected = load(toy_run / "model").system.state_dict()
    for name, value in brain.modules.enhancer.state_dict().items():
        assert torch.equal(value, expected[name])
    assert all(p.requires_grad for p in brain.modules.parameters())
    number = len(expected)
    assert f"has {number} of this network's {number} tensors" in caplog.text
    assert "everything matches" in caplog.text


def test_a_brain_of_a_yaml_begins_with_a_model(toy_run, tmp_path):
    brain = toy.make_brain(tmp_path, examples=0)
    hparams = {**vars(brain.hparams), "init_from": str(toy_run / "model")}
    parts = {"modules": dict(brain.modules), "opt_class": brain.opt_class}
    parts["checkpointer"] = brain.checkpointer
    made = EnhancementBrain.from_yaml({**hparams, **parts}, {"device": "cpu"})
    assert made.initialized is not None
    assert not made.initialized.lines()


def test_a_run_that_has_begun_goes_on_from_its_own(toy_run, tmp_path):
    first = toy.train(begin(tmp_path, toy_run / "model", epochs=1))
    own = parameters(first)
    again = begin(tmp_path, toy_run / "model", epochs=1)
    assert again.initialized is None
    again.checkpointer.recover_if_possible()
    assert torch.equal(parameters(again), own)


def test_a_model_is_tested_as_it_is(toy_run, tmp_path, capsys):
    test_only = {"options": {"test_only": True}}
    brain = begin(tmp_path, toy_run / "model", **test_only)
    toy.evaluate(brain)
    expected = load(toy_run / "model").system.state_dict()
    for name, value in brain.modules.enhancer.state_dict().items():
        assert torch.equal(value, expected[name])
    items = "test_items.csv"
    assert (tmp_path / items).read_text() == (toy_run / items).read_text()
    assert f"{toy_run / 'model'}, as it is\n" in capsys.readouterr().out
    assert not (tmp_path / "model").exists()


def test_a_run_that_has_begun_is_tested_itself(toy_run, tmp_path):
    other = toy.train(toy.make_brain(tmp_path, epochs=1, examples=0))
    brain = begin(tmp_path, toy_run / "model", options={"test_only": True})
    assert brain.initialized is None
    toy.evaluate(brain)
    assert torch.equal(parameters(brain), parameters(other))


@pytest.mark.parametrize("change", [{"S": 7}, {"X": 2}, {"encoder_bias": "none"}])
def test_a_model_of_another_network_is_not_tested(change, toy_run, tmp_path):
    """Of other shapes, that lacks parameters or has too many."""

    def other():
        return toy.BinauralTasNet(**{**toy.TINY, **change})

    with pytest.raises(ValueError, match=r"expected a model of this very network"):
        begin(tmp_path, toy_run / "model", model=other, options={"test_only": True})


def test_without_a_checkpoint_and_a_model_nothing_is_tested(tmp_path):
    brain = toy.make_brain(tmp_path, examples=0, options={"test_only": True})
    start_from(brain)
    with pytest.raises(ValueError, match="no checkpoint that has si_sdr to evaluate"):
        toy.evaluate(brain)
    assert not (tmp_path / "test_items.csv").exists()


def test_keys_that_do_not_match_are_listed(toy_run, tmp_path, caplog):
    def other():
        return toy.BinauralTasNet(**{**toy.TINY, "S": 7, "fuse": "front"})

    with caplog.at_level(logging.INFO):
        brain = begin(tmp_path, toy_run / "model", model=other)
    fit = brain.initialized
    # S shapes the skips and what reads them
    names = {*load(toy_run / "model").system.state_dict()}
    shaped = {x for x in names if x.startswith("mask.") or ".skip." in x}
    assert {*fit.differing} == shaped - {"mask.1.bias"}
    assert {*fit.matching} == names - {*fit.differing}
    [line] = [x for x in caplog.messages if x.startswith("init_from:")]
    assert "different: " in line
    assert "expected [" in line
    expected = load(toy_run / "model").system.state_dict()
    state = brain.modules.enhancer.state_dict()
    assert all(torch.equal(state[name], expected[name]) for name in fit.matching)


def test_another_rate_is_said(toy_run, caplog):
    network = toy.tiny_model()
    initialize(network, str(toy_run / "model"), 16000)
    assert "was trained at 8000 Hz, this run is at 16000 Hz" in caplog.text


def test_a_model_of_which_nothing_matches_is_an_error(toy_run):
    network = MaskEnhancer("ratio", (256,), 64, channels=(32, 16), kernel=3)
    with pytest.raises(
        ValueError, match=r"init_from: .*model: nothing matches the net"
    ):
        initialize(network, str(toy_run / "model"), 8000)


@pytest.mark.parametrize("source", ["nowhere", "/no/where"])
def test_a_model_that_is_not_there_is_an_error(source, tmp_path):
    with pytest.raises(ValueError, match="no such folder, expected one with config"):
        begin(tmp_path, Path(source))


def test_a_tampered_model_is_an_error(toy_run, tmp_path):
    shutil.copytree(toy_run / "model", tmp_path / "model")
    (tmp_path / "model" / "model.ckpt").write_bytes(b"cposix\nsystem\n")
    with pytest.raises(ValueError, match=r"model\.ckpt: not a file of tensors"):
        begin(tmp_path / "run", tmp_path / "model")


def test_half_precision_can_be_begun_with(toy_run, tmp_path):
    network = toy.tiny_model()
    folder = write_model(
        tmp_path / "model", toy_run / "hyperparams.yaml", network, {}, half=True
    )
    brain = begin(tmp_path / "run", folder)
    assert {p.dtype for p in brain.modules.parameters()} == {torch.float32}


def test_a_run_from_before_the_key_can_be_taken_up(tmp_path):
    base = tmp_path / "base.yaml"
    base.write_text("size: 3\ninit_from: null\n")
    (tmp_path / "save" / "CKPT+1").mkdir(parents=True)
    (tmp_path / "hyperparams.yaml").write_text("size: 3\n")
    check_same_run(tmp_path, base, {})
    with pytest.raises(ValueError, match="holds a run with other init_from"):
        check_same_run(tmp_path, base, {"init_from": "elsewhere"})
