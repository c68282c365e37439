"""Spectra of several window sizes with one frame shift, side by side.

Frames of all sizes are centred on the same samples, and there are as many as the
largest window needs to cover the whole signal.

Source: Li, Sun, Wang, Naqvi, "Joint Learning with Shared Latent Space for
Self-Supervised Monaural Speech Enhancement", SSPD 2023.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from speechbrain_fusion.nnet.compressed_stft import (
    CompressedSTFT,
    centred_spectrum,
    compress,
    modulus,
)
from speechbrain_fusion.nnet.padding import blank
from speechbrain_fusion.nnet.precision import single

# Samples of the published windows.
FFT_SIZES = (1024, 512, 256, 128)


class MultiResolutionSTFT(nn.Module):
    """Features of several resolutions, and the way back from the largest.

    White noise of power 1 has mean power 1 at every size, before compression.

    Arguments
    ---------
    fft_sizes : sequence of int
        Samples of the windows (Hann), the largest first; one for a single resolution.
    hop : int
        Samples between frames, which divide half of the largest window.
    compression : float
        Exponent of the magnitudes; 1 for none.
    parts : bool
        Whether features have, beside magnitudes, the largest window's real and
        imaginary parts.

    Raises
    ------
    ValueError
        If there is no size, they do not decrease, one is odd, or the hop does not
        divide half of the largest.

    Example
    -------
    >>> stft = MultiResolutionSTFT((1024, 512, 256, 128), 32, compression=0.5)
    >>> stft.features(torch.randn(2, 16000)).shape
    torch.Size([2, 964, 516])
    """

    def __init__(
        self,
        fft_sizes: Sequence[int] = FFT_SIZES,
        hop: int = 32,
        compression: float = 0.5,
        parts: bool = False,
    ) -> None:
        super().__init__()
        falling = list(fft_sizes) == sorted(set(fft_sizes), reverse=True)
        if not fft_sizes or not falling or any(x % 2 or x < 2 for x in fft_sizes):
            raise ValueError(
                f"fft_sizes: expected even numbers that fall, got {[*fft_sizes]}"
            )
        self.main = CompressedSTFT(fft_sizes[0], hop, compression)
        self.fft_sizes, self.parts = tuple(fft_sizes), parts

    @property
    def compression(self) -> float:
        """Exponent of the magnitudes."""
        return self.main.compression

    @property
    def bins(self) -> int:
        """Frequencies of the largest window."""
        return self.fft_sizes[0] // 2 + 1

    @property
    def channels(self) -> int:
        """Features of a frame."""
        magnitudes = sum(size // 2 + 1 for size in self.fft_sizes)
        return magnitudes + 2 * self.bins * self.parts

    def valid(self, count: Tensor | None, time: int) -> Tensor | None:
        """Mark the frames that contain any of an item's own samples.

        See `CompressedSTFT.valid`.
        """
        return self.main.valid(count, time)

    @property
    def scale(self) -> Tensor:
        """What makes the largest window's compressed spectra those of unit power."""
        return self.main.window.square().sum().pow(-0.5 * self.main.compression)

    def analyze(self, signal: Tensor, count: Tensor | None = None) -> Tensor:
        """Compute the largest window's compressed spectra.

        Arguments
        ---------
        signal : torch.Tensor
            Shape [batch, time].
        count : torch.Tensor, optional
            Each item's own samples, shape [batch].

        Returns
        -------
        torch.Tensor
            Real and imaginary part, [batch, 2, frames, bins].
        """
        spectrum = self.main.analyze(signal, count)
        return spectrum * self.scale.to(spectrum)

    def synthesize(
        self, spectrum: Tensor, time: int, count: Tensor | None = None
    ) -> Tensor:
        """Return from the largest window's compressed spectra to [batch, time]."""
        # float32 also inside autocast: the inverse of a root is steep
        wide = single(spectrum)
        return self.main.synthesize(wide / self.scale.to(wide), time, count)

    def features(
        self,
        signal: Tensor,
        count: Tensor | None = None,
        spectrum: Tensor | None = None,
    ) -> Tensor:
        """Compute magnitudes of all sizes, and parts of the largest if wanted.

        Arguments
        ---------
        signal : torch.Tensor
            Shape [batch, time].
        count : torch.Tensor, optional
            Each item's own samples, shape [batch].
        spectrum : torch.Tensor, optional
            What `analyze` gives for it, if it is known.

        Returns
        -------
        torch.Tensor
            Shape [batch, channels, frames].
        """
        if spectrum is None:
            spectrum = self.analyze(signal, count)
        own = blank(signal, count)
        features = [modulus(spectrum)]
        with torch.autocast(signal.device.type, enabled=False):
            for size in self.fft_sizes[1:]:
                features.append(self._magnitudes(own, size, spectrum.shape[2]))
        if self.parts:
            features += [spectrum[:, 0], spectrum[:, 1]]
        return torch.cat(features, -1).mT

    def _magnitudes(self, signal: Tensor, size: int, frames: int) -> Tensor:
        window = torch.hann_window(size, device=signal.device)
        window = window / window.square().sum().sqrt()
        spectrum = centred_spectrum(signal, window, self.main.hop, frames)
        return modulus(compress(spectrum, self.main.compression))
