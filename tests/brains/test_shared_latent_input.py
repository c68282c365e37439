"""Settings and data that a shared latent space refuses, each by name."""

import pytest
import speechbrain as sb

from speechbrain_fusion.brains.speech_stage import _utterances
from speechbrain_fusion.data import Batch
from speechbrain_fusion.data.manifest import write_manifest
from tests.brains.unpaired import LOSSES, datasets, make_brain, no_phase


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


def test_recordings_are_the_same_however_they_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entry = {"rate": 8000, "samples": 8, "seconds": 0.001}
    for name, file in (("one", "daps/a.wav"), ("two", f"{tmp_path}/daps/a.wav")):
        write_manifest(
            tmp_path / name / "clean_train.json", {"a": {"file": file, **entry}}
        )
    found = [_utterances(tmp_path / name, ["clean_train"]) for name in ("one", "two")]
    assert found[0] == found[1] != set()
