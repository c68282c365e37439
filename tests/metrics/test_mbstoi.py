import json
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch

from speechbrain_fusion.metrics import mbstoi
from tests.golden.binaural_signals import signals

GOLDEN = Path(__file__).parents[1] / "golden" / "mbstoi.json"
CASES = json.loads(GOLDEN.read_text())["cases"]
RATE = 10000


def ears(case):
    left, right, processed_left, processed_right = map(torch.from_numpy, signals(case))
    clean = torch.stack([left, right])[None]
    return clean, torch.stack([processed_left, processed_right])[None]


def scene(snr=0.0, noise_itd=-4, seed=0, rate=RATE, seconds=1.0):
    """A talker on the left, earlier and louder there, and one interferer."""
    return ears(
        {
            "seed": seed,
            "seconds": seconds,
            "rate": rate,
            "itd": 5,
            "ild": 4.0,
            "noise_itd": noise_itd,
            "noise_ild": 0.8 * noise_itd,
            "snr": snr,
            "gain": 1.0,
        }
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["seed"]))
def test_reference_values(case):
    score = mbstoi(*ears(case), case["rate"])
    assert score.dtype == torch.float64
    assert score.item() == pytest.approx(case["mbstoi"], abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [8000, 10000, 16000])
def test_reference_values_in_a_padded_batch(rate):
    cases = [case for case in CASES if case["rate"] == rate]
    pairs = [torch.cat(ears(case)) for case in cases]
    longest = max(pair.shape[-1] for pair in pairs)
    padded = [
        torch.nn.functional.pad(pair, (0, longest - pair.shape[-1]), value=math.nan)
        for pair in pairs
    ]
    lengths = torch.tensor([pair.shape[-1] / longest for pair in pairs])
    clean, processed = torch.stack(padded, 1)
    scores = mbstoi(clean, processed, rate, lengths)
    expected = [case["mbstoi"] for case in cases]
    assert scores.tolist() == pytest.approx(expected, abs=1e-6)


def test_padding_does_not_matter():
    clean, processed = (torch.cat([x, x, x]) for x in scene(seconds=1.2))
    lengths = torch.tensor([1.0, 0.777, 0.5])
    counts = (lengths.double() * clean.shape[-1]).round().long().tolist()
    alone = torch.cat(
        [mbstoi(clean[:1, :, :n], processed[:1, :, :n], RATE) for n in counts]
    )
    for item, count in enumerate(counts):
        clean[item, :, count:], processed[item, :, count:] = math.inf, math.nan
    scores = mbstoi(clean, processed, RATE, lengths)
    torch.testing.assert_close(scores, alone, atol=1e-9, rtol=0)
    assert scores.unique().numel() == 3


@pytest.mark.parametrize("rate", [6000, 8001, 11025, 22050, 44100])
def test_any_rate_is_resampled_by_its_spectrum(rate):
    clean, processed = scene(rate=rate, seconds=0.9)
    wanted = int(clean.shape[-1] * (RATE / rate) + 1)
    resampled = [
        torch.from_numpy(scipy.signal.resample(x.numpy(), wanted, axis=-1))
        for x in (clean, processed)
    ]
    score = mbstoi(clean, processed, rate).item()
    assert score == pytest.approx(mbstoi(*resampled, RATE).item(), abs=1e-6)
    assert 0.2 < score < 0.95


@pytest.mark.parametrize("gain", [1e-6, 0.3, -2.0, 1e4])
def test_gains_do_not_matter(gain):
    clean, processed = scene()
    expected = mbstoi(clean, processed, RATE).item()
    assert mbstoi(clean, gain * processed, RATE).item() == pytest.approx(expected)
    assert mbstoi(gain * clean, processed, RATE).item() == pytest.approx(expected)


def test_ears_can_be_exchanged():
    clean, processed = scene()
    exchanged = mbstoi(clean.flip(1), processed.flip(1), RATE)
    torch.testing.assert_close(exchanged, mbstoi(clean, processed, RATE))


def test_clean_speech_is_intelligible():
    clean, _ = scene()
    assert mbstoi(clean, clean, RATE).item() == pytest.approx(1.0, abs=1e-9)


@pytest.mark.slow
def test_less_noise_is_more_intelligible():
    scores = [
        np.mean([mbstoi(*scene(snr, seed=s), RATE).item() for s in range(3)])
        for snr in (-15.0, -9.0, -3.0, 3.0, 9.0)
    ]
    assert (np.diff(scores) > 0.02).all()


def test_noise_from_another_side_masks_less():
    """Binaural benefit: talker at 5 samples, interferer beside it or opposite."""
    beside, opposite = (
        np.mean([mbstoi(*scene(-9.0, itd, s), RATE).item() for s in range(3)])
        for itd in (5, -5)
    )
    assert opposite > beside + 0.1


def test_two_ears_help_where_level_gives_no_better_one():
    """Same levels at both ears: the delay alone tells talker and noise apart."""
    case = {"seed": 1, "seconds": 1.0, "rate": RATE, "itd": 4, "noise_itd": -4}
    case |= {"ild": 0.0, "noise_ild": 0.0, "snr": -6.0, "gain": 1.0}
    clean, processed = ears(case)
    diotic = [x[:, :1].expand(-1, 2, -1) for x in (clean, processed)]
    binaural = mbstoi(clean, processed, RATE)
    assert (binaural > mbstoi(*diotic, RATE) + 0.1).all()


def test_silence_in_the_clean_signal_is_left_out():
    clean, processed = scene()
    pause = torch.zeros(1, 2, 128 * 40)
    early, late = (x.split([6400, 3600], -1) for x in (clean, processed))
    paused = [torch.cat([x[0], pause, x[1]], -1) for x in (early, late)]
    noise = 0.1 * torch.randn(pause.shape, dtype=torch.float64)
    paused[1][..., 6400 : 6400 + pause.shape[-1]] += noise
    score = mbstoi(*paused, RATE).item()
    assert score == pytest.approx(mbstoi(clean, processed, RATE).item(), abs=0.05)


def test_what_cannot_be_scored_is_nan():
    clean, processed = (x.repeat(6, 1, 1) for x in scene())
    clean[1] = 0
    processed[2] = 0
    processed[3, 0, 4000] = math.nan
    lengths = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.4, 0.0])
    scores = mbstoi(clean, processed, RATE, lengths)
    assert scores.isnan().tolist() == [False, True, True, True, True, True]
    assert mbstoi(clean[:1, :, :9], processed[:1, :, :9], RATE).isnan().all()


def test_a_whole_segment_is_needed():
    """31 frames of 256, half overlapping, and one sample beyond the last."""
    clean, processed = scene()
    shortest = 30 * 128 + 256 + 1
    assert mbstoi(clean[..., :shortest], processed[..., :shortest], RATE).isfinite()
    shortest -= 1
    assert mbstoi(clean[..., :shortest], processed[..., :shortest], RATE).isnan()


def test_one_deaf_ear_leaves_the_other():
    clean, processed = scene()
    for signal in (clean, processed):
        signal[:, 0] = 0
    diotic = [x[:, 1:].expand(-1, 2, -1) for x in (clean, processed)]
    torch.testing.assert_close(mbstoi(clean, processed, RATE), mbstoi(*diotic, RATE))


def test_it_is_differentiable():
    clean, processed = scene()
    processed.requires_grad_()
    (gradient,) = torch.autograd.grad(mbstoi(clean, processed, RATE), processed)
    step = 1e-3 * processed.std() * gradient / gradient.std()
    assert mbstoi(clean, processed + step, RATE) > mbstoi(clean, processed, RATE)


def test_inference_mode_leaves_nothing_behind():
    clean, processed = scene()
    with torch.inference_mode():
        expected = mbstoi(clean, processed, RATE)
    score = mbstoi(clean, processed.requires_grad_(), RATE)
    score.backward()
    assert score.item() == expected.item()


def test_two_ears_are_asked_for():
    with pytest.raises(ValueError, match="2 ears"):
        mbstoi(torch.zeros(1, 3, 9000), torch.zeros(1, 3, 9000), RATE)
    with pytest.raises(ValueError, match="2 ears"):
        mbstoi(torch.zeros(1, 9000), torch.zeros(1, 9000), RATE)
    with pytest.raises(ValueError, match="differ in shape"):
        mbstoi(torch.zeros(1, 2, 9000), torch.zeros(1, 2, 9001), RATE)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_same():
    clean, processed = scene()
    score = mbstoi(clean.cuda(), processed.cuda(), RATE)
    torch.testing.assert_close(score.cpu(), mbstoi(clean, processed, RATE))


def test_real_speech_scores_fall_with_noise(real_data):
    path = min((real_data / "speech" / "valid").glob("*/*.flac"))
    speech, rate = soundfile.read(path, frames=3 * 16000)
    noise, _ = soundfile.read(real_data / "noise" / "ssn.flac", len(speech))
    head = np.load(real_data / "hrir" / "mit_kemar_normal_horizontal_16k.npz")
    azimuths = head["azimuth_deg"].tolist()
    talker, interferer = (
        torch.from_numpy(scipy.signal.fftconvolve(x[None], head["ir"][i], axes=-1))
        for x, i in ((speech, azimuths.index(0)), (noise, azimuths.index(75)))
    )
    gains = talker.std() / interferer.std() * torch.tensor([0.3, 1.0, 3.0])
    processed = talker + gains[:, None, None] * interferer
    scores = mbstoi(talker.expand(3, -1, -1), processed, rate)
    assert (scores.diff() < -0.05).all()
    assert scores[0] > 0.8
