"""Which noise is in which split: by folder, by name, in turn, channels together."""

import shutil
from itertools import chain
from pathlib import Path

import pytest

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.noise_parts import find_noises, noise_manifests
from speechbrain_fusion.data.recordings import SPLITS, recording_name, split_noise
from tests.data.recording_files import touched


@pytest.mark.parametrize("missing", SPLITS)
def test_a_missing_noise_folder_is_named_and_no_noise_changes_its_split(
    tmp_path, missing
):
    names = [f"{split}/{n}.wav" for split in SPLITS for n in range(4)]
    touched(tmp_path, *names)
    shutil.rmtree(tmp_path / missing)
    with pytest.raises(AudioError, match=f"{missing}: no such folder"):
        split_noise(tmp_path)


def test_noises_are_split_by_the_names_given(tmp_path):
    touched(tmp_path, "a.wav", "b.wav", "sub/c.wav", "d.wav", "b.flac")
    found = split_noise(tmp_path, {"valid": ["b"], "test": ["c"]})
    names = {split: [p.name for p in paths] for split, paths in found.items()}
    assert names == {
        "train": ["a.wav", "d.wav"],
        "valid": ["b.flac", "b.wav"],
        "test": ["c.wav"],
    }


def test_names_given_go_before_folders(tmp_path):
    touched(tmp_path, "train/a.wav", "valid/b.wav", "test/c.wav")
    found = split_noise(tmp_path, {"valid": ["a"], "test": ["b"]})
    assert found["train"] == [tmp_path / "test" / "c.wav"]


@pytest.mark.parametrize("count", [5, 6, 13])
def test_noises_without_a_rule_are_split_three_to_one_to_one(tmp_path, count):
    paths = touched(tmp_path, *(f"{number:02}.wav" for number in range(count)))
    found = split_noise(tmp_path)
    assert sorted(chain.from_iterable(found.values())) == paths
    assert found["valid"] == paths[3::5]
    assert found["test"] == paths[4::5]


DEMAND = [f"{room}/ch{n:02}.wav" for room in "ABCDEF" for n in range(1, 4)]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, ["ABCF", "D", "E"]),
        ({"valid": ["B"], "test": ["C", "F"]}, ["ADE", "B", "CF"]),
    ],
)
def test_channels_of_one_recording_are_in_one_split(tmp_path, names, expected):
    """They hold the same noise at the same time."""
    paths = touched(tmp_path, *DEMAND)
    found = split_noise(tmp_path, names)
    rooms = ["".join(sorted({p.parent.name for p in found[x]})) for x in SPLITS]
    assert rooms == expected
    assert sorted(chain.from_iterable(found.values())) == paths
    parts = find_noises(tmp_path, names)
    assert {x: sorted(y) for x, y in parts.items()} == found
    entry = {"rate": 8000, "samples": 100, "seconds": 0.0125}
    described = {path: {**entry, "file": str(path)} for path in paths}
    made = noise_manifests(parts, described, folder=tmp_path)
    called = {Path(x["file"]).parent.name: x["name"] for x in made["test"].values()}
    assert set(called.items()) == {(room, room) for room in "ABCDEF" if room in called}


def test_files_that_are_called_as_channels_are_files(tmp_path):
    paths = touched(tmp_path, *(f"ch{n}.wav" for n in range(5)))
    found = split_noise(tmp_path)
    assert [len(found[x]) for x in SPLITS] == [3, 1, 1]
    assert [recording_name(path, tmp_path) for path in paths] == [p.stem for p in paths]
    assert sorted(chain.from_iterable(found.values())) == paths
