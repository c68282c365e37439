"""Joint training: what is frozen, what meets what, batches that lack something."""

import copy

import pytest
import torch

from speechbrain_fusion.nnet.level import to_unit_power
from tests.models.latent_space import TIME, inputs, make, noise


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


def test_the_cycle_leads_through_the_clean_decoders_and_the_speech_encoder():
    model = make().eval()
    cycle = model(noise(), joint=inputs()).cycle
    stft, decoded = model.speech.stft, cycle.decoded
    signal = stft.synthesize(decoded.amplitude.unsqueeze(1) * decoded.phase, TIME)
    torch.testing.assert_close(cycle.again, stft.analyze(signal))
    latent = model.speech.encode(stft.features(signal))
    torch.testing.assert_close(cycle.latent, latent)
    torch.testing.assert_close(cycle.mixture, model.decode_mixture(latent))


def test_amplitudes_alone_go_back_as_they_are():
    """Where the speech encoder gets no more, there is nothing to analyse again."""
    model = make({"phase": False, "fft_sizes": (128,)}).eval()
    cycle = model(noise(), joint=inputs()).cycle
    assert cycle.again is None
    latent = model.speech.encode(cycle.decoded.amplitude.mT)
    torch.testing.assert_close(cycle.latent, latent)
    torch.testing.assert_close(cycle.mixture, model.decode_mixture(latent))


def test_clean_clips_come_back_through_both_encoders():
    model = make().eval()
    joint = model(noise(), joint=inputs())
    stft, clean = model.speech.stft, joint.clean
    unit = to_unit_power(noise(3, seed=1), None)[0]
    assert torch.equal(clean.signal, unit)
    torch.testing.assert_close(clean.spectrum, stft.analyze(unit))
    own = model.speech.encode(stft.features(unit))
    torch.testing.assert_close(clean.latent, own)
    decoded = model.speech.decode(model.latents(unit, unit)[1])
    torch.testing.assert_close(clean.decoded.amplitude, decoded.amplitude)
    signal = stft.synthesize(decoded.amplitude.unsqueeze(1) * decoded.phase, TIME)
    torch.testing.assert_close(clean.estimate, signal)


def test_latents_are_disturbed_in_training_alone():
    def passes(mode):
        model = make({"latent_noise": 1.0}).train(mode)
        # batch norm would differ, too
        for layer in model.modules():
            if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
                layer.eval()
        found = [model(noise(), joint=inputs()) for _ in range(2)]
        return [
            (
                joint.decoded.amplitude,
                joint.mixture,
                joint.cycle.mixture,
                joint.clean.decoded.amplitude,
                joint.clean.remixed.amplitude,
            )
            for joint in found
        ]

    assert all(map(torch.equal, *passes(False)))
    assert not any(map(torch.equal, *passes(True)))


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


BAD_INPUTS = {
    "clean": ({"clean": noise(2)}, r"clean: expected shape \(3, 2000\), got \(2, 2000"),
    "added": ({"added": noise(3, 9)}, r"added: expected shape \(3, 2000\), got \(3, 9"),
    "no noise": ({"added": None}, r"noisier, remix: expected added noise, got None"),
    "no clean": ({"clean": None, "remix": True}, r"remix: expected clean clips, got"),
    "speech": ({"speech": [True]}, r"speech: expected 3 items, got 1"),
}


@pytest.mark.parametrize(("options", "pattern"), BAD_INPUTS.values(), ids=BAD_INPUTS)
def test_clips_that_do_not_fit_are_named(options, pattern):
    with pytest.raises(ValueError, match=pattern):
        make()(noise(), joint=inputs(**options))


def test_joint_training_takes_no_padding():
    with pytest.raises(ValueError, match="lengths: expected None in joint training"):
        make()(noise(), torch.ones(3), joint=inputs())
