"""Scenes follow from (seed, epoch, index) alone; options out of range are refused."""

from collections import Counter

import pytest
import torch
from torch.utils.data import DataLoader

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.batch import Batch
from speechbrain_fusion.data.recordings import SPLITS, prepare_recordings
from speechbrain_fusion.data.sampler import EpochSampler
from speechbrain_fusion.data.scenes import BinauralScenes
from tests.data.scenery import HEAD, RATE, hiss, one_each, same


def test_an_item_has_two_ears_and_says_what_it_is(make):
    scenes = make()
    scene, item = scenes.plan(3, 5), scenes[3, 5]
    assert len(scenes) == 8
    assert item.id == "scene00005"
    assert item.info == {
        "noise": scene.kind,
        "snr": round(scene.snr, 2),
        "azimuth": scene.target.azimuth,
        "talker": scene.target.entry["talker"],
    }
    for name in ("mixture", "target"):
        assert item.signals[name].shape == (2, RATE)
        assert item.signals[name].dtype == torch.float32


def test_items_are_the_same_from_a_new_object_and_in_any_order(make):
    options = {"talker_share": 0.3, "seed": 7}
    scenes = make(**options)
    keys = [(epoch, index) for epoch in (1, 2) for index in range(6)]
    items = {key: scenes[key] for key in keys}
    scenes = make(**options)
    for key in reversed(keys):
        assert same(items[key], scenes[key])


def test_items_do_not_depend_on_the_size_of_an_epoch(make):
    assert same(make(size=4)[2, 3], make(size=100)[2, 3])


@pytest.mark.parametrize(
    ("options", "key"),
    [({}, (2, 3)), ({}, (1, 4)), ({"seed": 1}, (1, 3)), ({"seed": 2**40}, (1, 3))],
    ids=["epoch", "index", "seed", "large seed"],
)
def test_epoch_index_and_seed_each_make_another_scene(make, options, key):
    assert make().plan(1, 3) != make(**options).plan(*key)
    assert not same(make()[1, 3], make(**options)[key])


def test_epoch_and_index_are_not_exchangeable(make):
    scenes = make()
    assert scenes.plan(1, 2) != scenes.plan(2, 1)


@pytest.mark.parametrize("fixed", [False, True])
def test_workers_give_the_same_batches_as_none(make, fixed):
    scenes = make(segment=1.6, talker_share=0.5, fixed=fixed)

    def batches(workers: int) -> list[Batch]:
        sampler = EpochSampler(len(scenes), 3, 0, not fixed, rank=0, world=1)
        sampler.set_epoch(2)
        return list(
            DataLoader(
                scenes,
                batch_size=3,
                sampler=sampler,
                num_workers=workers,
                collate_fn=Batch.collate,
            )
        )

    alone, helped = batches(0), batches(2)
    assert len(alone) == len(helped) == (3 if fixed else 2)
    for one, other in zip(alone, helped, strict=True):
        assert (one.ids, one.info) == (other.ids, other.info)
        assert all(torch.equal(one[name], other[name]) for name in one.signals)


def test_fixed_scenes_are_the_same_in_every_epoch(make):
    scenes = make(fixed=True)
    assert same(scenes[1, 3], scenes[9, 3])
    assert not same(scenes[1, 3], scenes[1, 4])
    assert scenes.plan(1, 3) != make(fixed=True, seed=1).plan(1, 3)


def test_fixed_scenes_take_talkers_and_noises_in_turn(make):
    scenes = make(fixed=True)
    plans = [scenes.plan(1, index) for index in range(24)]
    heard = Counter(plan.target.entry["file"] for plan in plans)
    assert heard == {entry["file"]: 3 for entry in scenes.speech}
    disturbed = Counter(plan.kind for plan in plans)
    assert disturbed == {"noise0": 8, "noise1": 8, "noise2": 8}


def test_a_few_fixed_scenes_hear_every_talker_whatever_their_files(make):
    scenes = make(fixed=True)
    one = scenes.talkers[0][0]
    scenes.talkers[0] = [one] * 50
    plans = [scenes.plan(1, index) for index in range(8)]
    heard = Counter(plan.target.entry["talker"] for plan in plans)
    assert set(heard.values()) == {2}
    assert len(heard) == 4


def test_fixed_scenes_do_not_tie_noises_to_talkers(make):
    scenes = make(fixed=True)
    scenes.noise.append({**scenes.noise[0], "name": "noise3"})
    plans = [scenes.plan(1, index) for index in range(200)]
    pairs = {(plan.target.entry["talker"], plan.kind) for plan in plans}
    assert len(pairs) == 4 * 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"snr": (float("nan"), 5)}, "snr: expected two finite numbers"),
        ({"snr": (-5, float("inf"))}, "snr: expected two finite numbers"),
        ({"snr": (5, -5)}, "snr: expected .* ascending order"),
        ({"snr": (5,)}, "snr: expected two"),
        ({"level": (-20, -30)}, "level: expected .* ascending order"),
        ({"interferers": (2, 1)}, "interferers: expected .* ascending order"),
        ({"interferers": (0, 1)}, "interferers: expected 1 to inf, got 0"),
        ({"segment": 0.0}, "segment: expected .* got 0"),
        ({"segment": float("nan")}, "segment: expected .* got nan"),
        ({"segment": float("inf")}, "segment: expected .* got inf"),
        ({"segment": None}, "segment: expected .* got None"),
        ({"directions": 0}, "directions: expected 1 to inf, got 0"),
        ({"talker_share": 1.5}, "talker_share: expected 0 to 1, got 1.5"),
        ({"diffuse_share": -0.1}, "diffuse_share: expected 0 to 1, got -0.1"),
        ({"separation": float("nan")}, "separation: expected 0 to 180, got nan"),
        ({"target_part": "dry"}, "target_part: .*'full', 'direct'.* got 'dry'"),
        ({"target_azimuths": [0, 33]}, "sphere: no response .* azimuth 33"),
        ({"interferer_azimuths": [95]}, "sphere: no response .* azimuth 95"),
        ({"target_azimuths": []}, "target_azimuths: expected at least one"),
        ({"interferer_azimuths": []}, "interferer_azimuths: expected at least one"),
        (
            {"target_azimuths": [0, 90], "interferer_azimuths": [80, 100]},
            "separation: no interferer azimuth is 30.* azimuth 90",
        ),
    ],
)
def test_options_out_of_range_are_refused(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_interfering_talkers_need_a_second_talker(tmp_path):
    with pytest.raises(ValueError, match=r"talker_share: .*speech\.json has only one"):
        one_each(tmp_path, hiss(RATE), hiss(RATE), talker_share=0.1)


@pytest.mark.parametrize("spoilt", ["speech", "noise"])
def test_a_manifest_that_cannot_be_read_is_named(manifests, tmp_path, spoilt):
    paths = dict(zip(("speech", "noise"), manifests, strict=True))
    paths[spoilt] = tmp_path / "half.json"
    paths[spoilt].write_text("{")
    with pytest.raises(AudioError, match=r"half\.json: not a readable manifest"):
        BinauralScenes(**paths, responses=HEAD, size=1)


def test_prepared_recordings_make_scenes_of_every_split(recordings, tmp_path):
    paths = prepare_recordings(recordings, tmp_path / "save", RATE, 1.0, jobs=1)
    for split in SPLITS:
        speech, noise = (paths[f"{kind}_{split}"] for kind in ("speech", "noise"))
        scenes = BinauralScenes(speech, noise, HEAD, 2, 1.0, talker_share=0.5)
        assert scenes[1, 0].info["talker"].startswith(split)
        assert torch.isfinite(scenes[1, 1].signals["mixture"]).all()
