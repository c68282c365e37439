"""Rendered mixtures are the generator's, to the last bit: said again, independently."""

import logging
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch

from speechbrain_fusion.data import librimix_rendering
from speechbrain_fusion.data.audio import AudioError, resample
from speechbrain_fusion.data.librimix_rendering import (
    as_16_bit,
    extend_noise,
    read_noise,
    render,
    render_entry,
)
from speechbrain_fusion.data.librimix_sources import (
    prepare_rendering,
    rendered_librimix,
)
from tests.data.librimix_tree import (
    RATE,
    read_table,
    source_table,
    voice,
    write,
    write_source_table,
    write_sources,
)

ALL = {"train": None, "valid": None, "test": None}
PARTS = {"train": "train-360", "valid": "dev", "test": "test"}


def folders(root: Path) -> list[Path]:
    return [root / "LibriSpeech", root / "wham_noise", root / "metadata"]


def load(root: Path, **options):
    """Render from a tree, with options."""
    defaults = {
        "rate": 8000,
        "talkers": 2,
        "mode": "min",
        "segment": None,
        "counts": ALL,
        "seeds": dict.fromkeys(ALL, 3),
    }
    return rendered_librimix(*folders(root), root / "save", **(defaults | options))


def refused(root: Path) -> str:
    """Return the error of a preparation that writes nothing."""
    with pytest.raises(AudioError) as caught:
        prepare_rendering(*folders(root), root / "save", 8000, 2, "min", PARTS, jobs=1)
    assert not (root / "save").exists()
    return str(caught.value)


def generated(root: Path, row: dict[str, str], talkers: int, rate: int, mode: str):
    """Make a mixture's files as the text of the generator's description says."""
    parts = []
    for place in range(1, talkers + 1):
        path = root / "LibriSpeech" / row[f"source_{place}_path"]
        parts.append(soundfile.read(path, dtype="float32")[0])
    longest = max(len(part) for part in parts)
    noise = soundfile.read(
        root / "wham_noise" / row["noise_path"], dtype="float32", stop=longest
    )[0]
    noise = noise[:, 0] if noise.ndim == 2 else noise
    if len(noise) < longest:
        window = np.hanning(16001)
        joined = list(noise)
        while len(joined) < longest:
            start = len(joined) - 8001
            for place in range(8001):
                ending = joined[start + place] * window[8000 + place]
                joined[start + place] = ending + noise[place] * window[place]
            joined.extend(noise[8001:])
        noise = np.array(joined[:longest])
    parts.append(noise)
    gains = [float(row[f"source_{place}_gain"]) for place in range(1, talkers + 1)]
    gains.append(float(row["noise_gain"]))
    parts = [part * gain for part, gain in zip(parts, gains, strict=True)]
    parts = [scipy.signal.resample_poly(part, rate, 16000) for part in parts]
    lengths = [len(part) for part in parts]
    if mode == "min":
        parts = [part[: min(lengths)] for part in parts]
    else:
        parts = [np.pad(part, (0, max(lengths) - len(part))) for part in parts]
    files = {f"s{place}": part for place, part in enumerate(parts[:-1], start=1)}
    for kind, summed in (("mix_clean", parts[:-1]), ("mix_both", parts)):
        files[kind] = np.zeros_like(parts[0])
        for part in summed:
            files[kind] += part
    for kind, signal in files.items():
        soundfile.write(root / f"{kind}.wav", signal, rate)
        files[kind] = soundfile.read(root / f"{kind}.wav", dtype="float32")[0]
    return files


# -- the generator said again --------------------------------------------------------


@pytest.mark.parametrize("talkers", [2, 3])
@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_mixtures_are_what_the_generator_writes(tmp_path, talkers, rate, mode):
    write_sources(tmp_path, talkers)
    sets = load(tmp_path, rate=rate, talkers=talkers, mode=mode)
    for split, part in PARTS.items():
        rows = read_table(source_table(tmp_path, part, talkers))
        for index, row in enumerate(rows):
            example = sets[split][(1, index)]
            files = generated(tmp_path, row, talkers, rate, mode)
            assert example.id == row["mixture_ID"]
            rendered = torch.cat([*example.signals.values()]).numpy()
            kinds = ["mix_both", "mix_clean", *(f"s{t + 1}" for t in range(talkers))]
            assert np.array_equal(rendered, [files[kind] for kind in kinds])


def test_sixteen_bits_are_libsndfile_s(tmp_path):
    rng = np.random.default_rng(0)
    signal = rng.uniform(-1.1, 1.1, 100000) * np.exp(-rng.uniform(0, 14, 100000))
    for kind in (np.float32, np.float64):
        soundfile.write(tmp_path / "a.wav", signal.astype(kind), RATE)
        written = soundfile.read(tmp_path / "a.wav", dtype="float32")[0]
        assert np.array_equal(as_16_bit(signal.astype(kind)), written)


def test_min_ends_with_the_shortest_and_max_with_the_longest():
    sources = [voice(9001, 1).astype("f4"), voice(12001, 2).astype("f4")]
    noise = voice(20000, 3).astype("f4")
    short, long = (
        render(sources, [1, 1], noise, 1, 8000, mode) for mode in ("min", "max")
    )
    assert short.shape == (4, 4501)
    assert long.shape == (4, 6001)
    assert (long[2, 4501:] == 0).all()
    assert (long[0, 4501:] != 0).mean() > 0.9
    # the copies are no longer than the filter where nothing was cut
    assert np.array_equal(short[:, :4400], long[:, :4400])


# -- noises that are too short, or played at another speed ---------------------------


def test_a_constant_noise_stays_constant_when_it_is_extended():
    extended = extend_noise(np.ones(9000), 40000)
    assert extended.shape == (40000,)
    assert np.allclose(extended, 1, atol=1e-12)


def test_an_extended_noise_begins_with_itself_and_repeats():
    noise = np.random.default_rng(0).standard_normal(20000)
    extended = extend_noise(noise, 50000)
    assert np.array_equal(extended[: 20000 - 8001], noise[:-8001])
    period = 20000 - 8001
    assert np.array_equal(extended[8001 + period : 20000], noise[8001 : 20000 - period])


def test_a_noise_no_longer_than_its_overlap_cannot_be_extended():
    with pytest.raises(ValueError, match="8001 samples of noise"):
        extend_noise(np.ones(8001), 8002)


@pytest.mark.parametrize("speed", [80, 120])
def test_a_tone_at_another_speed_is_higher_and_shorter(tmp_path, speed):
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(16000) / RATE)
    write(tmp_path / "tone.wav", np.stack([tone, 0 * tone], 1), RATE)
    played = read_noise(str(tmp_path / "tone.wav"), speed, 10**6)
    assert played.size == pytest.approx(16000 * 100 / speed, abs=1)
    spectrum = np.abs(np.fft.rfft(played[:12800] * np.hanning(12800)))
    assert spectrum.argmax() * RATE / 12800 == pytest.approx(1000 * speed / 100, abs=2)


@pytest.mark.skipif(shutil.which("sox") is None, reason="sox is not installed")
@pytest.mark.parametrize("speed", [80, 120])
def test_another_speed_is_close_to_sox(tmp_path, speed):
    """Pink noise: -40 dB and less of what sox makes, the files being 16-bit."""
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(80000))
    spectrum /= np.sqrt(np.maximum(np.arange(spectrum.size), 100))
    noise = np.fft.irfft(spectrum)
    write(tmp_path / "a.wav", 0.1 * noise / noise.std(), RATE)
    command = ["sox", "-D", "a.wav", "b.wav", "speed", str(speed / 100)]
    subprocess.run(command, cwd=tmp_path, check=True)
    sox = soundfile.read(tmp_path / "b.wav")[0]
    ours = read_noise(str(tmp_path / "a.wav"), speed, 10**6)
    assert abs(ours.size - sox.size) <= 1
    samples = min(ours.size, sox.size)
    error = ours[:samples] - sox[:samples]
    assert 10 * np.log10(np.square(error).mean() / np.square(sox).mean()) < -35


def augment(root: Path, made: bool, speed: str = "08") -> Path:
    """Let the first training mixture name a noise at speed 0.8 or 1.2."""
    rows = read_table(source_table(root, "train-360"))
    path = root / "wham_noise" / rows[0]["noise_path"]
    rows[0]["noise_path"] = rows[0]["noise_path"].replace(".wav", f"sp{speed}.wav")
    write_source_table(root, "train-360", rows)
    if made:
        write(root / "wham_noise" / rows[0]["noise_path"], voice(20000, 5), RATE)
    return path


def test_an_augmented_noise_is_read_where_it_is_there(tmp_path, caplog):
    write_sources(tmp_path)
    augment(tmp_path, made=True)
    row = read_table(source_table(tmp_path, "train-360"))[0]
    with caplog.at_level(logging.WARNING):
        example = load(tmp_path)["train"][(1, 0)]
    files = generated(tmp_path, row, 2, 8000, "min")
    assert np.array_equal(example.signals["mixture"], [files["mix_both"]])
    assert not caplog.records


@pytest.mark.parametrize("speed", ["08", "12"])
def test_a_missing_augmented_noise_is_made_and_that_is_said(tmp_path, caplog, speed):
    write_sources(tmp_path)
    path = augment(tmp_path, made=False, speed=speed)
    with caplog.at_level(logging.WARNING):
        example = load(tmp_path)["train"][(1, 0)]
    assert "1 of 9 mixtures have a noise at another speed" in caplog.text
    row = read_table(source_table(tmp_path, "train-360"))[0]
    noise = resample(soundfile.read(path)[0][:, 0], 10 * int(speed), 100)
    soundfile.write(tmp_path / "wham_noise" / row["noise_path"], noise, RATE, "FLOAT")
    files = generated(tmp_path, row, 2, 8000, "min")
    assert np.array_equal(example.signals["mixture"], [files["mix_both"]])


# -- as training takes them ----------------------------------------------------------


def test_a_segment_is_a_part_of_the_whole_mixture(tmp_path):
    write_sources(tmp_path)
    whole, train = load(tmp_path)["train"], load(tmp_path, segment=0.25)["train"]
    examples = [whole[(1, index)] for index in range(3)]
    full = {each.id: torch.cat([*each.signals.values()]) for each in examples}
    starts = set()
    for epoch in range(1, 5):
        example = train[(epoch, 2)]
        signals, mixture = torch.cat([*example.signals.values()]), full[example.id]
        start = int(np.correlate(mixture[0], signals[0], "valid").argmax())
        assert torch.equal(signals, mixture[:, start : start + 2000])
        starts.add(start)
    assert len(starts) == 4


def test_talkers_change_speed_in_training_alone(tmp_path):
    write_sources(tmp_path)
    plain, changed = load(tmp_path), load(tmp_path, speeds=(90,))
    pair = [sets["test"][(1, 0)].signals["target"] for sets in (plain, changed)]
    assert torch.equal(*pair)
    one, other = (sets["train"][(1, 0)].signals["target"] for sets in (plain, changed))
    slow = resample(one.numpy(), 90, 100)[:, : other.shape[-1]]
    assert np.allclose(slow, other, atol=1e-6)


def test_a_mixture_is_rendered_once_for_several_places(tmp_path, monkeypatch):
    write_sources(tmp_path)
    for path in (tmp_path / "LibriSpeech" / "train-clean-360").rglob("*.flac"):
        write(path, np.append(voice(600, 1), np.zeros(11401)), RATE)
    calls = []

    def count(entry, rate):
        calls.append(entry)
        return render_entry(entry, rate)

    monkeypatch.setattr(librimix_rendering, "render_entry", count)
    load(tmp_path, segment=0.1)["train"][(1, 0)]
    assert len(calls) == 1


def test_what_is_known_of_a_mixture_goes_with_it(tmp_path):
    write_sources(tmp_path)
    example = load(tmp_path)["test"][(1, 1)]
    row = read_table(source_table(tmp_path, "test"))[1]
    assert example.info["mixture"] == row["mixture_ID"]
    assert example.info["talkers"] == "1210_1211"
    assert example.info["length"] == 4500
    power = {k: v.double().square().mean() for k, v in example.signals.items()}
    noise = (example.signals["mixture"] - example.signals["clean"]).double()
    snr = 10 * torch.log10(power["clean"] / noise.square().mean())
    assert example.info["snr"] == pytest.approx(snr.item(), abs=0.01)


def test_the_folders_above_serve_as_well(tmp_path):
    write_sources(tmp_path)
    above = rendered_librimix(
        *[tmp_path] * 3, tmp_path / "save", 8000, 2, "min", None, ALL, ALL | {"test": 1}
    )
    assert torch.equal(
        above["test"][(1, 0)].signals["target"],
        load(tmp_path)["test"][(1, 0)].signals["target"],
    )
