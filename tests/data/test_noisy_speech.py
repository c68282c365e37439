"""One function reads TIMIT, own talkers, pairs, or the demo in TIMIT's layout."""

from pathlib import Path

import pytest

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.noisy_speech import noisy_speech
from tests.data.librimix_tree import voice, write
from tests.data.test_paired import write_pairs
from tests.data.test_timit import OTHERS, TRAINERS, write_timit

SEEDS = {"train": 5, "valid": 1, "test": 2}
COUNTS: dict[str, int | None] = dict.fromkeys(SEEDS)


@pytest.fixture
def noises(tmp_path) -> Path:
    for number in range(5):
        write(tmp_path / "noise" / f"n{number}.wav", voice(60000, number), 16000)
    return tmp_path / "noise"


def load(save: Path, data_folder=None, noise_folder=None, **options):
    defaults = {"rate": 16000, "segment": 0.25, "counts": COUNTS, "seeds": SEEDS}
    return noisy_speech(data_folder, noise_folder, save, **(defaults | options))


def test_timit_is_mixed_with_any_noises(tmp_path, noises):
    root = write_timit(tmp_path / "timit")
    options = {"train_mixtures": {"snr": [20]}}
    sets = load(tmp_path / "save", root, noises, **options)
    # two sentences of each; in training once, else at 4 SNRs in 2 kinds of noise
    assert [len(each) for each in sets.values()] == [4, 4 * 8, 48 * 8]
    train, valid = sets["train"][(1, 0)], sets["valid"][(1, 0)]
    assert train.info["snr"] == 20
    assert train.info["talker"] in TRAINERS
    assert train.signals["mixture"].shape == (1, 4000)
    assert valid.info["talker"] in OTHERS
    assert valid.info["speech"] == f"{valid.info['talker']}_SI648"
    assert valid.signals["mixture"].shape == (1, 8000)


def test_own_talkers_bring_their_noises(tmp_path, noises):
    for split in COUNTS:
        for name in ("anna", "bert"):
            path = tmp_path / "speech" / split / f"{name}_{split}" / "1.wav"
            write(path, voice(9000, 1), 16000)
    sets = load(tmp_path / "save", recordings=tmp_path)
    assert [len(each) for each in sets.values()] == [2, 16, 16]
    assert sets["test"][(1, 0)].info["talker"] == "anna_test"


def test_pairs_are_taken_as_they_are(tmp_path):
    for split in COUNTS:
        folder = tmp_path / "pairs" / split
        write_pairs(folder / "noisy", folder / "clean", ("a",), 16000)
    sets = load(tmp_path / "save", paired=tmp_path / "pairs")
    assert sets["test"][(1, 0)].signals["mixture"].shape == (1, 16000)


@pytest.mark.slow
def test_without_folders_the_demo_is_read_in_timits_layout(tmp_path):
    counts = {"train": 4, "valid": 4, "test": None}
    sets = load(tmp_path / "save", demo_folder=tmp_path / "demo", counts=counts)
    assert len(sets["test"]) == 20 * 8
    talkers = {sets["test"].plan(1, i).speech["talker"] for i in range(160)}
    assert len(talkers) == 4


def test_unusable_files_are_listed_together(tmp_path, noises):
    root = write_timit(tmp_path / "timit")
    speech = root / "TRAIN/DR1/FCJF0/SX37.WAV"
    speech.write_text("no audio")
    write(noises / "n1.wav", voice(60000, 1), 8000)
    write(noises / "n2.wav", 0 * voice(60000, 1), 16000)
    with pytest.raises(AudioError) as caught:
        load(tmp_path / "save", root, noises)
    first, *lines = str(caught.value).splitlines()
    assert first == "3 unusable files:"
    for reason in (
        f"{speech}: not a readable audio file",
        f"{noises / 'n1.wav'}: rate 8000 Hz, expected at least 16000 Hz",
        f"{noises / 'n2.wav'}: silent",
    ):
        assert any(line.startswith(f"  {reason}") for line in lines)
    assert not (tmp_path / "save").exists()


def test_a_noise_shorter_than_the_utterance_is_named(tmp_path, noises):
    root = write_timit(tmp_path / "timit")
    write(noises / "n1.wav", voice(12000, 1), 16000)
    with pytest.raises(AudioError, match=r"noises are shorter[^!]*n1\.wav"):
        load(tmp_path / "save", root, noises)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data_folder": "a", "recordings": "b"}, "one corpus, got data_folder, rec"),
        ({"data_folder": "a"}, "noise_folder: expected a folder beside data_folder"),
        ({"noise_folder": "a"}, "noise_folder: expected None without data_folder"),
        ({"paired": "a", "noise_folder": "b"}, "noise_folder: expected None beside"),
    ],
)
def test_folders_that_do_not_go_together_are_refused(tmp_path, given, message):
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "save", **given)
