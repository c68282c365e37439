"""Composite metrics: golden values, a frame-by-frame statement, padding and silence."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch

from speechbrain_fusion.data.audio import read
from speechbrain_fusion.data.demo import demo_speech_folder
from speechbrain_fusion.metrics import composite, llr, segmental_snr, wss
from speechbrain_fusion.metrics.frame_measures import (
    BANDWIDTHS,
    CENTRES,
    _spectral_weights,
)

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "golden" / "composite.json").read_text()
)
PARTS = {"llr": llr, "wss": wss, "segsnr": segmental_snr}
# Centre and bandwidth in Hz of each band, as in Loizou's comp_wss.m, after Klatt, 1982.
KLATT = (
    *((50.0, 70.0), (120.0, 70.0), (190.0, 70.0), (260.0, 70.0), (330.0, 70.0)),
    *((400.0, 70.0), (470.0, 70.0), (540.0, 77.3724), (617.372, 86.0056)),
    *((703.378, 95.3398), (798.717, 105.411), (904.128, 116.256), (1020.38, 127.914)),
    *((1148.30, 140.423), (1288.72, 153.823), (1442.54, 168.154), (1610.70, 183.457)),
    *((1794.16, 199.776), (1993.93, 217.153), (2211.08, 235.631), (2446.71, 255.255)),
    *((2701.97, 276.072), (2978.04, 298.126), (3276.17, 321.465), (3597.63, 346.136)),
)
# Of three seconds of the demo corpus in white noise, by the recipe code of SpeechBrain
# 1.1.0 (recipes/Voicebank/MTL/ASR_enhance/composite_eval.py), as golden/composite.json.
DEMO = {
    ("t25_f5_us", 10.0): {
        **{"csig": 2.67197, "cbak": 2.26294, "covl": 1.89515, "llr": 0.74359},
        **{"wss": 44.36029, "segsnr": 5.55846, "pesq": 1.23279},
    },
    ("t27_linda_scotland", 20.0): {
        **{"csig": 2.13361, "cbak": 2.65395, "covl": 1.68957, "llr": 1.33937},
        **{"wss": 44.30807, "segsnr": 10.82531, "pesq": 1.35589},
    },
}


def pair(samples: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Something with formants and pauses, and the same in noise."""
    rng = np.random.default_rng(seed)
    excitation = rng.standard_normal(samples) * (
        np.sin(np.arange(samples) / 900) > -0.5
    )
    voice = scipy.signal.lfilter([1], [1, -1.6, 0.9], excitation)
    voice = 0.05 * scipy.signal.lfilter([1], [1, 0.5, 0.8], voice)
    noisy = voice + 0.05 * rng.standard_normal(samples)
    return torch.from_numpy(voice)[None], torch.from_numpy(noisy)[None]


def mixed(
    speech: np.ndarray, noise: np.ndarray, snr: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Speech, and the same in noise at a signal-to-noise ratio in dB."""
    power = np.square(speech).sum() / np.square(noise).sum()
    noisy = speech + noise * np.sqrt(power / 10 ** (snr / 10))
    return torch.from_numpy(speech)[None], torch.from_numpy(noisy)[None]


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["noise"])
def test_golden_values(real_data, case):
    speech, noise = (
        read(real_data / case[x])[0][0].astype(float) for x in ("speech", "noise")
    )
    samples = min(speech.size, noise.size, 64000)
    scores = composite(
        *mixed(speech[:samples], noise[:samples], case["snr"]), 16000, jobs=1
    )
    assert len(scores) == 7
    for name, value in scores.items():
        assert value.item() == pytest.approx(case[name], abs=1e-2)


@pytest.mark.parametrize(("talker", "snr"), DEMO)
def test_golden_values_of_the_demo_speech(talker, snr):
    path = demo_speech_folder() / "test" / talker / f"{talker}_1.ogg"
    speech = read(path)[0][0][:48000].astype(float)
    noise = np.random.default_rng(0).standard_normal(48000)
    scores = composite(*mixed(speech, noise, snr), 16000, jobs=1)
    found = {name: value.item() for name, value in scores.items()}
    assert found == pytest.approx(DEMO[talker, snr], rel=1e-3)


def test_the_bands_are_klatts():
    assert [*zip(CENTRES, BANDWIDTHS, strict=True)] == [*KLATT]


def frames_of(signal: np.ndarray, rate: int) -> np.ndarray:
    size = round(0.03 * rate)
    step = size // 4
    count = int(signal.size / step - size / step)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1, size + 1) / (size + 1))
    return np.array([signal[i * step : i * step + size] * window for i in range(count)])


def best(values: list[float]) -> float:
    return float(np.mean(sorted(values)[: math.floor(0.95 * len(values) + 0.5)]))


def llr_in_words(clean: np.ndarray, other: np.ndarray, rate: int) -> float:
    order, values = 10 if rate < 10000 else 16, []
    for one, two in zip(frames_of(clean, rate), frames_of(other, rate), strict=True):
        lags = [
            np.correlate(x, x, "full")[x.size - 1 : x.size + order] for x in (one, two)
        ]
        if lags[0][0] == 0:
            values.append(0.0)
            continue
        fits = [
            np.append(
                1, -scipy.linalg.solve_toeplitz(r[:-1], r[1:]) if r[0] else 0 * r[1:]
            )
            for r in lags
        ]
        matrix = scipy.linalg.toeplitz(lags[0])
        errors = [fit @ matrix @ fit for fit in fits]
        values.append(np.log(errors[1] / errors[0]))
    return best(values)


def segsnr_in_words(clean: np.ndarray, other: np.ndarray, rate: int) -> float:
    clean, other = clean - clean.mean(), other - other.mean()
    other = other * np.abs(clean).max() / np.abs(other).max()
    values = []
    for one, two in zip(frames_of(clean, rate), frames_of(other, rate), strict=True):
        ratio = np.square(one).sum() / (np.square(one - two).sum() + 1e-10)
        values.append(min(max(10 * math.log10(ratio + 1e-10), -10), 35))
    return float(np.mean(values))


def wss_in_words(clean: np.ndarray, other: np.ndarray, rate: int) -> float:
    values = []
    for one, two in zip(frames_of(clean, rate), frames_of(other, rate), strict=True):
        levels = [band_levels(x, rate) for x in (one, two)]
        slopes = [np.diff(level) for level in levels]
        weights = [weigh(*x) for x in zip(levels, slopes, strict=True)]
        weight = (weights[0] + weights[1]) / 2
        distance = (weight * (slopes[0] - slopes[1]) ** 2).sum()
        values.append(distance / weight.sum())
    return best(values)


def band_levels(frame: np.ndarray, rate: int) -> np.ndarray:
    size = 2
    while size < 2 * frame.size:
        size *= 2
    power = np.abs(np.fft.fft(frame, size)[: size // 2]) ** 2
    levels = []
    for centre, width in KLATT:
        middle, spread = math.floor(centre / rate * size), width / rate * size
        total = 0.0
        for place, value in enumerate(power):
            weight = math.exp(-11 * ((place - middle) / spread) ** 2) * 70 / width
            total += weight * value if weight > math.exp(-30 / 4.606) else 0.0
        levels.append(10 * math.log10(max(total, 1e-10)))
    return np.array(levels)


def weigh(level: np.ndarray, slope: np.ndarray) -> np.ndarray:
    weights = []
    for band in range(24):
        place = band
        if slope[band] > 0:
            while place < 24 and slope[place] > 0:
                place += 1
            peak = level[place - 1]
        else:
            while place >= 0 and slope[place] <= 0:
                place -= 1
            peak = level[place + 1]
        globally = 20 / (20 + level.max() - level[band])
        weights.append(globally / (1 + peak - level[band]))
    return np.array(weights)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [8000, 11025, 16000])
def test_parts_are_what_words_say_of_each_frame(rate):
    clean, noisy = pair(rate // 3)
    arrays = clean[0].numpy(), noisy[0].numpy()
    assert llr(clean, noisy, rate).item() == pytest.approx(llr_in_words(*arrays, rate))
    assert segmental_snr(clean, noisy, rate).item() == pytest.approx(
        segsnr_in_words(*arrays, rate)
    )
    assert wss(clean, noisy, rate).item() == pytest.approx(wss_in_words(*arrays, rate))


def test_muting_is_no_way_to_a_better_score():
    clean, noisy = pair(16000)
    muted = noisy.clone()
    muted[:, 8000:] = 0
    arrays = clean[0].numpy(), muted[0].numpy()
    found = llr(clean, muted, 16000).item()
    assert found == pytest.approx(llr_in_words(*arrays, 16000))
    assert found > llr(clean, noisy, 16000).item()


@pytest.mark.slow
@pytest.mark.parametrize("samples", [3570 + 120 * 3, 3600 + 120 * 10])
def test_ninety_five_percent_are_rounded_as_in_matlab(samples):
    clean, noisy = pair(samples)
    arrays = clean[0].numpy(), noisy[0].numpy()
    for part, words in ((llr, llr_in_words), (wss, wss_in_words)):
        assert part(clean, noisy, 16000).item() == pytest.approx(words(*arrays, 16000))


def test_a_first_call_without_gradients_forbids_none_later():
    clean, noisy = pair(4000)
    _spectral_weights.cache_clear()
    with torch.inference_mode():
        llr(clean, noisy, 16000)
    llr(clean, noisy.requires_grad_(), 16000).backward()
    assert noisy.grad.isfinite().all()


@pytest.mark.parametrize("name", PARTS)
def test_more_noise_is_worse(name):
    clean, noisy = pair(16000)
    scores = [
        PARTS[name](clean, clean + gain * (noisy - clean), 16000).item()
        for gain in (0.1, 0.5, 2.0)
    ]
    assert scores == sorted(scores, reverse=name == "segsnr")


@pytest.mark.parametrize("name", PARTS)
def test_an_item_of_a_padded_batch_scores_what_it_scores_alone(name):
    (clean, noisy), (other, loud) = pair(9600), pair(5000, seed=1)
    batch = [
        torch.cat([x, torch.nn.functional.pad(y, (0, 4600), value=math.nan)])
        for x, y in ((clean, other), (noisy, loud))
    ]
    scores = PARTS[name](*batch, 16000, torch.tensor([1.0, 5000 / 9600]))
    assert scores[0].item() == pytest.approx(PARTS[name](clean, noisy, 16000).item())
    assert scores[1].item() == pytest.approx(PARTS[name](other, loud, 16000).item())


def test_ears_are_scored_one_by_one():
    (clean, noisy), (other, loud) = pair(9600), pair(9600, seed=1)
    both = [torch.stack(x, 1) for x in ((clean, other), (noisy, loud))]
    scores = composite(*both, 16000, jobs=1)
    alone = composite(other, loud, 16000, jobs=1)
    for name, value in scores.items():
        assert value.shape == (1, 2)
        torch.testing.assert_close(value[:, 1], alone[name])


@pytest.mark.parametrize("name", PARTS)
def test_what_cannot_be_scored_is_nan_and_stops_nothing(name):
    clean, noisy = pair(9600)
    batch = torch.cat([clean, 0 * clean, clean, clean])
    estimates = torch.cat([noisy, noisy, 0 * noisy, noisy])
    estimates[3, 7] = math.inf
    scores = PARTS[name](batch, estimates, 16000)
    assert scores.isnan().tolist() == [False, True, True, True]
    assert PARTS[name](clean[:, :300], noisy[:, :300], 16000).isnan().all()


def test_a_rate_that_pesq_does_not_know_is_refused():
    with pytest.raises(ValueError, match="44100"):
        composite(*pair(9600), 44100)


@pytest.mark.parametrize("name", PARTS)
def test_signals_without_a_sample_are_nan(name):
    assert PARTS[name](torch.zeros(2, 0), torch.zeros(2, 0), 16000).isnan().all()
