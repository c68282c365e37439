"""What is heard in a scene: SNR, level, directions, rooms, recordings as they come."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile

from speechbrain_fusion.data.audio import AudioError, read
from speechbrain_fusion.data.hrir import HeadResponses, rigid_sphere
from speechbrain_fusion.data.scenes import BinauralScenes, Source
from tests.conftest import write_voice
from tests.data.scenery import (
    HEAD,
    RATE,
    THROUGH,
    decibels,
    distance,
    hiss,
    manifest,
    one_each,
    signals,
    talker_image,
    tone,
)

# -- level, SNR, directions ------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"diffuse_share": 0.0},
        {"diffuse_share": 1.0},
        {"talker_share": 1.0},
        {"snr": (-20.0, -20.0)},
        {"snr": (30.0, 30.0)},
    ],
    ids=["point", "diffuse", "talker", "noisy", "clean"],
)
def test_the_snr_over_both_ears_is_the_drawn_one(make, options):
    scenes = make(**options)
    for index in range(4):
        _, target, noise = signals(scenes, index=index)
        measured = decibels(np.square(target).sum() / np.square(noise).sum())
        assert measured == pytest.approx(scenes.plan(1, index).snr, abs=0.05)


def test_snr_level_and_number_of_interferers_fill_their_bounds(make):
    scenes = make(snr=(-5, 10), level=(-30, -20), interferers=(1, 3), diffuse_share=0.0)
    plans = [scenes.plan(1, index) for index in range(200)]
    for name, low, high in (("snr", -5, 10), ("level", -30, -20)):
        drawn = np.array([getattr(plan, name) for plan in plans])
        assert low <= drawn.min() < low + 1
        assert high - 1 < drawn.max() <= high
    assert {len(plan.interferers) for plan in plans} == {1, 2, 3}


def test_the_level_is_the_drawn_one(make):
    scenes = make()
    for index in range(4):
        mixture, _, _ = signals(scenes, index=index)
        level = decibels(np.square(mixture).mean())
        assert level == pytest.approx(scenes.plan(1, index).level, abs=0.01)
        assert -33 <= level <= -23


def test_loud_scenes_never_clip_and_keep_their_snr(make):
    scenes = make(level=(-1, 0))
    for index in range(4):
        mixture, target, noise = signals(scenes, index=index)
        assert np.abs(mixture).max() == pytest.approx(0.99, abs=1e-4)
        measured = decibels(np.square(target).sum() / np.square(noise).sum())
        assert measured == pytest.approx(scenes.plan(1, index).snr, abs=0.05)


def test_the_target_is_the_talker_convolved_with_the_responses(make):
    scenes = make()
    for index in range(4):
        _, target, _ = signals(scenes, index=index)
        image = talker_image(scenes.plan(1, index), HEAD)
        gain = (target * image).sum() / np.square(image).sum()
        assert gain > 0
        np.testing.assert_allclose(target, gain * image, atol=2e-5 * target.std())


@pytest.mark.parametrize("azimuth", [90, 40, 0, -60])
def test_one_gain_for_both_ears_keeps_the_level_difference(make, azimuth):
    scenes = make(target_azimuths=[azimuth], level=(-1, 0))
    _, target, _ = signals(scenes)
    image = talker_image(scenes.plan(1, 0), HEAD)
    ild, expected = (
        decibels(np.square(left).sum() / np.square(right).sum())
        for left, right in (target, image)
    )
    assert ild == pytest.approx(expected, abs=1e-3)
    assert np.sign(round(ild, 3)) == np.sign(azimuth)


def test_the_interferer_is_convolved_with_its_own_responses(make):
    scenes = make(interferers=(1, 1), diffuse_share=0.0)
    scene = scenes.plan(1, 0)
    _, _, noise = signals(scenes)
    (source,) = scene.interferers
    heard = read(source.entry["file"])[0][0]
    start = round(source.start * RATE)
    heard = np.roll(heard, -start)[:RATE]
    pair = HEAD.at(source.azimuth).astype(float)
    image = np.stack([np.convolve(heard, ear)[:RATE] for ear in pair])
    gain = (noise * image).sum() / np.square(image).sum()
    np.testing.assert_allclose(noise, gain * image, atol=1e-4 * noise.std())


@pytest.mark.parametrize("separation", [0, 30, 90, 170])
def test_point_interferers_keep_their_distance(make, separation):
    scenes = make(separation=separation, diffuse_share=0.0, interferers=(3, 3))
    apart = [
        distance(source.azimuth, plan.target.azimuth)
        for plan in (scenes.plan(1, index) for index in range(100))
        for source in plan.interferers
    ]
    assert separation <= min(apart) <= separation + 10


def test_sources_come_from_where_they_may(make):
    scenes = make(
        target_azimuths=[0, -30], interferer_azimuths=[60, 300], diffuse_share=0.0
    )
    plans = [scenes.plan(1, index) for index in range(50)]
    assert {plan.target.azimuth for plan in plans} == {0.0, 330.0}
    assert {s.azimuth for plan in plans for s in plan.interferers} == {60.0, 300.0}
    near = [plan for plan in plans if plan.target.azimuth == 330.0]
    assert {s.azimuth for plan in near for s in plan.interferers} == {60.0, 300.0}


def test_diffuse_noise_comes_from_all_around_at_different_moments(make):
    scenes = make(diffuse_share=1.0, directions=12)
    for index in range(10):
        plan = scenes.plan(1, index)
        azimuths = np.array([source.azimuth for source in plan.interferers])
        steps = np.diff(np.sort(azimuths), append=np.sort(azimuths)[0] + 360)
        np.testing.assert_allclose(steps, 30)
        assert len({source.start for source in plan.interferers}) == 12
        assert {source.entry["name"] for source in plan.interferers} == {plan.kind}


@pytest.mark.slow
def test_diffuse_noise_is_incoherent_at_the_ears_and_a_point_is_not(tmp_path):
    coherences = {}
    for name, share in (("diffuse", 1.0), ("point", 0.0)):
        scenes = one_each(
            tmp_path,
            tone(500, RATE, 6.0),
            hiss(20 * RATE),
            responses=HEAD,
            segment=6.0,
            diffuse_share=share,
            interferers=(1, 1),
            directions=36,
        )
        left, right = signals(scenes)[2]
        frequency, coherence = scipy.signal.coherence(left, right, RATE, nperseg=512)
        coherences[name] = [
            coherence[(frequency > low) & (frequency < high)].mean()
            for low, high in ((50, 200), (3000, 7000))
        ]
    assert min(coherences["point"]) > 0.95
    assert coherences["diffuse"][0] > 0.8
    assert coherences["diffuse"][1] < 0.1


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_shares_are_those_of_the_scenes(make, share):
    talkers, diffuse = make(talker_share=share), make(diffuse_share=share)
    plans = [talkers.plan(1, index) for index in range(300)]
    count = np.mean([plan.kind == "talker" for plan in plans])
    assert count == pytest.approx(share, abs=0.08)
    plans = [diffuse.plan(1, index) for index in range(300)]
    count = np.mean([len(plan.interferers) == 12 for plan in plans])
    assert count == pytest.approx(share, abs=0.08)


def test_an_interfering_talker_is_never_the_target_talker(make):
    scenes = make(talker_share=1.0, diffuse_share=1.0)
    for index in range(100):
        plan = scenes.plan(1, index)
        others = {source.entry["talker"] for source in plan.interferers}
        assert plan.kind == "talker"
        assert 1 <= len(plan.interferers) <= 2
        assert plan.target.entry["talker"] not in others


# -- recordings as they come -----------------------------------------------------------


def test_every_part_of_a_recording_is_used(tmp_path):
    speech = tmp_path / "speech.wav"
    write_voice(speech, 5.0, seed=0)
    path = manifest(tmp_path / "speech.json", [speech])
    scenes = BinauralScenes(path, path, THROUGH, 1, 1.0, separation=0)
    starts = [scenes.plan(1, index).target.start for index in range(200)]
    assert 0 <= min(starts) < 0.1
    assert 3.9 < max(starts) <= 4.0


def test_a_recording_shorter_than_the_segment_makes_a_shorter_scene(make):
    scenes = make(segment=10.0)
    for index in range(4):
        scene = scenes.plan(1, index)
        assert scene.seconds == scene.target.entry["seconds"]
        mixture, target, _ = signals(scenes, index=index)
        assert mixture.shape == target.shape == (2, round(scene.seconds * RATE))


def test_a_noise_shorter_than_the_segment_is_looped(tmp_path):
    period = 4801
    scenes = one_each(tmp_path, tone(300, RATE, 1.0), hiss(period), diffuse_share=0.0)
    _, _, noise = signals(scenes)
    np.testing.assert_allclose(
        noise[:, period:], noise[:, :-period], atol=1e-4 * noise.std()
    )
    assert np.square(noise[:, -period:]).mean() > 0


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
def test_recordings_of_other_rates_sound_the_same(tmp_path, rate):
    scenes = one_each(
        tmp_path, tone(1000, rate, 1.5), tone(3000, rate, 0.7), rate, segment=1.2
    )
    mixture, target, noise = signals(scenes)
    assert mixture.shape == (2, round(1.2 * RATE))
    for signal, expected in ((target, 1000), (noise, 3000)):
        spectrum = np.abs(np.fft.rfft(signal[0] * np.hanning(signal.shape[1])))
        peak = spectrum.argmax() * RATE / signal.shape[1]
        assert peak == pytest.approx(expected, abs=1)


@pytest.mark.slow
def test_pauses_are_passed_over(tmp_path):
    speech = np.zeros(10 * RATE)
    speech[7 * RATE : 8 * RATE] = tone(300, RATE, 1.0)
    scenes = one_each(tmp_path, speech, speech)
    for index in range(5):
        _, target, noise = signals(scenes, index=index)
        assert decibels(np.square(target).mean()) > -60
        assert decibels(np.square(noise).mean()) > -60


def test_whatever_preparation_accepts_can_be_rendered(tmp_path):
    """A single short sound in minutes of silence, or one of -80 dB all along."""
    click = np.zeros(90 * RATE)
    click[81 * RATE] = 0.01
    scenes = one_each(tmp_path, 1e-4 * hiss(2 * RATE), click)
    for index in range(3):
        mixture, target, noise = signals(scenes, index=index)
        assert np.isfinite(mixture).all()
        measured = decibels(np.square(target).sum() / np.square(noise).sum())
        assert measured == pytest.approx(scenes.plan(1, index).snr, abs=0.05)


def silence(path: Path) -> None:
    soundfile.write(path, np.zeros(soundfile.info(path).frames), RATE)


def shorten(path: Path) -> None:
    soundfile.write(path, hiss(RATE // 2), RATE)


def empty(path: Path) -> None:
    soundfile.write(path, np.zeros(0), RATE)


@pytest.mark.parametrize("spoil", [silence, shorten, empty, Path.unlink])
@pytest.mark.parametrize("name", ["speech", "noise"])
def test_a_recording_spoilt_since_its_preparation_is_named(tmp_path, spoil, name):
    scenes = one_each(tmp_path, hiss(2 * RATE), hiss(2 * RATE, 1), segment=1.75)
    spoil(tmp_path / f"{name}.flac")
    for index in range(4):
        with pytest.raises(AudioError, match=rf"{name}\.flac: "):
            scenes[1, index]


# -- rooms -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def room() -> HeadResponses:
    """The sphere, followed after 5 ms by 0.2 s of decaying noise at each ear."""
    rng = np.random.default_rng(0)
    head, taps = rigid_sphere(RATE, range(0, 360, 30)), RATE // 5
    time = np.arange(taps) / RATE
    tail = 0.05 * rng.standard_normal((12, 2, taps)) * np.exp(-time / 0.05)
    tail[..., : head.onsets().max() + RATE // 200] = 0
    tail[..., : head.responses.shape[-1]] += head.responses
    return HeadResponses.from_directions(head.azimuth, tail, RATE, "room")


def test_the_direct_part_of_the_target_leaves_out_the_room(make, room):
    full, direct = (
        make(responses=room, target_part=part) for part in ("full", "direct")
    )
    for index in range(4):
        mixture, target, _ = signals(full, index=index)
        same_mixture, dry, _ = signals(direct, index=index)
        np.testing.assert_array_equal(mixture, same_mixture)
        assert np.square(dry).sum() < 0.95 * np.square(target).sum()
        image = talker_image(direct.plan(1, index), room.direct())
        whole = talker_image(direct.plan(1, index), room)
        # One gain for both parts: what they differ by is the room.
        gain = (target * whole).sum() / np.square(whole).sum()
        np.testing.assert_allclose(dry, gain * image, atol=1e-4 * target.std())


def test_a_scene_of_ones_own_can_be_rendered(make):
    scenes = make()
    scene = scenes.plan(1, 0)
    moved = replace(
        scene,
        target=Source(scene.target.entry, 0.0, 90.0),
        snr=0.0,
        level=-30.0,
        seconds=0.5,
    )
    mixture, target = scenes.render(moved)
    assert mixture.shape == target.shape == (2, RATE // 2)
    assert np.square(target[0]).sum() > np.square(target[1]).sum()
    assert decibels(np.square(mixture).mean()) == pytest.approx(-30, abs=0.01)


def test_diffuse_noise_is_spread_over_half_a_circle_too(make):
    half = rigid_sphere(RATE, range(-90, 91, 5))
    scenes = make(responses=half, diffuse_share=1.0, directions=12)
    azimuths = [source.azimuth for source in scenes.plan(1, 0).interferers]
    assert len(set(azimuths)) == 12
    front = sorted((azimuth + 180) % 360 for azimuth in azimuths)
    assert max(np.diff(front)) <= 20
