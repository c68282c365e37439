"""The embedded demo corpus: what is shipped, and how it is written out."""

import csv
import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechbrain_fusion.data import demo

SPEECH = demo.demo_speech_folder()


@pytest.fixture(scope="module")
def manifest() -> list[dict[str, str]]:
    with (SPEECH / "utterances.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def utterances() -> dict[Path, np.ndarray]:
    paths = sorted(SPEECH.glob("*/*/*.ogg"))
    return {path: soundfile.read(path)[0] for path in paths}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return demo.write_demo_corpus(tmp_path_factory.mktemp("demo") / "corpus")


@pytest.fixture
def brief(monkeypatch):
    """Shorten the noises where only the files' coming and going is tested."""
    monkeypatch.setattr(demo, "NOISE_SECONDS", 1)
    held_out = {"white": demo.Noise("white", {})}
    monkeypatch.setattr(demo, "NOISES", dict.fromkeys(demo.SPLITS, held_out))


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def by_split(manifest, column) -> dict[str, set[str]]:
    values = defaultdict(set)
    for row in manifest:
        values[row["split"]].add(row[column])
    return values


def pitch(signal: np.ndarray) -> float:
    """Estimate the median pitch in Hz: the autocorrelation's peak in loud frames."""
    frames = np.lib.stride_tricks.sliding_window_view(signal, 640)[::320]
    power = np.mean(frames**2, axis=1)
    frames = frames[power > np.quantile(power, 0.5)]
    spectrum = np.abs(np.fft.rfft(frames, 2048)) ** 2
    correlation = np.fft.irfft(spectrum)[:, :300]
    lags = np.arange(demo.RATE // 350, demo.RATE // 60)
    return float(np.median(demo.RATE / lags[correlation[:, lags].argmax(axis=1)]))


def test_the_manifest_lists_the_files_that_are_there(manifest, utterances):
    assert {SPEECH / row["file"] for row in manifest} == utterances.keys()
    for row in manifest:
        assert row["file"].split("/")[:2] == [row["split"], row["talker"]]
        seconds = utterances[SPEECH / row["file"]].size / demo.RATE
        assert float(row["seconds"]) == pytest.approx(seconds, abs=0.006)


def test_there_are_enough_talkers_and_enough_speech(manifest):
    talkers = by_split(manifest, "talker")
    assert {split: len(names) for split, names in talkers.items()} == {
        "train": 20,
        "valid": 4,
        "test": 4,
    }
    assert sum(float(row["seconds"]) for row in manifest) >= 6 * 60


@pytest.mark.parametrize("column", ["talker", "text", "variant"])
def test_splits_share_nothing(manifest, column):
    values = by_split(manifest, column)
    assert sum(map(len, values.values())) == len(set().union(*values.values()))


def test_no_sentence_is_said_twice(manifest):
    assert len({row["text"].lower() for row in manifest}) == len(manifest) == 120


@pytest.mark.slow
def test_talkers_differ_in_voice_pitch_and_rate(manifest, utterances):
    voices = {row["talker"]: (row["variant"], row["accent"]) for row in manifest}
    assert len(set(voices.values())) == len(voices)
    signals = defaultdict(list)
    for path, signal in utterances.items():
        signals[path.parent.name].append(signal)
    pitches = [pitch(np.concatenate(said)) for said in signals.values()]
    assert min(pitches) < 100
    assert max(pitches) > 220
    assert len(set(np.round(pitches, -1))) >= 10
    assert len({row["rate"] for row in manifest}) >= 10


@pytest.mark.slow
def test_the_talkers_of_every_split_are_low_and_high(utterances):
    for split in demo.SPLITS:
        signals = [x for path, x in utterances.items() if path.parts[-3] == split]
        pitches = np.array([pitch(signal) for signal in signals])
        assert 0.25 <= np.mean(pitches > 155) <= 0.75


def test_the_corpus_is_small():
    sizes = [path.stat().st_size for path in SPEECH.rglob("*") if path.is_file()]
    assert sum(sizes) <= 6e6
    assert max(sizes) < 1e6


def test_every_utterance_is_16_khz_mono(utterances):
    for path in utterances:
        info = soundfile.info(path)
        assert (info.samplerate, info.channels) == (demo.RATE, 1)
        assert 3.0 <= info.duration <= 5.0


def test_every_utterance_is_sound_at_the_common_level(utterances):
    for signal in utterances.values():
        assert np.isfinite(signal).all()
        assert np.abs(signal).max() < 0.9
        level = 10 * np.log10(np.mean(signal**2))
        assert level == pytest.approx(-26, abs=0.3)


def test_no_utterance_starts_or_ends_in_a_long_pause(utterances):
    for signal in utterances.values():
        loud = np.flatnonzero(np.abs(signal) > 0.01 * np.abs(signal).max())
        assert loud[0] <= 0.15 * demo.RATE
        assert signal.size - loud[-1] <= 0.15 * demo.RATE


@pytest.mark.slow
def test_the_written_corpus_has_the_shipped_speech(corpus, utterances):
    copies = contents(corpus / "speech")
    assert copies == {
        str(path.relative_to(SPEECH)): path.read_bytes() for path in utterances
    }


@pytest.mark.slow
@pytest.mark.parametrize("split", demo.SPLITS)
def test_the_written_corpus_has_the_noises(corpus, split):
    paths = {path.stem: path for path in (corpus / "noise" / split).iterdir()}
    assert paths.keys() == demo.NOISES[split].keys()
    for path in paths.values():
        info = soundfile.info(path)
        assert (info.samplerate, info.channels) == (demo.RATE, 1)
        assert info.subtype == "PCM_16"
        assert info.duration == demo.NOISE_SECONDS
        assert np.std(soundfile.read(path)[0]) == pytest.approx(0.05, rel=0.01)


def test_held_out_noises_are_one_per_kind_and_train_has_several():
    for split in ("valid", "test"):
        assert all(name == noise.kind for name, noise in demo.NOISES[split].items())
    kinds = [noise.kind for noise in demo.NOISES["train"].values()]
    assert all(2 <= kinds.count(kind) <= 4 for kind in demo.NOISES["test"])


def test_no_noise_occurs_in_two_files(corpus):
    starts = np.stack(
        [
            soundfile.read(path, frames=demo.RATE)[0]
            for path in sorted((corpus / "noise").glob("*/*.wav"))
        ]
    )
    likeness = np.abs(np.corrcoef(starts)) - np.eye(len(starts))
    assert likeness.max() < 0.5


@pytest.mark.parametrize("option", ["fundamental", "frequency", "talkers"])
def test_no_option_of_a_noise_occurs_in_two_splits(option):
    values = {
        split: {
            noise.options[option]
            for noise in noises.values()
            if option in noise.options
        }
        for split, noises in demo.NOISES.items()
    }
    assert sum(map(len, values.values())) == len(set().union(*values.values()))


def test_noise_is_made_of_the_speech_of_its_own_split(brief, monkeypatch, tmp_path):
    given = {}

    def render(split, name, noise, speech):
        given[split] = speech
        return np.ones(10)

    monkeypatch.setattr(demo, "_render", render)
    demo.write_demo_corpus(tmp_path / "corpus")
    assert {split: len(speech) for split, speech in given.items()} == {
        "train": 80,
        "valid": 20,
        "test": 20,
    }


@pytest.mark.slow
def test_writing_is_reproducible_and_silent(brief, tmp_path, capfd):
    first, second = (demo.write_demo_corpus(tmp_path / name) for name in "ab")
    assert (first, second) == (tmp_path / "a", tmp_path / "b")
    assert contents(first) == contents(second)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_writing_again_touches_nothing(brief, tmp_path, monkeypatch):
    folder = demo.write_demo_corpus(tmp_path / "corpus")
    monkeypatch.setattr(demo, "_write_speech", lambda folder: pytest.fail("written"))
    assert demo.write_demo_corpus(folder) == folder


@pytest.mark.slow
def test_an_interrupted_write_leaves_nothing(brief, tmp_path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(demo, "_render", interrupt)
        with pytest.raises(KeyboardInterrupt):
            demo.write_demo_corpus(tmp_path / "corpus")
    assert list(tmp_path.iterdir()) == []
    assert demo.write_demo_corpus(tmp_path / "corpus").is_dir()


@pytest.mark.slow
def test_an_older_corpus_is_replaced(brief, tmp_path, monkeypatch):
    folder = demo.write_demo_corpus(tmp_path / "corpus")
    expected = contents(folder)
    (folder / demo.MARKER).write_text("0")
    (folder / "speech" / "left.ogg").touch()
    assert contents(demo.write_demo_corpus(folder)) == expected
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.slow
def test_an_interrupted_replacement_keeps_the_older_corpus(
    brief, tmp_path, monkeypatch
):
    folder = demo.write_demo_corpus(tmp_path / "corpus")
    (folder / demo.MARKER).write_text("0")
    expected = contents(folder)
    monkeypatch.setattr(demo.soundfile, "write", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        demo.write_demo_corpus(folder)
    assert contents(folder) == expected


@pytest.mark.slow
def test_an_empty_folder_is_filled(brief, tmp_path):
    assert (demo.write_demo_corpus(tmp_path) / "speech").is_dir()


def test_a_folder_of_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match=str(tmp_path)):
        demo.write_demo_corpus(tmp_path)
    assert contents(tmp_path) == {"thesis.txt": b"years of work"}


@pytest.mark.slow
def test_of_two_processes_the_first_one_wins(brief, tmp_path, monkeypatch):
    folder, rename = tmp_path / "corpus", os.rename

    def overtaken(source, target):
        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", rename)
            demo.write_demo_corpus(folder)
        (folder / "first").touch()
        rename(source, target)

    monkeypatch.setattr(os, "rename", overtaken)
    assert demo.write_demo_corpus(folder) == folder
    assert (folder / "first").is_file()
    assert list(tmp_path.iterdir()) == [folder]
