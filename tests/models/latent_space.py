"""A small shared latent space, and what goes into it."""

import torch

from speechbrain_fusion.models import SharedLatentEnhancer, SpeechAutoencoder
from speechbrain_fusion.models.joint import JointInputs

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
