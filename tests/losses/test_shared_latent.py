"""Losses of a shared latent space: values by hand, padding, silence, invariances."""

import math

import pytest
import torch

from speechbrain_fusion.losses import (
    anchor_loss,
    complex_cycle_loss,
    cycle_loss,
    latent_match_loss,
    latent_prior_loss,
    latent_spread_loss,
    magnitude_loss,
    mixture_loss,
    multi_resolution_loss,
    phase_loss,
    pure_noise_loss,
)

FRAMES, BINS, CHANNELS, TIME = 6, 5, 4, 2048


def spectra(items=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(items, 2, FRAMES, BINS, generator=generator)


def phases(items=2, seed=1):
    made = spectra(items, seed)
    return made / made.square().sum(1, keepdim=True).sqrt()


def amplitudes(items=2, seed=2):
    return spectra(items, seed)[:, 0].abs()


def latents(items=2, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(items, CHANNELS, FRAMES, generator=generator)


def signals(items=2, seed=4):
    return torch.randn(items, TIME, generator=torch.Generator().manual_seed(seed))


# of each loss a pair of what it compares, the one it learns by last
CASES = {
    "amplitude": (magnitude_loss, lambda: (spectra(), amplitudes())),
    "phase": (phase_loss, lambda: (spectra(), phases())),
    "prior": (latent_prior_loss, lambda: (latents(),)),
    "latent match": (latent_match_loss, lambda: (latents(), latents(seed=9))),
    "spread": (latent_spread_loss, lambda: (latents(), latents(seed=9))),
    "mixture": (mixture_loss, lambda: (spectra(), spectra(seed=9))),
    "mixture's amplitude": (mixture_loss, lambda: (spectra(), amplitudes())),
    "cycle": (cycle_loss, lambda: (spectra(), spectra(seed=9))),
    "complex cycle": (
        complex_cycle_loss,
        lambda: (amplitudes(), phases(), spectra()),
    ),
    "anchor": (
        lambda latent, spectrum, *rest, **options: anchor_loss(
            (latent, spectrum), *rest, **options
        ),
        lambda: (latents(), spectra(), latents(seed=9), amplitudes(), phases()),
    ),
    "pure noise": (pure_noise_loss, lambda: (amplitudes(),)),
    "multi-resolution": (multi_resolution_loss, lambda: (signals(), signals(seed=9))),
}


@pytest.fixture(params=CASES, name="case")
def case_(request):
    loss, make = CASES[request.param]
    return loss, make()


def frame_axis(x):
    return -1 if x.shape[-1] in (FRAMES, TIME) else -2


def test_padding_changes_neither_value_nor_gradient(case):
    loss, given = case
    lengths = torch.tensor([1.0, 0.5])
    padded, short = [], []
    for x in given:
        axis = frame_axis(x)
        own = x.shape[axis] // 2
        item = x.clone()
        item[1:].narrow(axis, own, x.shape[axis] - own).fill_(torch.nan)
        padded.append(item.requires_grad_())
        short.append(x[1:].narrow(axis, 0, own))
    together = loss(*padded, lengths=lengths, reduction="none")
    alone = [
        loss(*[x[:1] for x in given], reduction="none"),
        loss(*short, reduction="none"),
    ]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-5, atol=1e-6)
    together.sum().backward()
    for x in padded:
        if x.grad is not None:
            own = x.shape[frame_axis(x)] // 2
            assert x.grad.isfinite().all()
            beyond = x.grad[1:].narrow(frame_axis(x), own, own)
            assert (beyond == 0).all()


def test_mean_is_that_of_the_items(case):
    loss, given = case
    torch.testing.assert_close(loss(*given), loss(*given, reduction="none").mean())
    with pytest.raises(ValueError, match="reduction: expected one of"):
        loss(*given, reduction="sum")


def test_silence_and_zeros_are_finite(case):
    loss, given = case
    zeros = [torch.zeros_like(x).requires_grad_() for x in given]
    value = loss(*zeros)
    assert value.isfinite()
    value.backward()
    for x in zeros:
        assert x.grad is None or x.grad.isfinite().all()


@pytest.mark.slow
def test_gradients_are_those_of_differences(case):
    loss, given = case
    if given[0].shape[-1] == TIME:
        given = [x[:, :256].double() for x in given]
        options = {"fft_sizes": (64, 32)}
    else:
        given, options = [x.double() for x in given], {}
    wanted = [*given[:-1], given[-1].requires_grad_()]
    assert torch.autograd.gradcheck(
        lambda x: loss(*wanted[:-1], x, **options), given[-1]
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_is_computed_in_float32(case, dtype):
    loss, given = case
    low = [x.to(dtype) for x in given]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(*low)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(*[x.float() for x in low]))


@pytest.mark.parametrize("angle", [0.0, 0.3, math.pi / 2, math.pi])
def test_phase_loss_is_one_minus_cosine(angle):
    spectrum = spectra()
    turn = torch.view_as_complex(spectrum.movedim(1, -1).contiguous())
    turned = torch.view_as_real(
        turn / turn.abs() * complex(math.cos(angle), math.sin(angle))
    )
    value = phase_loss(spectrum, turned.movedim(-1, 1))
    expected = spectrum.square().sum(1).sqrt().mean() * (1 - math.cos(angle))
    torch.testing.assert_close(value, expected, atol=1e-5, rtol=1e-4)


def test_phase_loss_is_weighted_by_amplitude():
    spectrum, estimate = torch.zeros(1, 2, 1, 2), torch.zeros(1, 2, 1, 2)
    spectrum[0, 0, 0] = torch.tensor([3.0, 1.0])
    estimate[0, 0, 0] = torch.tensor([1.0, -1.0])
    # of two bins the weaker one is missed
    assert phase_loss(spectrum, estimate).item() == pytest.approx(2 * 1.0 / 2)
    assert phase_loss(4 * spectrum, estimate).item() == pytest.approx(4.0)


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 3.0])
def test_spread_is_the_difference_of_standard_deviations(factor):
    """Neither the mean of a latent nor the order of its frames counts."""
    latent = latents()
    other = 7.0 + factor * latent.flip(-1)
    spread = latent.std(-1, correction=0)
    expected = (spread * (factor - 1)).square().mean()
    value = latent_spread_loss(latent, other)
    torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-6)


def test_spread_pulls_a_collapsed_latent_apart():
    collapsed = (1 + 1e-3 * latents(seed=9)).requires_grad_()
    latent_spread_loss(latents(), collapsed).backward()
    moved = (collapsed - collapsed.grad).detach()
    assert (moved.std(-1) > collapsed.std(-1)).all()


def test_mixture_and_cycle_need_the_phase_of_spectra_alone():
    spectrum = spectra()
    magnitude = spectrum.square().sum(1).sqrt()
    assert mixture_loss(spectrum, magnitude) < 1e-10
    for loss in (mixture_loss, cycle_loss):
        expected = 2 * spectrum.square().sum(1).mean()
        torch.testing.assert_close(loss(spectrum, -spectrum), expected)


@pytest.mark.parametrize(
    ("gain", "sign", "expected"), [(1, 1, 0.0), (1, -1, 4 / 2), (2, 1, 1 / 2 + 1)]
)
def test_complex_cycle_compares_parts_and_amplitudes(gain, sign, expected):
    """Half the squared distance of spectra, and that of amplitudes."""
    spectrum = spectra()
    magnitude = spectrum.square().sum(1).sqrt()
    phase = spectrum / magnitude.unsqueeze(1)
    value = complex_cycle_loss(gain * magnitude, sign * phase, spectrum)
    expected = expected * spectrum.square().sum(1).mean()
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-10)


def test_anchor_adds_latent_amplitude_and_phase():
    latent, spectrum, other = latents(), spectra(), latents(seed=9)
    amplitude, phase = amplitudes(), phases()
    parts = [
        latent_match_loss(latent, other),
        magnitude_loss(spectrum, amplitude),
        phase_loss(spectrum, phase),
    ]
    value = anchor_loss((latent, spectrum), other, amplitude, phase)
    torch.testing.assert_close(value, sum(parts))
    without = anchor_loss((latent, spectrum), other, amplitude)
    torch.testing.assert_close(without, parts[0] + parts[1])


@pytest.mark.parametrize("compression", [0.3, 0.5, 1.0])
def test_pure_noise_is_the_power_before_compression(compression):
    wide = amplitudes()
    value = pure_noise_loss(wide**compression, compression=compression)
    torch.testing.assert_close(value, wide.square().mean())


@pytest.mark.parametrize("compression", [0.0, -0.5, 2.0])
def test_pure_noise_refuses_what_is_no_compression(compression):
    with pytest.raises(ValueError, match=r"compression: expected above 0 to 1"):
        pure_noise_loss(amplitudes(), compression=compression)


def test_multi_resolution_is_the_mean_of_single_ones():
    pair = signals(), signals(seed=9)
    each = [multi_resolution_loss(*pair, fft_sizes=(size,)) for size in (512, 128)]
    together = multi_resolution_loss(*pair, fft_sizes=(512, 128))
    torch.testing.assert_close(together, torch.stack(each).mean())


def test_multi_resolution_takes_channels_as_items_of_one():
    pair = signals(4), signals(4, seed=9)
    stereo = [x.view(2, 2, TIME) for x in pair]
    each = multi_resolution_loss(*pair, reduction="none")
    found = multi_resolution_loss(*stereo, reduction="none")
    torch.testing.assert_close(found, each.view(2, 2).mean(-1))


def test_multi_resolution_sees_a_click_that_a_long_window_smears():
    """A short window places it in time: moving it costs more there."""
    click, moved = torch.zeros(2, 1, TIME)
    click[0, 1000], moved[0, 1100] = 1.0, 1.0
    found = [multi_resolution_loss(click, moved, fft_sizes=(n,)) for n in (128, 1024)]
    still = [
        multi_resolution_loss(click, 0 * click, fft_sizes=(n,)) for n in (128, 1024)
    ]
    assert found[0] / still[0] > found[1] / still[1]


@pytest.mark.parametrize("sizes", [(), (2,), (130,), (512, 6)])
def test_multi_resolution_refuses_impossible_sizes(sizes):
    with pytest.raises(ValueError, match=r"fft_sizes: expected multiples of 4"):
        multi_resolution_loss(signals(), signals(), fft_sizes=sizes)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        phase_loss(spectra(), phases(3))
    for shape in ((1, 3, 4, 5), (4, 5), (1, 2, 3, 4, 5)):
        with pytest.raises(ValueError, match=r"expected \[batch, 2 parts, frames, bi"):
            phase_loss(torch.ones(shape), torch.ones(shape))
    with pytest.raises(ValueError, match="differ in shape"):
        latent_match_loss(latents(), latents(3))
    with pytest.raises(ValueError, match="differ in shape"):
        multi_resolution_loss(signals(), signals(3))


def test_latents_without_a_frame_match():
    assert latent_match_loss(torch.ones(1, 4, 0), torch.ones(1, 4, 0)) == 0
