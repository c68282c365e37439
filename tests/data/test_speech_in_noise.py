"""Mixtures of a talker and a noise follow from seed, epoch and index."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.batch import Batch
from speechbrain_fusion.data.manifest import write_manifest
from speechbrain_fusion.data.sampler import EpochSampler
from speechbrain_fusion.data.speech_in_noise import SpeechInNoise
from tests.data.librimix_tree import voice, write


@pytest.fixture
def files(tmp_path) -> tuple[Path, Path]:
    """Three utterances, a seen noise of which a part is taken, and an unseen one."""
    speech, noise = {}, {}
    for number, samples in enumerate((16000, 20000, 24001)):
        path = tmp_path / f"speech_{number}.wav"
        write(path, voice(samples, number), 16000)
        place = {"rate": 16000, "samples": samples, "seconds": samples / 16000}
        speech[path.name] = {"file": str(path), "name": path.stem, **place}
        speech[path.name]["talker"] = f"t{number}"
    for kind, first in (("seen", 30000), ("unseen", 0)):
        path = tmp_path / f"{kind}.wav"
        hiss = np.random.default_rng(first).standard_normal(90000)
        hiss[:first] = 0
        write(path, 0.05 * hiss, 16000)
        place = {"rate": 16000, "first": first, "samples": 40000, "seconds": 2.5}
        noise[kind] = {"file": str(path), "name": kind, "kind": kind, **place}
    for name, manifest in (("speech", speech), ("noise", noise)):
        write_manifest(tmp_path / f"{name}.json", manifest)
    return tmp_path / "speech.json", tmp_path / "noise.json"


def snr_of(example) -> float:
    target, mixture = (example.signals[k].double() for k in ("target", "mixture"))
    noise = mixture - target
    return 10 * torch.log10(target.square().sum() / noise.square().sum()).item()


def test_a_mixture_follows_from_seed_epoch_and_index(files):
    first, again, other = (
        SpeechInNoise(*files, 8000, segment=0.5, seed=seed) for seed in (1, 1, 2)
    )
    sound = first[(2, 1)].signals["mixture"]
    assert torch.equal(sound, again[(2, 1)].signals["mixture"])
    assert not torch.equal(sound, first[(3, 1)].signals["mixture"])
    assert not torch.equal(sound, other[(2, 1)].signals["mixture"])


@pytest.mark.slow
def test_workers_and_processes_change_nothing(files):
    def batches(workers: int, world: int) -> torch.Tensor:
        return torch.cat(
            [
                batch["mixture"]
                for rank in range(world)
                for batch in DataLoader(
                    SpeechInNoise(*files, 8000, size=8, segment=0.5),
                    sampler=EpochSampler(8, 8 // world, 0, rank=rank, world=world),
                    batch_size=8 // world,
                    collate_fn=Batch.collate,
                    num_workers=workers,
                )
            ]
        )

    assert torch.equal(batches(0, 1), batches(2, 2))


@pytest.mark.parametrize("fixed", [False, True])
def test_the_snr_is_what_is_said(files, fixed):
    mixtures = SpeechInNoise(*files, 8000, snr=(-5, 0, 5, 10), fixed=fixed, size=16)
    for index in range(16):
        example = mixtures[(1, index)]
        assert snr_of(example) == pytest.approx(example.info["snr"], abs=0.01)


def test_training_draws_every_snr_and_each_utterance_in_turn(files):
    mixtures = SpeechInNoise(*files, 8000, segment=0.5, snr=range(-5, 16), size=600)
    plans = [mixtures.plan(1, index) for index in range(600)]
    assert {plan.snr for plan in plans} == set(range(-5, 16))
    for start in range(0, 600, 3):
        assert len({plan.speech["name"] for plan in plans[start : start + 3]}) == 3
    places = [plan.noise_place for plan in plans]
    assert min(places) < 0.05 < 0.95 < max(places)


def test_epochs_that_are_too_short_for_all_recordings_hear_others_each_time(files):
    mixtures = SpeechInNoise(*files, 8000, segment=0.5, size=1)
    plans = [mixtures.plan(epoch, 0) for epoch in range(1, 21)]
    heard = {plan.speech["name"] for plan in plans}
    assert heard == {f"speech_{number}" for number in range(3)}
    assert {plan.noise["name"] for plan in plans} == {"seen", "unseen"}


def test_fixed_mixtures_have_every_condition_equally_often(files):
    mixtures = SpeechInNoise(*files, 8000, snr=(0, 5), fixed=True)
    assert len(mixtures) == 3 * 2 * 2
    assert mixtures.plan(1, 5) == mixtures.plan(7, 5)
    found = {}
    for index in range(12):
        info = mixtures[(1, index)].info
        found.setdefault(info["condition"], []).append(info["speech"])
    assert [*found] == ["seen +0 dB", "seen +5 dB", "unseen +0 dB", "unseen +5 dB"]
    assert all(
        sorted({*x}) == [f"speech_{i}" for i in range(3)] for x in found.values()
    )
    few = SpeechInNoise(*files, 8000, snr=(0, 5), fixed=True, size=6)
    heard = {few.plan(1, index).speech["name"] for index in range(6)}
    assert sorted(heard) == [f"speech_{number}" for number in range(3)]


def test_nothing_outside_of_a_noises_part_is_heard(files, tmp_path):
    mixtures = SpeechInNoise(*files, 16000, snr=(0,), size=40)
    for index in range(40):
        example = mixtures[(1, index)]
        noise = example.signals["mixture"] - example.signals["target"]
        # before the part there is silence
        frames = noise[0, : noise.shape[1] // 400 * 400].view(-1, 400)
        assert frames.square().mean(1).min() > 1e-6


def test_items_are_as_long_as_is_said(files):
    for options in ({}, {"segment": 1.1}):
        mixtures = SpeechInNoise(*files, 8000, **options)
        for index in range(3):
            samples = mixtures[(1, index)].signals["mixture"].shape[-1]
            assert samples == round(8000 * mixtures.seconds((1, index)))


def test_a_gain_changes_the_level_alone(files):
    loud, soft = (
        SpeechInNoise(*files, 8000, segment=0.5, gain=(gain, gain))
        for gain in (0.0, -20.0)
    )
    for kind in ("mixture", "target"):
        one, other = (each[(1, 0)].signals[kind] for each in (loud, soft))
        torch.testing.assert_close(0.1 * one, other)


def test_what_would_clip_is_turned_down_as_a_whole(files):
    mixtures = SpeechInNoise(*files, 8000, snr=(-30,), gain=(30.0, 30.0))
    example = mixtures[(1, 0)]
    assert example.signals["mixture"].abs().max() == pytest.approx(0.99)
    assert snr_of(example) == pytest.approx(-30, abs=0.05)


def test_a_noise_shorter_than_the_speech_is_named_unless_it_may_begin_again(files):
    speech, noise = files
    write_manifest(
        noise,
        {
            "short": {
                "file": "rain.wav",
                "rate": 16000,
                "samples": 16000,
                "seconds": 1.0,
                "name": "rain",
            }
        },
    )
    with pytest.raises(AudioError, match=r"1 noises are shorter .* 1\.5[^!]*rain"):
        SpeechInNoise(speech, noise, 8000)
    assert len(SpeechInNoise(speech, noise, 8000, loop=True)) == 3
    assert len(SpeechInNoise(speech, noise, 8000, segment=1.0)) == 3


def test_a_noise_that_is_long_enough_does_not_begin_again(files):
    whole, looped = (
        SpeechInNoise(*files, 8000, segment=0.5, loop=loop) for loop in (False, True)
    )
    for index in range(20):
        one, other = (each[(1, index)].signals["mixture"] for each in (whole, looped))
        assert torch.equal(one, other)


def test_a_noise_silent_since_is_named(files, tmp_path):
    mixtures = SpeechInNoise(*files, 8000)
    for kind in ("seen", "unseen"):
        write(tmp_path / f"{kind}.wav", np.zeros(90000), 16000)
    with pytest.raises(AudioError, match=r"seen\.wav: silent"):
        mixtures[(1, 0)]


@pytest.mark.parametrize(
    "options",
    [
        {"segment": 0.0},
        {"snr": ()},
        {"snr": (0, float("nan"))},
        {"gain": (1.0, 0.0)},
        {"size": 0},
    ],
)
def test_options_out_of_range_are_refused(files, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        SpeechInNoise(*files, 8000, **options)
