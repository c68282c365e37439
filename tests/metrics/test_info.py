"""The table of metrics: each moves the way it says as noise falls."""

import functools

import pytest
import torch

from speechbrain_fusion.data.audio import read
from speechbrain_fusion.data.demo import demo_speech_folder
from speechbrain_fusion.metrics import (
    composite,
    estoi,
    ild_error,
    itd_error,
    llr,
    mbstoi,
    over_suppression,
    pesq,
    residual_noise,
    sdr,
    segmental_snr,
    si_sdr,
    snr,
    stoi,
    wss,
)
from speechbrain_fusion.metrics.info import FEATURE_METRICS, METRICS, gain

RATE = 16000


def rating(name, *pair):
    return composite(*pair, RATE, jobs=1)[name]


SCORES = {
    "si_sdr": si_sdr,
    "sdr": sdr,
    "snr": snr,
    "pesq": functools.partial(pesq, rate=RATE, jobs=1),
    "stoi": functools.partial(stoi, rate=RATE, jobs=1),
    "estoi": functools.partial(estoi, rate=RATE, jobs=1),
    "mbstoi": functools.partial(mbstoi, rate=RATE),
    "csig": functools.partial(rating, "csig"),
    "cbak": functools.partial(rating, "cbak"),
    "covl": functools.partial(rating, "covl"),
    "llr": functools.partial(llr, rate=RATE),
    "wss": functools.partial(wss, rate=RATE),
    "segsnr": functools.partial(segmental_snr, rate=RATE),
    "ild_error": functools.partial(ild_error, rate=RATE),
    "itd_error": functools.partial(itd_error, rate=RATE),
    "residual_noise": residual_noise,
    "over_suppression": over_suppression,
}


@functools.cache
def speech_and_noise():
    """A second of a talker at both ears, and noise of its power, [1, 2, time]."""
    path = demo_speech_folder() / "test" / "t25_f5_us" / "t25_f5_us_1.ogg"
    speech = torch.from_numpy(read(path)[0][0][:RATE]).double()
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, 2, len(speech), generator=generator, dtype=torch.float64)
    return speech.expand(1, 2, -1), speech.std() * noise


@functools.cache
def features_and_noise():
    """Features of a network, which are never negative, [1, channels, frames]."""
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 1, 8, 50, generator=generator)
    return clean.relu(), noise


@pytest.mark.parametrize("metric", METRICS)
def test_less_noise_is_better_by_every_metric(metric):
    of_features = metric in FEATURE_METRICS
    clean, noise = features_and_noise() if of_features else speech_and_noise()
    loud, soft = (clean + level * noise for level in (1.0, 0.1))
    if of_features:
        loud, soft = loud.relu(), soft.relu()
    scores = [SCORES[metric](clean, x).mean().item() for x in (loud, soft)]
    better = "higher" if scores[1] > scores[0] else "lower"
    assert METRICS[metric].better == better
    assert gain(metric, *scores) > 0


@pytest.mark.parametrize("metric", METRICS)
def test_a_gain_is_the_change_towards_what_is_better(metric):
    sign = {"higher": 1, "lower": -1}[METRICS[metric].better]
    assert gain(metric, 1.0, 3.0) == 2.0 * sign
