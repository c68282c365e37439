"""What each loss of a shared latent space compares with what, and what it teaches."""

import pytest
import speechbrain as sb
import torch

from speechbrain_fusion.brains.latent_losses import joint_arguments, speech_arguments
from speechbrain_fusion.brains.speech_stage import SpeechStage
from speechbrain_fusion.data import Batch, Example
from speechbrain_fusion.losses import latent_match_loss
from speechbrain_fusion.models.joint import Clean, Cycle, Joint
from speechbrain_fusion.models.speech_autoencoder import Decoded, Rebuilt
from tests.brains.unpaired import make_brain

SPOKEN, NOISE = [0, 2], [1]


def some(items=3):
    """Draw a tensor that is like no other; what is compared need not be a spectrum."""
    return torch.randn(items, 4)


def decoded(items=3):
    return Decoded(some(items), some(items), some(items))


def make_joint(**changes):
    """Make up what the losses are about, of three mixtures, the second noise alone."""
    joint = Joint(
        spoken=torch.tensor(SPOKEN),
        noise=torch.tensor(NOISE),
        noisy=some(),
        mixture=some(),
        decoded=decoded(),
        cycle=Cycle(decoded(2), some(2), some(2), some(2)),
        noisier=some(2),
        clean=Clean(some(), some(), some(), decoded(), some(), decoded()),
    )
    return joint._replace(**changes)


def assert_same(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_every_loss_of_joint_training_compares_what_it_is_about():
    joint = make_joint()
    cycle, clean = joint.cycle, joint.clean
    as_speech = clean.latent, clean.spectrum
    expected = {
        "mixture": (joint.noisy, joint.mixture),
        # there and back again: to the mixtures that have speech
        "cycle": (joint.noisy[SPOKEN], cycle.mixture),
        "complex_cycle": (cycle.decoded.amplitude, cycle.decoded.phase, cycle.again),
        "pure_noise": (joint.decoded.amplitude[NOISE],),
        "multi_resolution": (clean.signal, clean.estimate),
        # the mixture encoder's, and the speech encoder's of what is decoded of it
        "latent": (joint.decoded.latent[SPOKEN], cycle.latent),
        "prior": (joint.decoded.latent,),
        "anchor": (as_speech, *clean.decoded),
        "spread": (clean.latent[SPOKEN], joint.decoded.latent[SPOKEN]),
        "invariance": (joint.decoded.latent[SPOKEN], joint.noisier),
        # clean speech in noise must have the latent of the clean speech
        "remix": (as_speech, *clean.remixed),
    }
    assert_same(joint_arguments(joint), expected)


def without_phase():
    cycle = make_joint().cycle
    alone = cycle.decoded._replace(phase=None)
    return make_joint(cycle=cycle._replace(decoded=alone))


def without(**parts):
    return make_joint(clean=make_joint().clean._replace(**parts))


LACKING = {
    "noise": (lambda: make_joint(noise=torch.tensor([]).long()), {"pure_noise"}),
    "speech": (
        lambda: make_joint(spoken=torch.tensor([]).long(), cycle=None, noisier=None),
        {"cycle", "complex_cycle", "latent", "spread", "invariance"},
    ),
    "phase": (without_phase, {"complex_cycle"}),
    "more noise": (lambda: make_joint(noisier=None), {"invariance"}),
    "clean clips": (
        lambda: make_joint(clean=None),
        {"spread", "anchor", "multi_resolution", "remix"},
    ),
    "anchor": (
        lambda: without(decoded=None, estimate=None),
        {"anchor", "multi_resolution"},
    ),
    "remix": (lambda: without(remixed=None), {"remix"}),
}


@pytest.mark.parametrize(("make", "nothing"), LACKING.values(), ids=LACKING)
def test_a_loss_has_nothing_to_compare_in_a_batch_that_lacks_it(make, nothing):
    found = joint_arguments(make())
    assert {name for name, given in found.items() if given is None} == nothing


def test_more_noise_teaches_the_latent_of_the_noisier_alone():
    """Or the latents could meet by both being blurred."""
    joint = make_joint()
    parts = joint.decoded.latent, joint.noisier
    for latent in parts:
        latent.requires_grad_(True)
    loss = latent_match_loss(
        *(x.unsqueeze(1) for x in joint_arguments(joint)["invariance"])
    )
    quieter, noisier = torch.autograd.grad(loss, parts, allow_unused=True)
    assert quieter is None
    assert (noisier != 0).all()


def test_every_loss_of_stage_one_compares_what_it_is_about():
    rebuilt = Rebuilt(some(), decoded(), some(), some(), some(), torch.rand(3))
    frames, samples = rebuilt.lengths, torch.rand(3)
    made = rebuilt.decoded
    expected = {
        "amplitude": (rebuilt.spectrum, made.amplitude, frames),
        "phase": (rebuilt.spectrum, made.phase, frames),
        "prior": (made.latent, frames),
        "complex_cycle": (made.amplitude, made.phase, rebuilt.again, frames),
        "multi_resolution": (rebuilt.signal, rebuilt.estimate, samples),
    }
    assert_same(speech_arguments(rebuilt, samples), expected)


def test_padding_changes_no_loss_of_stage_one(tmp_path):
    brain = make_brain(tmp_path)
    stage = SpeechStage.of(brain.enhancer.speech, vars(brain.hparams), brain.run_opts)
    stage.modules.eval()

    def terms_of(items):
        batch = Batch.collate(items)
        made = stage.compute_forward(batch, sb.Stage.VALID)
        return stage.compute_terms(made, batch)

    clips = [0.1 * torch.randn(1, size, dtype=torch.float64) for size in (600, 333)]
    items = [Example(f"{len(x[0])}", {"clean": x}) for x in clips]
    whole, *alone = (terms_of(part) for part in (items, items[:1], items[1:]))
    mean = {name: (alone[0][name] + alone[1][name]) / 2 for name in whole}
    torch.testing.assert_close(whole, mean)
