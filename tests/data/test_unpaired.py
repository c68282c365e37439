"""Noisy mixtures follow from seed, epoch and index, and have no paired clean speech."""

from collections import Counter

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader

from speechbrain_fusion.data.audio import AudioError, resample
from speechbrain_fusion.data.batch import Batch
from speechbrain_fusion.data.manifest import write_manifest
from speechbrain_fusion.data.rooms import read_response, reverberate
from speechbrain_fusion.data.sampler import EpochSampler
from speechbrain_fusion.data.unpaired import PURE_NOISE, NoisySpeech
from tests.data.daps_tree import RATE, place_of
from tests.data.librimix_tree import write
from tests.data.test_rooms import lag_of


def noisy(files, kind="speech", **options):
    defaults = {"rate": 16000, "segment": 0.5}
    return NoisySpeech(files[kind], files["noise"], **(defaults | options))


def items(mixtures, count, epoch=1):
    return [mixtures[(epoch, index)] for index in range(count)]


def level(signal) -> float:
    return 10 * np.log10(np.square(np.asarray(signal, np.float64)).sum())


# -- Noisy speech --------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"paired": True}, {"rooms": True}])
def test_an_item_follows_from_seed_epoch_and_index(files, options):
    options = {"size": 12, **options}
    if "rooms" in options:
        options["rooms"] = files["rooms"]
    if not options.get("paired"):
        options["clean"] = files["speech"]
    one, again, other = (
        noisy(files, "versions", seed=seed, **options) for seed in (1, 1, 2)
    )
    order = np.random.default_rng(0).permutation(12).tolist()
    later = {index: again[(2, index)] for index in order}
    for index, item in enumerate(items(one, 12, epoch=2)):
        assert item.info == later[index].info
        for name, signal in item.signals.items():
            assert torch.equal(signal, later[index].signals[name])
    for changed in (items(one, 12, 3), items(other, 12, 2)):
        assert not any(
            torch.equal(a.signals["mixture"], b.signals["mixture"])
            for a, b in zip(later.values(), changed, strict=True)
        )


@pytest.mark.slow
def test_workers_and_processes_change_nothing(files):
    def batches(workers: int, world: int) -> torch.Tensor:
        return torch.cat(
            [
                batch[name]
                for name in ("mixture", "clean")
                for rank in range(world)
                for batch in DataLoader(
                    noisy(files, size=8, clean=files["speech"], rooms=files["rooms"]),
                    sampler=EpochSampler(8, 8 // world, 0, rank=rank, world=world),
                    batch_size=8 // world,
                    collate_fn=Batch.collate,
                    num_workers=workers,
                )
            ]
        )

    assert torch.equal(batches(0, 1), batches(2, 2))


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("kind", ["speech", "versions"])
@pytest.mark.parametrize("rooms", [False, True])
def test_the_snr_is_that_of_the_speech_as_it_is_heard(files, fixed, kind, rooms):
    options = {"rooms": files["rooms"]} if rooms else {}
    mixtures = noisy(files, kind, paired=True, fixed=fixed, size=9, **options)
    for index in range(9):
        plan = mixtures.plan(1, index)
        heard, _ = mixtures._speak(plan)
        mixture = mixtures.render(plan)["mixture"]
        # nothing was turned down
        assert np.abs(mixture).max() < 0.98
        found = level(heard) - level(mixture - heard)
        assert found == pytest.approx(plan.snr, abs=0.01)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.9])
def test_every_ten_items_have_so_many_without_speech(files, share):
    mixtures = noisy(files, pure_noise=share, size=200, clean=files["speech"])
    pure = [
        mixtures.plan(epoch, index).pure_noise
        for epoch in (1, 5)
        for index in range(200)
    ]
    assert pure[:200] == pure[200:]
    for start in range(191):
        assert sum(pure[start : start + 10]) == round(10 * share)


@pytest.mark.slow
def test_without_speech_an_item_is_noise_at_the_level_it_would_have(files, tmp_path):
    mixtures = noisy(files, snr=(0, 20), size=20, clean=files["speech"])
    pure = [item for item in items(mixtures, 20) if item.info["pure_noise"]]
    assert len(pure) == 6
    for item in pure:
        noise = item.signals["mixture"][0].numpy()
        path = tmp_path / f"{item.info['noise']}.wav"
        whole, _ = soundfile.read(path)
        start = lag_of(whole, noise)
        part = whole[start : start + noise.size]
        assert np.corrcoef(part, noise)[0, 1] > 0.9999
        plan = mixtures.plan(1, int(item.id.split("_")[0]))
        heard, _ = mixtures._speak(plan)
        assert level(heard) - level(noise) == pytest.approx(plan.snr, abs=0.01)
        assert (item.info["speech"], item.info["talker"]) == ("", "")
        assert item.info["condition"] == PURE_NOISE
        assert item.info["room"] == ""


def test_items_with_speech_have_every_recording_in_turn(files):
    mixtures = noisy(files, size=100)
    plans = [plan for i in range(100) if not (plan := mixtures.plan(1, i)).pure_noise]
    assert len(plans) == 70
    for start in range(0, 69, 3):
        assert len({plan.speech["name"] for plan in plans[start : start + 3]}) == 3
    for start in range(0, 70, 2):
        assert len({plan.noise["name"] for plan in plans[start : start + 2]}) == 2
    assert {plan.snr for plan in plans} == {-5, 0, 5}


def test_epochs_too_short_for_all_recordings_hear_others_each_time(files):
    options = {"clean": files["speech"], "rooms": files["rooms"]}
    mixtures = noisy(files, pure_noise=0.5, size=2, **options)
    # one with speech, one without
    for index, pure in enumerate((False, True)):
        plans = [mixtures.plan(epoch, index) for epoch in range(1, 21)]
        assert {plan.pure_noise for plan in plans} == {pure}
        for kind, count in {"speech": 3, "noise": 2, "clean": 3, "room": 2}.items():
            assert len({getattr(plan, kind)["name"] for plan in plans}) == count


def test_fixed_items_have_every_snr_equally_often(files):
    mixtures = noisy(files, paired=True, fixed=True)
    assert len(mixtures) == 9
    assert [mixtures.plan(1, i) for i in range(9)] == [
        mixtures.plan(4, i) for i in range(9)
    ]
    infos = [item.info for item in items(mixtures, 9)]
    assert Counter(info["condition"] for info in infos) == {
        "-5 dB": 3,
        "+0 dB": 3,
        "+5 dB": 3,
    }
    assert Counter(info["talker"] for info in infos) == {"t0": 3, "t1": 3, "t2": 3}
    # a recording is heard in one noise at every SNR
    pairs = {(info["talker"], info["noise"]) for info in infos}
    assert len(pairs) == 3


def test_snrs_take_turns_with_speech_and_without(files):
    mixtures = noisy(files, fixed=True, size=30)
    plans = [mixtures.plan(1, index) for index in range(30)]
    for pure, each in ((True, 3), (False, 7)):
        found = Counter(plan.snr for plan in plans if plan.pure_noise == pure)
        assert found == {-5: each, 0: each, 5: each}


# -- Pairs ---------------------------------------------------------------------------


def test_unpaired_items_have_clean_speech_of_another_utterance(files):
    mixtures = noisy(files, "versions", clean=files["speech"], size=60)
    for index, item in enumerate(items(mixtures, 60)):
        plan = mixtures.plan(1, index)
        assert {*item.signals} == {"mixture", "clean"}
        assert plan.clean["utterance"] != plan.speech["utterance"]
    clean = Counter(mixtures.plan(1, index).clean["name"] for index in range(60))
    assert min(clean.values()) > 10


def test_unpaired_items_never_read_the_clean_version(files, tmp_path):
    mixtures = noisy(files, "versions", size=10)
    before = items(mixtures, 10)
    for number in range(3):
        (tmp_path / f"t{number}_clean.wav").unlink()
    for item, again in zip(before, items(mixtures, 10), strict=True):
        assert {*item.signals} == {"mixture"}
        assert torch.equal(item.signals["mixture"], again.signals["mixture"])
    with pytest.raises(AudioError, match=r"_clean\.wav: not a readable audio file"):
        noisy(files, "versions", paired=True)[(1, 0)]


def test_paired_items_always_have_speech_and_its_target(files):
    mixtures = noisy(files, paired=True, clean=files["speech"], size=20)
    for item in items(mixtures, 20):
        assert {*item.signals} == {"mixture", "target"}
        assert not item.info["pure_noise"]


def test_one_clean_recording_that_is_the_mixtures_own_is_refused(files, tmp_path):
    entry = place_of(tmp_path / "t0_clean.wav") | {"utterance": "t0_script1"}
    write_manifest(tmp_path / "one.json", {"one": entry})
    with pytest.raises(AudioError, match=r"t0_clean\.wav: the only clean recording"):
        noisy(files, "versions", clean=tmp_path / "one.json")
    other = {**entry, "utterance": "another"}
    write_manifest(tmp_path / "one.json", {"one": other})
    assert len(noisy(files, "versions", clean=tmp_path / "one.json")) == 3


@pytest.mark.parametrize("kind", ["speech", "versions"])
@pytest.mark.parametrize("rooms", [False, True])
def test_the_target_is_aligned_with_the_mixture(files, kind, rooms):
    options = {"rooms": files["rooms"]} if rooms else {}
    mixtures = noisy(files, kind, paired=True, snr=(20,), size=6, **options)
    for item in items(mixtures, 6):
        mixture, target = (item.signals[x][0].numpy() for x in ("mixture", "target"))
        assert lag_of(mixture, target) == 0


def test_the_target_of_a_version_is_the_clean_one_at_its_level(files, tmp_path):
    mixtures = noisy(files, "versions", paired=True, snr=(30,), size=6)
    for index in range(6):
        plan = mixtures.plan(1, index)
        heard, target = mixtures._speak(plan)
        assert level(target) == pytest.approx(level(heard), abs=0.01)
        whole, rate = soundfile.read(plan.speech["clean_file"])
        whole = resample(whole, rate, 16000)
        start = lag_of(whole, target)
        part = whole[start : start + target.size]
        assert np.corrcoef(part, target)[0, 1] > 0.9999


def test_the_target_in_a_room_is_dry_with_the_direct_path_at_one(files):
    mixtures = noisy(files, paired=True, rooms=files["rooms"], size=6)
    heard_rooms = set()
    for index in range(6):
        plan = mixtures.plan(1, index)
        heard, dry = mixtures._speak(plan)
        response = read_response(plan.room["file"], 16000)
        np.testing.assert_array_equal(heard, reverberate(dry, response))
        info = mixtures[(1, index)].info
        assert info["room"] == plan.room["room"]
        heard_rooms.add(info["room"])
    assert heard_rooms == {"room0", "room1"}


def test_speech_recorded_in_a_room_stays_in_it(files):
    mixtures = noisy(files, "versions", paired=True, rooms=files["rooms"])
    for index in range(3):
        assert mixtures.plan(1, index).room is None
        info = mixtures[(1, index)].info
        assert (info["room"], info["version"]) == ("office1", "ipad_office1")


def test_a_share_of_the_speech_is_put_into_rooms(files):
    options = {"rooms": files["rooms"], "paired": True, "size": 400}
    shares = [
        np.mean([mixtures.plan(1, index).room is not None for index in range(400)])
        for share in (0.0, 0.5, 1.0)
        for mixtures in [noisy(files, room_share=share, **options)]
    ]
    assert shares[::2] == [0.0, 1.0]
    assert shares[1] == pytest.approx(0.5, abs=0.1)


def test_what_would_clip_is_turned_down_with_the_target(files):
    loud, soft = (noisy(files, paired=True, snr=(snr,), size=4) for snr in (-40, 40))
    for index in range(4):
        item = loud[(1, index)]
        mixture, target = (item.signals[x][0].numpy() for x in ("mixture", "target"))
        assert np.abs(mixture).max() == pytest.approx(0.99)
        assert level(target) - level(mixture - target) == pytest.approx(-40, abs=0.01)
        assert np.abs(soft[(1, index)].signals["mixture"]).max() < 0.99


# -- Lengths and refusals ------------------------------------------------------------


def test_items_last_a_segment_or_whole_recordings_up_to_a_span(files):
    whole = noisy(files, paired=True, segment=None, span=1.75, fixed=True)
    lengths = {
        item.info["talker"]: (item.signals["mixture"].shape[-1], item.info["length"])
        for item in items(whole, 9)
    }
    assert lengths == {"t0": (24000,) * 2, "t1": (28000,) * 2, "t2": (28000,) * 2}
    assert whole.seconds((1, 0)) == 1.5
    longest = noisy(files, paired=True, segment=None)
    assert max(longest.seconds((1, index)) for index in range(3)) == 2.0
    for item in items(noisy(files, segment=0.7, clean=files["speech"]), 3):
        assert [x.shape[-1] for x in item.signals.values()] == [11200, 11200]


@pytest.mark.parametrize("kind", ["speech", "clean"])
def test_recordings_shorter_than_an_item_are_all_named(files, tmp_path, kind):
    write_manifest(
        tmp_path / "long.json", {"long": place_of(tmp_path / "t2_clean.wav")}
    )
    long = {**files, "long": tmp_path / "long.json"}
    options = {"clean": files["speech"]} if kind == "clean" else {}
    with pytest.raises(
        AudioError, match=rf"{kind}: 2 recordings .* 1\.8 s[^!]*t1_clean"
    ):
        noisy(long, "long" if options else "speech", segment=1.8, **options)


def test_a_noise_shorter_than_a_clip_is_named_unless_it_may_begin_again(
    files, tmp_path
):
    write(
        tmp_path / "rain.wav",
        0.1 * np.random.default_rng(0).standard_normal(9000),
        22050,
    )
    files = {**files, "noise": tmp_path / "short.json"}
    write_manifest(files["noise"], {"rain": place_of(tmp_path / "rain.wav")})
    with pytest.raises(AudioError, match=r"short: 1 noises are shorter[^!]*rain\.wav"):
        noisy(files)
    assert noisy(files, loop=True)[(1, 0)].signals["mixture"].shape == (1, 8000)
    assert noisy(files, segment=0.25)[(1, 0)].signals["mixture"].shape == (1, 4000)


def test_a_version_silent_where_its_clean_one_speaks_is_named(files, tmp_path):
    for number in range(3):
        path = tmp_path / f"t{number}_ipad.wav"
        write(path, np.zeros(soundfile.info(path).frames), RATE)
    with pytest.raises(AudioError, match=r"_ipad\.wav: silent where clean speech is"):
        noisy(files, "versions", paired=True)[(1, 0)]


@pytest.mark.parametrize(
    "options",
    [
        {"segment": 0.0},
        {"segment": None},
        {"segment": float("nan")},
        {"snr": ()},
        {"snr": (0, float("nan"))},
        {"pure_noise": 1.0},
        {"pure_noise": -0.1},
        {"room_share": 1.1},
        {"added_snr": (5, 0)},
        {"added_snr": (0, float("inf"))},
        {"added_snr": (0,)},
        {"size": 0},
    ],
)
def test_options_out_of_range_are_refused(files, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        noisy(files, **options)
