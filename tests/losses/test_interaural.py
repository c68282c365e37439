import functools
import math

import pytest
import torch
from hyperpyyaml import load_hyperpyyaml

from speechbrain_fusion.losses import ild_loss, ipd_loss
from speechbrain_fusion.metrics import ild_error, itd_error
from tests.losses import signals

RATE = 16000
LOSSES = [ild_loss, ipd_loss]
noise = functools.partial(signals.noise, dtype=torch.float64)


def delayed(signal, microseconds, rate=RATE):
    """Delay a signal by any fraction of a sample, by its spectrum's phase."""
    frequency = torch.fft.rfftfreq(signal.shape[-1], 1 / rate, dtype=torch.float64)
    phase = -2 * math.pi * frequency * microseconds * 1e-6
    shift = torch.polar(torch.ones_like(phase), phase)
    return torch.fft.irfft(torch.fft.rfft(signal) * shift, n=signal.shape[-1])


def source(azimuth_us=0.0, level=0.0, items=2, samples=8000, seed=0):
    """A broadband source that reaches the right ear later and, in dB, weaker."""
    left = noise(items, samples, seed=seed)
    right = delayed(left, azimuth_us) * 10 ** (-level / 20)
    return torch.stack([left, right], 1)


def tone(frequency, microseconds, samples=8000):
    """A tone that reaches the right ear later, [1, 2, time]."""
    time = torch.arange(samples, dtype=torch.float64) / RATE
    late = torch.tensor([[0.0], [microseconds * 1e-6]], dtype=torch.float64)
    return torch.sin(2 * math.pi * frequency * (time - late))[None]


def gradient_of(loss, reference, estimate, lengths=None):
    estimate = estimate.detach().requires_grad_()
    value = loss(reference, estimate, RATE, lengths)
    (gradient,) = torch.autograd.grad(value, estimate)
    return value.item(), gradient


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("gain", [-12.0, 0.5, 6.0])
def test_gain_of_one_ear_is_the_level_loss(rate, gain):
    reference = source(300.0, 4.0)
    estimate = reference * torch.tensor([[10 ** (gain / 20)], [1.0]])
    assert ild_loss(reference, estimate, rate).item() == pytest.approx(
        abs(gain), abs=1e-3
    )
    assert ipd_loss(reference, estimate, rate).item() < 1e-6


@pytest.mark.parametrize("frequency", [300.0, 700.0, 1400.0])
@pytest.mark.parametrize("delay", [-250.0, 100.0, 350.0])
def test_delay_of_a_tone_is_its_phase(frequency, delay):
    loss = ipd_loss(tone(frequency, 150.0), tone(frequency, 150.0 + delay), RATE)
    expected = math.sin(math.pi * frequency * delay * 1e-6) ** 2
    assert loss.item() == pytest.approx(expected, rel=0.02)


def test_delay_of_noise_weighs_the_bands_evenly():
    """sin^2(pi f delay) of the bands' centres, one per ERB from 200 to 1500 Hz."""
    delay = 200.0
    erb = torch.linspace(*(21.4 * math.log10(1 + 0.00437 * f) for f in (200, 1500)), 99)
    centres = (10 ** (erb / 21.4) - 1) / 0.00437
    expected = torch.sin(math.pi * centres * delay * 1e-6).square().mean().item()
    loss = ipd_loss(source(100.0), source(100.0 + delay), RATE)
    assert loss.item() == pytest.approx(expected, rel=0.15)


def test_phase_counts_below_1500_hz_only():
    low, high = tone(1000.0, 0.0), 0.1 * tone(3000.0, 0.0)
    assert ipd_loss(low + high, low + 0.1 * tone(3000.0, 160.0), RATE) < 1e-6
    assert ipd_loss(low + high, tone(1000.0, 160.0) + high, RATE) > 0.2


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("gain", [1e-3, 0.3, 1e3])
def test_common_gain_is_free(loss, gain):
    reference = source(300.0, 4.0)
    assert loss(reference, gain * reference, RATE).item() < 2e-4


@pytest.mark.parametrize("loss", LOSSES)
def test_identity_is_free(loss):
    reference = source(300.0, 4.0)
    value, gradient = gradient_of(loss, reference, reference.clone())
    assert value == 0
    assert gradient.isfinite().all()


def test_common_delay_keeps_the_cues():
    """But for the frames' edges; a tone has none."""
    for reference in (source(300.0, 4.0), tone(500.0, 300.0)):
        both_late = delayed(reference, 125.0)
        one_late = torch.stack([reference[:, 0], both_late[:, 1]], 1)
        both, one = (ipd_loss(reference, x, RATE) for x in (both_late, one_late))
        assert both < 0.02 * one
        assert ild_loss(reference, both_late, RATE) < 0.5


def test_phase_distance_is_circular_and_bounded():
    left = noise(1, 8000)
    reference = torch.stack([left, left], 1)
    assert ipd_loss(
        reference, torch.stack([left, -left], 1), RATE
    ).item() == pytest.approx(1.0, abs=1e-5)
    unrelated = ipd_loss(noise(16, 2, 8000), noise(16, 2, 8000, seed=1), RATE)
    assert unrelated.item() == pytest.approx(0.5, abs=0.03)
    near, far = (tone(1000.0, 1000.0 * turns) for turns in (-0.45, 0.45))
    assert ipd_loss(near, far, RATE).item() == pytest.approx(
        math.sin(0.1 * math.pi) ** 2, rel=0.02
    )


def test_level_loss_is_the_metric():
    reference, estimate = source(300.0, 4.0), noise(2, 2, 8000, seed=3)
    metric = ild_error(reference, estimate, RATE).mean()
    torch.testing.assert_close(
        ild_loss(reference, estimate, RATE), metric, rtol=1e-4, atol=0
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_only_active_cells_count(loss):
    reference = source(samples=16000)
    reference[..., 8000:] *= 1e-2
    estimate = reference.clone()
    estimate[:, 0, 9000:] = noise(2, 7000, seed=4)
    quiet_changed = loss(reference, estimate, RATE)
    estimate[:, 0, :4000] = noise(2, 4000, seed=5)
    assert quiet_changed < 0.01 * loss(reference, estimate, RATE)


@pytest.mark.parametrize(("level", "share"), [(-24.0, 0.5), (-26.0, 0.0)])
def test_active_are_cells_within_25_db_of_their_bands_peak(level, share):
    """An impulse in the middle of each frame: cells of a frame are at its level."""
    reference = torch.zeros(1, 2, 21 * 256, dtype=torch.float64)
    reference[..., 256 : 11 * 256 : 256] = 1.0
    reference[..., 11 * 256 :: 256] = 10 ** (level / 20)
    estimate = reference.clone()
    estimate[:, 0, 11 * 256 :] *= 2
    expected = share * 20 * math.log10(2)
    for measure in (ild_loss, ild_error):
        value = measure(reference, estimate, RATE).item()
        assert value == pytest.approx(expected, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("both", [False, True])
def test_gradient_is_right(loss, both):
    reference, estimate = noise(2, 2, 96), noise(2, 2, 96, seed=1)
    estimate[0, 0, :40] = 0
    lengths = torch.tensor([1.0, 0.75])
    inputs = reference.requires_grad_(both), estimate.requires_grad_()
    assert torch.autograd.gradcheck(lambda s, y: loss(s, y, 1000, lengths), inputs)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("silent", [[0], [1], [0, 1]])
@pytest.mark.parametrize("level", [0.0, 1e-30, 1e-12, 1e-6])
def test_silence_is_finite(loss, dtype, silent, level):
    signal = noise(1, 2, 4000, dtype=dtype)
    hushed = signal.clone()
    hushed[:, silent] *= level
    other = noise(1, 2, 4000, seed=1, dtype=dtype)
    for pair in ((signal, hushed), (hushed, signal), (hushed, hushed.clone())):
        value, gradient = gradient_of(loss, *pair)
        assert math.isfinite(value)
        assert gradient.isfinite().all()
    assert math.isfinite(gradient_of(loss, other * level, hushed)[0])


@pytest.mark.parametrize("level", [1e-9, 1e-6, 1e-3, 1.0])
def test_gradient_stays_bounded_near_silence(level):
    """A hushed ear's gradient is at most that of the floor, 80 dB below the other."""
    reference, estimate = source(200.0), noise(2, 2, 8000, seed=1)
    for loss, scale in ((ild_loss, 20.0), (ipd_loss, 1.0)):
        _, ordinary = gradient_of(loss, reference, estimate)
        hushed = estimate * torch.tensor([[level], [1.0]])
        _, gradient = gradient_of(loss, reference, hushed)
        assert gradient.norm() < 1e4 * scale * ordinary.norm()
        assert gradient.norm() > 0


def test_from_a_silent_ear_the_phase_leads_back():
    reference = source(400.0)
    estimate = reference * torch.tensor([[1.0], [0.0]])
    value, gradient = gradient_of(ipd_loss, reference, estimate)
    assert value == pytest.approx(0.25, abs=1e-3)
    stepped = estimate - 1e-3 * gradient / gradient.abs().max()
    assert ipd_loss(reference, stepped, RATE) < 0.05


@pytest.mark.parametrize("loss", LOSSES)
def test_nothing_to_keep_costs_nothing(loss):
    signal = source()
    for reference, estimate in (
        (torch.zeros_like(signal), signal),
        (signal[..., :100], noise(2, 2, 100, seed=1)),
    ):
        value, gradient = gradient_of(loss, reference, estimate)
        assert value == 0
        assert (gradient == 0).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_padding_changes_neither_value_nor_gradient(loss):
    reference, estimate = source(300.0), noise(2, 2, 8000, seed=3)
    first, second = (
        gradient_of(loss, reference[i : i + 1, :, :n], estimate[i : i + 1, :, :n])
        for i, n in ((0, 8000), (1, 6000))
    )
    reference[1, :, 6000:], estimate[1, :, 6000:] = math.nan, math.inf
    lengths = torch.tensor([1.0, 0.75])
    value, gradient = gradient_of(loss, reference, estimate, lengths)
    assert value == pytest.approx((first[0] + second[0]) / 2, rel=1e-9)
    torch.testing.assert_close(gradient[:1], first[1] / 2)
    torch.testing.assert_close(gradient[1:, :, :6000], second[1] / 2)
    assert (gradient[1, :, 6000:] == 0).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_bfloat16_autocast_keeps_float32(loss):
    reference, estimate = source(300.0).float(), noise(2, 2, 8000, seed=3).float()
    precise = loss(reference.double(), estimate.double(), RATE).item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(reference, estimate, RATE)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(precise, rel=1e-4)
    half = loss(reference.bfloat16(), estimate.bfloat16(), RATE)
    assert half.dtype == torch.float32
    assert loss(reference.double(), estimate, RATE).dtype == torch.float64


@pytest.mark.parametrize("loss", LOSSES)
def test_wrong_arguments_are_named(loss):
    with pytest.raises(ValueError, match="2 ears"):
        loss(torch.zeros(1, 3, 900), torch.zeros(1, 3, 900), RATE)
    with pytest.raises(ValueError, match="2 ears"):
        loss(torch.zeros(2, 900), torch.zeros(2, 900), RATE)
    with pytest.raises(ValueError, match="differ in shape"):
        loss(torch.zeros(1, 2, 900), torch.zeros(1, 2, 901), RATE)
    with pytest.raises(ValueError, match="lengths"):
        loss(torch.zeros(2, 2, 900), torch.zeros(2, 2, 900), RATE, torch.ones(3))


@pytest.mark.parametrize("loss", [ild_loss, ipd_loss])
def test_a_first_call_without_gradients_forbids_none_later(loss):
    # 12 345 Hz: of no other test
    clean, processed = torch.randn(2, 1, 2, 4000, dtype=torch.float64)
    with torch.inference_mode():
        expected = loss(clean, processed, 12345)
    value = loss(clean, processed.requires_grad_(), 12345)
    value.backward()
    assert value == expected
    assert processed.grad.isfinite().all()


def test_losses_are_named_in_yaml():
    yaml = "loss: !name:speechbrain_fusion.losses.ild_loss\n    rate: 16000\n"
    reference, lengths = source(items=1), torch.ones(1)
    loss = load_hyperpyyaml(yaml)["loss"]
    louder = reference * torch.tensor([[10.0], [1.0]])
    value = loss(reference, louder, lengths=lengths).item()
    assert value == pytest.approx(20.0, abs=1e-3)


def descend(loss, spoil):
    """Return the number that keeps a source's cues best, found from zero."""
    reference = source(250.0, 3.0)
    number = torch.zeros((), dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([number], lr=0.5)
    schedule = torch.optim.lr_scheduler.ExponentialLR(adam, 0.95)
    for _ in range(100):
        right = spoil(reference[:, 1], number)
        adam.zero_grad()
        loss(reference, torch.stack([reference[:, 0], right], 1), RATE).backward()
        adam.step()
        schedule.step()
    return number.item()


@pytest.mark.slow
def test_descent_restores_the_level_of_an_ear():
    gain = descend(ild_loss, lambda ear, gain: 0.5 * ear * 10 ** (gain / 20))
    assert gain == pytest.approx(20 * math.log10(2), abs=0.05)


@pytest.mark.slow
def test_descent_restores_the_delay_of_an_ear():
    delay = descend(ipd_loss, lambda ear, steps: delayed(ear, 100 * steps - 400))
    assert delay == pytest.approx(4.0, abs=0.03)


@pytest.mark.slow
def test_descent_on_the_samples_restores_the_cues():
    reference = source(250.0, 3.0, items=1)
    spoilt = torch.stack([2 * reference[:, 0], delayed(reference[:, 1], -200.0)], 1)
    estimate = spoilt.clone().requires_grad_()
    adam = torch.optim.Adam([estimate], lr=1e-2)
    for _ in range(100):
        adam.zero_grad()
        loss = ild_loss(reference, estimate, RATE)
        (loss + 20 * ipd_loss(reference, estimate, RATE)).backward()
        adam.step()
    for metric in (ild_error, itd_error):
        before, after = (metric(reference, x, RATE) for x in (spoilt, estimate))
        assert after.item() < 0.25 * before.item()
