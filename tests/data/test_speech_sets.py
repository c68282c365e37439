"""Sets of DAPS are as large as they can be, and versions of a room on one side."""

from pathlib import Path

import numpy as np
import pytest

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.daps import VERSIONS, find_daps
from speechbrain_fusion.data.speech_sets import (
    MANIFESTS,
    halve_validation,
    plan_daps,
    split_versions,
)
from speechbrain_fusion.data.unpaired_preparation import (
    _split_rooms,
    prove_manifests,
)
from tests.data.daps_tree import touch_daps
from tests.data.librimix_tree import write


def plan(root: Path, disjoint, caps, versions=None, responses=False):
    needed = dict.fromkeys(MANIFESTS, 2.0)
    found = find_daps(root, versions)
    return plan_daps(found, versions, disjoint, None, caps, responses, needed).options


@pytest.mark.parametrize("disjoint", [["noise"], ["speaker", "noise", "response"], []])
def test_the_posters_protocol_has_its_counts(tmp_path, disjoint):
    root = touch_daps(tmp_path / "daps")
    planned = plan(root, disjoint, {"clean": 28, "noisy": 28, "test": 10})
    counts = {name: len(entries) for name, entries in planned.items()}
    assert counts["clean_train"] == 28
    assert counts["speech_train"] == 392 == 28 * 14
    assert counts["speech_test"] == 140 == 10 * 14
    prove_manifests(planned, disjoint)
    # DAPS has an office1, too
    for name in ("office1", "hall", "church"):
        write(tmp_path / "rooms" / f"{name}.wav", np.ones(9), 16000)
    rooms = _split_rooms(tmp_path / "rooms", disjoint)
    each = 1 if "response" in disjoint else 3
    assert [len(paths) for paths in rooms.values()] == [each] * 3
    responses = {
        f"rooms_{side}": {str(path): {"room": path.stem} for path in paths}
        for side, paths in rooms.items()
    }
    prove_manifests(planned | responses, disjoint)
    if "response" not in disjoint:
        with pytest.raises(AudioError, match="response office1: in noisy and in valid"):
            prove_manifests(planned | responses, ["response"])


@pytest.mark.parametrize(
    ("disjoint", "counts"),
    [
        (["speaker"], [30, 5, 30 * 14, 5 * 14, 30 * 14]),
        (["speaker", "room"], [30, 5, 30 * 8, 5 * 3, 30 * 3]),
        (["script"], [40, 10, 20 * 14, 10 * 14, 20 * 14]),
        (["speaker", "script", "noise", "room"], [6, 1, 6 * 8, 1 * 3, 12 * 3]),
    ],
)
def test_each_choice_has_its_largest_sets(tmp_path, disjoint, counts):
    planned = plan(touch_daps(tmp_path), disjoint, {})
    assert [len(entries) for entries in planned.values()] == counts
    prove_manifests(planned, disjoint)


def test_more_than_there_is_cannot_be_had(tmp_path):
    root = touch_daps(tmp_path)
    with pytest.raises(ValueError, match=r"28 asked for clean, it has 6;.*'test': 12"):
        plan(root, ["speaker", "script"], {"clean": 28, "noisy": 28, "test": 10})


def test_versions_of_a_room_are_on_one_side():
    sides = split_versions(VERSIONS[1:], ["room"], responses=False)
    assert [len(versions) for versions in sides.values()] == [8, 3, 3]
    assert {"cleanraw", "produced"} <= {*sides["train"]}
    free = split_versions(VERSIONS[1:], ["room"], responses=True)
    assert all({"cleanraw", "produced"} <= {*versions} for versions in free.values())
    dry = split_versions(["clean"], ["room"], responses=True)
    assert [*dry.values()] == [["clean"]] * 3
    with pytest.raises(AudioError, match=r"1 rooms \(studio\), expected 3 at least"):
        split_versions(["clean"], ["room"], responses=False)


def test_every_version_knows_its_clean_one(tmp_path):
    planned = plan(touch_daps(tmp_path), ["speaker"], {})
    for entry in planned["speech_test"].values():
        assert entry["clean_file"] == entry["file"].replace(entry["version"], "clean")
    # clean as noisy material is its own target
    only = plan(tmp_path, ["speaker"], {}, ["clean"], responses=True)
    assert not any("clean_file" in entry for entry in only["speech_test"].values())
    assert not any("room" in entry for entry in only["speech_test"].values())


def test_halves_of_validation_are_as_large_with_every_speaker_in_both():
    said = [f"{voice}{n}" for voice in "abc" for n in range(4)]
    halves = halve_validation({"valid": said, "test": ["d0"]}, lambda x: x[0])
    assert halves["test"] == ["d0"]
    clean, noisy = halves["valid_clean"], halves["valid_noisy"]
    assert sorted([*clean, *noisy]) == said
    assert clean == ["a0", "a2", "b1", "b3", "c0", "c2"]
    for few in ("ab", "aa"):
        alone = halve_validation({"valid": [*few]}, str)
        assert [len(x) for x in alone.values()] == [1, 1]
    with pytest.raises(AudioError, match="expected two at least"):
        halve_validation({"valid": ["a0"]}, str)
