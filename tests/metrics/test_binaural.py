import math

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch

from speechbrain_fusion.metrics import ild, ild_error, itd, itd_error

RATE = 16000
ERRORS = [ild_error, itd_error]


def noise(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def delayed(signal, microseconds, rate=RATE):
    """Delay a signal by any fraction of a sample, by its spectrum's phase."""
    frequency = torch.fft.rfftfreq(signal.shape[-1], 1 / rate, dtype=torch.float64)
    phase = -2 * math.pi * frequency * microseconds * 1e-6
    shift = torch.polar(torch.ones_like(phase), phase)
    return torch.fft.irfft(torch.fft.rfft(signal) * shift, n=signal.shape[-1])


def source(azimuth_us=0.0, level=0.0, items=2, samples=16000, seed=0):
    """A broadband source that reaches the right ear later and, in dB, weaker."""
    left = noise(items, samples, seed=seed)
    right = delayed(left, azimuth_us) * 10 ** (-level / 20)
    return torch.stack([left, right], 1)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("gain", [-12.0, 0.5, 6.0])
def test_gain_at_one_ear_is_the_level_error(rate, gain):
    reference = source()
    estimate = reference * torch.tensor([[10 ** (gain / 20)], [1.0]])
    level = ild_error(reference, estimate, rate)
    assert level.tolist() == pytest.approx([abs(gain)] * 2, abs=1e-6)
    assert itd_error(reference, estimate, rate).tolist() == pytest.approx(
        [0, 0], abs=1e-6
    )


@pytest.mark.parametrize("azimuth", [-600.0, 0.0, 600.0])
@pytest.mark.parametrize("delay", [50.0, 100.0, 300.0])
def test_delay_at_one_ear_is_the_time_error(azimuth, delay):
    reference = source(azimuth)
    towards_middle = -delay if azimuth > 0 else delay
    late = delayed(reference[:, 1], towards_middle)
    estimate = torch.stack([reference[:, 0], late], 1)
    time = itd_error(reference, estimate, RATE)
    assert time.tolist() == pytest.approx([delay] * 2, rel=0.02)
    assert (ild_error(reference, estimate, RATE) < 0.5).all()


@pytest.mark.parametrize("azimuth", [-700.0, -130.0, 0.0, 250.0, 700.0])
@pytest.mark.parametrize("level", [-15.0, 0.0, 8.0])
def test_signed_cues_of_a_source(azimuth, level):
    signal = source(azimuth, level)
    assert ild(signal, RATE).nanmean().item() == pytest.approx(level, abs=0.1)
    assert itd(signal, RATE).nanmedian().item() == pytest.approx(azimuth, abs=2)


@pytest.mark.parametrize(("delay", "expected"), [(-450.0, -450.0), (-550.0, 450.0)])
def test_a_bands_delay_is_within_half_a_period_of_the_others(delay, expected):
    """A band at 1 kHz, whose period is 1 ms, amid louder ones without a delay."""

    def tones(frequencies, microseconds):
        late = torch.tensor([0.0, microseconds], dtype=torch.float64) * 1e-6
        time = torch.arange(4000, dtype=torch.float64) / RATE - late.view(2, 1, 1)
        return torch.sin(2 * math.pi * torch.tensor(frequencies)[:, None] * time).sum(1)

    # whole bins of a frame of 32 ms; the three share the band from 920 to 1051 Hz
    others = tones([250.0, 500.0, 750.0, 1250.0], 0.0)
    signal = others + 0.3 * tones([968.75, 1000.0, 1031.25], delay)
    first, band = (int(21.4 * math.log10(1 + 0.00437 * x)) for x in (218.75, 1000.0))
    found = itd(signal[None], RATE)[0, band - first]
    assert found.tolist() == pytest.approx([expected] * len(found), abs=20)


def test_band_limits_of_the_cues():
    bands = ild(source(), RATE).shape[1], itd(source(), RATE).shape[1]
    erb = [21.4 * math.log10(1 + 0.00437 * x) for x in (200, 1500, 8000)]
    assert bands == pytest.approx((erb[2] - erb[0], erb[1] - erb[0]), abs=1.5)


@pytest.mark.parametrize("metric", ERRORS)
def test_common_gain_and_identity_are_free(metric):
    reference = source(300.0, 4.0)
    assert (metric(reference, reference, RATE) == 0).all()
    for gain in (1e-4, 0.3, 1e3):
        assert (metric(reference, gain * reference, RATE) < 1e-6).all()


def test_a_gain_per_ear_is_seen():
    reference = source(300.0, 4.0)
    estimate = reference / reference.square().mean(-1, keepdim=True).sqrt()
    assert ild_error(reference, estimate, RATE).tolist() == pytest.approx(
        [4, 4], abs=0.01
    )


def test_only_active_cells_count():
    reference = source(samples=32000)
    reference[..., 16000:] *= 1e-3
    estimate = reference.clone()
    estimate[:, 0, 17000:] *= 10
    assert (ild_error(reference, estimate, RATE) < 1e-9).all()
    assert ild_error(estimate, reference, RATE).tolist() == pytest.approx(
        [0, 0], abs=1e-9
    )
    estimate[:, 0, :8000] *= 10
    assert ild_error(reference, estimate, RATE).tolist() == pytest.approx(
        [10] * 2, abs=0.5
    )


@pytest.mark.parametrize("metric", ERRORS)
def test_emptied_cells_do_not_count(metric):
    reference = source(200.0, 3.0)
    estimate = reference.clone()
    estimate[..., 4000:9000] = 0
    assert metric(reference, estimate, RATE).isfinite().all()
    assert (
        metric(reference, estimate, RATE)
        < metric(reference, noise(2, 2, 16000, seed=5), RATE)
    ).all()


def test_muting_an_ear_is_an_error_of_levels_and_has_no_delay():
    """It is no way to a better score: an ear that holds nothing is 100 dB down."""
    reference = source(200.0, 3.0)
    estimate = reference.clone()
    estimate[:, 0, 8000:] = 0
    levels = ild_error(reference, estimate, RATE)
    assert (levels > 0.45 * 60).all()
    assert (levels < 0.6 * 100).all()
    assert (itd_error(reference, estimate, RATE) < 30).all()


@pytest.mark.parametrize("metric", ERRORS)
def test_padding_does_not_matter(metric):
    reference = source(300.0)
    estimate = reference + noise(2, 2, 16000, seed=3)
    reference[1, :, 9000:], estimate[1, :, 9000:] = math.nan, 5.0
    values = metric(reference, estimate, RATE, torch.tensor([1.0, 0.5625]))
    alone = metric(reference[1:, :, :9000], estimate[1:, :, :9000], RATE)
    torch.testing.assert_close(values[1:], alone)


@pytest.mark.parametrize("metric", ERRORS)
def test_any_batch_gives_the_same(metric):
    reference = source(300.0, items=11, samples=4000)
    estimate = reference + noise(11, 2, 4000, seed=3)
    values = metric(reference, estimate, RATE)
    assert values.unique().numel() == 11
    order = torch.randperm(11, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        metric(reference[order], estimate[order], RATE), values[order]
    )


@pytest.mark.parametrize("metric", ERRORS)
def test_what_cannot_be_scored_is_nan(metric):
    signal = source(300.0, items=6)
    reference, estimate = signal.clone(), signal.clone()
    reference[1] = 0
    estimate[2, 1] = 0
    estimate[3] = 0
    estimate[4, 0, 50] = math.nan
    lengths = torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, 0.01])
    values = metric(reference, estimate, RATE, lengths)
    assert values.isnan().tolist() == [False, True, True, True, True, True]
    assert metric(signal[..., :100], signal[..., :100], RATE).isnan().all()


@pytest.mark.parametrize("metric", ERRORS)
def test_two_ears_are_asked_for(metric):
    with pytest.raises(ValueError, match="2 ears"):
        metric(torch.zeros(1, 3, 900), torch.zeros(1, 3, 900), RATE)
    with pytest.raises(ValueError, match="differ in shape"):
        metric(torch.zeros(1, 2, 900), torch.zeros(1, 2, 901), RATE)
    with pytest.raises(ValueError, match="2 ears"):
        ild(torch.zeros(2, 900), RATE)


@pytest.fixture
def talker(real_data):
    """Real speech through a measured head 75 degrees to the left."""
    path = min((real_data / "speech" / "valid").glob("*/*.flac"))
    speech, _ = soundfile.read(path, frames=4 * RATE)
    head = np.load(real_data / "hrir" / "mit_kemar_normal_horizontal_16k.npz")
    response = head["ir"][head["azimuth_deg"].tolist().index(75)]
    return torch.from_numpy(scipy.signal.fftconvolve(speech[None], response, axes=-1))[
        None
    ]


def test_a_talker_on_the_left_is_louder_and_earlier_there(talker):
    assert ild(talker, RATE).nanmedian() > 5
    assert 500 < itd(talker, RATE).nanmedian() < 900


@pytest.mark.parametrize("delay", [-300.0, 50.0])
def test_delay_of_a_talker_through_a_head(talker, delay):
    estimate = torch.stack([talker[:, 0], delayed(talker[:, 1], delay)], 1)
    assert itd_error(talker, estimate, RATE).item() == pytest.approx(
        abs(delay), rel=0.02
    )
    assert ild_error(talker, estimate, RATE).item() < 0.5


def test_cue_errors_fall_with_less_noise(talker):
    added = talker.std() * noise(*talker.shape, seed=4)
    for metric in ERRORS:
        errors = [
            metric(talker, talker + g * added, RATE).item() for g in (1, 0.3, 0.1)
        ]
        assert errors[0] > errors[1] > errors[2] > 0
