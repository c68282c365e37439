import pickle

import pytest
import torch
from speechbrain.lobes.models.dual_path import Encoder
from torch import nn

from speechbrain_fusion.losses.latent import latent_loss
from speechbrain_fusion.losses.pit import pit_si_sdr_loss
from speechbrain_fusion.models.unified import ConvTasNetMasker, UnifiedSeparator
from speechbrain_fusion.nnet.dual_path import DPRNNMasker, SepFormerMasker
from tests.nnet.memory import saved_bytes
from tests.nnet.parameters import count

KINDS = ["dprnn", "sepformer", "conv", "causal"]


def masker(kind, masks, **options):
    if kind == "dprnn":
        return DPRNNMasker(8, masks, 1, hidden=6, chunk=10, **options)
    if kind == "sepformer":
        return SepFormerMasker(8, masks, 1, 1, 2, 12, dropout=0.0, chunk=10, **options)
    return ConvTasNetMasker(8, masks, 6, 7, 9, 3, 2, 1, kind == "causal", **options)


def separator(kind, talkers=2, detach_clean=True, **options):
    maskers = [masker(kind, masks, **options) for masks in (1, talkers)]
    return UnifiedSeparator(*maskers, channels=8, detach_clean=detach_clean)


def batch(*samples):
    """Mixtures of the given lengths, padded, and their relative lengths."""
    items = [torch.randn(number) for number in samples]
    lengths = torch.tensor(samples) / max(samples)
    return nn.utils.rnn.pad_sequence(items, batch_first=True), lengths


PUBLISHED = [
    ("dprnn", 2, 19_684_098),
    ("dprnn", 3, 19_749_890),
    ("sepformer", 2, 29_171_458),
    ("sepformer", 3, 29_237_250),
]


@pytest.mark.parametrize(("kind", "talkers", "parameters"), PUBLISHED)
def test_published_parameter_counts(kind, talkers, parameters):
    with torch.device("meta"):
        if kind == "dprnn":
            maskers = DPRNNMasker(256, 1, blocks=2), DPRNNMasker(256, talkers)
        else:
            maskers = SepFormerMasker(256, 1, layers=1), SepFormerMasker(256, talkers)
        model = UnifiedSeparator(*maskers)
    assert count(model) == parameters


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("talkers", "items", "time"), [(2, 1, 1), (3, 2, 17), (2, 3, 500)]
)
def test_any_length_and_batch_keep_their_shape(kind, talkers, items, time):
    result = separator(kind, talkers)(torch.randn(items, time))
    assert result.signals.shape == (items, talkers, time)
    assert result.signals.isfinite().all()
    assert result.clean is result.lengths is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("short", [1, 15, 16, 17, 24, 277, 393])
def test_an_item_of_a_padded_batch_gives_what_it_gives_alone(kind, short):
    model, (noisy, lengths) = separator(kind).eval(), batch(400, short)
    noisy[1, short:] = torch.nan
    together = model(noisy, lengths, clean=0.5 * noisy)
    for index, number in enumerate((400, short)):
        own = noisy[index : index + 1, :number]
        alone = model(own, clean=0.5 * own)
        frames = alone.enhanced.shape[-1]
        signals = together.signals[index]
        torch.testing.assert_close(signals[:, :number], alone.signals[0])
        assert (signals[:, number:] == 0).all()
        for ours, expected in zip(together[1:3], alone[1:3], strict=True):
            torch.testing.assert_close(ours[index, :, :frames], expected[0])
            assert (ours[index, :, frames:] == 0).all()
        total = together.enhanced.shape[-1]
        assert round(float(together.lengths[index] * total)) == frames


@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_gradients_of_a_padded_batch_are_the_items_mean(kind):
    model, samples = separator(kind).double(), (400, 277, 120)
    noisy, lengths = batch(*samples)
    talkers, clean = torch.randn(3, 2, 400).double(), torch.randn(3, 400).double()

    def gradients(index, number, relative):
        y = model(noisy[index, :number].double(), relative, clean[index, :number])
        loss = pit_si_sdr_loss(talkers[index, :, :number], y.signals, relative)
        loss = loss + 0.1 * latent_loss(y.clean, y.enhanced, y.lengths)
        return torch.autograd.grad(loss, list(model.parameters()))

    together = gradients(slice(0, 3), 400, lengths)
    alone = [gradients(slice(i, i + 1), n, None) for i, n in enumerate(samples)]
    for ours, *items in zip(together, *alone, strict=True):
        torch.testing.assert_close(ours, torch.stack(items).mean(0))


def test_the_separation_masks_multiply_the_enhanced_features():
    class Constant(nn.Module):
        def __init__(self, *values):
            super().__init__()
            self.masks = len(values)
            self.values, self.heard = torch.tensor(values).view(1, -1, 1, 1), None

        def forward(self, features, frames):
            self.heard = features
            return self.values * torch.ones_like(features).unsqueeze(1)

    enhancement, separation = Constant(0.5), Constant(1.0, 0.25)
    model, noisy = UnifiedSeparator(enhancement, separation, 8), torch.randn(2, 160)
    result, features = model(noisy), model.encode(noisy)
    torch.testing.assert_close(result.enhanced, 0.5 * features)
    assert enhancement.heard.equal(features)
    assert separation.heard is result.enhanced
    first = model.decode(features.unsqueeze(1), 160)[:, 0]
    torch.testing.assert_close(result.signals[:, 0], 0.5 * first)
    torch.testing.assert_close(result.signals[:, 1], 0.125 * first)


def test_features_are_upstreams_where_frames_fit_the_signal():
    model, upstream = separator("conv"), Encoder(16, 8)
    upstream.conv1d.load_state_dict(model.encoder.state_dict())
    x = torch.randn(2, 160)
    torch.testing.assert_close(model.encode(x), upstream(x))


def test_enhancement_learns_from_both_losses_and_separation_from_one():
    model, noisy = separator("conv"), torch.randn(2, 200)
    result = model(noisy, clean=0.5 * noisy)
    latent_loss(result.clean, result.enhanced).backward(retain_graph=True)
    reached = {name: p.grad is not None for name, p in model.named_parameters()}
    for name, has_gradient in reached.items():
        assert has_gradient is name.startswith(("encoder", "enhancement"))


@pytest.mark.parametrize("detach", [True, False])
def test_the_clean_target_is_detached_unless_asked(detach):
    model, clean = separator("conv", detach_clean=detach), torch.randn(2, 200)
    result = model(torch.randn(2, 200), clean=clean)
    torch.testing.assert_close(result.clean, model.encode(clean))
    assert result.clean.requires_grad is not detach


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("talkers", [2, 3])
def test_gradients_reach_all_parameters(kind, talkers):
    model = separator(kind, talkers)
    pit_si_sdr_loss(
        torch.randn(2, talkers, 400), model(torch.randn(2, 400))[0]
    ).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(("kind", "hears"), [("causal", False), ("conv", True)])
def test_only_a_causal_separator_hears_no_more_than_its_window(kind, hears):
    model = separator(kind).double()
    x = torch.randn(1, 300, dtype=torch.float64, requires_grad=True)
    for sample in (0, 57, 128, 222):
        y = model(x).signals[0, :, sample].square().sum()
        gradient = torch.autograd.grad(y, x)[0][0].abs()
        beyond = gradient[sample + model.kernel_size :]
        assert bool(beyond.max() > 1e-13 * gradient.max()) is hears


def checkpointed(kind):
    """A separator without and with checkpointing, of the same parameters."""
    for checkpointing in (False, True):
        torch.manual_seed(1)
        yield separator(kind, checkpointing=checkpointing)


@pytest.mark.parametrize("kind", KINDS)
def test_checkpointing_gives_equal_gradients_of_each_of_two_losses(kind):
    noisy, lengths = batch(400, 277)
    results = []
    for model in checkpointed(kind):
        model = model.double()
        y, shared = model(noisy.double(), lengths), list(model.enhancement.parameters())
        main = y.signals.square().sum()
        auxiliary = torch.autograd.grad(y.enhanced.sum(), shared, retain_graph=True)
        results.append(
            (*torch.autograd.grad(main, list(model.parameters())), auxiliary)
        )
    # temporal convolutions sum their skips in another order
    exact = {"atol": 0, "rtol": 0} if kind in ("dprnn", "sepformer") else {}
    torch.testing.assert_close(*results, **exact)


@pytest.mark.parametrize("kind", KINDS)
def test_checkpointing_keeps_fewer_bytes_for_the_gradient(kind):
    noisy, lengths = batch(4000, 3000)
    plain, kept = [saved_bytes(model, noisy, lengths) for model in checkpointed(kind)]
    assert kept < 0.6 * plain


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_stays_near_single_precision_and_trains(kind):
    model, (noisy, lengths) = separator(kind), batch(400, 277)
    expected = model(noisy, lengths).signals
    with torch.autocast("cpu", torch.bfloat16):
        result = model(noisy, lengths)
    assert result.signals.dtype == result.enhanced.dtype == torch.float32
    assert (result.signals - expected).norm() < 0.1 * expected.norm()
    pit_si_sdr_loss(torch.randn(2, 2, 400), result.signals, lengths).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.slow
def test_a_network_learns_to_separate_tones_from_noise():
    time = torch.arange(400) / 8000
    tones = torch.stack([(2 * torch.pi * f * time).sin() for f in (300, 1900)])
    model = separator("conv")
    optimizer, values = torch.optim.Adam(model.parameters(), 5e-3), []
    for _ in range(150):
        talkers = tones * (0.5 + torch.rand(4, 2, 1))
        noisy = talkers.sum(1) + 0.2 * torch.randn(4, 400)
        loss = pit_si_sdr_loss(talkers, model(noisy).signals)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert sum(values[-10:]) / 10 < -8


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_can_be_pickled(kind):
    model, x = separator(kind).eval(), torch.randn(1, 100)
    assert torch.equal(pickle.loads(pickle.dumps(model))(x).signals, model(x).signals)


def test_wrong_arguments_are_named():
    model = separator("conv")
    with pytest.raises(ValueError, match=r"expected \[batch, time\], got \(1, 2, 99\)"):
        model(torch.randn(1, 2, 99))
    with pytest.raises(ValueError, match="lengths"):
        model(torch.randn(2, 99), torch.ones(3))
    with pytest.raises(ValueError, match="noisy and clean mixture differ in shape"):
        model(torch.randn(2, 99), clean=torch.randn(2, 98))
    with pytest.raises(ValueError, match=r"kernel_size: expected an even.*15"):
        UnifiedSeparator(nn.Identity(), nn.Identity(), kernel_size=15)
    with pytest.raises(ValueError, match="enhancement: expected one mask, got 2"):
        UnifiedSeparator(masker("conv", 2), masker("conv", 2), 8)(torch.randn(1, 99))


def test_a_masker_tells_how_many_masks_it_makes():
    """Inference has to know how many talkers there are before it has heard any."""
    untold = nn.Identity()
    with pytest.raises(ValueError, match="separation: expected a number `masks` of Id"):
        UnifiedSeparator(masker("conv", 1), untold, 8)
    other = Half()
    other.masks = 3
    with pytest.raises(ValueError, match="separation: expected 3 masks, got 2"):
        UnifiedSeparator(masker("conv", 1), other, 8)(torch.randn(1, 99))


class Half(nn.Module):
    """A masker that gives each of two talkers half of everything."""

    masks = 2

    def forward(self, features, frames=None):
        return features.new_full((len(features), 2, 1, 1), 0.5)


@pytest.mark.parametrize(("channels", "kernel_size"), [(32, 16), (256, 32), (34, 16)])
def test_a_frame_gives_back_what_it_took(channels, kernel_size):
    model = UnifiedSeparator(
        nn.Identity(),
        Half(),
        channels,
        kernel_size,
        separation_only=True,
        initialization="frame",
    ).double()
    noisy = torch.randn(2, 1000, dtype=torch.float64)
    made = model(noisy)
    # the first and the last half of a window are in one window alone
    inside = slice(kernel_size // 2, 1000 - kernel_size)
    estimate = made.signals.sum(1)[:, inside]
    torch.testing.assert_close(estimate, noisy[:, inside], rtol=0, atol=1e-6)
    assert torch.equal(made.noisy, made.enhanced)


def test_separation_alone_has_no_enhancement_network():
    def parts(**options):
        maskers = ConvTasNetMasker(8, 1, 6, 7, 9, 3, 2, 1), Half()
        model = UnifiedSeparator(*maskers, channels=8, **options)
        return {name.split(".")[0] for name, _ in model.named_parameters()}

    assert parts() == {"encoder", "enhancement", "decoder"}
    assert parts(separation_only=True) == {"encoder", "decoder"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initialization": "zeros"}, "initialization: expected one of .*'zeros'"),
        (
            {"initialization": "frame", "channels": 30},
            "channels: expected an even number of at least 32 .* got 30",
        ),
        (
            {"initialization": "frame", "channels": 33},
            "channels: expected an even number",
        ),
    ],
)
def test_beginnings_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        UnifiedSeparator(nn.Identity(), Half(), **options)
