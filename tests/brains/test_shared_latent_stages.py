"""Both stages, begun again: resuming, a saved stage one, evaluation alone."""

import shutil

import pytest
import torch

from speechbrain_fusion.brains import SharedLatentBrain, SpeechStage
from speechbrain_fusion.data.manifest import write_manifest
from tests.brains.common import Killed, dying
from tests.brains.unpaired import datasets, make_brain, no_phase, run


@pytest.mark.slow
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
        patch.setattr(cls, method, dying(cls, method, call))
        with pytest.raises(Killed):
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


@pytest.mark.slow
def test_a_finished_run_is_tested_again_alone(finished, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(finished[0], folder)
    (folder / "test_items.csv").unlink()
    brain = make_brain(folder, options={"test_only": True})
    run(brain)
    table = "test_items.csv"
    assert (folder / table).read_bytes() == (finished[0] / table).read_bytes()
    assert (folder / "latents.png").stat().st_size > 0


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.parametrize("heard", ["clean_train", "clean_valid"])
@pytest.mark.parametrize("mixed", ["speech_train", "speech_valid", "speech_test"])
def test_a_stage_one_that_knows_the_mixtures_speech_is_refused(
    finished, tmp_path, heard, mixed
):
    first = tmp_path / "first"
    shutil.copytree(finished[0] / "save", first / "save")
    entry = {"file": "noisy.wav", "clean_file": "said.wav"}
    write_manifest(first / f"save/{heard}.json", {"a": {"file": "said.wav"}})
    write_manifest(tmp_path / f"second/save/{mixed}.json", {"a": entry})
    brain = make_brain(
        tmp_path / "second",
        speech_checkpoint=str(first / "save/speech"),
        save_folder=str(tmp_path / "second/save"),
    )
    with pytest.raises(ValueError, match=r"clean speech of 1 recordings .*said\.wav"):
        run(brain)


@pytest.mark.slow
def test_evaluation_alone_prints_and_draws(finished, tmp_path, capsys):
    folder = tmp_path / "copy"
    shutil.copytree(finished[0], folder)
    (folder / "latents.png").unlink()
    make_brain(folder).evaluate(datasets()["test"], min_key="loss")
    assert (folder / "latents.png").stat().st_size > 0
    assert "si_sdr" in capsys.readouterr().out


@pytest.mark.slow
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
