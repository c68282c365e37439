"""The speech autoencoder: features, padding, noise on latents, learning."""

import pytest
import torch

from speechbrain_fusion.losses import si_sdr_loss
from speechbrain_fusion.models import SpeechAutoencoder
from speechbrain_fusion.models.speech_autoencoder import join
from tests.models.latent_space import SPEECH, TIME, make, noise


def test_published_features():
    speech = SpeechAutoencoder(phase=False)
    assert speech.stft.channels == 964
    assert speech.stft.features(noise(1, 16000)).shape == (1, 964, 516)


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


def test_autoencoder_decodes_a_noisy_latent_in_training_alone():
    model = make({"latent_noise": 1.0}).speech
    model.train()
    first, second = (model(noise()).decoded for _ in range(2))
    assert not torch.equal(first.amplitude, second.amplitude)
    model.eval()
    assert torch.equal(model(noise()).estimate, model(noise()).estimate)


@pytest.mark.parametrize(
    "change", [{"hop": 16}, {"compression": 0.3}, {"latent_norm": False}]
)
def test_parameters_of_other_features_are_refused(change):
    saved = make().speech.state_dict()
    SpeechAutoencoder(**SPEECH).load_state_dict(saved)
    other = SpeechAutoencoder(**{**SPEECH, **change})
    with pytest.raises(ValueError, match=rf"trained with .*{next(iter(change))}"):
        other.load_state_dict(saved)


@pytest.mark.parametrize("valid", [None, torch.tensor([[True] * 5 + [False] * 3])])
def test_latents_have_a_mean_of_one_over_time(valid):
    speech = make().speech
    latent = speech.normalize(torch.rand(1, 6, 8) + 0.1, valid)
    own = latent if valid is None else latent[..., :5]
    torch.testing.assert_close(own.mean(-1), torch.ones(1, 6))
    plain = make({"latent_norm": False}).speech
    given = torch.rand(1, 6, 8)
    assert torch.equal(plain.normalize(given, None), given)


@pytest.mark.slow
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


BAD_SPEECH = {
    "rising": ({"fft_sizes": (64, 128)}, r"fft_sizes: expected even numbers that fall"),
    "odd": ({"fft_sizes": (127,)}, r"fft_sizes: expected even numbers that fall"),
    "none": ({"fft_sizes": ()}, r"fft_sizes: expected even numbers that fall"),
    "hop": ({"hop": 48}, r"hop: expected a part of half the window"),
    "noise": ({"latent_noise": -1.0}, r"latent_noise: expected at least 0"),
    "channels": ({"channels": ()}, r"channels: expected two at least"),
}


def test_the_autoencoder_takes_one_channel():
    with pytest.raises(ValueError, match=r"expected \[batch, time\], got \(2, 1, 800"):
        SpeechAutoencoder(**SPEECH)(torch.randn(2, 1, 800))


@pytest.mark.parametrize(("options", "pattern"), BAD_SPEECH.values(), ids=BAD_SPEECH)
def test_bad_options_of_the_autoencoder_are_named(options, pattern):
    with pytest.raises(ValueError, match=pattern):
        SpeechAutoencoder(**{**SPEECH, **options})
