"""Rendered scenes are read where they were drawn, as the whole file is resampled."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from speechbrain_fusion.data.audio import read, resample
from speechbrain_fusion.data.batch import Batch
from speechbrain_fusion.data.clarity import prepare_clarity
from speechbrain_fusion.data.manifest import read_manifest, write_manifest
from speechbrain_fusion.data.rendered import RenderedScenes
from speechbrain_fusion.data.sampler import EpochSampler
from speechbrain_fusion.metrics.table import MetricTable
from tests.data.clarity_tree import (
    INTERFERER_ILD,
    POST,
    PRE,
    RATE,
    TARGET_ILD,
    write,
    write_tree,
)
from tests.data.scenery import same

# 9 talkers train: 18 scenes of 0.8, 0.9 or 1 s of speech
TRAINED = 18


@pytest.fixture(scope="module")
def manifests(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clarity")
    return prepare_clarity(write_tree(folder), folder / "save", 8000)


def scenes_of(manifests: dict[str, Path], split: str) -> dict:
    return read_manifest(manifests[split])


def whole(path: str, rate: int) -> np.ndarray:
    """Resample the whole of a file."""
    signal, own = read(path)
    return resample(signal, own, rate)


def power(signal: torch.Tensor) -> torch.Tensor:
    return signal.double().square().mean(-1)


def find(part: np.ndarray, signal: np.ndarray) -> int:
    """Find where in a signal [2, time] a part of it begins."""
    lags = np.correlate(signal[0], part[0], "valid")
    return int(lags.argmax())


def one_scene(folder: Path, target: np.ndarray, first: int, last: int) -> Path:
    """Write a scene of a target [time] and a weak noise, and its manifest."""
    noise = 0.01 * np.random.default_rng(0).standard_normal((target.size, 2))
    both = np.stack([target, target], 1)
    write(folder / "mixed.wav", both + noise)
    write(folder / "target.wav", both)
    files = {"file": str(folder / "mixed.wav"), "target": str(folder / "target.wav")}
    place = {"rate": RATE, "samples": target.size, "first": first, "last": last}
    write_manifest(folder / "scene.json", {"S1": files | place})
    return folder / "scene.json"


# -- segments ------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_segment_lies_where_the_target_speaks(manifests, rate):
    entries = read_manifest(manifests["train"])
    scenes, samples = RenderedScenes(manifests["train"], rate, 0.25), rate // 4
    starts = []
    for index in range(TRAINED):
        item = scenes[(1, index)]
        entry = entries[item.id]
        target = whole(entry["target"], rate)
        start = find(item.signals["target"].numpy(), target)
        assert PRE / RATE <= start / rate <= entry["last"] / RATE - 0.25 + 1 / rate
        starts.append(start / rate - PRE / RATE)
        for name, signal in (
            ("target", target),
            ("mixture", whole(entry["file"], rate)),
        ):
            part = signal[:, start : start + samples]
            assert np.abs(item.signals[name].numpy() - part).max() < 1e-6
    # the places are spread over what is spoken, 0.8 s at least
    assert min(starts) < 0.15
    assert max(starts) > 0.4


def test_a_longer_segment_holds_all_that_is_spoken(manifests):
    entries = read_manifest(manifests["train"])
    scenes = RenderedScenes(manifests["train"], 16000, 1.2)
    for index in range(TRAINED):
        item = scenes[(3, index)]
        target = whole(entries[item.id]["target"], 16000)
        assert item.signals["target"].shape == (2, 19200)
        energy = item.signals["target"].square().sum()
        assert float(energy) == pytest.approx(np.square(target).sum(), rel=1e-3)


def test_a_shorter_scene_is_taken_whole(manifests):
    entries = read_manifest(manifests["train"])
    item = RenderedScenes(manifests["train"], 8000, 30.0)[(1, 0)]
    expected = torch.from_numpy(whole(entries[item.id]["file"], 8000))
    assert torch.allclose(item.signals["mixture"], expected, atol=1e-6)


def test_a_pause_is_drawn_again(tmp_path):
    target = np.zeros(3 * RATE)
    target[RATE : RATE + RATE // 2] = 0.1 * np.random.default_rng(1).standard_normal(
        RATE // 2
    )
    path = one_scene(tmp_path, target, RATE // 4, 3 * RATE)
    scenes = RenderedScenes(path, 8000, 0.25, count=40)
    items = [scenes[(1, index)] for index in range(40)]
    assert min(float(power(item.signals["target"]).mean()) for item in items) > 1e-8


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("segment", [0.25, None])
def test_levels_stay_at_both_ears(manifests, rate, segment):
    entries = read_manifest(manifests["valid"])
    scenes = RenderedScenes(manifests["valid"], rate, segment)
    for index in range(len(scenes)):
        item = scenes[(1, index)]
        left, right = power(item.signals["target"])
        assert float(right / left) == pytest.approx(TARGET_ILD**2, rel=1e-4)
        noise = item.signals["mixture"] - item.signals["target"]
        left, right = power(noise)
        assert float(right / left) == pytest.approx(INTERFERER_ILD**2, rel=1e-3)
        if segment is None:
            path = entries[item.id]["file"].replace("mixed", "interferer")
            expected = torch.from_numpy(whole(path, rate))
            assert torch.allclose(noise, expected, atol=1e-6)


# -- seeds and epochs ----------------------------------------------------------------


@pytest.mark.slow
def test_an_example_follows_from_seed_epoch_and_index(manifests):
    keys = [(epoch, index) for epoch in (1, 2) for index in range(5)]
    first = RenderedScenes(manifests["train"], 8000, 0.25, seed=3)
    again = RenderedScenes(manifests["train"], 8000, 0.25, seed=3)
    items = {key: first[key] for key in keys}
    assert all(same(again[key], items[key]) for key in reversed(keys))
    other = RenderedScenes(manifests["train"], 8000, 0.25, seed=4)
    assert not any(same(other[key], items[key]) for key in keys)
    assert not any(same(items[1, index], items[2, index]) for index in range(5))


def test_an_epoch_takes_every_scene_once(manifests):
    scenes = RenderedScenes(manifests["train"], 8000, 0.1)
    assert len(scenes) == TRAINED
    orders = [[scenes[(e, i)].id for i in range(TRAINED)] for e in (1, 2)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(scenes_of(manifests, "train"))
    assert orders[0] != orders[1]


def test_a_longer_epoch_takes_none_a_third_time_before_all_twice(manifests):
    scenes = RenderedScenes(manifests["train"], 8000, 0.1, count=2 * TRAINED)
    names = [scenes[(1, index)].id for index in range(len(scenes))]
    assert all(names.count(name) == 2 for name in scenes_of(manifests, "train"))
    assert names[:TRAINED] != names[TRAINED:]


def test_a_shorter_epoch_takes_others_in_every_epoch(manifests):
    scenes = RenderedScenes(manifests["train"], 8000, 0.1, count=4)
    names = [{scenes[(epoch, i)].id for i in range(4)} for epoch in range(1, 30)]
    assert all(len(taken) == 4 for taken in names)
    assert set.union(*names) == set(scenes_of(manifests, "train"))


def test_whole_scenes_are_the_same_in_every_epoch(manifests):
    scenes = RenderedScenes(manifests["test"], 8000)
    assert [scenes[(1, i)].id for i in range(6)] == list(scenes_of(manifests, "test"))
    assert all(same(scenes[(1, index)], scenes[(7, index)]) for index in range(6))
    for entry, index in zip(
        scenes_of(manifests, "test").values(), range(6), strict=True
    ):
        samples = scenes[(1, index)].signals["target"].shape[-1]
        assert samples == -(-entry["samples"] * 8000 // RATE)
        assert entry["samples"] > PRE + POST


@pytest.mark.parametrize(
    ("count", "taken"), [(1, [0]), (2, [0, 3]), (3, [0, 2, 4]), (4, [0, 1, 3, 4])]
)
def test_fewer_whole_scenes_are_evenly_spaced(manifests, count, taken):
    names = list(scenes_of(manifests, "test"))
    scenes = RenderedScenes(manifests["test"], 8000, count=count)
    assert [scenes[(1, i)].id for i in range(count)] == [names[i] for i in taken]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 7}, "expected 1 to 6 items, got 7"),
        ({"count": 2.5}, "expected 1 to 6 items, got 2.5"),
        ({"count": 0, "segment": 0.1}, "expected 1 or more items, got 0"),
        ({"segment": 0.0}, "expected"),
    ],
)
def test_options_out_of_range_are_refused(manifests, options, message):
    with pytest.raises(ValueError, match=message):
        RenderedScenes(manifests["test"], 8000, **options)


# -- as training uses them -----------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_those_of_the_keys(manifests, workers):
    scenes = RenderedScenes(manifests["train"], 8000, 1.6, seed=1)
    sampler = EpochSampler(len(scenes), batch_size=4, seed=5)
    sampler.set_epoch(2)
    loader = DataLoader(
        scenes, 4, sampler=sampler, num_workers=workers, collate_fn=Batch.collate
    )
    keys, batches = list(sampler), list(loader)
    assert len(batches) == TRAINED // 4
    for number, batch in enumerate(batches):
        items = [scenes[key] for key in keys[4 * number : 4 * number + 4]]
        expected = Batch.collate(items)
        assert batch.ids == expected.ids
        assert batch.info == expected.info
        assert torch.equal(batch.lengths, expected.lengths)
        for name in ("mixture", "target"):
            assert torch.equal(batch[name], expected[name])


def test_shorter_scenes_are_padded(manifests):
    loader = DataLoader(
        RenderedScenes(manifests["test"], 8000),
        batch_size=6,
        sampler=EpochSampler(6, 6, seed=0, train=False),
        collate_fn=Batch.collate,
    )
    (batch,) = loader
    longest = batch["mixture"].shape[-1]
    lengths = (batch.lengths * longest).round().long().tolist()
    seconds = [entry["seconds"] for entry in scenes_of(manifests, "test").values()]
    assert [length / 8000 for length in lengths] == pytest.approx(seconds, abs=2e-4)
    assert len(set(lengths)) == 3
    for item, length in enumerate(lengths):
        assert not batch["mixture"][item, :, length:].any()
        assert batch["mixture"][item, :, :length].any()


def test_tables_are_listed_by_noise(manifests):
    scenes, table = RenderedScenes(manifests["test"], 8000), MetricTable()
    for index in range(len(scenes)):
        item = scenes[(1, index)]
        for system in ("unprocessed", "enhanced"):
            table.add(system, [item.id], [item.info], {"snr": torch.zeros(1, 2)})
    assert list(table.by("noise", "snr")) == ["fan", "kettle", "speech"]
    assert table.to_rows()[0]["talker"] == "T021"
