"""One call makes scenes of a folder's recordings: each split of what is its own."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.corpus import recorded_scenes
from speechbrain_fusion.data.hrir import load_responses
from speechbrain_fusion.data.scenes import BinauralScenes, Scene
from tests.data.scenery import HEAD, same

COUNTS = {"train": 40, "valid": 20, "test": 30}
SEEDS = {"train": 5, "valid": 1, "test": 2}
Load = Callable[..., dict[str, BinauralScenes]]


@pytest.fixture
def load(recordings: Path, save: Path) -> Load:
    """Make scenes of the small folder, with options."""

    def call(**options) -> dict[str, BinauralScenes]:
        arguments = {"data_folder": recordings, "save_folder": save, "rate": 8000}
        arguments |= {"segment": 0.5, "counts": COUNTS, "seeds": SEEDS}
        return recorded_scenes(**(arguments | options))

    return call


def plans(scenes: BinauralScenes, epoch: int = 1) -> list[Scene]:
    return [scenes.plan(epoch, index) for index in range(len(scenes))]


def heard(scenes: BinauralScenes) -> tuple[set[str], set[str]]:
    """Name an epoch's talkers, those that interfere too, and its noises."""
    entries = [
        source.entry
        for scene in plans(scenes)
        for source in (scene.target, *scene.interferers)
    ]
    talkers = {entry["talker"] for entry in entries if "talker" in entry}
    return talkers, {entry["name"] for entry in entries if "talker" not in entry}


def test_each_split_hears_its_own_talkers_and_noises_alone(load):
    sets = load(scenes=partial(BinauralScenes, talker_share=0.5))
    assert {split: len(scenes) for split, scenes in sets.items()} == COUNTS
    assert {split: heard(scenes) for split, scenes in sets.items()} == {
        "train": (
            {"train0", "train1", "train2", "train3"},
            {"noise0", "noise1", "noise2"},
        ),
        "valid": ({"valid0", "valid1"}, {"noise3"}),
        "test": ({"test0", "test1"}, {"noise4"}),
    }


def test_noises_are_split_as_they_are_named(load):
    sets = load(noise_split={"valid": ["noise0"], "test": ["noise1", "noise2"]})
    assert {split: heard(scenes)[1] for split, scenes in sets.items()} == {
        "train": {"noise3", "noise4"},
        "valid": {"noise0"},
        "test": {"noise1", "noise2"},
    }


def test_training_is_new_in_every_epoch_and_the_others_are_not(load):
    sets = load()
    for split, scenes in sets.items():
        assert same(scenes[(1, 0)], scenes[(2, 0)]) == (split != "train")
        assert (plans(scenes) == plans(scenes, epoch=2)) == (split != "train")


@pytest.mark.parametrize("split", [*SEEDS])
def test_a_seed_changes_its_own_split_alone(load, split):
    before, after = load(), load(seeds={**SEEDS, split: 9})
    changed = {name for name in SEEDS if plans(before[name]) != plans(after[name])}
    assert changed == {split}


def test_scenes_have_the_rate_and_the_length_asked_for(load):
    for scenes in load(rate=16000, segment=0.75).values():
        assert scenes[(1, 0)].signals["mixture"].shape == (2, 12000)


def test_the_options_of_the_scenes_hold_for_every_split(load):
    for scenes in load(scenes=partial(BinauralScenes, talker_share=1.0)).values():
        assert {scene.kind for scene in plans(scenes)} == {"talker"}


def test_a_head_is_read_from_the_folders_responses(load, recordings):
    path = recordings / "hrir" / "mine.npz"
    path.parent.mkdir()
    np.savez(path, azimuth_deg=HEAD.azimuth, ir=HEAD.responses, fs=HEAD.rate)
    azimuths = {*HEAD.azimuth.tolist()}
    for scenes in load(hrir="mine.npz").values():
        assert {scene.target.azimuth for scene in plans(scenes)} <= azimuths
    with pytest.raises(AudioError, match=r"hrir/yours\.npz: no such file"):
        load(hrir="yours.npz")


def test_the_options_of_the_responses_hold_for_every_split(load, recordings):
    path = recordings / "hrir" / "clockwise.npz"
    path.parent.mkdir()
    np.savez(path, azimuth_deg=-HEAD.azimuth, ir=HEAD.responses, fs=HEAD.rate)
    with pytest.raises(AudioError, match="responses contradict the azimuths"):
        load(hrir=path.name)
    turned = load(hrir=path.name, responses=partial(load_responses, clockwise=True))
    for scenes in turned.values():
        np.testing.assert_allclose(scenes.responses.azimuth, HEAD.azimuth)


@pytest.mark.slow
def test_without_a_folder_the_demo_is_written_where_it_is_wanted(load, save, tmp_path):
    counts = {"train": 1, "valid": 1, "test": 1}
    load(data_folder=None, demo_folder=tmp_path / "demo", counts=counts)
    assert (tmp_path / "demo" / "speech" / "train").is_dir()
    assert (save / "speech_train.json").is_file()


def test_with_a_folder_no_demo_is_written(load, tmp_path):
    load(demo_folder=tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


def test_a_segment_longer_than_every_recording_is_refused(load, save):
    with pytest.raises(AudioError, match=r"segment: 9\.0 s is longer than every"):
        load(segment=9.0)
    assert not save.exists()
