"""TIMIT's published tree: who trains, validates and tests, and what cannot be used."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechbrain_fusion.data.audio import AudioError, read
from speechbrain_fusion.data.timit import CORE_TEST, find_timit, speaker_of

TRAINERS = ("FCJF0", "MDPK0")
OTHERS = ("FAKS0", "MDAB9")


def write_timit(root: Path, upper: bool = True, kind: str = "NIST") -> Path:
    """Write a few sentences of each of TIMIT's kinds of speakers."""
    rng = np.random.default_rng(0)
    speakers = {"TRAIN": TRAINERS, "TEST": (*CORE_TEST, *OTHERS)}
    for part, names in speakers.items():
        for number, name in enumerate(names):
            for sentence in ("SA1", "SI648", "SX37"):
                place = f"{part}/DR{number % 8 + 1}/{name}/{sentence}.WAV"
                path = root / (place if upper else place.lower())
                path.parent.mkdir(parents=True, exist_ok=True)
                sound = 0.1 * rng.standard_normal(8000)
                soundfile.write(path, sound, 16000, "PCM_16", format=kind)
    return root


@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("kind", ["NIST", "WAV"])
def test_speakers_are_split_as_published(tmp_path, upper, kind):
    root = write_timit(tmp_path, upper, kind)
    splits = find_timit(root)
    heard = {split: {speaker_of(path) for path in x} for split, x in splits.items()}
    assert heard == {"train": {*TRAINERS}, "valid": {*OTHERS}, "test": {*CORE_TEST}}
    assert {split: len(paths) for split, paths in splits.items()} == {
        "train": 4,
        "valid": 4,
        "test": 48,
    }
    assert not any(path.name.upper().startswith("SA") for path in splits["train"])
    assert read(splits["test"][0])[1] == 16000


def test_the_core_test_set_has_three_speakers_of_each_region():
    assert len({*CORE_TEST}) == 24
    assert sum(name.startswith("F") for name in CORE_TEST) == 8


def test_the_folder_above_serves_as_well(tmp_path):
    write_timit(tmp_path / "data" / "TIMIT")
    assert len(find_timit(tmp_path / "data")["test"]) == 48


def test_of_two_copies_of_a_sentence_one_is_taken(tmp_path):
    write_timit(tmp_path)
    path = tmp_path / "TRAIN/DR1/FCJF0/SX37.WAV"
    soundfile.write(path.parent / "SX37.WAV.wav", read(path)[0][0], 16000)
    names = [path.name for path in find_timit(tmp_path)["train"]]
    assert len(names) == 4
    assert "SX37.WAV.wav" in names


def test_what_is_no_timit_is_named(tmp_path):
    with pytest.raises(AudioError, match=f"{tmp_path}/nowhere: no such folder"):
        find_timit(tmp_path / "nowhere")
    (tmp_path / "speech").mkdir()
    with pytest.raises(AudioError, match=f"{tmp_path}: no TRAIN and TEST"):
        find_timit(tmp_path)
    for part in ("TRAIN", "TEST"):
        (tmp_path / part).mkdir()
    with pytest.raises(AudioError, match="TRAIN: no dialect region, expected DR1"):
        find_timit(tmp_path)


def test_missing_test_speakers_are_named(tmp_path):
    root = write_timit(tmp_path)
    for name in ("FELC0", "MJLN0"):
        folder = next(root.glob(f"TEST/*/{name}"))
        folder.rename(tmp_path / name)
    with pytest.raises(AudioError, match=r"no sentence of test speakers FELC0, MJLN0"):
        find_timit(root)


def test_a_split_without_sentences_is_named(tmp_path):
    root = write_timit(tmp_path)
    with pytest.raises(AudioError, match="for valid"):
        find_timit(root, [*CORE_TEST, *OTHERS])


def test_a_speaker_in_both_parts_is_named(tmp_path):
    root = write_timit(tmp_path)
    speaker = next(x for x in root.glob("TEST/*/*") if x.name == CORE_TEST[0])
    shutil.copytree(speaker, root / "TRAIN" / speaker.parent.name / speaker.name)
    with pytest.raises(AudioError, match=f"in TRAIN and in TEST: {CORE_TEST[0]}"):
        find_timit(root)
