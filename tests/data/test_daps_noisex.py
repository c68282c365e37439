"""One function reads DAPS, own talkers, or the demo in DAPS's layout; nothing leaks."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.daps_noisex import unpaired_speech
from speechbrain_fusion.data.disjoint import SIDES, prove_disjoint
from speechbrain_fusion.data.manifest import read_manifest
from speechbrain_fusion.data.speech_sets import MANIFESTS
from speechbrain_fusion.data.unpaired import NoisySpeech
from speechbrain_fusion.data.unpaired_preparation import sets_of
from tests.data.daps_tree import (
    ONE_EACH,
    SCRIPTS,
    write_daps,
    write_noises,
    write_rooms,
)
from tests.data.librimix_tree import voice, write
from tests.data.test_rooms import lag_of

NAMES = ("clean_train", "clean_valid", "train", "valid", "test")
SEEDS = dict.fromkeys(NAMES, 1)
COUNTS: dict[str, int | None] = dict.fromkeys(NAMES)
EVEN = dict.fromkeys(("clean", "noisy", "valid", "test"), 1)
NOISY = ("speech_train", "speech_valid")


@pytest.fixture
def own(tmp_path) -> Path:
    """Own talkers, two of each split, and their noises."""
    for split in ("train", "valid", "test"):
        for seed, name in enumerate(("anna", "bert")):
            for number in range(2):
                path = tmp_path / "own/speech" / split / f"{name}_{split}/{number}.wav"
                write(path, voice(8000, 10 * seed + number), 16000)
    write_noises(tmp_path / "own" / "noise")
    return tmp_path / "own"


def load(save: Path, data_folder=None, noise_folder=None, **options):
    defaults = {"rate": 16000, "segment": 0.25, "counts": COUNTS, "seeds": SEEDS}
    defaults |= {"window": 512, "test_segment": 0.4}
    return unpaired_speech(data_folder, noise_folder, save, **(defaults | options))


def contents_of(save: Path):
    stamp = save / "daps_noisex.json"
    return {x.stem: read_manifest(x) for x in save.glob("*.json") if x != stamp}


def drawn(items, epoch: int = 1) -> list:
    return [items.plan(epoch, index) for index in range(len(items))]


# -- DAPS ----------------------------------------------------------------------------


def test_daps_becomes_five_sets_that_have_nothing_in_common(tmp_path, daps, noises):
    sets = load(tmp_path / "save", daps, noises)
    # 8 speakers of two scripts; a version on each side, three SNRs where fixed
    assert {name: len(items) for name, items in sets.items()} == {
        "clean_train": 6,
        "clean_valid": 1,
        "train": 4,
        "valid": 3,
        "test": 12,
    }
    prove_disjoint(
        sets_of(contents_of(tmp_path / "save")), ["speaker", "noise", "room"]
    )
    item = sets["test"][(1, 0)]
    assert {*item.signals} == {"mixture", "target"}
    assert item.signals["mixture"].shape == (1, 6400)
    assert item.info["version"] in ONE_EACH


def test_validation_has_clean_speech_of_other_utterances(tmp_path, daps, noises):
    sets = load(tmp_path / "save", daps, noises)
    for index in range(len(sets["valid"])):
        drawn = sets["valid"].plan(1, index)
        assert drawn.clean["utterance"] != drawn.speech["utterance"]
        assert {*sets["valid"][(1, index)].signals} == {"mixture", "clean"}
    assert sets["valid"][(1, 0)].info == sets["valid"][(2, 0)].info


def test_pairs_for_supervised_training(tmp_path, daps, noises):
    sets = load(tmp_path / "save", daps, noises, paired=True)
    for name in ("train", "valid", "test"):
        for index in range(len(sets[name])):
            item = sets[name][(1, index)]
            assert {*item.signals} == {"mixture", "target"}
            assert not item.info["pure_noise"]
            mixture, target = (x[0].numpy() for x in item.signals.values())
            if item.info["snr"] == 5:
                assert lag_of(mixture, target) == 0


def test_of_a_version_as_much_is_taken_as_its_clean_one_has(tmp_path, daps, noises):
    for path in daps.glob("ip*/*.wav"):
        signal, rate = soundfile.read(path)
        write(path, signal[:-1000], rate)
    for path in daps.glob("clean/*script1*.wav"):
        signal, rate = soundfile.read(path)
        write(path, signal[:-2000], rate)
    sets = load(tmp_path / "save", daps, noises, test_segment=9.0)
    lengths = {
        item.info["length"] for i in range(12) for item in [sets["test"][(1, i)]]
    }
    # half a second at 22.05 kHz, less 1 000 or 2 000 samples
    assert lengths == {round(16000 * (0.5 - n / 22050) + 0.5) for n in (1000, 2000)}


@pytest.mark.parametrize("paired", [False, True])
def test_validation_on_one_utterance_is_refused(tmp_path, noises, paired):
    root = write_daps(tmp_path / "daps", scripts=SCRIPTS[:1])
    with pytest.raises(AudioError, match="valid: 1 utterance, expected two at least"):
        load(tmp_path / "save", root, noises, paired=paired)
    assert not list(tmp_path.glob("save/*.json"))


def test_clean_speech_of_validation_is_in_no_noise(tmp_path, daps, noises):
    load(tmp_path / "save", daps, noises, shares=EVEN, disjoint=["speaker"])
    made = contents_of(tmp_path / "save")
    clean, noisy = made["clean_valid"], made["speech_valid"]
    assert {x["talker"] for x in clean.values()} == {
        x["talker"] for x in noisy.values()
    }
    assert {x["script"] for x in clean.values()} == {"script1", "script2"}
    # three versions of each utterance
    assert (len(clean), len(noisy)) == (2, 2 * 3)
    hidden = {x["clean_file"] for name in NOISY for x in made[name].values()}
    read = {x["file"] for entries in made.values() for x in entries.values()}
    assert hidden
    assert not hidden & read


def test_the_largest_of_several_windows_counts(tmp_path, daps, noises):
    sets = load(tmp_path / "save", daps, noises, window=[512, 4000, 256])
    assert len(sets["test"]) == 12
    with pytest.raises(ValueError, match=r"segment: .* largest window, 4001 samples"):
        load(tmp_path / "save", daps, noises, window=[512, 4001])


def test_mixtures_take_their_options(tmp_path, daps, noises):
    mixtures = partial(NoisySpeech, snr=(3,), pure_noise=0.0)
    counts = {"train": 20, "test": 4}
    sets = load(tmp_path / "save", daps, noises, mixtures=mixtures, counts=counts)
    assert {*sets} == {"train", "test"}
    infos = [sets["train"][(1, index)].info for index in range(20)]
    assert {info["condition"] for info in infos} == {"+3 dB"}


def test_responses_are_heard_where_no_room_was_recorded(tmp_path, noises):
    root = write_daps(tmp_path / "daps", versions=(*ONE_EACH, "produced"))
    rooms = write_rooms(tmp_path / "rooms")
    sets = load(
        tmp_path / "save", root, noises, rooms_folder=rooms, counts={"test": None}
    )
    infos = [sets["test"][(1, i)].info for i in range(len(sets["test"]))]
    found = {(info["version"], info["room"]) for info in infos}
    versions = {version for version, _ in found}
    assert len(versions) == 2
    assert "produced" in versions
    for version, room in found:
        assert room.startswith("room") == (version == "produced")
    prove_disjoint(sets_of(contents_of(tmp_path / "save")), ["room"])


@pytest.mark.slow
def test_simulated_rooms_take_the_place_of_a_folder(tmp_path, noises):
    root = write_daps(tmp_path / "daps", versions=["clean"])
    options = {"simulated_rooms": 3, "segment": 0.45, "counts": {"test": None}}
    sets = load(tmp_path / "save", root, noises, **options)
    assert sets["test"][(1, 0)].info["room"].startswith("simulated_")
    with pytest.raises(ValueError, match="one of rooms_folder and simulated_rooms"):
        load(tmp_path / "save", root, noises, rooms_folder="rooms", **options)


def test_a_folder_above_and_one_channel_of_several_serve(tmp_path, noises):
    root = write_daps(tmp_path / "data" / "daps")
    for path in root.glob("clean/*.wav"):
        signal, rate = soundfile.read(path)
        write(path, np.stack([signal, 0 * signal], 1), rate)
    sets = load(tmp_path / "save", root.parent, noises, counts={"test": 2})
    assert sets["test"][(1, 0)].signals["target"].abs().max() > 0


# -- Own talkers ---------------------------------------------------------------------


def test_own_talkers_of_training_are_clean_and_noisy_in_turn(tmp_path, own):
    sets = load(tmp_path / "save", recordings=own)
    assert [len(items) for items in sets.values()] == [2, 2, 2, 6, 12]
    assert sets["clean_train"][(1, 0)].info["talker"] == "anna_train"
    drawn = sets["train"].plan(1, 0)
    assert drawn.speech["talker"] == "bert_train"
    assert drawn.clean["talker"] == "anna_train"
    assert sets["test"][(1, 0)].info["talker"] == "anna_test"
    for index in range(6):
        drawn = sets["valid"].plan(1, index)
        assert drawn.clean["utterance"] != drawn.speech["utterance"]
        assert drawn.clean in sets["clean_valid"].speech


def test_own_recordings_that_are_too_short_are_left_out(tmp_path, own, caplog):
    write(own / "speech/train/anna_train/0.wav", voice(3000, 1), 16000)
    with caplog.at_level("INFO"):
        sets = load(tmp_path / "save", recordings=own)
    assert "clean: 1 recordings under 0.25 s left out" in caplog.messages
    assert len(sets["clean_train"]) == 1
    write(own / "speech/train/anna_train/1.wav", voice(3000, 1), 16000)
    with pytest.raises(AudioError, match=r"no recording for clean is as long as 0\.25"):
        load(tmp_path / "save", recordings=own)


def test_an_own_talker_in_two_splits_is_refused(tmp_path, own):
    shutil.copytree(own / "speech/train/bert_train", own / "speech/test/bert_train")
    with pytest.raises(AudioError, match="speaker bert_train: in noisy and in test"):
        load(tmp_path / "save", recordings=own, disjoint=["noise"])


def test_own_talkers_need_two_in_training(tmp_path, own):
    shutil.rmtree(own / "speech/train/bert_train")
    with pytest.raises(AudioError, match=r"no recording for noisy; .* two talkers"):
        load(tmp_path / "save", recordings=own)


def test_so_many_own_recordings_are_taken_as_are_asked_for(tmp_path, own):
    sets = load(tmp_path / "save", recordings=own, utterances={"test": 2})
    assert len(sets["test"]) == 2 * 3


@pytest.mark.parametrize(
    "options",
    [{"disjoint": ["speaker", "script"]}, {"versions": ["clean"]}, {"shares": EVEN}],
)
def test_own_recordings_have_no_scripts_and_no_versions(tmp_path, own, options):
    with pytest.raises(ValueError, match="own recordings have no scripts and no vers"):
        load(tmp_path / "save", recordings=own, **options)


# -- What is whose -------------------------------------------------------------------


def test_each_set_mixes_speech_noises_and_rooms_of_its_own(tmp_path, own):
    rooms = write_rooms(tmp_path / "rooms")
    options = {"counts": dict.fromkeys(SIDES, 20), "rooms_folder": rooms}
    sets = load(tmp_path / "save", recordings=own, **options)
    made = contents_of(tmp_path / "save")
    for kind, name in {"speech": "speech", "noise": "noise", "room": "rooms"}.items():
        heard = {
            side: {getattr(plan, kind)["file"] for plan in drawn(mixtures)}
            for side, mixtures in sets.items()
        }
        assert heard == {
            side: {entry["file"] for entry in made[f"{name}_{side}"].values()}
            for side in SIDES
        }
        assert len(set.union(*heard.values())) == sum(map(len, heard.values()))


def test_only_sets_of_training_are_new_in_every_epoch(tmp_path, own):
    sets = load(tmp_path / "save", recordings=own)
    new = {name for name, x in sets.items() if drawn(x) != drawn(x, epoch=2)}
    assert new == {"clean_train", "train"}


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_changes_its_own_set_alone(tmp_path, own, name):
    before, after = (
        load(tmp_path / "save", recordings=own, seeds=seeds)
        for seeds in (SEEDS, SEEDS | {name: 2})
    )
    changed = {x for x in NAMES if drawn(before[x]) != drawn(after[x])}
    assert changed == {name}


# -- Options -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data_folder": "a", "recordings": "b"}, "one corpus, got data_folder, rec"),
        ({"data_folder": "a"}, "noise_folder: expected a folder beside data_folder"),
        ({"noise_folder": "a"}, "noise_folder: expected None without data_folder"),
        ({"segment": 0.01}, r"segment: .* largest window, 512 .* got 0.01 s, 160 samp"),
        ({"test_segment": 0.01}, r"test_segment: expected at least the largest window"),
        ({"counts": {"dev": 1}}, r"counts, seeds: expected keys of .*clean_train"),
        ({"seeds": {}}, r"counts, seeds: expected keys of"),
        ({"recordings": "a", "disjoint": ["talker"]}, "disjoint: expected a list of"),
        ({"recordings": "a", "disjoint": None}, "disjoint: expected a list of"),
        ({"recordings": "a", "utterances": {"test": 2.5}}, "whole numbers, got 2.5 of"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path, given, message):
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "save", **given)
    assert not (tmp_path / "save").exists()


# -- Real recordings -----------------------------------------------------------------


@pytest.mark.slow
def test_real_talkers_are_in_one_set_each(tmp_path, real_data):
    counts = dict.fromkeys(NAMES, 12)
    sets = load(
        *(tmp_path / "save",),
        **{"recordings": real_data, "segment": 2.0, "test_segment": 4.0},
        **{"counts": counts, "window": 1024},
    )
    for name, items in sets.items():
        for index in range(12):
            signals = items[(1, index)].signals
            assert all(x.isfinite().all() and x.any() for x in signals.values())
            if name != "test":
                assert all(x.shape == (1, 32000) for x in signals.values())
    contents = contents_of(tmp_path / "save")
    talkers = {
        name: {entry["talker"] for entry in contents[name].values()}
        for name in MANIFESTS
    }
    # those of validation may be in both of its halves
    talkers["speech_valid"] |= talkers.pop("clean_valid")
    assert len(set.union(*talkers.values())) == sum(map(len, talkers.values()))
