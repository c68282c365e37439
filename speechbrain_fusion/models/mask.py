"""Supervised masking with the mixture autoencoder's layers: what paired data gains.

Sources: Narayanan & Wang, "Ideal ratio mask estimation using deep neural networks for
robust speech recognition", ICASSP 2013; Williamson, Wang, Wang, "Complex ratio masking
for monaural speech separation", IEEE/ACM TASLP 24(3), 2016.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from speechbrain_fusion.models.shared_latent import MIXTURE_CHANNELS
from speechbrain_fusion.models.speech_autoencoder import encoder_input
from speechbrain_fusion.nnet.compressed_stft import compress
from speechbrain_fusion.nnet.options import check_option
from speechbrain_fusion.nnet.padding import blank_frames, channels_as_items
from speechbrain_fusion.nnet.precision import single
from speechbrain_fusion.nnet.resolutions import FFT_SIZES, MultiResolutionSTFT
from speechbrain_fusion.nnet.shapes import check_lengths
from speechbrain_fusion.nnet.spectral_stack import SpectralLayer, SpectralStack

MASKS = ("ratio", "complex")


class MaskEnhancer(nn.Module):
    """Enhance by a mask that is estimated from the mixture.

    Arguments
    ---------
    mask : str
        "ratio": from 0 to 1, with the noisy phase; "complex": real and imaginary part,
        from -bound to bound.
    fft_sizes : sequence of int
        Samples of the windows, the largest first; that of the largest is masked.
    hop : int
        Samples between frames.
    compression : float
        Exponent of the magnitudes that go in.
    channels : sequence of int
        Of the encoder's layers; the decoder mirrors them.
    kernel : int
        Frames of the convolutions, an odd number.
    bound : float
        Of the complex mask's parts, which begin near 1 and 0.

    Raises
    ------
    ValueError
        If the mask is unknown, or sizes, hop or kernel are not possible.

    Example
    -------
    >>> model = MaskEnhancer("complex", (512, 256), 128, channels=(64, 32), kernel=3)
    >>> model(torch.randn(3, 1, 8001), torch.tensor([1.0, 0.5, 0.7])).shape
    torch.Size([3, 1, 8001])
    """

    task = "enhance"
    inputs = outputs = 1
    causal = False

    def __init__(
        self,
        mask: str = "ratio",
        fft_sizes: Sequence[int] = FFT_SIZES,
        hop: int = 32,
        compression: float = 0.5,
        channels: Sequence[int] = MIXTURE_CHANNELS,
        kernel: int = 7,
        bound: float = 2.0,
    ) -> None:
        super().__init__()
        check_option("mask", mask, MASKS)
        if not 0 < bound < math.inf:
            raise ValueError(f"bound: expected a finite number above 0, got {bound}")
        self.mask, self.bound = mask, bound
        parts = mask == "complex"
        self.stft = MultiResolutionSTFT(fft_sizes, hop, compression, parts)
        outputs = self.stft.bins * (2 if parts else 1)
        self.encoder = SpectralStack([self.stft.channels, *channels], kernel)
        layers = [*reversed(channels), outputs]
        self.decoder = SpectralStack(layers, kernel, norm=False, active=False)
        if parts:
            self._begin_with_one()

    @torch.no_grad()
    def _begin_with_one(self) -> None:
        """Begin with a complex mask near 1: near 0 its phase would be any."""
        last = cast(SpectralLayer, self.decoder.layers[-1]).conv
        assert last.bias is not None
        last.weight.mul_(0.1)
        last.bias.zero_()
        last.bias[: self.stft.bins] = math.atanh(min(1 / self.bound, 0.99))

    @property
    def hop(self) -> int:
        """Samples between two frames."""
        return self.stft.main.hop

    def process(self, signals: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Do as every system in use does: see `speechbrain_fusion.models.system`."""
        return self(signals, lengths)

    def forward(self, mixture: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Enhance.

        Arguments
        ---------
        mixture : torch.Tensor
            Shape [batch, channels, time]; each channel on its own.
        lengths : torch.Tensor, optional
            Relative lengths in (0, 1], shape [batch]; None for all of it.

        Returns
        -------
        torch.Tensor
            Same shape.

        Raises
        ------
        ValueError
            If the shapes do not fit.
        """
        check_lengths(mixture, lengths)
        flat, count = channels_as_items(mixture, lengths)
        given = encoder_input(self.stft, flat, count)
        latent = self.encoder(given.features, given.valid)
        y = single(blank_frames(self.decoder(latent, given.valid), given.valid)).mT
        masked = self._masked(y, compress(given.spectrum, 1 / self.stft.compression))
        masked = compress(masked, self.stft.compression)
        estimate = self.stft.synthesize(masked, flat.shape[-1], count) / given.gain
        return estimate.view(mixture.shape).to(mixture.dtype)

    def _masked(self, y: Tensor, noisy: Tensor) -> Tensor:
        if self.mask == "ratio":
            return y.sigmoid().unsqueeze(1) * noisy
        real, imaginary = (self.bound * torch.tanh(x) for x in y.chunk(2, -1))
        return torch.stack(
            [
                real * noisy[:, 0] - imaginary * noisy[:, 1],
                real * noisy[:, 1] + imaginary * noisy[:, 0],
            ],
            1,
        )
