"""A small LibriMix is read by the code that reads the large one."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.librimix import librimix_mixtures
from speechbrain_fusion.data.librimix_writing import DEMO_COUNTS, write_librimix
from tests.conftest import write_voice
from tests.data.librimix_tree import read_table

COUNTS = {"train": 3, "valid": 2, "test": 2}


def load(root: Path, save: Path, **options):
    """Read what was written, with options."""
    seeds = dict.fromkeys(COUNTS, 0)
    defaults = {"rate": 8000, "talkers": 2, "mode": "min", "segment": 0.5}
    counts = dict.fromkeys(COUNTS)
    return librimix_mixtures(
        root, save, counts=counts, seeds=seeds, **(defaults | options)
    )


@pytest.mark.parametrize(
    "options",
    [{}, {"rate": 16000, "mode": "max"}, {"mode": "max"}],
)
def test_own_recordings_become_a_tree_that_is_read(recordings, tmp_path, options):
    root = write_librimix(tmp_path / "mine", recordings, COUNTS, **options)
    sets = load(root, tmp_path / "save", **options)
    assert {split: len(mixtures) for split, mixtures in sets.items()} == COUNTS
    for split in ("valid", "test"):
        talkers = {name for i in (0, 1) for name in sets[split][(1, i)].id.split("_")}
        assert {name.split("-")[0] for name in talkers} == {f"{split}0", f"{split}1"}


def test_mixtures_end_with_the_shortest_or_the_longest_talker(recordings, tmp_path):
    frames = {
        mode: {
            path.name: soundfile.info(path).frames
            for path in write_librimix(
                tmp_path / mode, recordings, {"test": 2}, mode=mode
            ).rglob("mix_both/*.wav")
        }
        for mode in ("min", "max")
    }
    assert frames["min"].keys() == frames["max"].keys()
    pairs = [(frames["min"][name], frames["max"][name]) for name in frames["min"]]
    assert all(shortest <= longest for shortest, longest in pairs)
    assert any(shortest < longest for shortest, longest in pairs)


def test_three_talkers_have_three_sources(recordings, tmp_path):
    root = write_librimix(tmp_path / "mine", recordings, {"train": 2}, talkers=3)
    part = root / "Libri3Mix" / "wav8k" / "min" / "train-360"
    assert sorted(path.name for path in part.iterdir()) == [
        "mix_both",
        "mix_clean",
        "noise",
        "s1",
        "s2",
        "s3",
    ]


def test_files_add_up_and_the_tables_say_how_loud_they_are(recordings, tmp_path):
    root = write_librimix(tmp_path / "mine", recordings, COUNTS)
    folder = root / "Libri2Mix" / "wav8k" / "min"
    for row in read_table(folder / "metadata" / "mixture_test_mix_both.csv"):
        columns = ("mixture_path", "source_1_path", "source_2_path", "noise_path")
        signals = [soundfile.read(folder / "test" / row[c])[0] for c in columns]
        assert {signal.size for signal in signals} == {int(row["length"])}
        # every file was rounded
        assert np.abs(signals[0] - sum(signals[1:])).max() <= 4 / 2**15
        metrics = read_table(folder / "metadata" / "metrics_test_mix_both.csv")
        known = {each["mixture_ID"]: each for each in metrics}[row["mixture_ID"]]
        columns = ("source_1_SNR", "source_2_SNR", "noise_SNR")
        for column, signal in zip(columns, signals[1:], strict=True):
            rest = signals[0] - signal
            snr = 10 * np.log10(np.square(signal).mean() / np.square(rest).mean())
            assert float(known[column]) == pytest.approx(snr, abs=0.05)


def test_clean_mixtures_have_tables_without_noise(recordings, tmp_path):
    root = write_librimix(tmp_path / "mine", recordings, {"test": 1})
    folder = root / "Libri2Mix" / "wav8k" / "min" / "metadata"
    row = read_table(folder / "mixture_test_mix_clean.csv")[0]
    assert row["mixture_path"] == f"mix_clean/{row['mixture_ID']}.wav"
    assert "noise_path" not in row
    assert "noise_SNR" not in read_table(folder / "metrics_test_mix_clean.csv")[0]


@pytest.mark.slow
def test_it_is_written_once_and_again_for_other_counts(recordings, tmp_path):
    root = write_librimix(tmp_path / "mine", recordings, COUNTS)
    path = next(root.rglob("train-360/s1/*.wav"))
    path.unlink()
    write_librimix(root, recordings, COUNTS)
    assert not path.exists()
    write_librimix(root, recordings, COUNTS | {"valid": 1})
    assert path.exists()


@pytest.mark.slow
def test_it_is_written_again_for_other_recordings(recordings, tmp_path):
    root = write_librimix(tmp_path / "mine", recordings, COUNTS)
    before = [p.read_bytes() for p in sorted(root.rglob("train-360/s1/*.wav"))]
    for number, path in enumerate(sorted(recordings.rglob("speech/*/*/*.wav"))):
        write_voice(path, 2.0, 500 + number)
    write_librimix(root, recordings, COUNTS)
    after = [p.read_bytes() for p in sorted(root.rglob("train-360/s1/*.wav"))]
    assert before != after


def test_too_few_talkers_leave_nothing_behind(recordings, tmp_path):
    message = f"{recordings}: speech_test: 2 talkers, expected 3"
    with pytest.raises(AudioError, match=message):
        write_librimix(tmp_path / "mine", recordings, {"test": 1}, talkers=3)
    assert not [*(tmp_path / "mine").rglob("*.wav")]


def test_another_librimix_is_left_as_it_is(recordings, tmp_path):
    folder = tmp_path / "mine" / "Libri2Mix" / "wav8k" / "min" / "train-360"
    folder.mkdir(parents=True)
    with pytest.raises(FileExistsError, match="expected no folder"):
        write_librimix(tmp_path / "mine", recordings, COUNTS)
    assert folder.is_dir()


@pytest.mark.slow
def test_without_a_data_folder_the_demo_is_read(tmp_path):
    sets = load(None, tmp_path / "save", demo_folder=tmp_path / "demo")
    assert {split: len(mixtures) for split, mixtures in sets.items()} == DEMO_COUNTS
    example = sets["train"][(1, 0)]
    assert example.signals["target"].shape == (2, 4000)
    assert len({*example.info["talkers"].split("_")}) == 2
