"""What of the recordings behind LibriMix cannot be used is named."""

import numpy as np
import pytest

from speechbrain_fusion.data.audio import AudioError
from tests.data.librimix_tree import (
    RATE,
    read_table,
    source_table,
    voice,
    write,
    write_source_table,
    write_sources,
)
from tests.data.test_librimix_rendering import folders, load, refused


def test_one_error_lists_every_unusable_file(tmp_path):
    write_sources(tmp_path)
    row = read_table(source_table(tmp_path, "dev"))
    speech = [tmp_path / "LibriSpeech" / each["source_1_path"] for each in row]
    noise = [tmp_path / "wham_noise" / each["noise_path"] for each in row]
    speech[0].unlink()
    write(speech[1], np.zeros(9000), RATE)
    write(speech[2], voice(9000, 1), 8000)
    noise[0].write_text("no audio")
    write(noise[1], voice(30000, 1), 48000)
    write(noise[2], voice(8001, 1), RATE)
    reasons = {
        speech[0]: "missing",
        speech[1]: "silent",
        speech[2]: "rate 8000 Hz, expected at least 16000 Hz",
        noise[0]: "not a readable audio file",
        noise[1]: "rate 48000 Hz, expected 16000 Hz",
    }
    first, *lines = refused(tmp_path).splitlines()
    assert first == "5 unusable files:"
    for path, reason in reasons.items():
        assert any(line.startswith(f"  {path}: {reason}") for line in lines)


def test_a_noise_too_short_to_be_extended_is_named(tmp_path):
    write_sources(tmp_path)
    row = read_table(source_table(tmp_path, "dev"))[2]
    path = tmp_path / "wham_noise" / row["noise_path"]
    write(path, voice(8001, 1), RATE)
    assert f"{path}: 8001 samples, too short to be extended" in refused(tmp_path)


def test_a_talker_twice_in_a_mixture_is_refused(tmp_path):
    write_sources(tmp_path)
    rows = read_table(source_table(tmp_path, "dev"))
    rows[0]["source_2_path"] = rows[0]["source_1_path"]
    write_source_table(tmp_path, "dev", rows)
    assert "talker 1100 twice, expected different talkers" in refused(tmp_path)


def test_missing_metadata_are_named(tmp_path):
    write_sources(tmp_path)
    path = source_table(tmp_path, "test")
    path.unlink()
    assert refused(tmp_path).startswith(f"{path}: missing, expected a table")


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("source_1_gain", "loud", "source_1_gain: expected a number, got 'loud'"),
        ("source_1_gain", "nan", "source_1_gain: expected a gain above 0, got 'nan'"),
        ("source_2_gain", "inf", "source_2_gain: expected a gain above 0, got 'inf'"),
        ("noise_gain", "0.0", "noise_gain: expected a gain above 0, got '0.0'"),
        ("noise_gain", "-1", "noise_gain: expected a gain above 0, got '-1'"),
        ("mixture_ID", "", "line 2: expected mixture_ID"),
        ("noise_path", "", "line 2: expected noise_path"),
        ("source_2_path", "a.flac", "expected <subset>/<talker>/<chapter>/<utterance>"),
    ],
)
def test_broken_metadata_are_named(tmp_path, column, value, reason):
    write_sources(tmp_path)
    path = source_table(tmp_path, "train-360")
    rows = read_table(path)
    rows[0][column] = value
    write_source_table(tmp_path, "train-360", rows)
    message = refused(tmp_path)
    assert message.startswith(f"{path}: ")
    assert reason in message


def test_a_mixture_twice_in_a_table_is_named(tmp_path):
    write_sources(tmp_path)
    path = source_table(tmp_path, "dev")
    rows = read_table(path)
    write_source_table(tmp_path, "dev", [*rows, rows[1]])
    name = rows[1]["mixture_ID"]
    assert refused(tmp_path) == f"{path}: line 5: {name} as in line 3"


def test_a_noise_counts_by_its_first_channel(tmp_path):
    write_sources(tmp_path)
    row = read_table(source_table(tmp_path, "dev"))[0]
    path, hiss = tmp_path / "wham_noise" / row["noise_path"], voice(30000, 1)
    write(path, np.stack([0 * hiss, hiss], axis=1), RATE)
    assert f"{path}: silent" in refused(tmp_path)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_missing_folder_is_named(tmp_path, place):
    write_sources(tmp_path)
    folders(tmp_path)[place].rename(tmp_path / "away")
    assert refused(tmp_path).startswith(f"{folders(tmp_path)[place]}: no such folder")


def test_recordings_changed_since_are_named(tmp_path):
    write_sources(tmp_path)
    test = load(tmp_path)["test"]
    row = read_table(source_table(tmp_path, "test"))[0]
    path = tmp_path / "LibriSpeech" / row["source_1_path"]
    write(path, voice(8500, 1), RATE)
    with pytest.raises(AudioError, match=f"{path}.* other lengths"):
        test[(1, 0)]


def test_a_rate_that_librimix_does_not_have_is_refused(tmp_path):
    write_sources(tmp_path)
    with pytest.raises(ValueError, match="expected one of"):
        load(tmp_path, rate=44100)
