"""New mixtures follow from seed, epoch and index, at LibriMix's levels."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.batch import Batch
from speechbrain_fusion.data.dynamic_mixing import DynamicMixtures, Part, Plan
from speechbrain_fusion.data.loudness import loudness
from speechbrain_fusion.data.manifest import read_manifest
from speechbrain_fusion.data.sampler import EpochSampler
from tests.data.scenery import manifest, same


@pytest.fixture
def mix(manifests):
    """Mix the small folder of 4 talkers and 3 noises, with options."""

    def call(**options) -> DynamicMixtures:
        arguments = {"rate": 8000, "size": 12, "segment": 1.0} | options
        return DynamicMixtures(*manifests, **arguments)

    return call


# -- what follows from what ----------------------------------------------------------


def test_a_mixture_follows_from_seed_epoch_and_index(mix):
    first, again, other = mix(seed=1), mix(seed=1), mix(seed=2)
    assert same(first[(2, 3)], again[(2, 3)])
    assert not same(first[(2, 3)], first[(3, 3)])
    assert not same(first[(2, 3)], first[(2, 5)])
    assert not same(first[(2, 3)], other[(2, 3)])


def test_a_longer_epoch_begins_as_a_shorter_one(mix):
    assert mix(size=12).plan(1, 7) == mix(size=400).plan(1, 7)


@pytest.mark.slow
def test_workers_and_processes_change_nothing(mix):
    def batches(workers: int, world: int) -> list[torch.Tensor]:
        return [
            batch["mixture"]
            for rank in range(world)
            for batch in DataLoader(
                mix(segment=0.5),
                sampler=EpochSampler(12, 12 // world, 0, rank=rank, world=world),
                batch_size=12 // world,
                collate_fn=Batch.collate,
                num_workers=workers,
            )
        ]

    alone = torch.cat(batches(0, 1))
    assert torch.equal(alone, torch.cat(batches(2, 2)))


def test_fixed_mixtures_are_the_same_in_every_epoch(mix):
    fixed = mix(fixed=True)
    assert same(fixed[(1, 3)], fixed[(9, 3)])
    assert not same(fixed[(1, 3)], fixed[(1, 4)])


@pytest.mark.parametrize("talkers", [2, 3, 4])
def test_the_talkers_of_a_mixture_are_different_ones(mix, talkers):
    mixtures = mix(talkers=talkers)
    for index in range(100):
        names = {part.entry["talker"] for part in mixtures.plan(1, index).talkers}
        assert len(names) == talkers


def test_all_talkers_and_noises_come_before_any_comes_again(mix):
    plans = [mix().plan(1, index) for index in range(6)]
    heard = [part.entry["talker"] for plan in plans for part in plan.talkers]
    noises = [plan.noise.entry["name"] for plan in plans]
    assert all(len(set(heard[i : i + 4])) == 4 for i in (0, 4, 8))
    assert all(len(set(noises[i : i + 3])) == 3 for i in (0, 3))


def pairs(mixtures: DynamicMixtures, epoch: int) -> list[frozenset[str]]:
    plans = (mixtures.plan(epoch, index) for index in range(len(mixtures)))
    return [frozenset(part.entry["talker"] for part in x.talkers) for x in plans]


def test_over_epochs_every_talker_meets_every_other(mix):
    # an epoch of one turn: four talkers are two pairs of six
    met = [{*pairs(mix(size=2), epoch)} for epoch in range(1, 21)]
    assert {len(each) for each in met} == {2}
    assert len(set.union(*met)) == 6


def test_the_turns_of_an_epoch_pair_talkers_anew(mix):
    # four talkers are two pairs in one of three ways
    found = pairs(mix(size=40), 1)
    turns = {frozenset(found[start : start + 2]) for start in range(0, 40, 2)}
    assert len(turns) == 3


def test_noises_come_in_another_order_in_other_epochs(mix):
    orders = {
        tuple(mix().plan(epoch, index).noise.entry["name"] for index in range(3))
        for epoch in range(1, 21)
    }
    assert all(len({*order}) == 3 for order in orders)
    assert len(orders) > 1


def test_levels_and_speeds_are_drawn_from_their_ranges(mix):
    plans = [mix(speeds=(95, 100, 105)).plan(1, index) for index in range(300)]
    talkers = [part for plan in plans for part in plan.talkers]
    levels = np.array([part.level for part in talkers])
    noise = np.array([plan.noise.level for plan in plans])
    assert -33 <= levels.min() < -32.9 < -25.1 < levels.max() <= -25
    assert -38 <= noise.min() < -37.9 < -30.1 < noise.max() <= -30
    assert levels.mean() == pytest.approx(-29, abs=0.4)
    speeds = np.array([part.speed for part in talkers])
    assert {*speeds} == {95, 100, 105}
    assert all((speeds == speed).mean() > 0.25 for speed in (95, 100, 105))


def test_the_talkers_of_a_mixture_have_levels_speeds_and_places_of_their_own(mix):
    plans = [mix(speeds=(95, 100, 105)).plan(1, index) for index in range(300)]
    drawn = np.array(
        [[(p.level, p.speed, p.place) for p in plan.talkers] for plan in plans]
    )
    for one, other in drawn.transpose(2, 1, 0):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.2
    for places in (drawn[..., 2], [plan.noise.place for plan in plans]):
        assert 0 <= np.min(places) < 0.05 < 0.95 < np.max(places) < 1


# -- what is heard -------------------------------------------------------------------


def test_a_mixture_is_the_sum_of_its_parts(mix):
    signals = mix(talkers=3)[(1, 0)].signals
    assert {kind: tuple(signal.shape) for kind, signal in signals.items()} == {
        "mixture": (1, 8000),
        "clean": (1, 8000),
        "target": (3, 8000),
    }
    assert torch.allclose(signals["clean"], signals["target"].sum(0, keepdim=True))


def test_talkers_and_noise_have_their_loudness(mix):
    mixtures = mix(rate=16000, segment=None, mode="max")
    for index in range(6):
        plan, signals = mixtures.plan(1, index), mixtures[(1, index)].signals
        for part, talker in zip(plan.talkers, signals["target"].numpy(), strict=True):
            assert loudness(talker, 16000) == pytest.approx(part.level, abs=0.3)
        noise = (signals["mixture"] - signals["clean"])[0].numpy()
        assert loudness(noise, 16000) == pytest.approx(plan.noise.level, abs=0.01)


def test_info_says_who_is_heard_and_how_loud(mix):
    mixtures = mix()
    plan, example = mixtures.plan(1, 0), mixtures[(1, 0)]
    signals = {kind: signal.double() for kind, signal in example.signals.items()}
    noise = signals["mixture"] - signals["clean"]
    snr = 10 * torch.log10(signals["clean"].square().sum() / noise.square().sum())
    assert example.info == {
        "mixture": "_".join(part.entry["name"] for part in plan.talkers),
        "talkers": "_".join(part.entry["talker"] for part in plan.talkers),
        "length": 8000,
        "snr": pytest.approx(snr.item(), abs=0.01),
        "noise": plan.noise.entry["name"],
    }


@pytest.mark.parametrize(("mode", "wanted"), [("min", 1.5), ("max", 1.75)])
def test_whole_mixtures_end_with_the_shortest_or_the_longest(mix, mode, wanted):
    mixtures = mix(segment=None, mode=mode)
    lengths = set()
    for index in range(12):
        samples = mixtures[(1, index)].signals["mixture"].shape[-1]
        assert samples == round(8000 * mixtures.seconds((1, index)))
        lengths.add(samples / 8000)
    assert wanted in lengths
    assert lengths <= {1.5, 1.75}


@pytest.mark.parametrize("segment", [None, 0.7, 1.8])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_items_are_as_long_as_is_said(mix, segment, mode):
    mixtures = mix(segment=segment, mode=mode, speeds=(80, 100, 125))
    for index in range(12):
        samples = mixtures[(1, index)].signals["mixture"].shape[-1]
        # recordings are resampled twice
        assert samples == pytest.approx(8000 * mixtures.seconds((1, index)), abs=2)


def plan_of(folder: Path, speech: np.ndarray, speed: int = 100, level: float = -30.0):
    """One recording of a talker and a noise, written at 16 kHz, and a plan of both."""
    rng = np.random.default_rng(1)
    soundfile.write(folder / "a_0.flac", speech, 16000, subtype="PCM_24")
    hiss = 0.05 * rng.standard_normal(32000)
    soundfile.write(folder / "noise.flac", hiss, 16000, subtype="PCM_24")
    files = [
        manifest(folder / f"{name}.json", [folder / f"{name}.flac"])
        for name in ("a_0", "noise")
    ]
    talker, noise = (next(iter(read_manifest(file).values())) for file in files)
    plan = Plan((Part(talker, level, speed, 0.0),), Part(noise, level, 100, 0.0))
    return files, plan


@pytest.mark.parametrize("speed", [95, 100, 105])
def test_speed_changes_pitch_and_length(tmp_path, speed):
    tone = 0.1 * np.sin(2 * np.pi * 1000 * np.arange(32000) / 16000)
    files, plan = plan_of(tmp_path, tone, speed)
    signals = DynamicMixtures(*files, 8000, size=1, talkers=1).render(plan)
    assert signals.shape[-1] == pytest.approx(16000 * 100 / speed, abs=1)
    spectrum = np.abs(np.fft.rfft(signals[2, :15000] * np.hanning(15000)))
    frequency = spectrum.argmax() * 8000 / 15000
    assert frequency == pytest.approx(1000 * speed / 100, abs=0.6)


def test_a_loud_mixture_is_turned_down_as_a_whole(tmp_path):
    speech = 0.1 * np.random.default_rng(0).standard_normal(32000)
    files, loud = plan_of(tmp_path, speech, level=-13.0)
    _, soft = plan_of(tmp_path, speech, level=-29.0)
    mixtures = DynamicMixtures(*files, 16000, size=1, talkers=1)
    signals, reference = mixtures.render(loud), mixtures.render(soft)
    assert np.abs(signals[0]).max() == pytest.approx(0.9, abs=1e-6)
    gain = np.abs(signals[0]).max() / np.abs(reference[0]).max()
    assert gain < 10 ** (16 / 20)
    assert np.allclose(signals, gain * reference, atol=1e-5)


def test_a_segment_avoids_a_pause(tmp_path):
    speech = 0.1 * np.random.default_rng(0).standard_normal(64000)
    speech[:40000] = 0
    files, plan = plan_of(tmp_path, speech)
    mixtures = DynamicMixtures(*files, 8000, size=1, talkers=1, segment=0.5)
    assert np.square(mixtures.render(plan)[2]).mean() > 1e-6


def test_whole_recordings_begin_together_unless_one_begins_with_a_pause(tmp_path):
    rng = np.random.default_rng(0)
    late, short = 0.1 * rng.standard_normal((2, 64000))
    late[:48000] = 0
    files, plan = plan_of(tmp_path, late)
    path = tmp_path / "b_0.flac"
    soundfile.write(path, short[:24000], 16000, subtype="PCM_24")
    entries = read_manifest(manifest(tmp_path / "b_0.json", [path]))
    other = Part(next(iter(entries.values())), -30.0, 100, 0.9)
    mixtures = DynamicMixtures(*files, 16000, size=1, talkers=1)
    signals = mixtures.render(Plan((plan.talkers[0], other), plan.noise))
    assert signals.shape == (4, 24000)
    assert np.square(signals[2:]).mean(-1).min() > 1e-6
    # the one that has no pause is heard from its beginning
    scale = signals[3] @ short[:24000] / np.square(short[:24000]).sum()
    assert np.allclose(signals[3], scale * short[:24000], atol=1e-5)


def test_a_noise_is_heard_from_its_place(tmp_path):
    files, plan = plan_of(
        tmp_path, 0.1 * np.random.default_rng(0).standard_normal(16000)
    )
    mixtures = DynamicMixtures(*files, 16000, size=1, talkers=1)
    later = replace(plan, noise=replace(plan.noise, place=0.25))
    first, second = (
        signals[0] - signals[1] for signals in map(mixtures.render, (plan, later))
    )
    # a quarter of 32000 samples
    assert np.correlate(first, second[:4000], "valid").argmax() == 8000


def test_a_noise_softer_than_the_meter_gets_its_level(tmp_path):
    files, plan = plan_of(
        tmp_path, 0.1 * np.random.default_rng(0).standard_normal(32000)
    )
    hiss = 1.3e-4 * np.random.default_rng(1).standard_normal(32000)
    assert loudness(hiss, 16000) == -math.inf
    soundfile.write(tmp_path / "noise.flac", hiss, 16000, subtype="PCM_24")
    signals = DynamicMixtures(*files, 16000, size=1, talkers=1).render(plan)
    assert loudness(signals[0] - signals[1], 16000) == pytest.approx(-30.0, abs=0.1)


def test_a_short_recording_is_padded_in_max_mode(mix):
    signals = mix(segment=1.7, mode="max", talkers=4)[(1, 0)].signals
    tails = signals["target"][:, 12000 + 40 :].abs().amax(-1)
    assert signals["target"].shape[-1] == 13600
    assert (tails == 0).any()
    assert (tails > 0).any()


# -- what cannot be used -------------------------------------------------------------


def test_too_few_talkers_are_refused(mix, manifests):
    with pytest.raises(AudioError, match=f"{manifests[0]}: 4 talkers, expected 5"):
        mix(talkers=5)


def test_a_recording_silent_since_is_named(tmp_path):
    speech = 0.1 * np.random.default_rng(0).standard_normal(32000)
    files, plan = plan_of(tmp_path, speech)
    mixtures = DynamicMixtures(*files, 8000, size=1, talkers=1)
    soundfile.write(tmp_path / "a_0.flac", np.zeros(32000), 16000)
    with pytest.raises(AudioError, match=r"a_0\.flac: silent, expected something"):
        mixtures.render(plan)


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "median"},
        {"segment": 0.0},
        {"speeds": ()},
        {"speeds": (0, 100)},
        {"size": 0},
        {"talkers": 0},
        {"speeds": 100},
        {"speeds": (97.5,)},
        {"speeds": ("a", "b")},
        {"speech_level": -25},
        {"speech_level": (-25, -33)},
        {"noise_level": (-38, float("nan"))},
    ],
)
def test_options_out_of_range_are_refused(mix, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        mix(**options)
