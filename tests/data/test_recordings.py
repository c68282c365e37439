"""A folder of recordings becomes manifests: which file goes where, and when not."""

import json
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from speechbrain.dataio.dataset import DynamicItemDataset

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.manifest import read_manifest
from speechbrain_fusion.data.recordings import (
    SPLITS,
    prepare_recordings,
    split_speech,
    talker,
)
from tests.conftest import write_noise, write_voice
from tests.data.recording_files import touched
from tests.data.test_inspection import spoil_all

NAMES = [f"{kind}_{split}" for kind in ("speech", "noise") for split in SPLITS]
Prepare = Callable[..., dict[str, Path]]


@pytest.fixture
def prepare(recordings: Path, save: Path) -> Prepare:
    """Prepare the small folder, with options."""

    def call(**options):
        arguments = {"rate": 16000, "segment": 1.0, "jobs": 1} | options
        return prepare_recordings(recordings, save, **arguments)

    return call


def contents(folder: Path) -> dict[str, bytes]:
    """Read every file of a folder, hidden ones too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def touch_all(folder: Path) -> None:
    """Set the times of a folder's files to one that no later write has."""
    for path in folder.iterdir():
        os.utime(path, ns=(0, 0))


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let no file grow above a size, for this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# -- what the manifests hold ---------------------------------------------------------


def test_every_file_is_in_one_manifest(prepare, recordings):
    paths = prepare()
    assert list(paths) == NAMES
    entries = [e for path in paths.values() for e in read_manifest(path).values()]
    files = [entry["file"] for entry in entries]
    assert len(set(files)) == len(files)
    assert {Path(file) for file in files} == {
        path for path in recordings.rglob("*") if path.is_file()
    }


def test_entries_say_what_is_needed_to_read_them(prepare, recordings):
    paths = prepare()
    name = "speech/test/test1/1.wav"
    assert read_manifest(paths["speech_test"])[name] == {
        "file": str(recordings / name),
        "rate": 16000,
        "samples": 28000,
        "seconds": 1.75,
        "name": "1",
        "talker": "test1",
    }
    noise = read_manifest(paths["noise_valid"])["noise/noise3.flac"]
    assert (noise["name"], "talker" in noise) == ("noise3", False)


def test_names_are_unique_where_stems_are_not(prepare, recordings):
    for name in ("0.flac", "0.ogg", "chapter/0.wav", "chapter/deep/0.wav"):
        write_voice(recordings / "speech" / "train" / "train0" / name, 1.5, seed=7)
    manifest = read_manifest(prepare()["speech_train"])
    assert len(manifest) == 8 + 4
    same = [e for e in manifest.values() if e["name"] == "0"]
    assert len({e["file"] for e in same}) == 4 + 4
    assert sum(entry["talker"] == "train0" for entry in manifest.values()) == 2 + 4


def test_recordings_may_be_elsewhere_and_linked(prepare, recordings, tmp_path):
    for name in ("train/train1", "valid"):
        folder = recordings / "speech" / name
        folder.rename(tmp_path / folder.name)
        folder.symlink_to(tmp_path / folder.name)
    paths = prepare()
    assert len(read_manifest(paths["speech_train"])) == 8
    assert len(read_manifest(paths["speech_valid"])) == 4


# -- splits --------------------------------------------------------------------------


def test_talkers_stay_where_their_folders_are(prepare):
    paths = prepare()
    for split, count in {"train": 4, "valid": 2, "test": 2}.items():
        manifest = read_manifest(paths[f"speech_{split}"])
        talkers = {entry["talker"] for entry in manifest.values()}
        assert talkers == {f"{split}{number}" for number in range(count)}


@pytest.mark.parametrize("utterances", [1, 3])
@pytest.mark.parametrize("talkers", [2, 10, 11, 45])
def test_without_test_talkers_every_tenth_training_talker_validates(
    tmp_path, talkers, utterances
):
    folder = tmp_path / "speech"
    for number in range(talkers):
        names = [f"train/{number:02}/{i}.wav" for i in range(utterances)]
        touched(folder, *names)
    touched(folder, "valid/v0/a.wav", "valid/v1/chapter/b.wav")
    found = split_speech(folder)
    who = {s: {talker(path, folder) for path in found[s]} for s in SPLITS}
    held_out = {f"{number:02}" for number in range(0, talkers, 10)}
    assert who["test"] == {"v0", "v1"}
    assert who["valid"] == held_out
    assert who["train"] == {f"{n:02}" for n in range(talkers)} - held_out
    assert len(found["train"] + found["valid"]) == talkers * utterances


@pytest.mark.parametrize("other", ["valid", "test"])
def test_of_a_talker_in_two_splits_a_warning_tells(tmp_path, caplog, other):
    names = [f"{split}/{split}_{n}/a.wav" for split in SPLITS for n in range(2)]
    touched(tmp_path, *names)
    split_speech(tmp_path)
    assert not caplog.records
    touched(tmp_path, "train/anna/a.wav", f"{other}/anna/b.wav")
    split_speech(tmp_path)
    (record,) = caplog.records
    assert f"{tmp_path}: 1 talkers are in two splits or more, as anna" in record.message


def test_a_recording_in_no_talkers_folder_is_refused(prepare, recordings, save):
    write_voice(recordings / "speech" / "train" / "lost.wav", 1.5, seed=1)
    with pytest.raises(AudioError, match=r"train/lost\.wav: expected in a talker's"):
        prepare()
    assert not save.exists()


def test_noises_are_split_by_their_folders(prepare, recordings):
    shutil.rmtree(recordings / "noise")
    for split in SPLITS:
        write_noise(recordings / "noise" / split / "a.wav", 0.5, seed=1)
    paths = prepare()
    for split in SPLITS:
        assert list(read_manifest(paths[f"noise_{split}"])) == [f"noise/{split}/a.wav"]


def test_speech_that_is_called_as_a_channel_keeps_its_name(prepare, recordings):
    write_voice(recordings / "speech" / "train" / "anna" / "ch01.wav", 1.5, 7)
    entry = read_manifest(prepare()["speech_train"])["speech/train/anna/ch01.wav"]
    assert (entry["name"], entry["talker"]) == ("ch01", "anna")


def test_a_noise_of_channels_is_called_as_its_room(prepare, recordings):
    channel = recordings / "noise" / "PARK" / "ch01.wav"
    write_noise(channel, 1.0, 9)
    split = {"valid": ["noise1"], "test": ["PARK"]}
    manifest = read_manifest(prepare(noise_split=split)["noise_test"])
    assert manifest["noise/PARK/ch01.wav"]["name"] == "PARK"


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"valid": ["noise1"], "test": ["thunder"]}, r"no such noise.*\['thunder'\]"),
        ({"valid": ["noise1"], "test": ["noise1"]}, r"two splits.*\['noise1'\]"),
        ({"dev": ["noise1"], "test": ["noise2"]}, r"expected keys.*'dev'"),
        ({"valid": ["noise1"]}, "no audio file for noise_test"),
        (
            {"valid": "noise1", "test": ["noise2"]},
            "a list of names for valid, got 'noise1'",
        ),
        ({"valid": None, "test": ["noise2"]}, "a list of names for valid, got None"),
    ],
)
def test_noise_splits_that_cannot_be_are_refused(prepare, save, split, message):
    with pytest.raises(AudioError, match=message):
        prepare(noise_split=split)
    assert not save.exists()


# -- refusals ------------------------------------------------------------------------


def test_all_unusable_files_are_listed_and_nothing_is_written(
    prepare, recordings, save
):
    reasons = spoil_all(recordings / "speech" / "train" / "spoilt")
    reasons |= spoil_all(recordings / "noise" / "spoilt")
    with pytest.raises(AudioError) as caught:
        prepare()
    assert "18 unusable files" in str(caught.value)
    for name in reasons:
        assert f"{recordings}/speech/train/spoilt/{name}: " in str(caught.value)
        assert f"{recordings}/noise/spoilt/{name}: " in str(caught.value)
    assert not save.exists()


@pytest.mark.parametrize("folder", ["speech", "speech/train", "speech/valid", "noise"])
def test_a_missing_folder_is_named(prepare, recordings, save, folder):
    shutil.rmtree(recordings / folder)
    with pytest.raises(AudioError, match=f"{folder}.*: no such folder"):
        prepare()
    assert not save.exists()


def test_empty_splits_are_named_together(prepare, recordings, save):
    for name in ("speech/test", "noise"):
        shutil.rmtree(recordings / name)
        (recordings / name).mkdir()
    with pytest.raises(
        AudioError, match="speech_test, noise_train, noise_valid, noise_test"
    ):
        prepare()
    assert not save.exists()


def test_a_segment_longer_than_every_recording_is_refused(prepare, save):
    with pytest.raises(AudioError, match=r"segment: 1\.76 s.*longest has 1\.75 s"):
        prepare(segment=1.76)
    assert not save.exists()
    assert prepare(segment=1.75)["speech_train"].is_file()


def test_a_rate_above_that_of_the_recordings_is_refused(prepare):
    with pytest.raises(AudioError, match="21 unusable files"):
        prepare(rate=44100)


# -- again ---------------------------------------------------------------------------


def test_manifests_that_are_up_to_date_stay_untouched(prepare, save):
    first = prepare()
    touch_all(save)
    assert prepare() == first
    assert set(times(save).values()) == {0}


@pytest.mark.parametrize(
    "change",
    [
        {"rate": 8000},
        {"segment": 1.5},
        {"noise_split": {"valid": ["noise0"], "test": ["noise1"]}},
    ],
    ids=["rate", "segment", "split"],
)
def test_manifests_follow_the_options(prepare, save, change):
    prepare()
    touch_all(save)
    prepare(**change)
    assert 0 not in times(save).values()


def test_manifests_follow_the_files(prepare, recordings, save):
    changed = recordings / "speech" / "train" / "train0" / "0.wav"
    prepare()
    write_voice(changed, 2.5, seed=3)
    manifest = read_manifest(prepare()["speech_train"])
    assert manifest["speech/train/train0/0.wav"]["seconds"] == 2.5
    write_noise(recordings / "noise" / "noise9.wav", 1.0, 9)
    assert len(read_manifest(prepare()["noise_train"])) == 4
    changed.unlink()
    assert len(read_manifest(prepare()["speech_train"])) == 7


@pytest.mark.parametrize("content", ["", "[]", "null", "{}", '{"fingerprint": 1}'])
def test_a_stamp_that_says_nothing_is_not_believed(prepare, save, content):
    prepare()
    before = contents(save)
    touch_all(save)
    (save / "manifests.json").write_text(content)
    prepare()
    assert contents(save) == before
    assert 0 not in times(save).values()


def test_a_missing_manifest_is_written_again(prepare):
    paths = prepare()
    paths["noise_test"].unlink()
    prepare()
    assert len(read_manifest(paths["noise_test"])) == 1


def test_a_failed_preparation_leaves_the_manifests(prepare, recordings, save):
    prepare()
    before = contents(save)
    spoil_all(recordings / "noise" / "spoilt")
    with pytest.raises(AudioError, match="9 unusable files"):
        prepare()
    assert contents(save) == before


def test_a_full_disk_leaves_all_manifests_of_before(prepare, recordings, save):
    """Also those that come before the one for which the disk has no room."""
    for talker_name in range(12):
        path = recordings / "speech" / "test" / f"more{talker_name}" / "0.wav"
        write_voice(path, 1.0, seed=talker_name)
    prepare()
    before = contents(save)
    sizes = {name: len(content) for name, content in before.items()}
    limit = sizes["speech_test.json"] - 1
    assert sizes["speech_train.json"] <= limit
    left_out = recordings / "speech" / "train" / "train0"
    left_out.rename(recordings / "left_out")
    with full_disk(limit), pytest.raises(OSError, match=r"speech_test\.json"):
        prepare()
    assert contents(save) == before
    (recordings / "left_out").rename(left_out)
    touch_all(save)
    prepare()
    assert set(times(save).values()) == {0}


def test_a_full_disk_at_first_leaves_no_manifest(prepare, save):
    with full_disk(100), pytest.raises(OSError, match="not written"):
        prepare()
    assert contents(save) == {}
    assert json.loads(prepare()["speech_train"].read_text())


def test_manifests_are_speechbrains_own_form(recordings, tmp_path):
    manifests = prepare_recordings(recordings, tmp_path, 8000, 1.0)
    dataset = DynamicItemDataset.from_json(manifests["speech_train"])
    dataset.set_output_keys(["id", "file", "talker"])
    assert len(dataset) == 8
    assert dataset[0]["talker"] == "train0"
    assert Path(dataset[0]["file"]).is_file()
