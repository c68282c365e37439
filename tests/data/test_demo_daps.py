"""The demo in DAPS's layout: small, aligned, and read by the code that reads DAPS."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechbrain_fusion.data.daps import VERSIONS, find_daps
from speechbrain_fusion.data.daps_noisex import unpaired_speech
from speechbrain_fusion.data.demo_daps import (
    babble_files,
    demo_speakers,
    write_demo_daps,
)
from speechbrain_fusion.data.noisex import find_noisex, read_mat
from tests.data.test_rooms import lag_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    return write_demo_daps(tmp_path_factory.mktemp("demo") / "daps")


def test_the_demo_is_a_complete_daps(demo):
    found = find_daps(demo)
    assert {said.speaker for said in found} == {*demo_speakers().values()}
    assert len(found) == 28 * 2
    assert all({*files} <= {*VERSIONS} and len(files) == 6 for files in found.values())
    women = {name for name in demo_speakers().values() if name.startswith("f")}
    assert len(women) == 14
    size = sum(path.stat().st_size for path in demo.rglob("*") if path.is_file())
    assert size < 100e6


def test_versions_are_aligned_with_clean_speech(demo):
    said, files = next(iter(find_daps(demo).items()))
    clean, rate = soundfile.read(files["clean"])
    assert (said.speaker, rate) == ("f1", 16000)
    assert clean.size > 5 * rate
    for version, path in files.items():
        heard, _ = soundfile.read(path)
        assert heard.size == clean.size
        assert lag_of(heard[:32000], clean[:32000]) == 0
        if version != "clean":
            assert not np.array_equal(heard, clean)


def test_noises_are_as_noisex_has_them(demo, tmp_path):
    found = find_noisex(demo / "noise", tmp_path / "wav")
    assert [len(paths) for paths in found.values()] == [6, 2, 2]
    rates = {soundfile.info(path).samplerate for x in found.values() for path in x}
    assert rates == {19980}
    assert read_mat(demo / "noise" / "fan.mat").size == 20 * 19980


def test_the_demo_is_written_once_and_always_the_same(demo, tmp_path):
    times = {path: path.stat().st_mtime_ns for path in demo.rglob("*")}
    write_demo_daps(demo)
    assert times == {path: path.stat().st_mtime_ns for path in demo.rglob("*")}
    (tmp_path / "mine.txt").touch()
    with pytest.raises(FileExistsError, match="expected no folder, an empty one or"):
        write_demo_daps(tmp_path)


def test_without_folders_the_demo_is_read(demo, tmp_path):
    names = ("clean_train", "clean_valid", "train", "valid", "test")
    sets = unpaired_speech(
        *(None, None, tmp_path / "save"),
        **{"rate": 16000, "segment": 2.0, "seeds": dict.fromkeys(names, 0)},
        **{"counts": {**dict.fromkeys(names), "train": 30}, "demo_folder": demo},
    )
    # of 28 speakers 9, 8, 3 and 8, two scripts each; a device of a room of its own in
    # validation and test, and what was produced, three SNRs where fixed
    assert {name: len(items) for name, items in sets.items()} == {
        "clean_train": 18,
        "clean_valid": 3,
        "train": 30,
        "valid": 3 * 2 * 3,
        "test": 16 * 2 * 3,
    }
    for name, items in sets.items():
        for index in range(0, len(items), 5):
            signals = items[(1, index)].signals
            assert all(x.isfinite().all() and x.any() for x in signals.values()), name
    rooms = {sets["test"].plan(1, i).room is None for i in range(96)}
    assert rooms == {True, False}


def test_noises_are_made_of_talkers_of_their_side(demo, tmp_path):
    names = demo_speakers()
    voices = {
        side: {names[path.parent.name] for path in paths}
        for side, paths in babble_files().items()
    }
    made = unpaired_speech(
        *(demo, demo / "noise", tmp_path / "save"),
        **{"rate": 16000, "segment": 2.0, "seeds": {"train": 0, "test": 0}},
        **{"counts": {"train": 1, "test": 1}},
    )
    for side, items in made.items():
        assert {entry["talker"] for entry in items.speech} <= voices[side]
    assert "babble" in {entry["noise"] for entry in made["train"].noises}
    assert "chatter" in {entry["noise"] for entry in made["test"].noises}
    assert not voices["train"] & voices["test"]
