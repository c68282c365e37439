"""Noises are split by name and by time: no second is heard in two splits."""

from pathlib import Path

import numpy as np
import pytest

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.inspection import inspect
from speechbrain_fusion.data.noise_parts import (
    find_noises,
    noise_manifests,
    refuse_silent,
)
from tests.data.librimix_tree import voice, write

NAMES = ("city", "rain", "train", "wind", "zoo")


@pytest.fixture
def folder(tmp_path) -> Path:
    for number, name in enumerate(NAMES):
        write(tmp_path / f"{name}.wav", voice(10007 + number, number), 16000)
    return tmp_path


def parts_of(folder: Path, **options):
    files = find_noises(folder, options.pop("noise_split", None))
    paths = [path for group in files.values() for path in group]
    described = {path: inspect(path, 16000) for path in paths}
    return noise_manifests(files, described, **options)


def test_no_sample_is_in_two_splits(folder):
    split = {"valid": ["city"], "test": ["rain", "zoo"]}
    made = parts_of(folder, noise_split=split, shares=(0.5, 0.25, 0.25))
    taken = {}
    for entries in made.values():
        for file, entry in entries.items():
            used = taken.setdefault(file, np.zeros(20000, int))
            used[entry["first"] : entry["first"] + entry["samples"]] += 1
    assert len(taken) == 5
    for number, name in enumerate(NAMES):
        used = taken[str(folder / f"{name}.wav")]
        assert (used[: 10007 + number] == 1).all()
        assert (used[10007 + number :] == 0).all()


def test_named_noises_are_unseen_and_others_are_heard_in_parts(folder):
    made = parts_of(folder, noise_split={"valid": ["city"], "test": ["rain"]})
    kinds = {
        split: {entry["name"]: entry["kind"] for entry in entries.values()}
        for split, entries in made.items()
    }
    seen = dict.fromkeys(("train", "wind", "zoo"), "seen")
    assert kinds == {
        "train": seen,
        "valid": {**seen, "city": "unseen"},
        "test": {**seen, "rain": "unseen"},
    }


def test_without_names_the_fourth_and_the_fifth_file_are_unseen(folder):
    made = parts_of(folder, noise_split={"valid": [], "test": []})
    unseen = {
        split: [x["name"] for x in entries.values() if x["kind"] == "unseen"]
        for split, entries in made.items()
    }
    assert unseen == {"train": [], "valid": ["wind"], "test": ["zoo"]}


@pytest.mark.parametrize(
    "shares", [(0.5, 0.5), (0.8, 0.2, 0.1), (1, 0, 0), (0.5, -0.1, 0.2)]
)
def test_shares_that_cannot_be_are_refused(folder, shares):
    with pytest.raises(ValueError, match="shares: expected three positive"):
        parts_of(folder, shares=shares)


def test_missing_noises_are_named(tmp_path):
    with pytest.raises(AudioError, match="nowhere: no such folder, expected noises"):
        find_noises(tmp_path / "nowhere")
    with pytest.raises(
        AudioError, match=f"{tmp_path}: no noise for train, valid, test; exp"
    ):
        find_noises(tmp_path)
    write(tmp_path / "rain.wav", voice(1000, 1), 16000)
    with pytest.raises(AudioError, match="no such noise"):
        find_noises(tmp_path, {"test": ["snow"]})


def test_too_few_noises_for_every_split_are_refused_unless_named(tmp_path):
    for name in NAMES[:4]:
        write(tmp_path / f"{name}.wav", voice(1000, 1), 16000)
    with pytest.raises(AudioError, match=r"no noise for test; .* five files at least"):
        find_noises(tmp_path)
    assert find_noises(tmp_path, {"test": ["rain"]})["valid"] == []


def test_a_noise_too_short_to_be_shared_is_named(folder):
    path = folder / "wind.wav"
    entry = {"file": str(path), "rate": 16000, "samples": 2, "seconds": 0.0001}
    files = {"train": [path], "valid": [], "test": []}
    with pytest.raises(AudioError, match=r"wind\.wav: 2 samples, too short for"):
        noise_manifests(files, {path: entry})


def test_parts_that_are_silent_are_listed(folder):
    for name, silent in (("wind", slice(7000, None)), ("zoo", slice(0, 6500))):
        signal = voice(10000, 1)
        signal[silent] = 0
        write(folder / f"{name}.wav", signal, 16000)
    made = parts_of(folder, noise_split={"test": ["city"]})
    with pytest.raises(AudioError) as caught:
        refuse_silent(made)
    first, *lines = str(caught.value).splitlines()
    assert first == "2 parts are silent:"
    assert lines == [
        f"  {folder / 'zoo.wav'}: silent from 0.00 to 0.38 s, its part for train",
        f"  {folder / 'wind.wav'}: silent from 0.50 to 0.62 s, its part for test",
    ]
