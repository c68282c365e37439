"""LibriSpeech and WHAM's noises become manifests, and mixtures of them."""

import functools
from pathlib import Path

import numpy as np
import pytest
import torch

from speechbrain_fusion.data import preparation
from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.dynamic_mixing import DynamicMixtures, Plan
from speechbrain_fusion.data.librimix_corpus import noisy_mixtures
from speechbrain_fusion.data.librispeech import (
    dynamic_librispeech,
    dynamic_recordings,
    prepare_librispeech,
)
from speechbrain_fusion.data.manifest import read_manifest
from tests.data.librimix_tree import RATE, voice, write, write_sources

COUNTS = {"train": 6, "valid": 2, "test": 2}
SEEDS = {"train": 5, "valid": 1, "test": 2}


@pytest.fixture
def corpora(tmp_path: Path) -> Path:
    """Six talkers of a split with one recording each, three noises of two channels."""
    write_sources(tmp_path / "corpora", lengths=(56000, 60001, 48000))
    return tmp_path / "corpora"


def load(root: Path, save: Path, **options):
    """Mix from a tree, with options."""
    folders = root / "LibriSpeech", root / "wham_noise"
    defaults = {"rate": 8000, "segment": 0.5, "counts": COUNTS, "seeds": SEEDS}
    return dynamic_librispeech(*folders, save, **(defaults | options))


def refused(root: Path, save: Path, **options) -> str:
    """Return the error of a preparation that writes nothing."""
    with pytest.raises(AudioError) as caught:
        prepare_librispeech(
            root / "LibriSpeech", root / "wham_noise", save, jobs=1, **options
        )
    assert not save.exists()
    return str(caught.value)


def test_talkers_are_named_and_noises_have_their_split(corpora, tmp_path):
    folders = corpora / "LibriSpeech", corpora / "wham_noise"
    manifests = prepare_librispeech(*folders, tmp_path / "save")
    speech = read_manifest(manifests["speech_valid"]).values()
    assert {entry["talker"] for entry in speech} == {
        *("1100", "1101", "1110", "1111", "1120", "1121")
    }
    for split, part in {"train": "tr", "valid": "cv", "test": "tt"}.items():
        noise = read_manifest(manifests[f"noise_{split}"]).values()
        assert all(f"/{part}/" in entry["file"] for entry in noise)
        assert len(noise) == 3


@pytest.mark.slow
def test_training_mixes_segments_and_the_others_whole_recordings(corpora, tmp_path):
    sets = load(corpora, tmp_path / "save")
    assert {split: len(mixtures) for split, mixtures in sets.items()} == COUNTS
    train, valid = sets["train"], sets["valid"]
    assert train[(1, 0)].signals["target"].shape == (2, 4000)
    assert valid[(1, 0)].signals["target"].shape[-1] in (28000, 30001)
    same = [train[(epoch, 0)].signals["mixture"] for epoch in (1, 2)]
    assert not torch.equal(*same)
    same = [valid[(epoch, 0)].signals["mixture"] for epoch in (1, 2)]
    assert torch.equal(*same)


def drawn(mixtures: DynamicMixtures, epoch: int = 1) -> list[Plan]:
    return [mixtures.plan(epoch, index) for index in range(len(mixtures))]


def test_each_split_mixes_talkers_and_noises_of_its_own(corpora, tmp_path):
    sets = load(corpora, tmp_path / "save", counts=dict.fromkeys(COUNTS, 6))
    parts = {"train": "10 tr", "valid": "11 cv", "test": "12 tt"}
    for split, mixtures in sets.items():
        plans, (voices, noises) = drawn(mixtures), parts[split].split()
        talkers = {part.entry["talker"] for plan in plans for part in plan.talkers}
        # the tree numbers a split's talkers from 1000, 1100 or 1200 on
        assert talkers == {voices + x for x in ("00", "01", "10", "11", "20", "21")}
        heard = {Path(plan.noise.entry["file"]) for plan in plans}
        assert heard == {*(corpora / "wham_noise" / noises).iterdir()}


def test_only_training_is_new_in_every_epoch(corpora, tmp_path):
    sets = load(corpora, tmp_path / "save")
    new = {split for split, x in sets.items() if drawn(x) != drawn(x, epoch=2)}
    assert new == {"train"}


@pytest.mark.parametrize("split", [*SEEDS])
def test_a_seed_changes_its_own_split_alone(corpora, tmp_path, split):
    before, after = (
        load(corpora, tmp_path / "save", seeds=seeds)
        for seeds in (SEEDS, {**SEEDS, split: 9})
    )
    changed = {name for name in SEEDS if drawn(before[name]) != drawn(after[name])}
    assert changed == {split}


def test_only_training_changes_speeds(corpora, tmp_path):
    mixing = functools.partial(DynamicMixtures, speeds=(90,))
    sets = load(corpora, tmp_path / "save", mixtures=mixing)
    speeds = {
        split: {p.speed for p in mixtures.plan(1, 0).talkers}
        for split, mixtures in sets.items()
    }
    assert speeds == {"train": {90}, "valid": {100}, "test": {100}}


def test_a_noise_counts_by_its_first_channel(corpora, tmp_path):
    path = next((corpora / "wham_noise" / "tr").iterdir())
    hiss = 0.1 * np.random.default_rng(0).standard_normal(30000)
    write(path, np.stack([hiss, 0 * hiss], axis=1), RATE)
    assert load(corpora, tmp_path / "save")["train"][(1, 0)].info["noise"]
    write(path, np.stack([0 * hiss, hiss], axis=1), RATE)
    assert f"{path}: silent" in refused(corpora, tmp_path / "other")


def test_short_recordings_are_passed_over(corpora, tmp_path):
    path = corpora / "LibriSpeech/dev-clean/77/1/77-1-0001.flac"
    write(path, voice(47999, 1), RATE)
    names = [
        {entry["talker"] for entry in read_manifest(manifests["speech_valid"]).values()}
        for manifests in (
            prepare_librispeech(
                corpora / "LibriSpeech",
                corpora / "wham_noise",
                tmp_path / f"{shortest}",
                shortest=shortest,
            )
            for shortest in (3.0, 2.9)
        )
    ]
    assert names[1] - names[0] == {"77"}


def test_only_the_named_splits_are_needed(corpora, tmp_path):
    (corpora / "LibriSpeech" / "dev-clean").rename(tmp_path / "away")
    sets = load(corpora, tmp_path / "save", counts={"train": 3})
    assert list(sets) == ["train"]


def test_manifests_that_are_up_to_date_stay(corpora, tmp_path, monkeypatch):
    before = load(corpora, tmp_path / "save")["train"].plan(1, 0)
    monkeypatch.delattr(preparation, "inspect_each")
    assert load(corpora, tmp_path / "save")["train"].plan(1, 0) == before


def test_own_recordings_are_mixed_as_well(recordings, tmp_path):
    sets = dynamic_recordings(recordings, tmp_path / "save", 8000, 0.5, COUNTS, SEEDS)
    info = sets["test"][(1, 0)].info
    assert sorted(info["talkers"].split("_")) == ["test0", "test1"]


def test_one_error_lists_every_unusable_file(corpora, tmp_path):
    speech = sorted((corpora / "LibriSpeech" / "test-clean").rglob("*.flac"))
    noise = sorted((corpora / "wham_noise" / "tt").iterdir())
    write(speech[0], np.zeros(48000), RATE)
    write(speech[1], voice(48000, 1), 8000)
    write(speech[2], np.stack([voice(48000, 1)] * 2, 1), RATE)
    noise[0].write_text("no audio")
    reasons = {
        speech[0]: "silent",
        speech[1]: "rate 8000 Hz, expected at least 16000 Hz",
        speech[2]: "2 channels, expected 1",
        noise[0]: "not a readable audio file",
    }
    first, *lines = refused(corpora, tmp_path / "save").splitlines()
    assert first == "4 unusable files:"
    for path, reason in reasons.items():
        assert any(line.startswith(f"  {path}: {reason}") for line in lines)


@pytest.mark.parametrize("name", ["LibriSpeech/dev-clean", "wham_noise/cv"])
def test_a_missing_part_is_named(corpora, tmp_path, name):
    (corpora / name).rename(tmp_path / "away")
    assert refused(corpora, tmp_path / "save").startswith(f"{corpora / name}: no such")


def test_a_split_of_short_recordings_alone_is_named(corpora, tmp_path):
    message = refused(corpora, tmp_path / "save", shortest=9.0)
    assert "no recording for speech_train, speech_valid, speech_test" in message


def test_a_noise_split_without_recording_is_named_with_its_folder(corpora, tmp_path):
    for path in (corpora / "wham_noise" / "cv").iterdir():
        path.unlink()
    message = refused(corpora, tmp_path / "save")
    assert "no recording for noise_valid" in message
    assert str(corpora / "wham_noise") in message


def test_new_mixtures_are_of_the_chosen_training_set(corpora, tmp_path):
    speech = corpora / "LibriSpeech"
    (speech / "train-clean-360").rename(speech / "train-clean-100")
    made = noisy_mixtures(
        None,
        tmp_path / "save",
        8000,
        2,
        "min",
        0.5,
        {"train": 4},
        SEEDS,
        librispeech=speech,
        wham=corpora / "wham_noise",
        metadata=tmp_path,
        dynamic_mixing=True,
        train_set="train-100",
        demo_folder=tmp_path,
    )
    assert len(made["train"]) == 4
    assert made["train"][1, 0].signals["mixture"].any()


@pytest.mark.parametrize("name", ["data_folder", "recordings", "librispeech", "wham"])
def test_an_empty_name_is_no_folder(name, tmp_path):
    """A variable of the shell that is not set: the demo corpus was not asked for."""
    folders = {"data_folder": None, name: ""}
    with pytest.raises(ValueError, match=f"{name}: expected a folder or null, got ''"):
        noisy_mixtures(
            save_folder=tmp_path,
            rate=8000,
            talkers=2,
            mode="min",
            segment=1.0,
            counts={"test": 1},
            seeds={"test": 2},
            demo_folder=tmp_path / "demo",
            **folders,
        )
    assert not any(tmp_path.iterdir())
