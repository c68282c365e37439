"""The shared latent space in use: published sizes, padding, determinism, level."""

import pytest
import torch

from speechbrain_fusion.models import SharedLatentEnhancer, SpeechAutoencoder
from speechbrain_fusion.nnet.compressed_stft import modulus
from speechbrain_fusion.nnet.level import to_unit_power
from tests.models.latent_space import TIME, inputs, make, noise
from tests.nnet.parameters import count


def test_published_sizes_of_sse():
    options = {"fft_sizes": (1024,), "hop": 256, "phase": False, "final_norm": True}
    speech = SpeechAutoencoder(**options)
    assert count(speech) == 6_092_739
    channels = (512, 400, 300, 200, 100, 64)
    model = SharedLatentEnhancer(speech, channels, share="space", final_norm=True)
    assert count(model.encoder, model.decoder) == 9_444_787


@pytest.mark.parametrize("share", ["layer", "space"])
@pytest.mark.parametrize("phase", [True, False])
@pytest.mark.parametrize("time", [1, 31, 33, 500])
def test_any_length_keeps_its_shape(share, phase, time):
    model = make({"phase": phase}, share=share).eval()
    for items in (1, 3):
        assert model(noise(items, time)).shape == (items, time)


@pytest.mark.parametrize("noisy_phase", [True, False])
@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("short", [1, 33, 500, 1999])
def test_an_item_of_a_padded_batch_gives_what_it_gives_alone(noisy_phase, bound, short):
    model = make(noisy_phase=noisy_phase, bound=bound).eval()
    item, padding = noise(1, short), torch.full((1, TIME - short), torch.nan)
    batch = torch.cat([noise(1), torch.cat([item, padding], 1)])
    together = model(batch, torch.tensor([1.0, short / TIME]))
    torch.testing.assert_close(together[1:, :short], model(item), rtol=1e-3, atol=1e-4)
    assert (together[1, short:] == 0).all()


def test_latent_noise_is_there_in_training_alone():
    model = make({"latent_noise": 1.0})
    model.eval()
    assert torch.equal(model(noise()), model(noise()))
    first, second = (model(noise(), joint=inputs()) for _ in range(2))
    assert torch.equal(first.decoded.amplitude, second.decoded.amplitude)
    model.train()
    first, second = (model(noise(), joint=inputs()) for _ in range(2))
    assert not torch.equal(first.decoded.amplitude, second.decoded.amplitude)
    assert torch.equal(first.decoded.latent, second.decoded.latent)
    model.speech.train()
    assert not model.train().speech.training


def test_a_shared_layer_is_one_module():
    model = make(share="layer")
    with torch.no_grad():
        latent = model.eval().latents(noise(), noise(seed=3))[1]
        model.speech.encoder.layers[-1].conv.bias.add_(1.0)
        assert not torch.equal(model.latents(noise(), noise(seed=3))[1], latent)
    alone = make(share="space")
    difference = count(alone.encoder) - count(model.encoder)
    assert difference == count(model.speech.encoder.layers[-1])


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("gain", [1e-3, 1.0, 100.0])
def test_output_follows_the_input_level(gain, bound):
    model = make(bound=bound).eval()
    torch.testing.assert_close(
        model(gain * noise()), gain * model(noise()), rtol=1e-3, atol=1e-3 * gain
    )


def test_bound_keeps_every_bin_below_the_mixture():
    model = make(noisy_phase=True, bound=True).eval()
    mixture = noise()
    unit, _ = to_unit_power(mixture, None)
    noisy = modulus(model.speech.stft.analyze(unit))
    level = model._at_level(100 * torch.rand_like(noisy), noisy)
    assert (level <= noisy).all()
    model.bound = False
    assert (model._at_level(100 * torch.rand_like(noisy), noisy) > noisy).any()


@pytest.mark.parametrize("factor", [1.0, 3.0, 100.0])
def test_level_of_an_estimate_that_is_too_loud_is_the_mixtures(factor):
    model = make(bound=False).eval()
    noisy = modulus(model.speech.stft.analyze(noise()))
    torch.testing.assert_close(model._at_level(factor * noisy, noisy), noisy)


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("factor", [0.0, 1e-3, 0.3, 1.0])
def test_what_is_decoded_softer_than_the_mixture_stays_so(bound, factor):
    """Else noise that is decoded as next to nothing would be as loud as before."""
    model = make(bound=bound).eval()
    noisy = modulus(model.speech.stft.analyze(noise()))
    torch.testing.assert_close(model._at_level(factor * noisy, noisy), factor * noisy)


@pytest.mark.parametrize("compression", [0.3, 0.5])
def test_the_level_is_the_nearest_to_the_mixture_before_compression(compression):
    model = make({"compression": compression}, bound=False).eval()
    noisy = modulus(model.speech.stft.analyze(noise()))
    mixture = noisy ** (1 / compression)
    decoded = mixture.clone()
    decoded[..., ::2] *= 2
    gain = (decoded * mixture).sum((1, 2)) / (decoded * decoded).sum((1, 2))
    assert (gain < 1).all()
    torch.testing.assert_close(
        model._at_level(decoded**compression, noisy),
        (gain.view(-1, 1, 1) * decoded) ** compression,
        rtol=1e-4,
        atol=1e-6,
    )


def test_phase_is_decoded_or_the_mixtures():
    model = make().eval()
    own, noisy = model(noise()), model(noise(), noisy_phase=True)
    assert not torch.allclose(own, noisy)
    model.noisy_phase = True
    assert torch.equal(model(noise()), noisy)
    # without a decoder there is no other
    alone = make({"phase": False}).eval()
    assert torch.equal(alone(noise()), alone(noise(), noisy_phase=True))


def test_silence_stays_silent_and_finite():
    model = make().eval()
    assert model(torch.zeros(2, TIME)).abs().max() < 1e-3
    model.train()
    joint = model(
        torch.zeros(3, TIME),
        joint=inputs(clean=torch.zeros(3, TIME), added=torch.zeros(3, TIME)),
    )
    total = joint.mixture.sum() + joint.cycle.mixture.sum() + joint.noisier.sum()
    total.backward()
    trained = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(grad.isfinite().all() for grad in trained)


def test_negative_signals_have_other_latents_if_there_is_a_phase():
    for phase in (True, False):
        model = make({"phase": phase}).eval()
        first, second = (
            model.latents(noise(), noise())[0],
            model.latents(-noise(), noise())[0],
        )
        assert torch.allclose(first, second) is not phase


BAD = {
    "share": ({"share": "all"}, r"share: expected one of .*'all'"),
    "layer": ({"channels": (10, 7, 6)}, r"channels: expected to end in \[12, 6\]"),
    "space": (
        {"channels": (10, 12, 7), "share": "space"},
        r"channels: expected to end in \[6\]",
    ),
    "kernel": ({"kernel": 4}, r"kernel: expected an odd number, got 4"),
}


@pytest.mark.parametrize(("options", "pattern"), BAD.values(), ids=BAD)
def test_bad_options_are_named(options, pattern):
    with pytest.raises(ValueError, match=pattern):
        make(**options)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="expected 3 lengths"):
        make()(noise(), torch.ones(2))
    with pytest.raises(ValueError, match=r"expected \[batch, time\], got \(3, 2, 9"):
        make()(torch.zeros(3, 2, 900))
    with pytest.raises(ValueError, match=r"expected \[batch, 1 channels, time\]"):
        make().process(torch.zeros(3, 2, 900))
