"""What is prepared: counted, kept, proved to be disjoint, or refused as a whole."""

import itertools
import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.disjoint import prove_disjoint
from speechbrain_fusion.data.manifest import read_manifest, write_manifest
from speechbrain_fusion.data.speech_sets import MANIFESTS
from speechbrain_fusion.data.unpaired import NoisySpeech
from speechbrain_fusion.data.unpaired_preparation import prepare_unpaired, sets_of
from tests.data.daps_tree import write_noises, write_rooms
from tests.data.librimix_tree import voice, write
from tests.data.test_daps_noisex import contents_of, load

SIDES = ("train", "valid", "test")


def test_the_counts_are_logged(tmp_path, daps, noises, caplog):
    for _ in range(2):
        caplog.clear()
        with caplog.at_level("INFO"):
            load(tmp_path / "save", daps, noises)
        lines = [
            x for record in caplog.records for x in record.getMessage().split("\n")
        ]
        assert {
            "clean: 6 recordings, 6 utterances, 3 speakers, 2 scripts, 1 version",
            "test: 4 recordings, 4 utterances, 2 speakers, 2 scripts, 1 version, "
            "1 room, 1 noise",
        } <= {*lines}


def test_manifests_are_kept_until_something_changes(tmp_path, daps, noises):
    def stamp():
        return (tmp_path / "save" / "daps_noisex.json").stat().st_mtime_ns

    load(tmp_path / "save", daps, noises)
    first = stamp()
    load(tmp_path / "save", daps, noises)
    assert stamp() == first
    load(tmp_path / "save", daps, noises, segment=0.3)
    second = stamp()
    assert second != first
    scipy.io.savemat(noises / "noise0.mat", {"noise0": np.ones(60000)})
    load(tmp_path / "save", daps, noises, segment=0.3)
    assert stamp() != second


def test_all_unusable_files_are_listed_and_no_manifest_is_written(
    tmp_path, daps, noises
):
    rooms = write_rooms(tmp_path / "rooms")
    write(rooms / "zeros.wav", np.zeros(100), 16000)
    write(rooms / "long.wav", np.full(9000, 0.1), 16000)
    # of the first set, the clean one
    speech = daps / "clean/f1_script1_clean.wav"
    speech.write_text("no audio")
    low = noises / "noise1.wav"
    write(low, voice(30000, 1), 8000)
    with pytest.raises(AudioError) as caught:
        load(tmp_path / "save", daps, noises, rooms_folder=rooms)
    first, *lines = str(caught.value).splitlines()
    assert first == "4 unusable files:"
    for reason in (
        f"{speech}: not a readable audio file",
        f"{low}: rate 8000 Hz, expected at least 16000 Hz",
        f"{rooms / 'zeros.wav'}: silent",
        f"{rooms / 'long.wav'}: 0.5625 s, expected an impulse response no longer than "
        "the clip (segment), 0.25 s",
    ):
        assert any(line.startswith(f"  {reason}") for line in lines), reason
    assert not list((tmp_path / "save").glob("*.json"))


def test_recordings_that_do_not_go_together_are_listed(tmp_path, daps, noises):
    # the second set is noisy; its version of the training side
    load(tmp_path / "save", daps, noises)
    entries = [*contents_of(tmp_path / "save")["speech_train"].values()]
    short, other = (Path(entry["file"]) for entry in entries[:2])
    write(short, voice(4000, 1), 22050)
    write(other, voice(16000, 1), 32000)
    stamp = (tmp_path / "save" / "daps_noisex.json").read_text()
    with pytest.raises(AudioError) as caught:
        load(tmp_path / "save", daps, noises)
    assert sorted(str(caught.value).splitlines()[1:]) == sorted(
        [
            f"  {other}: rate 32000 Hz, expected that of its clean version, 22050 Hz",
            f"  {short}: 0.1814 s, expected 0.25 s at least (segment or, of test "
            "recordings, the largest window)",
        ]
    )
    # those of before stay
    assert (tmp_path / "save" / "daps_noisex.json").read_text() == stamp


def test_an_incomplete_daps_is_refused(tmp_path, daps, noises):
    (daps / "ipad_office1" / "m1_script1_ipad_office1.wav").unlink()
    with pytest.raises(AudioError, match=r"incomplete, 1 [^!]*m1_script1_ipad_office1"):
        load(tmp_path / "save", daps, noises)
    assert not (tmp_path / "save").exists()


def test_a_noise_in_two_folders_is_refused(tmp_path, daps, noises):
    for side in ("train", "valid", "test"):
        (noises / side).mkdir()
        shutil.copy(noises / "noise1.wav", noises / side / f"rain_{side}.wav")
    shutil.copy(noises / "noise2.wav", noises / "train" / "babble.wav")
    shutil.copy(noises / "noise2.wav", noises / "test" / "babble.wav")
    with pytest.raises(AudioError, match=r"noise babble: in noisy and in test"):
        load(tmp_path / "save", daps, noises)
    assert not list((tmp_path / "save").glob("*.json"))


def test_a_made_up_leak_is_found_in_what_was_written(tmp_path, daps, noises):
    load(tmp_path / "save", daps, noises)
    path = tmp_path / "save" / "speech_train.json"
    content = json.loads(path.read_text())
    stolen = next(iter(contents_of(tmp_path / "save")["speech_test"].values()))
    path.write_text(json.dumps(content | {"stolen": stolen}))
    with pytest.raises(
        AudioError, match=rf"speaker {stolen['talker']}: in noisy and in"
    ):
        prove_disjoint(sets_of(contents_of(tmp_path / "save")), ["speaker"])
    # the manifests are up to date, and yet refused
    with pytest.raises(AudioError, match=rf"utterance {stolen['utterance']}: in noisy"):
        load(tmp_path / "save", daps, noises)


@pytest.mark.parametrize("shared", [False, True])
def test_a_noise_added_to_another_side_is_refused(tmp_path, daps, noises, shared):
    disjoint = ["speaker"] if shared else ["speaker", "noise"]
    load(tmp_path / "save", daps, noises, disjoint=disjoint)
    path = tmp_path / "save" / "noise_test.json"
    key, entry = next(iter(read_manifest(path).items()))
    stolen = {**entry, "first": entry.get("first", 0) - 10, "noise": "other"}
    train = tmp_path / "save" / "noise_train.json"
    write_manifest(train, read_manifest(train) | {f"{key} again": stolen})
    with pytest.raises(AudioError, match=r"noise on two sides:[^!]*in test"):
        load(tmp_path / "save", daps, noises, disjoint=disjoint)


def test_a_noise_shorter_than_the_clip_is_named(tmp_path, daps):
    noises = write_noises(tmp_path / "short", seconds=0.3)
    with pytest.raises(AudioError, match=r"noise_test: 1 noises are shorter .* 0\.4 s"):
        load(tmp_path / "save", daps, noises, counts={"test": 2})
    mixtures = partial(NoisySpeech, loop=True)
    sets = load(tmp_path / "save", daps, noises, counts={"test": 2}, mixtures=mixtures)
    assert sets["test"][(1, 0)].signals["mixture"].shape == (1, 6400)


def test_noises_may_be_shared_in_time(tmp_path, daps, noises):
    load(tmp_path / "save", daps, noises, disjoint=["speaker"], counts={})
    parts = contents_of(tmp_path / "save")
    for name in parts["noise_train"]:
        ends = [parts[f"noise_{side}"][name] for side in ("train", "valid", "test")]
        for one, following in itertools.pairwise(ends):
            assert one["first"] + one["samples"] == following["first"]


def test_preparation_alone_returns_the_manifests(tmp_path, daps, noises):
    rooms = write_rooms(tmp_path / "rooms")
    folders = daps, noises, None, rooms, tmp_path / "save"
    made = prepare_unpaired(*folders, rate=16000, segment=0.25, window=512)
    kinds = [f"{kind}_{side}" for kind in ("noise", "rooms") for side in SIDES]
    assert [*made] == [*MANIFESTS, *kinds]
