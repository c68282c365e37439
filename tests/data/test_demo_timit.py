"""The demo in TIMIT's layout: complete, its talkers apart, read by TIMIT's reader."""

from pathlib import Path

import pytest
import soundfile

from speechbrain_fusion.data.demo_timit import demo_speakers, write_demo_timit
from speechbrain_fusion.data.recordings import SPLITS
from speechbrain_fusion.data.timit import find_timit, speaker_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    return write_demo_timit(tmp_path_factory.mktemp("demo") / "timit")


def test_every_talker_is_found_in_its_split(demo):
    found = find_timit(demo, demo_speakers("test"))
    for split in SPLITS:
        assert {speaker_of(path) for path in found[split]} == {*demo_speakers(split)}


def test_speech_is_in_nist_sphere_at_timits_rate(demo):
    for path in demo.rglob("*.WAV"):
        info = soundfile.info(path)
        assert (info.format, info.samplerate, info.channels) == ("NIST", 16000, 1)


def test_every_split_has_noises_of_its_own(demo):
    files = [{*(demo / "noise" / split).iterdir()} for split in SPLITS]
    assert all(files)
    contents = [path.read_bytes() for each in files for path in each]
    assert len({*contents}) == len(contents)


def test_a_demo_that_is_there_is_left_alone(demo):
    before = {path: path.stat().st_mtime_ns for path in demo.rglob("*")}
    assert write_demo_timit(demo) == demo
    assert {path: path.stat().st_mtime_ns for path in demo.rglob("*")} == before


def test_a_folder_of_other_things_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=str(tmp_path)):
        write_demo_timit(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
