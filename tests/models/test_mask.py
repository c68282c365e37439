"""Supervised masks: bounds, padding, level, learning."""

import math

import pytest
import torch

from speechbrain_fusion.models import MaskEnhancer

SMALL = {"fft_sizes": (128, 64), "hop": 32, "channels": (10, 6), "kernel": 3}


def make(mask="ratio", **options):
    torch.manual_seed(0)
    return MaskEnhancer(mask, **{**SMALL, **options})


def noise(items=2, channels=1, time=1000, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(items, channels, time, generator=generator)


@pytest.mark.parametrize("mask", ["ratio", "complex"])
@pytest.mark.parametrize("short", [1, 33, 999])
def test_an_item_of_a_padded_batch_gives_what_it_gives_alone(mask, short):
    model, batch = make(mask).eval(), noise()
    batch[1, :, short:] = torch.nan
    together = model(batch, torch.tensor([1.0, short / 1000]))
    alone = model(batch[1:, :, :short])
    torch.testing.assert_close(together[1:, :, :short], alone, rtol=1e-3, atol=1e-4)
    assert (together[1, :, short:] == 0).all()


@pytest.mark.parametrize("mask", ["ratio", "complex"])
def test_channels_are_enhanced_each_on_its_own(mask):
    model, pair = make(mask).eval(), noise(2, 2)
    each = [model(pair[:, i : i + 1]) for i in range(2)]
    torch.testing.assert_close(model(pair), torch.cat(each, 1))


@pytest.mark.parametrize("gain", [1e-3, 100.0])
def test_output_follows_the_input_level(gain):
    model = make().eval()
    expected = gain * model(noise())
    torch.testing.assert_close(
        model(gain * noise()), expected, rtol=1e-3, atol=1e-3 * gain
    )


@pytest.mark.parametrize("level", [-100.0, 100.0])
def test_a_ratio_mask_is_from_zero_to_one(level):
    model = make().eval()
    with torch.no_grad():
        model.decoder.layers[-1].conv.bias.fill_(level)
    expected = noise() if level > 0 else torch.zeros_like(noise())
    torch.testing.assert_close(model(noise()), expected, atol=1e-3, rtol=1e-3)


def test_a_complex_mask_can_turn_the_phase():
    model = make("complex", bound=2.0).eval()
    bins = model.stft.bins
    with torch.no_grad():
        last = model.decoder.layers[-1].conv
        last.weight.zero_()
        last.bias[:bins] = torch.atanh(torch.tensor(-0.5))
        last.bias[bins:] = 0.0
    torch.testing.assert_close(model(noise()), -noise(), atol=1e-3, rtol=1e-3)


def constant_mask(mask, *biases, **options):
    """A network whose last layer gives the same mask in every bin, whatever it hears.

    The biases are those of the ratio, or of real and imaginary part.
    """
    model = make(mask, **options).eval()
    with torch.no_grad():
        last = model.decoder.layers[-1].conv
        last.weight.zero_()
        for bias, value in zip(last.bias.chunk(len(biases)), biases, strict=True):
            bias.fill_(value)
    return model


def test_a_mask_of_j_turns_sines_into_cosines_and_twice_to_their_negative():
    model = constant_mask("complex", 0.0, math.atanh(0.5), bound=2.0)
    # at whole bins, so that a window has nothing at 0 Hz, which has no phase
    phase = 2 * torch.pi * torch.arange(2000) * torch.tensor([[5.0], [16], [40]]) / 128
    sines, cosines = (x.sum(0).view(1, 1, -1) for x in (phase.sin(), phase.cos()))
    inside = slice(256, -256)
    for given, expected in ((sines, cosines), (model(sines), -sines)):
        torch.testing.assert_close(
            model(given)[..., inside], expected[..., inside], atol=1e-3, rtol=0
        )


@pytest.mark.parametrize("compression", [0.3, 0.5, 1.0])
def test_a_ratio_is_that_of_amplitudes_however_they_are_compressed(compression):
    quarter = math.log(0.25 / 0.75)
    model = constant_mask("ratio", quarter, compression=compression)
    torch.testing.assert_close(model(noise()), 0.25 * noise(), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("compression", [0.3, 0.5, 1.0])
def test_the_encoder_hears_compressed_amplitudes_at_unit_power(compression):
    model, signal, heard = make(compression=compression).eval(), noise(1)[0], []
    model.encoder.register_forward_pre_hook(lambda _, given: heard.append(given[0]))
    model(3 * signal[None])
    amplitudes = []
    for size in SMALL["fft_sizes"]:
        window = torch.hann_window(size)
        window = window / window.square().sum().sqrt()
        unit = signal / signal.square().mean().sqrt()
        options = {"window": window, "pad_mode": "constant", "return_complex": True}
        amplitudes.append(torch.stft(unit, size, SMALL["hop"], **options).abs())
    expected = torch.cat(amplitudes, 1) ** compression
    found = heard[0][..., : expected.shape[-1]]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


def test_bad_options_are_named():
    with pytest.raises(ValueError, match=r"mask: expected one of .*'binary'"):
        make("binary")
    for bound in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="bound: expected a finite number above 0"):
            make("complex", bound=bound)
    with pytest.raises(ValueError, match="expected 2 lengths"):
        make()(noise(), torch.ones(3))


def test_it_can_be_moved_and_cast():
    assert make().double()(noise().double()).dtype == torch.float64


@pytest.mark.slow
@pytest.mark.parametrize("mask", ["ratio", "complex"])
def test_it_learns_to_remove_a_tone(mask):
    torch.manual_seed(0)
    model = make(mask, channels=(16, 12))
    time = torch.arange(2000) / 16000
    speech, tone = (torch.sin(2 * torch.pi * f * time) for f in (500.0, 3000.0))
    target, mixture = speech.view(1, 1, -1), (speech + tone).view(1, 1, -1)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        loss = (model(mixture) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    error = (model.eval()(mixture) - target).square().mean()
    assert error < 0.3 * tone.square().mean()


def test_silence_and_low_precision_are_finite():
    model = make("complex")
    assert model.eval()(torch.zeros(1, 1, 500)).abs().max() < 1e-3
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(noise()).isfinite().all()


def test_a_complex_mask_begins_near_one():
    error = make("complex").eval()(noise()) - noise()
    assert error.square().mean() < 0.1 * noise().square().mean()
