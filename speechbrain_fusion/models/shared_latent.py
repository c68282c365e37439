"""Self-supervised enhancement through a latent space that two autoencoders share.

    clean -> E_s -> latent -> D_A amplitude, D_P phase           speech autoencoder
    noisy -> E_m -> latent -> D_m noisy spectrum                 mixture autoencoder
    noisy -> E_m -> latent -> D_A, D_P -> inverse STFT           enhancement

The speech autoencoder learns from clean speech first and is frozen, its normalization
too. The mixture autoencoder then learns from noisy speech of other talkers, and is
drawn into the first one's latent space.

Sources: Li, Sun, Wang, Naqvi, "Joint Learning with Shared Latent Space for
Self-Supervised Monaural Speech Enhancement", SSPD 2023; Wang, Venkataramani, Smaragdis,
"Self-supervised Learning for Speech Enhancement", arXiv 2006.10388 (SSE).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from speechbrain_fusion.models.joint import JointInputs, joint_passes
from speechbrain_fusion.models.speech_autoencoder import (
    SpeechAutoencoder,
    encoder_input,
    join,
)
from speechbrain_fusion.nnet.compressed_stft import modulus
from speechbrain_fusion.nnet.level import to_unit_power
from speechbrain_fusion.nnet.options import check_option
from speechbrain_fusion.nnet.padding import blank_frames, own_samples
from speechbrain_fusion.nnet.precision import single
from speechbrain_fusion.nnet.shapes import check_axes, check_lengths
from speechbrain_fusion.nnet.spectral_stack import SpectralStack

SHARES = ("layer", "space")
# Of the mixture encoder: the last layers can be those of the speech autoencoder.
MIXTURE_CHANNELS = (512, 400, 300, 200, 128, 64)


class SharedLatentEnhancer(nn.Module):
    """Enhance speech by a mixture encoder and the decoders of a speech autoencoder.

    The speech autoencoder is a part of this module, but frozen: its parameters have no
    gradient and it is always in evaluation, so that its statistics stay.

    Arguments
    ---------
    speech : SpeechAutoencoder
        Trained before.
    channels : sequence of int
        Of the mixture encoder's layers; the decoder mirrors them.
    kernel : int
        Frames of its convolutions, an odd number.
    share : str
        "layer": the encoders' last layer is one, the speech autoencoder's; "space":
        losses alone make them share a latent space.
    noisy_phase : bool
        Enhance with the mixture's phase.
    bound : bool
        Let no bin be louder than in the mixture.
    final_norm : bool
        Batch norm before the decoder's last softplus, as in SSE.

    Raises
    ------
    ValueError
        If the channels do not go with the speech autoencoder's.

    Notes
    -----
    With SSE's configuration its 9 444 787 parameters, beside the speech autoencoder's:
    see `tests/models/test_shared_latent.py`.

    Example
    -------
    >>> speech = SpeechAutoencoder((512, 256), 128, channels=(64, 32), kernel=1)
    >>> model = SharedLatentEnhancer(speech, channels=(64, 64, 32), kernel=3).eval()
    >>> model(torch.randn(3, 8001), torch.tensor([1.0, 0.5, 0.7])).shape
    torch.Size([3, 8001])
    """

    task = "enhance"
    inputs = outputs = 1
    causal = False

    def __init__(
        self,
        speech: SpeechAutoencoder,
        channels: Sequence[int] = MIXTURE_CHANNELS,
        kernel: int = 7,
        share: str = "layer",
        noisy_phase: bool = False,
        bound: bool = True,
        final_norm: bool = False,
    ) -> None:
        super().__init__()
        _check_share(share, channels, speech.channels)
        self.speech, self.share = speech, share
        self.noisy_phase, self.bound = noisy_phase, bound
        own = [*channels][: -1 if share == "layer" else None]
        self.encoder = SpectralStack([speech.stft.channels, *own], kernel)
        alone = speech.phase is None
        outputs = [*reversed(channels), speech.stft.bins * (1 if alone else 2)]
        self.decoder = SpectralStack(outputs, kernel, final_norm and alone, alone)
        self.freeze()

    def freeze(self) -> None:
        """Keep the speech autoencoder as it is from now on."""
        self.speech.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "SharedLatentEnhancer":
        """Set the mode of all but the speech autoencoder."""
        super().train(mode)
        self.speech.eval()
        return self

    def encode(self, features: Tensor, valid: Tensor | None = None) -> Tensor:
        """Encode features of noisy speech: [batch, channels, frames]."""
        latent = self.encoder(features, valid)
        if self.share == "layer":
            latent = self.speech.encoder.layers[-1](latent, valid)
        return self.speech.normalize(latent, valid)

    def latents(self, clean: Tensor, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """Encode clean speech by its encoder and mixtures by theirs, [batch, time]."""
        pair, _ = zip(*(to_unit_power(x, None) for x in (clean, mixture)), strict=True)
        features = [self.speech.stft.features(x) for x in pair]
        return self.speech.encode(features[0]), self.encode(features[1])

    def decode_mixture(self, latent: Tensor, valid: Tensor | None = None) -> Tensor:
        """Decode [batch, channels, frames] to the mixture.

        Gives spectra [batch, 2, frames, bins] or, where the speech autoencoder has no
        phase decoder, amplitudes [batch, frames, bins].
        """
        y = single(blank_frames(self.decoder(latent, valid), valid)).mT
        if self.speech.phase is None:
            return y
        return torch.stack(y.chunk(2, -1), 1)

    @property
    def hop(self) -> int:
        """Samples between two frames."""
        return self.speech.stft.main.hop

    def process(self, signals: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Do as every system in use does: see `speechbrain_fusion.models.system`."""
        check_axes(signals, batch=None, channels=1, time=None)
        return self(signals.squeeze(1), lengths).unsqueeze(1)

    def forward(
        self,
        mixture: Tensor,
        lengths: Tensor | None = None,
        noisy_phase: bool | None = None,
        joint: JointInputs | None = None,
    ) -> Any:
        """Enhance, deterministically, or compute what joint training needs.

        Arguments
        ---------
        mixture : torch.Tensor
            Shape [batch, time].
        lengths : torch.Tensor, optional
            Relative lengths in (0, 1], shape [batch]; None for all of it.
        noisy_phase : bool, optional
            Whether the phase is the mixture's, if other than at construction.
        joint : JointInputs, optional
            Ask for `Joint`; all items must then be equally long.

        Returns
        -------
        torch.Tensor or Joint
            Enhanced, [batch, time]: at the level at which its amplitudes are nearest
            to the mixture's, or as decoded if that is lower, as it is of noise alone.

        Raises
        ------
        ValueError
            If the shapes do not fit.
        """
        check_axes(mixture, batch=None, time=None)
        if joint is not None:
            if lengths is not None:
                raise ValueError("lengths: expected None in joint training")
            return joint_passes(self, mixture, joint)
        check_lengths(mixture, lengths)
        stft, count = self.speech.stft, own_samples(mixture, lengths)
        given = encoder_input(stft, mixture, count)
        latent = self.encode(given.features, given.valid)
        decoded = self.speech.decode(latent, given.valid)
        amplitude = self._at_level(decoded.amplitude, modulus(given.spectrum))
        own = self.noisy_phase if noisy_phase is None else noisy_phase
        spectrum = join(amplitude, None if own else decoded.phase, given.spectrum)
        estimate = stft.synthesize(spectrum, mixture.shape[-1], count)
        return (estimate / given.gain).to(mixture.dtype)

    def _at_level(self, amplitude: Tensor, noisy: Tensor) -> Tensor:
        """Bring decoded amplitudes nearest to the mixture's, and bound them by it."""
        exponent = self.speech.stft.compression
        wide, mixture = (x.pow(1 / exponent) for x in (amplitude, noisy))
        power = wide.square().sum((1, 2)).clamp(min=torch.finfo(wide.dtype).tiny)
        # never up: what is decoded is at the level of speech already
        match = ((wide * mixture).sum((1, 2)) / power).clamp(max=1.0)
        level = match.pow(exponent).view(-1, 1, 1) * amplitude
        return torch.minimum(level, noisy) if self.bound else level


def _check_share(share: str, channels: Sequence[int], speech: Sequence[int]) -> None:
    """Refuse channels that cannot share a latent space, or a layer."""
    check_option("share", share, SHARES)
    common = 2 if share == "layer" else 1
    if len(channels) < 2 or [*channels[-common:]] != [*speech[-common:]]:
        raise ValueError(
            f"channels: expected to end in {[*speech[-common:]]}, as the speech "
            f"autoencoder's do (share: {share}), got {[*channels]}"
        )
