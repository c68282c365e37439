"""Files that cannot be read or written: one clear error, nothing half-written."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechbrain_fusion.inference.audio_files import process_file
from speechbrain_fusion.inference.audio_reading import AudioWarning
from tests.inference.recordings import RATE, content, refused, tones, write
from tests.inference.stub_systems import Through


def test_existing_files_stay_unless_they_may_go(tmp_path):
    source = write(tmp_path / "in.wav", tones())
    (tmp_path / "out.wav").write_text("precious")
    assert "exists" in refused(tmp_path, source)
    process_file(Through(), RATE, source, tmp_path / "out.wav", force=True)
    assert soundfile.info(str(tmp_path / "out.wav")).frames == RATE


def test_what_may_be_replaced_stays_until_all_of_the_new_is_there(tmp_path):
    signal = tones(1, 20.0)
    signal[-1] = np.nan
    source = write(tmp_path / "in.wav", signal, subtype="FLOAT")
    (tmp_path / "out.wav").write_text("precious")
    assert "not a finite" in refused(tmp_path, source, force=True)
    assert (tmp_path / "out.wav").read_text() == "precious"


def test_the_input_is_never_written_onto(tmp_path):
    source = write(tmp_path / "in.wav", tones())
    os.link(source, tmp_path / "hard.wav")
    (tmp_path / "soft.wav").symlink_to(source)
    for name in ("in.wav", "hard.wav", "soft.wav", "../" + tmp_path.name + "/in.wav"):
        message = refused(tmp_path, source, name, force=True)
        assert "the input itself" in message


@pytest.mark.parametrize("target", ["folder", "folder/", "."])
def test_a_folder_is_no_output(tmp_path, target):
    source = write(tmp_path / "in.wav", tones())
    (tmp_path / "folder").mkdir()
    assert "a folder" in refused(tmp_path, source, target, force=True)


def test_devices_are_not_replaced(tmp_path):
    source = write(tmp_path / "in.wav", tones())
    assert "regular" in refused(tmp_path, source, "/dev/null", force=True)
    assert Path("/dev/null").is_char_device()


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    source = write(tmp_path / "in.wav", tones())
    assert "in.wav/out.wav" in refused(tmp_path, source, "in.wav/out.wav")
    name = "x" * 300 + ".wav"
    assert name in refused(tmp_path, source, name)


@pytest.mark.skipif(not Path("/sys").is_dir(), reason="Linux has it")
def test_a_folder_that_nobody_may_write_into_is_named(tmp_path):
    source = write(tmp_path / "in.wav", tones())
    for target in ("/sys/out.wav", "/sys/new/out.wav"):
        assert f"{target}: not written: " in refused(tmp_path, source, target)


def test_a_link_to_nowhere_stays_unless_it_may_go(tmp_path):
    source = write(tmp_path / "in.wav", tones())
    (tmp_path / "out.wav").symlink_to("gone.wav")
    assert "out.wav: exists" in refused(tmp_path, source)
    process_file(Through(), RATE, source, tmp_path / "out.wav", force=True)
    assert not (tmp_path / "out.wav").is_symlink()
    assert not (tmp_path / "gone.wav").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_folder_that_is_read_only_is_named(tmp_path):
    source = write(tmp_path / "in.wav", tones())
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "locked/out.wav" in refused(tmp_path, source, "locked/out.wav")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: None, "No such file"),
        (lambda p: p.mkdir(), "a folder"),
        (lambda p: p.touch(), "empty"),
        (lambda p: p.write_text("RIFF is not what this is\n" * 9), "not a readable"),
        (lambda p: p.write_bytes(content(np.zeros((0, 1)))), "no samples"),
        (lambda p: p.symlink_to(p), "symbolic links"),
        (lambda p: os.mkfifo(p), "not a regular file"),
        (lambda p: p.symlink_to("/dev/zero"), "not a regular file"),
        (lambda p: p.write_bytes(content(np.zeros((9, 1)), rate=500)), "500 Hz"),
        (lambda p: p.write_bytes(content(np.zeros((9, 65)))), "65 channels"),
        (lambda p: p.write_bytes(content(np.zeros((9, 1)))[:30]), "not a readable"),
    ],
)
def test_what_is_no_recording_is_named(tmp_path, make, said):
    source = tmp_path / "bad.wav"
    make(source)
    message = refused(tmp_path, source)
    assert "bad.wav" in message
    assert said in message
    assert "expected" in message or "not a readable" in message


def test_no_channels_are_too_few(tmp_path):
    data = bytearray(content(tones()))
    data[22:24] = b"\0\0"
    (tmp_path / "none.wav").write_bytes(data)
    assert "none.wav" in refused(tmp_path, tmp_path / "none.wav")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 30_000])
def test_samples_that_are_no_numbers_are_named(tmp_path, value, place):
    signal = tones(2, 5.0)
    signal[place, 1] = value
    source = write(tmp_path / "bad.wav", signal, subtype="FLOAT")
    assert f"bad.wav: sample {place} is not a finite" in refused(tmp_path, source)


def test_what_a_system_makes_infinite_is_not_written(tmp_path):
    source = write(tmp_path / "in.wav", tones())
    message = refused(tmp_path, source, system=Through(gain=np.inf))
    assert "out.wav" in message
    assert "not finite" in message


@pytest.mark.parametrize("container", ["WAV", "AIFF", "AU", "W64", "FLAC", "MP3"])
def test_of_a_truncated_file_what_is_there_is_processed(tmp_path, container):
    signal = np.random.default_rng(0).uniform(-0.5, 0.5, (RATE * 10, 1))
    data = content(signal, container)
    source = tmp_path / "short.bin"
    source.write_bytes(data[: len(data) // 2])
    with pytest.warns(AudioWarning, match=r"short.bin: .*what is there is processed"):
        process_file(Through(), RATE, source, tmp_path / "out.wav")
    frames = soundfile.info(str(tmp_path / "out.wav")).frames
    assert RATE * 3 < frames < RATE * 7


def test_a_header_of_unknown_length_is_not_truncated(tmp_path):
    data = bytearray(content(tones()))
    data[4:8] = data[40:44] = b"\xff" * 4
    (tmp_path / "piped.wav").write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        process_file(Through(), RATE, tmp_path / "piped.wav", tmp_path / "out.wav")
    assert soundfile.info(str(tmp_path / "out.wav")).frames == RATE


def test_a_full_disk_is_said_and_nothing_left(tmp_path, monkeypatch):
    def full(self, data):
        # as soundfile does
        raise AssertionError

    source = write(tmp_path / "in.wav", tones())
    monkeypatch.setattr(soundfile.SoundFile, "write", full)
    assert "out.wav: not written" in refused(tmp_path, source)


def test_a_wav_that_grows_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("speechbrain_fusion.inference.audio_writing.LARGEST", 10_000)
    source = write(tmp_path / "in.flac", tones())
    assert "4 GiB" in refused(tmp_path, source)
    process_file(Through(), RATE, source, tmp_path / "out.w64")
