"""Clean clips follow from seed, epoch and index, and have no pauses."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechbrain_fusion.data.audio import AudioError, resample
from speechbrain_fusion.data.clean_speech import CleanSpeech
from speechbrain_fusion.data.manifest import write_manifest
from tests.data.daps_tree import RATE, place_of, write_spoken
from tests.data.librimix_tree import voice, write
from tests.data.test_rooms import lag_of


@pytest.fixture
def speech(tmp_path) -> Path:
    """Manifest of three recordings by three talkers."""
    return write_spoken(tmp_path)["speech"]


def items(clips, count, epoch=1):
    return [clips[(epoch, index)] for index in range(count)]


@pytest.mark.slow
def test_clean_clips_are_parts_of_their_recordings(speech, tmp_path):
    clips = CleanSpeech(speech, 16000, size=30, segment=0.5)
    for item in items(clips, 30):
        clip = item.signals["clean"][0].numpy()
        assert item.signals["clean"].shape == (1, 8000)
        assert item.info["length"] == 8000
        path = tmp_path / f"{item.info['talker']}_clean.wav"
        whole = resample(soundfile.read(path)[0], RATE, 16000)
        start = lag_of(whole, clip)
        np.testing.assert_allclose(whole[start : start + 8000], clip, atol=1e-4)


def test_each_recording_comes_once_before_any_comes_again(speech):
    clips = CleanSpeech(speech, 16000, size=30, segment=0.5)
    names = [clips.plan(1, index)[0]["name"] for index in range(30)]
    for start in range(0, 30, 3):
        assert len({*names[start : start + 3]}) == 3
    assert names != [clips.plan(2, index)[0]["name"] for index in range(30)]
    places = [clips.plan(1, index)[1] for index in range(30)]
    assert min(places) < 0.2 < 0.8 < max(places)


def test_fixed_clips_are_the_same_in_every_epoch_from_even_places(speech):
    clips = CleanSpeech(speech, 16000, size=6, segment=0.5, fixed=True)
    assert [clips.plan(1, i) for i in range(6)] == [clips.plan(9, i) for i in range(6)]
    names = Counter(clips.plan(1, index)[0]["name"] for index in range(6))
    assert set(names.values()) == {2}
    assert len(CleanSpeech(speech, 16000, segment=0.5)) == 3


def test_no_clip_is_a_pause_and_the_rest_of_the_file_is_not_read(tmp_path, monkeypatch):
    sound = voice(10 * RATE, 1)
    sound[RATE : 9 * RATE] = 0
    write(tmp_path / "long.wav", sound, RATE)
    entry = {**place_of(tmp_path / "long.wav"), "talker": "t"}
    write_manifest(tmp_path / "long.json", {"long": entry})
    clips = CleanSpeech(tmp_path / "long.json", 16000, size=20, segment=0.5)
    read, frames = soundfile.SoundFile.read, []
    monkeypatch.setattr(
        soundfile.SoundFile,
        "read",
        lambda self, count, **options: (
            frames.append(count) or read(self, count, **options)
        ),
    )
    for item in items(clips, 20):
        assert item.signals["clean"].square().mean() > 1e-8
    assert max(frames) < RATE
    assert min(frames) > 0


@pytest.mark.parametrize("options", [{"segment": 0.0}, {"size": 0}])
def test_clean_speech_refuses_options_out_of_range(speech, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        CleanSpeech(speech, 16000, **options)


def test_recordings_shorter_than_a_clip_are_all_named(speech):
    with pytest.raises(AudioError, match=r"speech: 2 recordings .* 1\.8 s") as caught:
        CleanSpeech(speech, 16000, segment=1.8)
    assert [line.split("/")[-1] for line in str(caught.value).splitlines()[1:]] == [
        "t0_clean.wav: 1.5 s",
        "t1_clean.wav: 1.75 s",
    ]
