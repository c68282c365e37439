"""Audio files are found and described; unusable ones are all listed at once."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.inspection import audio_files, inspect, inspect_all
from tests.conftest import write_noise

RATE = 16000


def spoil_all(folder: Path) -> dict[str, str]:
    """Write one file of every unusable kind; say what each is refused for."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = 0.05 * np.random.default_rng(0).standard_normal(RATE)
    holed = noise.copy()
    holed[100] = np.nan
    endless = noise.copy()
    endless[-1] = np.inf
    (folder / "text.wav").write_text("no audio")
    (folder / "nothing.wav").write_bytes(b"")
    (folder / "link.wav").symlink_to(folder / "gone.wav")
    soundfile.write(folder / "empty.wav", np.zeros(0), RATE)
    soundfile.write(folder / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(folder / "nan.wav", holed, RATE, subtype="FLOAT")
    soundfile.write(folder / "infinite.wav", endless, RATE, subtype="FLOAT")
    soundfile.write(folder / "stereo.wav", np.stack([noise, noise], 1), RATE)
    soundfile.write(folder / "slow.wav", noise[:8000], 8000)
    return {
        "text.wav": "not a readable audio file",
        "nothing.wav": "not a readable audio file",
        "link.wav": "not a readable audio file",
        "empty.wav": "empty",
        "silent.wav": "silent",
        "nan.wav": "NaN or infinite",
        "infinite.wav": "NaN or infinite",
        "stereo.wav": "2 channels, expected 1",
        "slow.wav": "rate 8000 Hz, expected at least 16000 Hz",
    }


@pytest.mark.parametrize("jobs", [1, -1])
def test_one_error_lists_every_unusable_file(tmp_path, jobs):
    reasons = spoil_all(tmp_path)
    write_noise(tmp_path / "good.wav", 1.0, seed=0)
    with pytest.raises(AudioError) as caught:
        inspect_all(audio_files(tmp_path), RATE, jobs=jobs)
    first, *lines = str(caught.value).splitlines()
    assert first == f"{len(reasons)} unusable files:"
    assert len(lines) == len(reasons)
    for name, reason in reasons.items():
        assert any(f"{tmp_path / name}: " in line and reason in line for line in lines)


def test_usable_files_are_described_in_their_order(tmp_path):
    rates = [16000, 44100, 48000, 22050]
    paths = [tmp_path / f"{number}.flac" for number in (3, 1, 2, 0)]
    for number, (path, rate) in enumerate(zip(paths, rates, strict=True)):
        write_noise(path, 0.5 + 0.25 * number, number, rate)
    entries = inspect_all(paths, RATE)
    assert [entry["file"] for entry in entries] == [str(path) for path in paths]
    assert [entry["rate"] for entry in entries] == rates
    assert [entry["seconds"] for entry in entries] == [0.5, 0.75, 1.0, 1.25]
    assert [entry["samples"] for entry in entries] == [8000, 33075, 48000, 27562]


def test_the_wanted_channels_may_be_two(tmp_path):
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.full((100, 2), 0.1), RATE)
    assert inspect(path, RATE, channels=2)["samples"] == 100


def test_a_recording_of_a_few_samples_is_refused(tmp_path):
    path = tmp_path / "rest.wav"
    soundfile.write(path, np.full(RATE // 1000 - 1, 0.1), RATE)
    with pytest.raises(AudioError, match=r"rest\.wav: \d+ samples, expected 1 ms"):
        inspect(path, RATE)
    soundfile.write(path, np.full(RATE // 1000, 0.1), RATE)
    assert inspect(path, RATE)["samples"] == RATE // 1000


def test_half_a_step_of_16_bits_counts_as_silence(tmp_path):
    path = tmp_path / "soft.wav"
    soundfile.write(path, np.full(100, 0.4 / 2**15), RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"soft\.wav: silent"):
        inspect(path, RATE)
    soundfile.write(path, np.full(100, 1 / 2**15), RATE, subtype="PCM_16")
    assert inspect(path, RATE)["samples"] == 100


def test_audio_is_found_at_any_depth_and_in_order(tmp_path):
    names = ["b.wav", "a/c.FLAC", "a/b/d.ogg", "a/b.wav", "z.txt", "a/notes.mp3"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.wav").mkdir()
    found = [str(path.relative_to(tmp_path)) for path in audio_files(tmp_path)]
    assert found == ["a/b/d.ogg", "a/b.wav", "a/c.FLAC", "b.wav"]


def test_what_is_hidden_is_no_audio(tmp_path):
    write_noise(tmp_path / "a.wav", 0.1, 0)
    (tmp_path / "._a.wav").write_bytes(b"\0\5\26\7")
    (tmp_path / ".Trash-1000" / "files").mkdir(parents=True)
    write_noise(tmp_path / ".Trash-1000" / "files" / "old.wav", 0.1, 0)
    assert audio_files(tmp_path) == [tmp_path / "a.wav"]


def test_audio_is_found_behind_links(tmp_path):
    write_noise(tmp_path / "elsewhere" / "anna" / "1.wav", 0.1, 0)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "anna").symlink_to(tmp_path / "elsewhere" / "anna")
    assert audio_files(tmp_path / "train") == [tmp_path / "train" / "anna" / "1.wav"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(AudioError, match="nowhere: no such folder"):
        audio_files(tmp_path / "nowhere")


def test_links_in_a_circle_are_followed_once(tmp_path):
    write_noise(tmp_path / "a/b.wav", 0.1, 0)
    (tmp_path / "a/up").symlink_to(tmp_path)
    (tmp_path / "other").symlink_to(tmp_path / "a")
    found = [str(path.relative_to(tmp_path)) for path in audio_files(tmp_path)]
    assert found == ["a/b.wav", "other/b.wav"]


def test_folders_that_link_to_each_other_are_read_once(tmp_path):
    for name, other in (("a", "b"), ("b", "a")):
        write_noise(tmp_path / name / f"{name}.wav", 0.1, seed=0)
        (tmp_path / name / f"to_{other}").symlink_to(tmp_path / other)
    found = [path.relative_to(tmp_path).as_posix() for path in audio_files(tmp_path)]
    assert found == ["a/a.wav", "a/to_b/b.wav", "b/b.wav", "b/to_a/a.wav"]
