"""The Clarity challenge's tree becomes manifests: who is where, and when it is not."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechbrain_fusion.data import preparation
from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.clarity import clarity_scenes, prepare_clarity
from speechbrain_fusion.data.manifest import read_manifest
from tests.data.clarity_tree import (
    POST,
    PRE,
    RATE,
    read_metadata,
    write,
    write_metadata,
    write_tree,
)

SMALL = {"train": range(1, 3), "dev": range(3, 4)}
Prepare = Callable[..., dict[str, dict]]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two talkers to train, one of dev, two scenes each."""
    return write_tree(tmp_path / "clarity_data", SMALL, speech=0.1)


def prepare(tree: Path, save: Path, rate: int = 8000) -> dict[str, dict]:
    """Prepare and read the manifests."""
    paths = prepare_clarity(tree, save, rate, jobs=1)
    return {split: read_manifest(path) for split, path in paths.items()}


def talkers(manifest: dict) -> set[str]:
    return {entry["talker"] for entry in manifest.values()}


def refused(tree: Path, save: Path, rate: int = 8000) -> str:
    """Return the error of a preparation that writes nothing."""
    with pytest.raises(AudioError) as caught:
        prepare_clarity(tree, save, rate, jobs=1)
    assert not save.exists()
    return str(caught.value)


# -- which scene goes where ----------------------------------------------------------


def test_every_tenth_talker_validates_and_dev_is_the_test(tmp_path, save):
    numbers = {"train": range(1, 22), "dev": range(30, 33)}
    splits = prepare(write_tree(tmp_path, numbers, 1, speech=0.05), save)
    assert talkers(splits["valid"]) == {"T001", "T011", "T021"}
    assert talkers(splits["test"]) == {"T030", "T031", "T032"}
    assert {split: len(scenes) for split, scenes in splits.items()} == {
        "train": 18,
        "valid": 3,
        "test": 3,
    }
    assert not talkers(splits["train"]) & talkers(splits["valid"])


def test_eval_is_the_test_where_it_has_targets(tmp_path, save):
    numbers = SMALL | {"eval": range(4, 5)}
    splits = prepare(write_tree(tmp_path, numbers, speech=0.1), save)
    assert talkers(splits["train"]) == {"T001", "T002"}
    assert talkers(splits["valid"]) == {"T003"}
    assert talkers(splits["test"]) == {"T004"}


def test_eval_without_targets_changes_nothing(tmp_path, save):
    numbers = SMALL | {"eval": range(4, 5)}
    tree = write_tree(tmp_path, numbers, speech=0.1)
    for path in (tree / "eval" / "scenes").glob("*_target_CH1.wav"):
        path.unlink()
    (tree / "metadata" / "scenes.eval.json").unlink()
    splits = prepare(tree, save)
    assert talkers(splits["valid"]) == {"T001"}
    assert talkers(splits["test"]) == {"T003"}


def test_without_talkers_every_tenth_scene_validates(tmp_path, save, caplog):
    tree = write_tree(tmp_path, {"train": range(1, 22), "dev": range(30, 31)}, 1, 0.05)
    entries = read_metadata(tree, "train")
    del entries[5]["target"]
    write_metadata(tree, "train", entries)
    with caplog.at_level(logging.WARNING):
        splits = prepare(tree, save)
    assert list(splits["valid"]) == ["S00001", "S00011", "S00021"]
    assert len(splits["train"]) == 18
    assert "every tenth scene validates" in caplog.text


def test_the_folder_above_serves_as_well(tree, save):
    assert prepare(tree.parent, save) == prepare(tree, save)


def test_an_entry_joins_files_and_metadata(tree, save):
    scenes = tree / "dev" / "scenes"
    samples = PRE + round(0.3 * RATE) + POST
    assert prepare(tree, save)["test"]["S00005"] == {
        "file": str(scenes / "S00005_mixed_CH1.wav"),
        "target": str(scenes / "S00005_target_CH1.wav"),
        "rate": RATE,
        "samples": samples,
        "seconds": round(samples / RATE, 4),
        "pre_samples": PRE,
        "post_samples": POST,
        "first": PRE,
        "last": samples - POST,
        "talker": "T003",
        "noise": "speech",
        "interferer": "irm_02484",
        "snr": -1.375,
    }


def test_appliances_are_kinds_of_noise(tree, save):
    splits = prepare(tree, save)
    noises = {k: e["noise"] for scenes in splits.values() for k, e in scenes.items()}
    assert list(noises.values()).count("kettle") == 2
    assert (noises["S00002"], noises["S00003"]) == ("speech", "fan")


def test_metadata_of_scenes_that_are_not_there_are_passed_over(tree, save):
    for path in (tree / "train" / "scenes").glob("S00002_*"):
        path.unlink()
    splits = prepare(tree, save)
    assert "S00002" not in splits["train"] | splits["valid"]


def test_places_count_at_44100_hz_whatever_the_files_have(tree, save):
    for path in (tree / "dev" / "scenes").glob("S00005_*_CH1.wav"):
        write(path, 0.1 * np.ones((22050, 2)), RATE // 2)
    entry = prepare(tree, save)["test"]["S00005"]
    assert (entry["first"], entry["last"]) == (PRE // 2, 22050 - round(POST / 2))


def test_the_splits_are_made_from_the_manifests(tree, save):
    counts = {"train": 5, "valid": None, "test": 1}
    seeds = {"train": 1, "valid": 2, "test": 3}
    made = clarity_scenes(tree, save, 8000, 0.25, counts, seeds)
    assert {split: len(scenes) for split, scenes in made.items()} == {
        "train": 5,
        "valid": 2,
        "test": 1,
    }
    segment, whole = made["train"][(1, 0)], made["test"][(1, 0)]
    assert segment.signals["mixture"].shape == (2, 2000)
    assert whole.signals["mixture"].shape[-1] == -(
        -soundfile.info(tree / f"dev/scenes/{whole.id}_mixed_CH1.wav").frames
        * 80
        // 441
    )
    assert segment.info["talker"] == "T002"
    assert made["valid"][(1, 0)].info["talker"] == "T001"


# -- built once, built again ---------------------------------------------------------


def test_manifests_that_are_up_to_date_stay(tree, save, monkeypatch):
    before = prepare(tree, save)
    monkeypatch.delattr(preparation, "inspect_each")
    assert prepare(tree, save) == before


@pytest.mark.parametrize("change", ["sound", "metadata", "new", "manifest", "stamp"])
def test_manifests_follow_what_they_were_built_from(tree, save, change):
    before = prepare(tree, save)
    scenes = tree / "dev" / "scenes"
    if change == "sound":
        for kind in ("mixed", "target"):
            write(scenes / f"S00005_{kind}_CH1.wav", np.ones((RATE, 2)))
        assert prepare(tree, save)["test"]["S00005"]["samples"] == RATE
    elif change == "metadata":
        entries = read_metadata(tree, "dev")
        write_metadata(tree, "dev", [entry | {"SNR": 9.5} for entry in entries])
        assert prepare(tree, save)["test"]["S00005"]["snr"] == 9.5
    elif change == "new":
        for kind in ("mixed", "target"):
            os.link(
                scenes / f"S00005_{kind}_CH1.wav", scenes / f"S00007_{kind}_CH1.wav"
            )
        entries = read_metadata(tree, "dev")
        write_metadata(tree, "dev", [*entries, entries[0] | {"scene": "S00007"}])
        assert list(prepare(tree, save)["test"]) == ["S00005", "S00006", "S00007"]
    else:
        name = {"manifest": "mixtures_valid.json", "stamp": "mixtures.json"}[change]
        (save / name).unlink()
        assert prepare(tree, save) == before


def test_a_refusal_leaves_the_manifests_of_before(tree, save):
    prepare(tree, save)
    before = {path.name: path.read_bytes() for path in save.iterdir()}
    (tree / "dev" / "scenes" / "S00005_target_CH1.wav").unlink()
    with pytest.raises(AudioError, match="S00005_target"):
        prepare(tree, save)
    assert {path.name: path.read_bytes() for path in save.iterdir()} == before


# -- what cannot be used -------------------------------------------------------------


def test_one_error_lists_every_unusable_file(tmp_path, save):
    tree = write_tree(tmp_path, {"train": range(1, 9), "dev": range(9, 10)}, 1, 0.1)
    scenes, noise = tree / "train" / "scenes", np.full((RATE, 2), 0.1)
    holed = noise.copy()
    holed[5, 1] = np.nan
    (scenes / "S00001_target_CH1.wav").unlink()
    (scenes / "S00002_mixed_CH1.wav").unlink()
    write(scenes / "S00003_mixed_CH1.wav", noise[:, :1])
    write(scenes / "S00004_mixed_CH1.wav", holed)
    write(scenes / "S00004_target_CH1.wav", 0 * noise)
    write(scenes / "S00005_target_CH1.wav", noise[:-1])
    (scenes / "S00006_mixed_CH1.wav").write_text("no audio")
    write(scenes / "S00007_mixed_CH1.wav", noise, 4000)
    for kind in ("mixed", "target"):
        write(scenes / f"S00008_{kind}_CH1.wav", noise[: PRE + POST])
    reasons = {
        "S00001_target_CH1.wav": "missing",
        "S00002_mixed_CH1.wav": "missing",
        "S00003_mixed_CH1.wav": "1 channels, expected 2",
        "S00004_mixed_CH1.wav": "NaN or infinite",
        "S00004_target_CH1.wav": "silent",
        "S00005_target_CH1.wav": "44099 samples at 44100 Hz, its mixture has",
        "S00006_mixed_CH1.wav": "not a readable audio file",
        "S00007_mixed_CH1.wav": "rate 4000 Hz, expected at least 8000 Hz",
        "S00008_mixed_CH1.wav": "expected more than the 22050 before and 11025 after",
    }
    first, *lines = refused(tree, save).splitlines()
    assert first == f"{len(reasons)} unusable files:"
    for line, (name, reason) in zip(lines, reasons.items(), strict=True):
        assert f"{scenes / name}: " in line
        assert reason in line


def test_a_rate_above_the_published_one_is_refused(tree, save):
    assert "expected at least 48000 Hz" in refused(tree, save, rate=48000)


def test_a_pair_of_two_rates_is_refused(tree, save):
    path = tree / "dev" / "scenes" / "S00005_target_CH1.wav"
    write(path, soundfile.read(path)[0], 48000)
    assert f"{path}: " in refused(tree, save)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "not readable"),
        ("", "not readable"),
        ('[{"scene": "S00001"', "not readable"),
        ('{"S00001": {}}', "expected a list of scenes"),
        ("[3]", "entry 0"),
        ('[{"scene": "S00001", "pre_samples": 1}]', "entry 0"),
        ('[{"scene": 1, "pre_samples": 1, "post_samples": 1}]', "entry 0"),
        ('[{"scene": "S1", "pre_samples": -1, "post_samples": 1}]', "entry 0"),
        ("[]", "no entry for S00001, S00002, S00003, S00004"),
    ],
)
def test_metadata_that_are_none_are_named(tree, save, content, reason):
    path = tree / "metadata" / "scenes.train.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    message = refused(tree, save)
    assert message.startswith(f"{path}: ")
    assert reason in message


def test_scenes_without_an_entry_are_named(tree, save):
    path = write_metadata(tree, "dev", read_metadata(tree, "dev")[:1])
    assert refused(tree, save).startswith(f"{path}: no entry for S00006, expected")


@pytest.mark.parametrize("part", ["train", "dev"])
def test_a_part_without_scenes_is_named(tree, save, part):
    (tree / part / "scenes").rename(tree / part / "elsewhere")
    assert refused(tree, save).startswith(f"{tree / part / 'scenes'}: no scene")


def test_another_folder_is_named(tmp_path, save):
    message = refused(tmp_path / "nowhere", save)
    assert message.startswith(f"{tmp_path / 'nowhere'}: not the Clarity challenge's")


def test_one_talker_does_not_make_two_splits(tmp_path, save):
    tree = write_tree(tmp_path, {"train": range(1, 2), "dev": range(2, 3)}, 2, 0.1)
    assert "by one talker, expected two" in refused(tree, save)


def test_odd_metadata_leave_out_what_they_do_not_say(tree, save):
    entries = read_metadata(tree, "dev")
    for key in ("target", "interferer", "SNR"):
        entries[0][key] = None
    entries[1]["target"] = {"name": "clip"}
    write_metadata(tree, "dev", entries)
    known = prepare(tree, save)["test"]
    absent = {"talker", "noise", "interferer", "snr"}
    assert absent & set(known["S00005"]) == set()
    assert absent & set(known["S00006"]) == absent - {"talker"}
