"""The two-branch network: golden values, any length and size, causality, ablations."""

from pathlib import Path

import pytest
import torch

from speechbrain_fusion.losses import complex_loss, magnitude_loss
from speechbrain_fusion.models.two_branch import TwoBranchEnhancer, recover
from speechbrain_fusion.nnet import BatchNorm, CollaborativeExpertBlock
from speechbrain_fusion.nnet.spectral_branch import widths
from tests.golden.loaders import load_two_branch
from tests.nnet.parameters import count

GOLDEN = Path(__file__).parents[1] / "golden"
SMALL = {"fft_size": 64, "hop": 32, "channels": 4, "experts": 3, "kernels": (5, 3, 3)}
SMALL |= {"units": 2, "groups": 1, "squeezed": 5, "temporal_kernel": 3}


def make(**options) -> TwoBranchEnhancer:
    return TwoBranchEnhancer(**(SMALL | options))


def test_golden_values():
    model, inputs, outputs = load_two_branch(GOLDEN / "two_branch.npz")
    for found, expected in zip(model.estimate(*inputs), outputs, strict=True):
        assert (found - expected).norm() < 1e-5 * expected.norm()


def test_published_parameter_count():
    model = TwoBranchEnhancer(final_norm=True)
    assert count(model) == 3_214_992


@pytest.mark.parametrize("fft_size", [46, 64, 80, 126, 320])
@pytest.mark.parametrize("items", [1, 3])
def test_any_size_batch_and_length_keep_their_shape(fft_size, items):
    model = make(fft_size=fft_size, hop=fft_size // 2)
    for time in (1, 1001):
        enhanced = model(torch.randn(items, time), clean=torch.randn(items, time))
        frames, bins = model.stft.frames(time), fft_size // 2 + 1
        assert enhanced.signal.shape == (items, time)
        assert enhanced.magnitude.shape == (items, frames, bins)
        assert enhanced.spectrum.shape == (items, 2, frames, bins)
        assert enhanced.clean.shape == (items, 2, frames, bins)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("norm", ["batch", "layer", "cumulative"])
@pytest.mark.parametrize("short", [1, 31, 32, 277, 500])
def test_an_item_of_a_padded_batch_gives_what_it_gives_alone(causal, norm, short):
    model = make(causal=causal, norm=norm).eval()
    long, item = torch.randn(1, 600), torch.randn(1, short)
    noise = torch.full((1, 600 - short), torch.nan)
    batch = torch.cat([long, torch.cat([item, noise], 1)])
    together = model(batch, torch.tensor([1.0, short / 600]), batch)
    alone = model(item, clean=item)
    frames = alone.magnitude.shape[1]
    close = {"atol": 1e-5, "rtol": 1e-4}
    torch.testing.assert_close(together.signal[1:, :short], alone.signal, **close)
    assert (together.signal[1, short:] == 0).all()
    for one, other in zip(together[1:4], alone[1:4], strict=True):
        torch.testing.assert_close(one[1:, ..., :frames, :], other, **close)
        assert (one[1, ..., frames:, :] == 0).all()
    assert round(together.lengths[1].item() * together.magnitude.shape[1]) == frames


def losses(model, noisy, clean, lengths=None):
    enhanced = model(noisy, lengths, clean)
    pair = enhanced.clean, enhanced.lengths
    terms = []
    if enhanced.magnitude is not None:
        terms.append(magnitude_loss(pair[0], enhanced.magnitude, pair[1]))
    if enhanced.spectrum is not None:
        terms.append(complex_loss(pair[0], enhanced.spectrum, pair[1]))
    return terms


@pytest.mark.parametrize("norm", ["layer", "cumulative"])
def test_losses_and_gradients_of_a_padded_batch_are_the_items_mean(norm):
    model = make(norm=norm)
    items = [(torch.randn(1, n), torch.randn(1, n)) for n in (600, 280)]
    stacked = [
        torch.nn.utils.rnn.pad_sequence([x[0] for x in each], batch_first=True)
        for each in zip(*items, strict=True)
    ]
    whole = sum(losses(model, *stacked, torch.tensor([1.0, 280 / 600])))
    parts = sum(sum(losses(model, *item)) for item in items) / 2
    torch.testing.assert_close(whole, parts)
    parameters = list(model.parameters())
    for one, other in zip(
        *(torch.autograd.grad(x, parameters) for x in (whole, parts)), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("norm", ["batch", "layer", "cumulative"])
def test_a_causal_network_hears_no_further_than_its_window(norm):
    model = make(causal=True, norm=norm).eval()
    x = torch.randn(1, 1000, requires_grad=True)
    for place in (500, 512, 531):
        gradient = torch.autograd.grad(model(x).signal[0, place], x)[0][0]
        last = gradient.nonzero().max().item()
        assert place <= last < place + 64
    whole = torch.autograd.grad(make().eval()(x).signal[0, 500], x)[0][0]
    assert whole[600:].abs().sum() > 0


@pytest.mark.parametrize("gain", [1e-3, 0.1, 30.0])
def test_a_normalized_network_follows_the_level(gain):
    model, x = make().eval(), torch.randn(2, 500)
    torch.testing.assert_close(model(gain * x).signal, gain * model(x).signal)


@pytest.mark.parametrize("compression", [0.3, 1.0])
@pytest.mark.parametrize(
    ("options", "levelled"),
    [
        ({}, True),
        ({"normalize": True}, True),
        ({"normalize": False}, False),
        ({"causal": True}, False),
    ],
)
def test_the_target_is_compressed_at_the_level_that_the_network_hears(
    options, levelled, compression
):
    """That of the noisy signal's root mean square, if it may know all of it."""
    model = make(compression=compression, **options)
    clean, noisy = torch.randn(2, 500), 3 * torch.randn(2, 500)
    rms = noisy.square().mean(-1, keepdim=True).sqrt() if levelled else 1.0
    window, settings = torch.hann_window(64), {"pad_mode": "constant"}
    spectrum = torch.stft(
        clean / rms, 64, 32, window=window, return_complex=True, **settings
    )
    compressed = torch.polar(spectrum.abs() ** compression, spectrum.angle())
    expected = torch.view_as_real(compressed).permute(0, 3, 2, 1)
    found = model(noisy, clean=clean).clean[:, :, : expected.shape[2]]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


def test_silence_stays_finite():
    for options in (
        {},
        {"causal": True, "norm": "cumulative"},
        {"branches": "complex"},
    ):
        model = make(**options)
        x = torch.zeros(2, 500, requires_grad=True)
        enhanced = model(x, clean=torch.zeros(2, 500))
        total = enhanced.signal.square().mean() + sum(losses(model, x, x))
        gradients = torch.autograd.grad(total, [x, *model.parameters()])
        assert enhanced.signal.isfinite().all()
        assert all(gradient.isfinite().all() for gradient in gradients)


# -- how the branches work together ---------------------------------------------------


def reached(loss, model) -> set[str]:
    """Name the branches in which a loss has a gradient."""
    model.zero_grad()
    loss.backward()
    return {
        name.partition(".")[0]
        for name, p in model.named_parameters()
        if p.grad is not None and p.grad.abs().sum() > 0
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"magnitude", "complex"}),
        ({"detach_exchange": True}, {"complex"}),
        ({"exchange": False}, {"complex"}),
    ],
)
def test_the_complex_loss_teaches_whom_it_may(options, expected):
    model = make(**options)
    x = torch.randn(2, 500)
    first, second = losses(model, x, torch.randn(2, 500))
    assert reached(second, model) == expected
    first, _ = losses(model, x, torch.randn(2, 500))
    assert reached(first, model) == {"magnitude", "linear"}


def test_exchange_is_one_way():
    model, spectrum = make().eval(), torch.randn(1, 2, 6, 33)
    before = model.estimate(spectrum)
    with torch.no_grad():
        for parameter in model.complex.parameters():
            parameter.mul_(2)
    after = model.estimate(spectrum)
    assert torch.equal(before[0], after[0])
    with torch.no_grad():
        for parameter in model.magnitude.encoder.parameters():
            parameter.mul_(2)
    assert not torch.allclose(model.estimate(spectrum)[1], after[1])


def test_one_branch_alone():
    x = torch.randn(2, 500)
    both, magnitude, complex_ = (
        make(branches=b) for b in ("both", "magnitude", "complex")
    )
    assert magnitude(x).spectrum is None
    assert complex_(x).magnitude is None
    assert count(both) == count(magnitude, complex_)


def test_plain_convolutions_stand_where_expert_blocks_do():
    torch.manual_seed(0)
    model = make(blocks="plain", exchange=False, norm="layer", causal=True).eval()
    assert not any(isinstance(x, CollaborativeExpertBlock) for x in model.modules())
    noisy = torch.randn(2, 500, requires_grad=True)
    enhanced = model(noisy)
    assert enhanced.signal.shape == (2, 500)
    assert enhanced.magnitude.shape == make()(noisy).magnitude.shape
    later = torch.autograd.grad(enhanced.signal[:, 200].sum(), noisy)[0][:, 264:]
    assert later.abs().max() == 0


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_lengths_of_one_change_nothing(norm):
    one, other = make(norm=norm), make(norm=norm)
    other.load_state_dict(one.state_dict())
    x = torch.randn(2, 500)
    found, expected = one(x, torch.ones(2)), other(x)
    torch.testing.assert_close(found.signal, expected.signal, atol=1e-5, rtol=1e-4)
    for name, value in one.state_dict().items():
        torch.testing.assert_close(value, other.state_dict()[name], msg=name)


def test_one_branch_may_be_plain():
    enhanced = make(branches="magnitude", blocks="plain")(torch.randn(2, 500))
    assert enhanced.signal.shape == (2, 500)


@pytest.mark.slow
def test_double_precision_has_the_gradient_of_what_it_computes():
    model = make(norm="layer", channels=2, experts=2, units=1).double()
    x = torch.randn(1, 70, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: model(y).signal, x, atol=1e-4)


def test_the_final_norm_is_a_batch_norm_whatever_the_others_are():
    last = make(norm="layer", final_norm=True).complex.decoders[0].blocks[0]
    assert isinstance(last.norm, BatchNorm)


def test_the_magnitude_is_of_one_branch_and_the_phase_of_the_other():
    magnitude = torch.rand(2, 6, 5) + 0.1
    spectrum, noisy = torch.randn(2, 2, 6, 5), torch.randn(2, 2, 6, 5)

    def as_complex(x):
        return torch.view_as_complex(x.movedim(1, -1).contiguous())

    for given, phase in ((spectrum, spectrum), (None, noisy)):
        found = as_complex(recover(magnitude, given, noisy))
        torch.testing.assert_close(found.abs(), magnitude)
        torch.testing.assert_close(found.angle(), as_complex(phase).angle())
    assert recover(None, spectrum, noisy) is spectrum


@pytest.mark.parametrize("norm", ["batch", "layer", "cumulative"])
@pytest.mark.parametrize("lengths", [None, torch.tensor([1.0, 0.6])])
def test_bf16_stays_near_single_precision_and_trains(norm, lengths):
    model, x = make(norm=norm, channels=16, experts=8), torch.randn(2, 500)
    with torch.autocast("cpu", torch.bfloat16):
        enhanced = model(x, lengths, clean=x)
        loss = magnitude_loss(enhanced.clean, enhanced.magnitude, enhanced.lengths)
        loss = loss + complex_loss(enhanced.clean, enhanced.spectrum, enhanced.lengths)
    loss.backward()
    assert {x.dtype for x in enhanced[:4]} == {torch.float32}
    assert all(p.grad.isfinite().all() for p in model.parameters())
    expected = model(x, lengths)
    for one, other in zip(enhanced[1:3], expected[1:3], strict=True):
        assert (one - other).norm() < 0.05 * other.norm()


@pytest.mark.slow
def test_a_network_learns_to_take_noise_from_a_tone():
    torch.manual_seed(0)
    time = torch.arange(800) / 8000
    model = make(norm="layer")
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    history = []
    for _ in range(60):
        pitch = 300 + 1000 * torch.rand(8, 1)
        clean = torch.sin(2 * torch.pi * pitch * time)
        loss = sum(losses(model, clean + 0.5 * torch.randn(8, 800), clean))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert sum(history[-5:]) < 0.5 * sum(history[:5])


# -- what cannot be --------------------------------------------------------------------


def test_sizes_that_cannot_be_halved_often_enough_are_named():
    with pytest.raises(ValueError, match=r"fft_size: expected .* got 62, which leaves"):
        widths(32, [5, 3, 3, 3, 3])
    with pytest.raises(ValueError, match="fft_size"):
        TwoBranchEnhancer(fft_size=62, hop=31)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"branches": "left"}, "branches: expected one of"),
        ({"hop": 30}, "hop: expected a part of half the window, 32, got 30"),
        ({"hop": 64}, "hop: expected a part of half the window, 32, got 64"),
        ({"causal": True, "normalize": True}, "normalize: expected false for a causal"),
        ({"norm": "group"}, "norm: expected one of"),
        ({"blocks": "round", "exchange": False}, "blocks: expected one of"),
        ({"blocks": "plain"}, "exchange: expected false for plain blocks"),
    ],
)
def test_options_that_cannot_be_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_wrong_shapes_are_named():
    model = make()
    with pytest.raises(ValueError, match=r"expected \[batch, time\]"):
        model(torch.zeros(2, 1, 500))
    with pytest.raises(ValueError, match="differ in shape"):
        model(torch.zeros(2, 500), clean=torch.zeros(2, 400))
