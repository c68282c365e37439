import pickle
from pathlib import Path

import pytest
import torch
from hyperpyyaml import load_hyperpyyaml

from speechbrain_fusion.brains.settings import resolve_include
from speechbrain_fusion.metrics import si_sdr
from speechbrain_fusion.models import BinauralTasNet
from tests.golden.loaders import load_fusion
from tests.nnet.parameters import count

GOLDEN = Path(__file__).parents[1] / "golden"
SMALL = {"N": 16, "L": 8, "B": 6, "H": 7, "S": 9, "P": 5, "X": 2, "R": 2}
RELEASE = {"N": 512, "L": 64, "H": 256, "S": 64, "P": 256, "output_activation": "tanh"}
TOPOLOGIES = ("none", "front", "back", "both")


@pytest.mark.parametrize(
    "name", ["fusion_independent_deep", "fusion_double_deep", "fusion_back_stft"]
)
def test_the_reference_is_reproduced(name):
    model, inputs, outputs = load_fusion(GOLDEN / f"{name}.npz")
    with torch.no_grad():
        y = model(inputs["signal"])
    error = (y - outputs["signal"]).norm() / outputs["signal"].norm()
    assert error < 1e-5


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize(
    ("configuration", "parameters"), [({}, 479_872), (RELEASE, 1_096_960)]
)
def test_published_parameter_counts(configuration, parameters, topology):
    model = BinauralTasNet(share_norms=True, fuse=topology, **configuration)
    assert count(model) == parameters


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("encoding", ["learned", "stft"])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("batch", "time"), [(1, 1), (3, 97), (2, 400)])
def test_any_length_and_batch_keep_their_shape(topology, encoding, causal, batch, time):
    model = BinauralTasNet(**SMALL, fuse=topology, encoding=encoding, causal=causal)
    y = model(torch.randn(batch, 2, time))
    assert y.shape == (batch, 2, time)
    assert torch.isfinite(y).all()


# 5 taps are convolved directly, 64 by FFT, which is causal up to rounding
@pytest.mark.parametrize("taps", [5, 64])
@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("encoding", ["learned", "stft"])
def test_no_output_depends_on_input_beyond_the_window(topology, encoding, taps):
    options = {**SMALL, "P": taps, "fuse": topology, "encoding": encoding}
    model = BinauralTasNet(**options).double()
    x = torch.randn(1, 2, 300, dtype=torch.float64, requires_grad=True)
    for sample in (0, 57, 128, 222):
        y = model(x)[0, :, sample].sum()
        grad = torch.autograd.grad(y, x)[0][0].abs().sum(0)
        last = int((grad > 1e-13 * grad.max()).nonzero().max())
        assert last < sample + model.latency
        assert last > sample - model.latency


def test_a_model_that_is_not_causal_does_look_ahead():
    model = BinauralTasNet(**SMALL, causal=False).double()
    x = torch.randn(1, 2, 300, dtype=torch.float64, requires_grad=True)
    grad = torch.autograd.grad(model(x)[0, :, 57].sum(), x)[0]
    assert grad[..., -1].abs().sum() > 0


@pytest.mark.parametrize(("topology", "crosses"), [("none", False), ("both", True)])
@pytest.mark.parametrize("encoding", ["learned", "stft"])
def test_only_fusion_lets_one_ear_hear_the_other(topology, crosses, encoding):
    model = BinauralTasNet(**SMALL, fuse=topology, encoding=encoding)
    x = torch.randn(1, 2, 200, requires_grad=True)
    grad = torch.autograd.grad(model(x)[:, 0].square().sum(), x)[0]
    assert bool(grad[:, 1].abs().sum() > 0) is crosses
    assert grad[:, 0].abs().sum() > 0


@pytest.mark.parametrize("encoding", ["learned", "stft"])
@pytest.mark.parametrize("causal", [True, False])
def test_an_item_of_a_padded_batch_gives_what_it_gives_alone(encoding, causal):
    model = BinauralTasNet(**SMALL, encoding=encoding, causal=causal).double()
    long = torch.randn(1, 2, 400, dtype=torch.float64)
    short = torch.randn(1, 2, 277, dtype=torch.float64)
    padded = torch.cat([long, torch.nn.functional.pad(short, (0, 123))])
    together = model(padded, lengths=torch.tensor([1.0, 277 / 400]))
    torch.testing.assert_close(together[:1], model(long))
    torch.testing.assert_close(together[1:, :, :277], model(short))


@pytest.mark.parametrize("noise", [1.0, torch.nan])
@pytest.mark.parametrize("encoding", ["learned", "stft"])
@pytest.mark.parametrize("causal", [True, False])
def test_what_lies_in_the_padding_is_not_heard_and_silence_comes_out(
    encoding, causal, noise
):
    model, x = BinauralTasNet(**SMALL, encoding=encoding, causal=causal), {}
    torch.nn.init.normal_(next(model.filterbank.parameters(), torch.empty(1)))
    lengths = torch.tensor([1.0, 277 / 400])
    x["silent"] = torch.randn(2, 2, 400)
    x["silent"][1, :, 277:] = 0
    x["noisy"] = x["silent"].clone()
    x["noisy"][1, :, 277:] = noise
    with torch.no_grad():
        expected, y = (model(x[name], lengths) for name in ("silent", "noisy"))
    torch.testing.assert_close(y, expected, rtol=0, atol=0)
    assert (y[1, :, 277:] == 0).all()
    assert (y[1, :, :277] != 0).any()


def test_swapping_ears_and_their_weights_swaps_the_outputs():
    model, x = BinauralTasNet(**SMALL, fuse="both"), torch.randn(2, 2, 200)
    y = model(x)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.flip(0))
    torch.testing.assert_close(model(x.flip(1)), y.flip(1))


@pytest.mark.parametrize(
    ("mask", "low", "high", "total"),
    [("softmax", 0, 1, 1.0), ("sigmoid", 0, 1, None), ("relu", 0, torch.inf, None)],
)
def test_masks_have_their_range(mask, low, high, total):
    values = BinauralTasNet(**SMALL, mask_activation=mask).mask_activation(
        5 * torch.randn(2, 2, 16, 30)
    )
    assert low <= values.min() <= values.max() <= high
    assert bool(values.max() > 1) is (mask == "relu")
    if total:
        torch.testing.assert_close(values.sum(2), torch.ones(2, 2, 30))


def test_an_untrained_model_is_near_the_unprocessed_scene():
    model, x = BinauralTasNet(share_norms=True), 0.1 * torch.randn(2, 2, 4000)
    with torch.no_grad():
        assert si_sdr(x, model(x)).min() > 15


@pytest.mark.parametrize("yaml", ["fusion", "release"])
def test_the_published_yamls_have_the_published_parameters(yaml):
    path = Path(__file__).parents[2] / f"recipes/binaural/hparams/{yaml}.yaml"
    base, changes = resolve_include(path, {})
    with open(base, encoding="utf-8") as stream:
        hparams = load_hyperpyyaml(stream, changes, overrides_must_match=False)
    published = {"fusion": 479_872, "release": 1_096_960}
    assert count(hparams["enhancer"]) == published[yaml]


def test_a_model_can_be_pickled():
    model, x = BinauralTasNet(**SMALL), torch.randn(1, 2, 100)
    assert torch.equal(pickle.loads(pickle.dumps(model))(x), model(x))


def test_mask_and_output_activations_are_options():
    x = torch.randn(1, 2, 200)
    results = [
        BinauralTasNet(**SMALL, mask_activation=mask, output_activation=output)(x)
        for mask in ("softmax", "sigmoid", "relu")
        for output in ("linear", "tanh")
    ]
    assert all(result.shape == x.shape for result in results)
    assert results[-1].abs().max() <= 1


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("topology", "eps"), [("back", 1e-14), ("both", 1e-26)])
def test_without_a_bias_it_does_the_same_at_every_level(topology, eps, causal):
    model = BinauralTasNet(
        N=16, L=8, S=12, P=5, fuse=topology, causal=causal, encoder_bias="none", eps=eps
    )
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    noisy = 0.05 * torch.randn(2, 2, 400)
    with torch.no_grad():
        whole = model(noisy)
        for gain in (1e-3, 10.0):
            difference = model(gain * noisy) / gain - whole
            assert difference.norm() < 1e-4 * whole.norm()
        assert (model(torch.zeros_like(noisy)) == 0).all()


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_with_a_bias_for_the_mask_alone_silence_stays_silent(activation):
    options = {"N": 16, "L": 8, "S": 12, "P": 5, "encoder_activation": activation}
    silence, sound = torch.zeros(1, 2, 400), torch.randn(1, 2, 400)
    published = BinauralTasNet(**options)
    quiet = BinauralTasNet(**options, encoder_bias="mask")
    for model in (published, quiet):
        torch.nn.init.normal_(model.filterbank.encoder.bias)
    quiet.load_state_dict(published.state_dict())
    with torch.no_grad():
        assert (quiet(silence) == 0).all()
        assert (published(silence) != 0).any()
        # and for the mask it is there
        latents = (model.filterbank.analyze(sound)[0] for model in (quiet, published))
        torch.testing.assert_close(*latents)


@pytest.mark.parametrize("share", [True, False])
def test_norms_are_shared_or_each_blocks_own(share):
    model = BinauralTasNet(**SMALL, share_norms=share)
    assert len(model.tcn.norms) == (2 if share else 2 * SMALL["X"] * SMALL["R"])


@pytest.mark.parametrize("encoding", ["learned", "stft"])
def test_bf16_stays_near_single_precision(encoding):
    model, x = BinauralTasNet(**SMALL, encoding=encoding), torch.randn(2, 2, 400)
    with torch.autocast("cpu", torch.bfloat16):
        y = model(x)
    assert (y.float() - model(x)).norm() < 0.1 * model(x).norm()


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("fuse", "middle", "none.*front.*back.*both"),
        ("encoding", "mel", "learned.*stft"),
        ("encoder_activation", "gelu", "linear.*relu"),
        ("mask_activation", "tanh", "softmax.*sigmoid.*relu"),
        ("output_activation", "relu", "linear.*tanh"),
        ("share", "all", "product.*sum"),
        ("encoder_bias", "all", "encoding.*mask.*none"),
    ],
)
def test_an_unknown_option_is_named_with_what_was_expected(option, value, expected):
    with pytest.raises(ValueError, match=f"{option}: expected.*{expected}.*{value}"):
        BinauralTasNet(**SMALL, **{option: value})


def test_an_unpadded_stft_needs_a_window():
    model = BinauralTasNet(**SMALL, encoding="stft", stft_pad=False)
    with pytest.raises(ValueError, match="at least 32 samples, the window, got 31"):
        model(torch.randn(1, 2, 31))


@pytest.mark.parametrize("option", ["encoder_activation", "encoder_bias", "share"])
def test_an_unknown_option_is_refused_where_it_has_no_effect_too(option):
    with pytest.raises(ValueError, match=f"{option}: expected"):
        BinauralTasNet(**SMALL, encoding="stft", fuse="none", **{option: "gelu"})


@pytest.mark.parametrize("size", [*SMALL, "ears"])
def test_a_size_of_none_is_named(size):
    with pytest.raises(ValueError, match=f"^{size}: expected 1 or more, got 0"):
        BinauralTasNet(**{**SMALL, size: 0})


def test_one_ear_has_nothing_to_fuse():
    with pytest.raises(ValueError, match="fuse: expected 'none' for one ear"):
        BinauralTasNet(**SMALL, ears=1)
    model = BinauralTasNet(**SMALL, ears=1, fuse="none")
    assert model(torch.randn(2, 1, 99)).shape == (2, 1, 99)


def test_lengths_are_one_for_each_item():
    model = BinauralTasNet(**SMALL)
    for lengths in (torch.tensor([0.5]), torch.ones(3, 1)):
        with pytest.raises(ValueError, match="expected 3 lengths, got shape"):
            model(torch.randn(3, 2, 99), lengths)


def test_mono_where_two_ears_are_needed_is_refused():
    with pytest.raises(ValueError, match=r"expected \[batch, 2 ears, time\], got"):
        BinauralTasNet(**SMALL)(torch.randn(1, 1, 200))
