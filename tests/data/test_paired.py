"""Pairs of noisy and clean files, by split or as VoiceBank+DEMAND is published."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from speechbrain_fusion.data.audio import PEAK, AudioError
from speechbrain_fusion.data.batch import Example
from speechbrain_fusion.data.paired import paired_speech, prepare_pairs
from speechbrain_fusion.data.rendered import RenderedScenes
from tests.data.librimix_tree import voice, write

COUNTS = dict.fromkeys(("train", "valid", "test"))
SEEDS = {"train": 5, "valid": 0, "test": 0}


def write_pairs(noisy: Path, clean: Path, names, rate: int = 48000) -> None:
    for number, name in enumerate(names):
        speech = voice(rate + 100 * number, number)
        hiss = np.random.default_rng(number).standard_normal(speech.size)
        write(clean / f"{name}.wav", speech, rate)
        write(noisy / f"{name}.wav", speech + 0.02 * hiss, rate)


@pytest.fixture
def voicebank(tmp_path) -> Path:
    root = tmp_path / "voicebank"
    parts = {
        "trainset_28spk_wav": ("p226_001", "p287_001", "p250_001", "p250_002"),
        "testset_wav": ("p232_001", "p257_001"),
    }
    for part, names in parts.items():
        write_pairs(root / f"noisy_{part}", root / f"clean_{part}", names)
    return root


@pytest.fixture
def splits(tmp_path) -> Path:
    root = tmp_path / "mine"
    for split in COUNTS:
        write_pairs(root / split / "noisy", root / split / "clean", ("a", "b"), 16000)
    return root


def load(root: Path, save: Path, **options):
    defaults = {"rate": 16000, "segment": 0.5, "counts": COUNTS, "seeds": SEEDS}
    return paired_speech(root, save, **(defaults | options))


def refused(root: Path, save: Path, rate: int = 16000) -> str:
    with pytest.raises(AudioError) as caught:
        prepare_pairs(root, save, rate, jobs=1)
    assert not save.exists()
    return str(caught.value)


def test_voicebank_is_split_by_speaker(voicebank, tmp_path):
    sets = load(voicebank, tmp_path / "save")
    names = {
        split: sorted(each[(1, index)].id for index in range(len(each)))
        for split, each in sets.items()
    }
    assert names == {
        "train": ["p250_001", "p250_002"],
        "valid": ["p226_001", "p287_001"],
        "test": ["p232_001", "p257_001"],
    }
    assert sets["test"][(1, 0)].info["talker"] == "p232"


def test_training_takes_segments_of_both_files_from_one_place(voicebank, tmp_path):
    sets = load(voicebank, tmp_path / "save", rate=48000)
    example = sets["train"][(1, 0)]
    root = voicebank / "noisy_trainset_28spk_wav" / f"{example.id}.wav"
    clean = soundfile.read(str(root).replace("noisy", "clean"))[0]
    target = example.signals["target"][0].numpy()
    start = int(np.correlate(clean, target, "valid").argmax())
    noisy = soundfile.read(root, dtype="float32")[0][start : start + 24000]
    assert np.array_equal(example.signals["mixture"][0], noisy)


def test_evaluation_has_whole_files_at_the_wanted_rate(voicebank, tmp_path):
    example = load(voicebank, tmp_path / "save")["test"][(1, 1)]
    shapes = {kind: tuple(x.shape) for kind, x in example.signals.items()}
    assert shapes == {"mixture": (1, 16034), "target": (1, 16034)}


def test_folders_of_splits_are_read(splits, tmp_path):
    sets = load(splits, tmp_path / "save", segment=None)
    assert [len(each) for each in sets.values()] == [2, 2, 2]
    clean = soundfile.read(splits / "valid" / "clean" / "a.wav", dtype="float32")[0]
    assert torch.equal(
        sets["valid"][(1, 0)].signals["target"][0], torch.from_numpy(clean)
    )


def test_one_error_lists_every_unusable_file(splits, tmp_path):
    train = splits / "train"
    (train / "noisy" / "a.wav").unlink()
    write(train / "clean" / "b.wav", voice(15000, 1), 16000)
    (splits / "test" / "noisy" / "a.wav").write_text("no audio")
    write(splits / "test" / "clean" / "b.wav", voice(16100, 1), 48000)
    write(splits / "valid" / "noisy" / "a.wav", 0 * voice(16000, 1), 16000)
    first, *lines = refused(splits, tmp_path / "save").splitlines()
    assert first == "5 unusable files:"
    for reason in (
        f"{train / 'noisy' / 'a.wav'}: missing, expected a partner",
        f"{train / 'noisy' / 'b.wav'}: 16100 samples, its clean file has 15000",
        f"{splits / 'test' / 'noisy' / 'a.wav'}: not a readable audio file",
        f"{splits / 'test' / 'noisy' / 'b.wav'}: 16000 Hz, its clean file has 48000",
        f"{splits / 'valid' / 'noisy' / 'a.wav'}: silent",
    ):
        assert any(line.startswith(f"  {reason}") for line in lines), reason


def test_a_rate_below_the_wanted_is_refused(splits, tmp_path):
    assert "rate 16000 Hz, expected at least 48000" in refused(
        splits, tmp_path / "save", 48000
    )


def test_another_layout_is_named(tmp_path):
    save = tmp_path / "save"
    assert "nowhere: no such folder" in refused(tmp_path / "nowhere", save)
    (tmp_path / "speech").mkdir()
    message = refused(tmp_path / "speech", save)
    assert "expected <train|valid|test>/<noisy|clean>" in message
    write_pairs(tmp_path / "speech/test/noisy", tmp_path / "speech/test/clean", ["a"])
    assert "no pair of files for train" in refused(tmp_path / "speech", save)


def test_files_are_matched_by_their_places(tmp_path):
    root = tmp_path / "mine"
    for split in COUNTS:
        for talker in ("anna", "bert"):
            kinds = (root / split / kind / talker for kind in ("noisy", "clean"))
            write_pairs(*kinds, ("1",), 16000)
    sets = load(root, tmp_path / "save", segment=None)
    assert [sets["test"][(1, i)].id for i in range(2)] == ["anna_1", "bert_1"]
    (root / "test" / "clean" / "bert" / "1.wav").unlink()
    missing = root / "test" / "clean" / "bert" / "1.wav"
    assert f"{missing}: missing" in refused(root, tmp_path / "other")
    (root / "test" / "clean" / "bert_1.wav").touch()
    assert "bert_1, is also" in refused(root, tmp_path / "other")


def test_archives_beside_the_folders_do_not_matter(voicebank, tmp_path):
    (voicebank / "noisy_trainset_28spk_wav.zip").touch()
    assert len(load(voicebank, tmp_path / "save")["test"]) == 2
    (voicebank / "noisy_trainset_56spk_wav").mkdir()
    message = refused(voicebank, tmp_path / "other")
    assert "noisy_trainset_56spk_wav" in message


def test_training_pairs_are_turned_up_and_down_together(splits, tmp_path):
    plain = load(splits, tmp_path / "save")
    turned = load(splits, tmp_path / "save", gain=(-20.0, -10.0))
    levels = set()
    for index in range(2):
        one, other = (sets["train"][(1, index)].signals for sets in (plain, turned))
        factor = other["target"].norm() / one["target"].norm()
        assert 0.1 <= factor <= 10**-0.5
        torch.testing.assert_close(factor * one["mixture"], other["mixture"])
        levels.add(factor.item())
    assert len(levels) == 2
    one, other = (sets["test"][(1, 0)].signals["mixture"] for sets in (plain, turned))
    assert torch.equal(one, other)


@pytest.mark.parametrize("gain", [-20.0, 10.0, 200.0])
def test_pairs_are_turned_up_as_far_as_they_do_not_clip(gain, splits, tmp_path):
    sets = (
        load(splits, tmp_path / "save"),
        load(splits, tmp_path / "save", gain=(gain, gain)),
    )
    plain, turned = (x["train"][(1, 0)].signals for x in sets)
    expected = min(10 ** (gain / 20), PEAK / plain["mixture"].abs().max().item())
    torch.testing.assert_close(turned["mixture"], expected * plain["mixture"])
    torch.testing.assert_close(turned["target"], expected * plain["target"])
    assert expected > 1 or gain < 0


def test_a_silent_pair_stays_silent(splits, tmp_path, monkeypatch):
    turned = load(splits, tmp_path / "save", gain=(10.0, 10.0))["train"]
    silence = {"mixture": torch.zeros(1, 8), "target": torch.zeros(1, 8)}
    monkeypatch.setattr(RenderedScenes, "_made", lambda *_: Example("a", silence, {}))
    assert turned[(1, 0)].signals["mixture"].eq(0).all()
