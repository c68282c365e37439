import math
import warnings

import numpy as np
import pesq as pesq_package
import pystoi
import pytest
import soundfile
import torch

from speechbrain_fusion.metrics import estoi, perceptual, pesq, stoi

RATE = 16000


def bursts(seconds, seed=0, rate=RATE, on=0.3, period=0.5):
    """Noise that comes and goes as syllables do."""
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    return 0.1 * random.standard_normal(time.size) * (time % period < on)


def pair(items=2, seconds=1.5, rate=RATE):
    clean = np.stack([[bursts(seconds, s, rate)] * 2 for s in range(items)])
    noisy = clean + 0.02 * np.random.default_rng(9).standard_normal(clean.shape)
    return torch.from_numpy(clean).float(), torch.from_numpy(noisy).float()


@pytest.mark.parametrize(("rate", "mode"), [(8000, "nb"), (16000, "wb")])
def test_pesq_is_the_packages_score(rate, mode):
    clean, noisy = pair(rate=rate)
    values = pesq(clean, noisy, rate, jobs=1)
    expected = pesq_package.pesq(rate, clean[1, 0].numpy(), noisy[1, 0].numpy(), mode)
    assert values.shape == (2, 2)
    assert values[1, 0].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("extended", [False, True])
def test_stoi_is_the_packages_score(extended):
    clean, noisy = (x.double() for x in pair())
    values = stoi(clean, noisy, RATE, extended=extended, jobs=1)
    expected = pystoi.stoi(clean[1, 0].numpy(), noisy[1, 0].numpy(), RATE, extended)
    assert values[1, 0].item() == pytest.approx(expected, abs=1e-9)
    if extended:
        assert torch.equal(estoi(clean, noisy, RATE, jobs=1), values)


def test_the_extended_measure_leaves_the_random_state_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    estoi(*pair(), RATE, jobs=1)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


@pytest.mark.slow
@pytest.mark.parametrize("metric", [pesq, stoi])
def test_processes_keep_the_order(metric):
    clean, noisy = pair(items=3)
    noisy = clean + torch.tensor([1.0, 3.0, 0.3]).view(3, 1, 1) * (noisy - clean)
    alone = metric(clean, noisy, RATE, jobs=1)
    assert alone[1].mean() < alone[0].mean() < alone[2].mean()
    assert torch.equal(metric(clean, noisy, RATE, jobs=2), alone)


@pytest.mark.parametrize(
    ("seconds", "jobs", "expected"), [(2.0, None, 1), (8.0, None, 3), (2.0, 2, 2)]
)
def test_processes_are_as_many_as_the_sound_is_worth(
    monkeypatch, seconds, jobs, expected
):
    wanted = []

    def count(workers):
        wanted.append(workers)
        return lambda tasks: [0.0 for _ in tasks]

    monkeypatch.setattr(perceptual.joblib, "Parallel", count)
    monkeypatch.setattr(perceptual.joblib, "cpu_count", lambda: 16)
    signals = torch.ones(2, 2, int(seconds * RATE))
    stoi(signals, signals, RATE, jobs=jobs)
    assert wanted == [expected]


@pytest.mark.slow
@pytest.mark.parametrize("metric", [pesq, stoi, estoi])
def test_padding_does_not_matter(metric):
    clean, noisy = pair(seconds=2)
    clean[1, :, 24000:], noisy[1, :, 24000:] = math.nan, 1.0
    values = metric(clean, noisy, RATE, torch.tensor([1.0, 0.75]), jobs=1)
    alone = metric(clean[1:, :, :24000], noisy[1:, :, :24000], RATE, jobs=1)
    assert torch.equal(values[1:], alone)


@pytest.mark.parametrize("metric", [pesq, stoi, estoi])
def test_what_cannot_be_scored_is_nan_and_stops_nothing(metric):
    clean, noisy = (x[:, 0] for x in pair(items=6))
    clean[1] = 0
    noisy[2] = 0
    noisy[3, 50] = math.nan
    lengths = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.05, 0.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = metric(clean, noisy, RATE, lengths, jobs=1)
    assert values.isnan().tolist() == [False, True, True, True, True, True]


def test_speech_too_sparse_for_stoi_is_nan():
    click = torch.zeros(1, RATE)
    click[0, 8000] = 1.0
    assert stoi(click, click, RATE, jobs=1).isnan().all()


@pytest.mark.slow
def test_long_recordings_score_in_parts():
    clean = bursts(45, on=0.22, period=0.45)
    noisy = clean + 0.01 * np.random.default_rng(1).standard_normal(clean.size)
    parts = zip(np.array_split(clean, 3), np.array_split(noisy, 3), strict=True)
    expected = np.mean([pesq_package.pesq(RATE, *part, "wb") for part in parts])
    rows = (torch.from_numpy(x)[None] for x in (clean, noisy))
    assert pesq(*rows, RATE, jobs=1).item() == pytest.approx(expected, abs=1e-6)


def test_pesq_names_its_rates():
    with pytest.raises(ValueError, match=r"8000.*16000.*44100"):
        pesq(torch.zeros(1, 9), torch.zeros(1, 9), 44100)


@pytest.mark.slow
def test_real_speech_scores_fall_with_noise(real_data):
    path = min((real_data / "speech" / "valid").glob("*/*.flac"))
    speech = torch.from_numpy(soundfile.read(path, frames=4 * RATE, dtype="float32")[0])
    noise = torch.from_numpy(
        soundfile.read(real_data / "noise" / "ssn.flac", len(speech), dtype="float32")[
            0
        ]
    )
    gains = speech.std() / noise.std() * torch.tensor([[0.1], [0.3], [1.0]])
    clean, noisy = speech.repeat(3, 1), speech + gains * noise
    for metric in (pesq, stoi, estoi):
        assert (metric(clean, noisy, RATE, jobs=1).diff() < 0).all()
