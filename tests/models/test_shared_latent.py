"""The shared latent space: published sizes, freezing, padding, determinism, level."""

import copy

import pytest
import torch

from speechbrain_fusion.losses import si_sdr_loss
from speechbrain_fusion.models import SharedLatentEnhancer, SpeechAutoencoder
from speechbrain_fusion.models.joint import JointInputs
from speechbrain_fusion.models.speech_autoencoder import join, to_unit_power
from speechbrain_fusion.nnet.compressed_stft import modulus

SPEECH = {"fft_sizes": (128, 64), "hop": 32, "channels": (12, 6), "kernel": 3}
MIXTURE = {"channels": (10, 12, 6), "kernel": 3}
TIME = 2000


def make(speech=None, **mixture):
    torch.manual_seed(0)
    autoencoder = SpeechAutoencoder(**{**SPEECH, **(speech or {})})
    return SharedLatentEnhancer(autoencoder, **{**MIXTURE, **mixture})


def noise(items=3, time=TIME, seed=0):
    return torch.randn(items, time, generator=torch.Generator().manual_seed(seed))


def inputs(**options):
    given = {"speech": [True, True, False], "clean": noise(3, seed=1)}
    given |= {"added": noise(3, seed=2), "noisier": True, "remix": True}
    return JointInputs(**{**given, **options})


def count(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def test_published_sizes_of_sse():
    options = {"fft_sizes": (1024,), "hop": 256, "phase": False, "final_norm": True}
    speech = SpeechAutoencoder(**options)
    assert count(speech) == 6_092_739
    channels = (512, 400, 300, 200, 100, 64)
    model = SharedLatentEnhancer(speech, channels, share="space", final_norm=True)
    assert count(model.encoder, model.decoder) == 9_444_787


def test_published_features():
    speech = SpeechAutoencoder(phase=False)
    assert speech.stft.channels == 964
    assert speech.stft.features(noise(1, 16000)).shape == (1, 964, 516)


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


def test_the_autoencoder_is_the_same_for_a_padded_item():
    model, short = make().speech.eval(), 700
    batch = noise(2)
    batch[1, short:] = torch.nan
    together = model(batch, torch.tensor([1.0, short / TIME]))
    alone = model(batch[1:, :short])
    frames = alone.spectrum.shape[2]
    torch.testing.assert_close(together.estimate[1:, :short], alone.estimate)
    for one, other in zip(together.decoded[1:], alone.decoded[1:], strict=True):
        torch.testing.assert_close(one[1:, ..., :frames, :], other)
        assert (one[1, ..., frames:, :] == 0).all()
    assert round(together.lengths[1].item() * together.spectrum.shape[2]) == frames


def test_joint_training_leaves_the_speech_autoencoder_as_it_is():
    """Parameters and statistics of normalization, also those of the shared layer."""
    model = make(share="layer").train()
    before = copy.deepcopy(model.speech.state_dict())
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    for _ in range(3):
        joint = model(noise(), joint=inputs())
        loss = joint.mixture.square().mean() + joint.cycle.mixture.square().mean()
        (loss + joint.clean.decoded.amplitude.mean()).backward()
        optimizer.step()
    for name, value in model.speech.state_dict().items():
        if torch.is_tensor(value):
            assert torch.equal(value, before[name]), name
    assert not any(p.requires_grad for p in model.speech.parameters())
    mine = {id(p) for p in model.speech.parameters()}
    assert mine.isdisjoint(map(id, trained))


def test_own_statistics_do_move():
    model = make().train()
    before = model.encoder.layers[0].norm.running_mean.clone()
    model(noise(), joint=inputs())
    assert not torch.equal(model.encoder.layers[0].norm.running_mean, before)


@pytest.mark.parametrize("loss", ["amplitude", "phase", "latent", "cycle"])
def test_gradients_reach_the_mixture_encoder_through_the_frozen_part(loss):
    model = make().train()
    joint = model(noise(), joint=inputs())
    value = {
        "amplitude": joint.decoded.amplitude.square().mean(),
        "phase": joint.decoded.phase[:, 0].mean(),
        "latent": (joint.decoded.latent[:2] - joint.cycle.latent).square().mean(),
        "cycle": joint.cycle.mixture.square().mean(),
    }[loss]
    value.backward()
    first = model.encoder.layers[0].conv.weight.grad
    assert first.isfinite().all()
    assert first.abs().max() > 0
    assert all(p.grad is None for p in model.speech.parameters())


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


def test_autoencoder_decodes_a_noisy_latent_in_training_alone():
    model = make({"latent_noise": 1.0}).speech
    model.train()
    first, second = (model(noise()).decoded for _ in range(2))
    assert not torch.equal(first.amplitude, second.amplitude)
    model.eval()
    assert torch.equal(model(noise()).estimate, model(noise()).estimate)


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


@pytest.mark.parametrize(
    "change", [{"hop": 16}, {"compression": 0.3}, {"latent_norm": False}]
)
def test_parameters_of_other_features_are_refused(change):
    saved = make().speech.state_dict()
    SpeechAutoencoder(**SPEECH).load_state_dict(saved)
    other = SpeechAutoencoder(**{**SPEECH, **change})
    with pytest.raises(ValueError, match=rf"trained with .*{next(iter(change))}"):
        other.load_state_dict(saved)


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


@pytest.mark.parametrize("valid", [None, torch.tensor([[True] * 5 + [False] * 3])])
def test_latents_have_a_mean_of_one_over_time(valid):
    speech = make().speech
    latent = speech.normalize(torch.rand(1, 6, 8) + 0.1, valid)
    own = latent if valid is None else latent[..., :5]
    torch.testing.assert_close(own.mean(-1), torch.ones(1, 6))
    plain = make({"latent_norm": False}).speech
    given = torch.rand(1, 6, 8)
    assert torch.equal(plain.normalize(given, None), given)


@pytest.mark.parametrize("spoken", [[True, True, True], [False, False, False]])
def test_a_batch_may_lack_noise_or_speech(spoken):
    joint = make().train()(noise(), joint=inputs(speech=spoken))
    assert (joint.cycle is None) == (not any(spoken))
    assert (joint.noisier is None) == (not any(spoken))
    assert len(joint.noise) == spoken.count(False)
    assert joint.clean.remixed is not None


def test_items_are_told_apart():
    joint = make().train()(noise(), joint=inputs(speech=[False, True, False]))
    assert joint.spoken.tolist() == [1]
    assert joint.noise.tolist() == [0, 2]
    assert torch.equal(joint.cycle.decoded.latent, joint.decoded.latent[1:2])


def test_clean_clips_meet_no_mixture():
    """What the anchor compares does not depend on the mixtures: no pairs."""
    model = make().eval()
    first, second = (model(noise(seed=seed), joint=inputs()).clean for seed in (0, 5))
    torch.testing.assert_close(first.latent, second.latent)
    torch.testing.assert_close(first.decoded.amplitude, second.decoded.amplitude)


def test_clean_clips_leave_the_mixture_encoder_alone_without_an_anchor():
    """Batch norm of training does not know them either."""
    found = []
    for seed in (1, 7):
        given = inputs(clean=noise(seed=seed), anchor=False, remix=False)
        joint = make({"latent_noise": 0.0}).train()(noise(), joint=given)
        assert joint.clean.decoded is None
        assert joint.clean.estimate is None
        found.append(joint)
    assert torch.equal(found[0].decoded.latent, found[1].decoded.latent)
    assert not torch.equal(found[0].clean.latent, found[1].clean.latent)


def test_parts_that_are_not_wanted_are_left_out():
    given = inputs(clean=None, added=None, cycle=False, noisier=False, remix=False)
    joint = make()(noise(), joint=given)
    assert (joint.cycle, joint.noisier, joint.clean) == (None,) * 3


def test_noise_is_added_as_the_mixture_hears_it():
    """At any level of both, and to the clean clip as to the mixture."""
    model = make().eval()
    for gain in (1.0, 1e-3):
        mixture, added = gain * noise(), gain * 0.3 * noise(seed=2)
        joint = model(mixture, joint=inputs(added=added))
        clean = to_unit_power(noise(3, seed=1), None)[0]
        expected = clean + added / mixture.square().mean(-1, keepdim=True).sqrt()
        own = model.latents(mixture + added, mixture + added)[1][:2]
        torch.testing.assert_close(joint.noisier, own, rtol=1e-3, atol=1e-3)
        other = model.latents(expected, expected)[1]
        torch.testing.assert_close(
            joint.clean.remixed.latent, other, rtol=1e-3, atol=1e-3
        )


@pytest.mark.parametrize("anchor", [True, False])
@pytest.mark.parametrize("mode", [True, False])
def test_autocast_gives_finite_float32(anchor, mode):
    model = make().train(mode)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        joint = model(noise(), joint=inputs(anchor=anchor))
        estimate = model.eval()(noise())
    assert joint.mixture.dtype == joint.decoded.amplitude.dtype == torch.float32
    assert joint.mixture.isfinite().all()
    assert estimate.isfinite().all()


BAD_INPUTS = {
    "clean": ({"clean": noise(2)}, r"clean: expected shape \(3, 2000\), got \(2, 2000"),
    "added": ({"added": noise(3, 9)}, r"added: expected shape \(3, 2000\), got \(3, 9"),
    "no noise": ({"added": None}, r"noisier, remix: expected added noise, got None"),
    "speech": ({"speech": [True]}, r"speech: expected 3 items, got 1"),
}


@pytest.mark.parametrize(("options", "pattern"), BAD_INPUTS.values(), ids=BAD_INPUTS)
def test_clips_that_do_not_fit_are_named(options, pattern):
    with pytest.raises(ValueError, match=pattern):
        make()(noise(), joint=inputs(**options))


def test_joint_training_takes_no_padding():
    with pytest.raises(ValueError, match="lengths: expected None in joint training"):
        make()(noise(), torch.ones(3), joint=inputs())


def test_an_autoencoder_can_learn_a_sound_with_its_phase():
    """Enough steps on one clip: amplitude and phase are both decoded."""
    torch.manual_seed(0)
    model = SpeechAutoencoder((128,), 32, channels=(64, 32), kernel=1, latent_noise=0.0)
    time = torch.arange(TIME) / 16000
    clip = sum(torch.sin(2 * torch.pi * f * time) for f in (440.0, 1300.0))[None]
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(300):
        rebuilt = model(clip)
        loss = (
            rebuilt.spectrum - join(*rebuilt.decoded[1:], rebuilt.spectrum)
        ).square()
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
    estimate = model.eval()(clip).estimate
    assert si_sdr_loss(clip, estimate).item() < -10


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


BAD_SPEECH = {
    "rising": ({"fft_sizes": (64, 128)}, r"fft_sizes: expected even numbers that fall"),
    "odd": ({"fft_sizes": (127,)}, r"fft_sizes: expected even numbers that fall"),
    "none": ({"fft_sizes": ()}, r"fft_sizes: expected even numbers that fall"),
    "hop": ({"hop": 48}, r"hop: expected a part of half the window"),
    "noise": ({"latent_noise": -1.0}, r"latent_noise: expected at least 0"),
    "channels": ({"channels": ()}, r"channels: expected two at least"),
}


@pytest.mark.parametrize(("options", "pattern"), BAD_SPEECH.values(), ids=BAD_SPEECH)
def test_bad_options_of_the_autoencoder_are_named(options, pattern):
    with pytest.raises(ValueError, match=pattern):
        SpeechAutoencoder(**{**SPEECH, **options})


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="expected 3 lengths"):
        make()(noise(), torch.ones(2))
