"""LibriMix's published tree becomes examples: all signals of one from one place."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch
from torch.utils.data import DataLoader

from speechbrain_fusion.data import preparation
from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.batch import Batch
from speechbrain_fusion.data.librimix import librimix_mixtures, prepare_librimix
from speechbrain_fusion.data.librimix_layout import talkers_of
from speechbrain_fusion.data.sampler import EpochSampler
from tests.data.librimix_tree import mixture_id, write, write_tree

ALL = {"train": None, "valid": None, "test": None}
SEEDS = {"train": 7, "valid": 1, "test": 2}
PARTS = {"train": "train-360", "valid": "dev", "test": "test"}


def load(root: Path, save: Path, **options):
    """Read a tree, with options."""
    defaults = {
        "rate": 8000,
        "talkers": 2,
        "mode": "min",
        "segment": 0.25,
        "counts": ALL,
        "seeds": SEEDS,
    }
    return librimix_mixtures(root, save, **(defaults | options))


def refused(root: Path, save: Path, rate: int = 8000, parts=PARTS) -> str:
    """Return the error of a preparation that writes nothing."""
    with pytest.raises(AudioError) as caught:
        prepare_librimix(root, save, rate, 2, "min", parts, jobs=1)
    assert not save.exists()
    return str(caught.value)


# -- what an example is --------------------------------------------------------------


@pytest.mark.parametrize("talkers", [2, 3])
@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_whole_mixture_is_what_its_files_hold(root, save, talkers, rate, mode):
    folder = write_tree(root, rate, talkers, mode)
    sets = load(root, save, talkers=talkers, rate=rate, mode=mode)
    example = sets["test"][(5, 1)]
    assert example.id == mixture_id(22, talkers)
    kinds = [f"s{place}" for place in range(1, talkers + 1)]
    files = {
        kind: soundfile.read(folder / "test" / kind / f"{example.id}.wav")[0]
        for kind in ("mix_both", "mix_clean", *kinds)
    }
    assert np.array_equal(example.signals["mixture"], [files["mix_both"]])
    assert np.array_equal(example.signals["clean"], [files["mix_clean"]])
    assert np.array_equal(example.signals["target"], [files[k] for k in kinds])


def test_what_is_known_of_a_mixture_goes_with_it(root, save):
    write_tree(root)
    sets = load(root, save)
    assert sets["valid"][(1, 2)].info == {
        "mixture": "1300-13-0001_1301-13-0001",
        "talkers": "1300_1301",
        "length": 4200,
        "snr": 5.25,
    }


def test_without_tables_files_make_the_list_and_the_snr_is_computed(root, save):
    folder = write_tree(root, tables=False)
    example = load(root, save)["test"][(1, 0)]
    noise = soundfile.read(folder / "test" / "noise" / f"{example.id}.wav")[0]
    clean = example.signals["clean"][0].double()
    snr = 10 * np.log10(clean.square().mean().item() / np.square(noise).mean())
    assert example.info["snr"] == pytest.approx(snr, abs=0.02)


def test_without_mix_clean_the_sources_are_summed(root, save):
    folder = write_tree(root)
    (folder / "test" / "mix_clean").rename(root / "away")
    signals = load(root, save)["test"][(1, 0)].signals
    assert torch.equal(signals["clean"], signals["target"].sum(0, keepdim=True))


def test_libri2mix_itself_serves_as_well(root, save):
    write_tree(root)
    sets = load(root / "Libri2Mix", save)
    assert torch.equal(
        sets["test"][(1, 0)].signals["mixture"],
        load(root, save / "other")["test"][(1, 0)].signals["mixture"],
    )


def test_train_100_is_read_where_it_is_wanted(root, save):
    write_tree(root, parts=("train-100",), count=2)
    sets = load(root, save, counts={"train": None}, train_set="train-100")
    assert {name: len(mixtures) for name, mixtures in sets.items()} == {"train": 2}


def test_other_names_have_no_known_talkers():
    assert talkers_of("mixture_12", 2) == []
    assert talkers_of("1-1-1_2-1-1_3-1-1", 2) == []


# -- segments ------------------------------------------------------------------------


def test_all_signals_of_a_segment_are_from_one_place(root, save):
    folder = write_tree(root)
    example = load(root, save)["train"][(3, 1)]
    assert example.signals["mixture"].shape == (1, 2000)
    whole = {
        kind: soundfile.read(folder / "train-360" / kind / f"{example.id}.wav")[0]
        for kind in ("mix_both", "mix_clean", "s1", "s2")
    }
    part = example.signals["mixture"][0].numpy()
    start = int(np.correlate(whole["mix_both"], part, "valid").argmax())
    cut = {kind: signal[start : start + 2000] for kind, signal in whole.items()}
    assert np.array_equal(part, cut["mix_both"])
    assert np.array_equal(example.signals["clean"][0], cut["mix_clean"])
    assert np.array_equal(example.signals["target"], [cut["s1"], cut["s2"]])


def test_places_and_order_follow_from_seed_epoch_and_index(root, save):
    write_tree(root, count=4)
    first, again = (load(root, save)["train"] for _ in range(2))
    other = load(root, save, seeds=SEEDS | {"train": 8})["train"]

    def sound(mixtures, epoch):
        keys = [(epoch, index) for index in range(4)]
        return torch.cat([mixtures[key].signals["mixture"] for key in keys])

    assert torch.equal(sound(first, 1), sound(again, 1))
    assert not torch.equal(sound(first, 1), sound(first, 2))
    assert not torch.equal(sound(first, 1), sound(other, 1))


def test_every_mixture_comes_once_before_any_comes_again(root, save):
    write_tree(root, count=4)
    train = load(root, save, counts={"train": 8})["train"]
    names = [train[(1, index)].id for index in range(8)]
    assert len(set(names[:4])) == len(set(names[4:])) == 4


def test_a_mixture_shorter_than_a_segment_is_whole(root, save):
    write_tree(root)
    train = load(root, save, segment=0.51)["train"]
    lengths = [train[(1, i)].signals["target"].shape[-1] for i in range(3)]
    assert sorted(lengths) == [4000, 4080, 4080]
    assert lengths == [round(8000 * train.seconds((1, i))) for i in range(3)]


def test_a_segment_in_which_a_talker_pauses_is_drawn_again(root, save):
    folder = write_tree(root, parts=("train-360",), count=1, seconds=4.0)
    path = next((folder / "train-360" / "s2").iterdir())
    speech = soundfile.read(path)[0]
    speech[:16000] = 0
    write(path, speech, 8000)
    train = load(root, save, counts={"train": 20})["train"]
    powers = [
        train[(1, index)].signals["target"].square().mean(-1).min()
        for index in range(20)
    ]
    assert min(powers) > 0


def test_workers_change_nothing_and_batches_are_padded(root, save):
    write_tree(root)
    train = load(root, save, segment=None)["train"]
    loaders = [
        DataLoader(
            train,
            sampler=EpochSampler(3, 3, seed=0),
            batch_size=3,
            collate_fn=Batch.collate,
            num_workers=workers,
        )
        for workers in (0, 2)
    ]
    batches = [next(iter(loader)) for loader in loaders]
    assert batches[0]["target"].shape == (3, 2, 4200)
    assert torch.equal(batches[0]["target"], batches[1]["target"])
    assert sorted((batches[0].lengths * 4200).round().tolist()) == [4000, 4100, 4200]


def test_fewer_whole_mixtures_are_evenly_spaced(root, save):
    write_tree(root)
    test = load(root, save, counts=ALL | {"test": 2})["test"]
    assert [test[(1, index)].id for index in range(2)] == [
        mixture_id(21, 2),
        mixture_id(22, 2),
    ]


# -- talkers at other speeds ----------------------------------------------------------


@pytest.fixture
def tones(root) -> Path:
    """One mixture of 4 s: talkers with tones of 500 and 1200 Hz, noise of 3000 Hz."""
    folder = write_tree(root, parts=("train-360", "test"), count=1, seconds=4.0)
    for part in ("train-360", "test"):
        name = next((folder / part / "s1").iterdir()).name
        time = np.arange(32000) / 8000
        waves = [0.1 * np.sin(2 * np.pi * f * time) for f in (500, 1200, 3000)]
        kinds = {"s1": waves[0], "s2": waves[1], "mix_clean": waves[0] + waves[1]}
        for kind, signal in (kinds | {"mix_both": sum(waves)}).items():
            write(folder / part / kind / name, signal, 8000)
    return root


def pitches(signals: torch.Tensor, count: int) -> list[int]:
    """Find the strongest tones in Hz."""
    samples = signals.shape[-1]
    spectrum = np.abs(np.fft.rfft(signals.numpy() * np.hanning(samples)))
    peaks = scipy.signal.find_peaks(spectrum, height=0.1 * spectrum.max())[0]
    assert len(peaks) == count
    return [round(peak * 8000 / samples) for peak in peaks]


@pytest.mark.slow
def test_talkers_get_speeds_of_their_own_and_the_noise_keeps_its(tones, save):
    counts = {"train": 60}
    train = load(tones, save, speeds=(90, 100, 110), segment=2.0, counts=counts)
    heard = set()
    for index in range(60):
        signals = train["train"][(1, index)].signals
        (one,), (other,) = (pitches(x, 1) for x in signals["target"])
        assert pitches(signals["clean"][0], 2) == [one, other]
        assert pitches(signals["mixture"][0], 3) == [one, other, 3000]
        clean = signals["target"].sum(0)
        # files that nobody resampled are rounded to 16 bit
        assert torch.allclose(signals["clean"][0], clean, atol=2 / 2**15)
        heard.add((one, other))
    assert heard == set(itertools.product((450, 500, 550), (1080, 1200, 1320)))


@pytest.mark.parametrize("segment", [None, 1.0, 3.7])
@pytest.mark.parametrize("speeds", [(95, 100, 105), (80, 90), (125,)])
def test_items_are_as_long_as_is_said(root, save, segment, speeds):
    write_tree(root, parts=("train-360",), count=2, seconds=3.99)
    train = load(root, save, speeds=speeds, segment=segment, counts={"train": 2})
    for index in range(2):
        signals = train["train"][(1, index)].signals
        samples = round(8000 * train["train"].seconds((1, index)))
        assert {signal.shape[-1] for signal in signals.values()} == {samples}
    # the noise is not played faster, and silence is not appended
    assert samples == min(8000 * (segment or 9), 32020 * 100 // max(100, *speeds))


def test_speeds_follow_from_seed_epoch_and_index(tones, save):
    train, again = (
        load(tones, save, speeds=(90, 110), counts={"train": 9})["train"]
        for _ in range(2)
    )
    first = [train[(3, index)].signals["target"] for index in range(9)]
    assert torch.equal(torch.stack(first)[7], again[(3, 7)].signals["target"])


def test_only_training_changes_speeds(tones, save):
    counts = {"train": None, "test": None}
    changed = load(tones, save, speeds=(90, 110), counts=counts)
    plain = load(tones, save, counts=counts)
    same = [sets["test"][(1, 0)].signals["mixture"] for sets in (changed, plain)]
    assert torch.equal(*same)


def test_the_snr_of_a_mixture_at_other_speeds_is_its_own(root, save):
    write_tree(root)
    example = load(root, save, speeds=(90,))["train"][(1, 0)]
    signals = {kind: signal.double() for kind, signal in example.signals.items()}
    noise = (signals["mixture"] - signals["clean"]).square().sum()
    snr = 10 * torch.log10(signals["clean"].square().sum() / noise)
    assert example.info["snr"] == pytest.approx(snr.item(), abs=0.02)


@pytest.mark.parametrize("speeds", [(), (0, 100)])
def test_speeds_that_cannot_be_are_refused(root, save, speeds):
    write_tree(root)
    with pytest.raises(
        ValueError, match="speeds: expected a list of whole percentages"
    ):
        load(root, save, speeds=speeds)


@pytest.mark.parametrize("options", [{"segment": 0.0}, {"counts": {"test": 4}}])
def test_options_out_of_range_are_refused(root, save, options):
    write_tree(root)
    with pytest.raises(ValueError, match="expected"):
        load(root, save, **options)


# -- built once, built again ---------------------------------------------------------


def test_manifests_that_are_up_to_date_stay(root, save, monkeypatch):
    write_tree(root)
    before = load(root, save)["test"][(1, 0)]
    monkeypatch.delattr(preparation, "inspect_each")
    again = load(root, save)["test"][(1, 0)]
    assert torch.equal(before.signals["mixture"], again.signals["mixture"])


def test_a_refusal_leaves_the_manifests_of_before(root, save):
    folder = write_tree(root)
    load(root, save)
    before = {path.name: path.read_bytes() for path in save.iterdir()}
    (folder / "test" / "s1" / f"{mixture_id(21, 2)}.wav").unlink()
    with pytest.raises(AudioError, match="missing"):
        load(root, save)
    assert {path.name: path.read_bytes() for path in save.iterdir()} == before


def test_a_file_cut_since_is_named(root, save):
    folder = write_tree(root)
    test = load(root, save)["test"]
    path = folder / "test" / "s2" / f"{mixture_id(21, 2)}.wav"
    write(path, soundfile.read(path)[0][:100], 8000)
    with pytest.raises(AudioError, match=f"{path}: shorter than"):
        test[(1, 0)]
