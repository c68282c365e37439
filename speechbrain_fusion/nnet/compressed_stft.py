"""Spectra whose magnitudes are raised to a power, and the way back.

Frames are centred on multiples of the hop, with silence before and after the signal,
and there are as many as contain any of it: so an item of a padded batch has the
spectrum that it has alone, and the inverse is exact. Spectra are real and imaginary
part, [batch, 2, frames, bins], in float32 (float64 for float64 signals) also inside
automatic mixed precision.

Source of the compression: Li et al., "On the importance of power compression and phase
estimation in monaural speech dereverberation", JASA Express Letters 1(1), 2021.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechbrain_fusion.nnet.dft import irfft_parts, rfft_parts
from speechbrain_fusion.nnet.filterbank import overlap_add
from speechbrain_fusion.nnet.padding import Count, blank, valid_steps
from speechbrain_fusion.nnet.precision import single
from speechbrain_fusion.nnet.streaming import Memory, along, current_memory

FLOOR = 1e-6
"""Magnitude below which nothing is compressed further, so that gradients are finite."""


class CompressedSTFT(nn.Module):
    """Short-time Fourier transform with a Hann window and compressed magnitudes.

    Arguments
    ---------
    fft_size : int
        Samples of a window.
    hop : int
        Samples between windows, which divide half a window.
    compression : float
        Exponent of the magnitudes; 1 for none.

    Raises
    ------
    ValueError
        If the window is odd, or the hop does not divide half of it.

    Example
    -------
    >>> stft, signal = CompressedSTFT(320, 160, compression=0.5), torch.randn(3, 8001)
    >>> spectrum = stft.analyze(signal)
    >>> spectrum.shape
    torch.Size([3, 2, 51, 161])
    >>> bool((stft.synthesize(spectrum, 8001) - signal).abs().max() < 1e-4)
    True
    """

    window: Tensor

    def __init__(self, fft_size: int, hop: int, compression: float = 1.0) -> None:
        super().__init__()
        if fft_size < 2 or fft_size % 2:
            raise ValueError(f"fft_size: expected an even number, got {fft_size}")
        if hop < 1 or fft_size % (2 * hop):
            raise ValueError(
                f"hop: expected a part of half the window, {fft_size // 2}, got {hop}"
            )
        self.fft_size, self.hop, self.compression = fft_size, hop, compression
        self.register_buffer("window", torch.hann_window(fft_size), persistent=False)

    def frames(self, samples: Count) -> Count:
        """Count the frames that contain any of so many samples."""
        # a window is zero where it begins
        return -(-(samples + self.fft_size // 2 - 1) // self.hop)

    def valid(self, count: Tensor | None, time: int) -> Tensor | None:
        """Mark the frames that contain any of an item's own samples.

        Arguments
        ---------
        count : torch.Tensor or None
            Each item's own samples, shape [batch].
        time : int
            Samples of the batch.

        Returns
        -------
        torch.Tensor or None
            bool, shape [batch, frames]; None without a count.
        """
        if count is None:
            return None
        return valid_steps(self.frames(count), self.frames(time))

    def analyze(self, signal: Tensor, count: Tensor | None = None) -> Tensor:
        """Compute compressed spectra.

        Arguments
        ---------
        signal : torch.Tensor
            Shape [batch, time].
        count : torch.Tensor, optional
            Each item's own samples, shape [batch].

        Returns
        -------
        torch.Tensor
            Real and imaginary part, float32 or float64, [batch, 2, frames, bins].
        """
        own = blank(signal, count)
        frames, memory = self.frames(signal.shape[-1]), current_memory()
        with torch.autocast(signal.device.type, enabled=False):
            if memory is None:
                spectrum = centred_spectrum(own, self.window, self.hop, frames)
            else:
                early = self.fft_size // (2 * self.hop) - 1
                sizes = self.fft_size, self.hop, early
                wide = memory.begin(single(own), *sizes, self.frames)
                spectrum = spectrum_of(wide, self.window, self.hop)
            return compress(spectrum, self.compression)

    def synthesize(
        self, spectrum: Tensor, time: int, count: Tensor | None = None
    ) -> Tensor:
        """Return from compressed spectra to signals.

        Arguments
        ---------
        spectrum : torch.Tensor
            Shape [batch, 2, frames, bins].
        time : int
            Samples to return.
        count : torch.Tensor, optional
            Each item's own samples, shape [batch].

        Returns
        -------
        torch.Tensor
            Shape [batch, time].
        """
        with torch.autocast(spectrum.device.type, enabled=False):
            wide = compress(single(spectrum), 1 / self.compression)
            frames = irfft_parts(wide[:, 0], wide[:, 1], self.fft_size).mT
            window = self.window.to(frames)[:, None]
            memory = current_memory()
            if memory is not None:
                return self._continue(frames * window, time, memory)
            signal = overlap_add(frames * window, self.hop)
            weight = overlap_add(window.square().expand_as(frames[0]), self.hop)
        side = self.fft_size // 2
        signal = (signal / weight.clamp(min=FLOOR))[:, side : side + time]
        return blank(signal, count)

    def _continue(self, frames: Tensor, time: int, memory: Memory) -> Tensor:
        """Add up a piece's windowed frames [batch, fft_size, frames]."""
        weight = self.window.square().to(frames)[:, None].expand_as(frames)
        both = torch.stack([frames, weight], 1)
        if memory.valid is not None:
            both = both * along(memory.valid, both.dim(), -1)
        signal, weight = memory.overlap(overlap_add(both, self.hop), time).unbind(1)
        hops = self.fft_size // self.hop - 1
        return memory.silence_start(signal / weight.clamp(min=FLOOR), hops)


def centred_spectrum(signal: Tensor, window: Tensor, hop: int, frames: int) -> Tensor:
    """Compute spectra of windows centred on multiples of the hop, amid silence.

    Arguments
    ---------
    signal : torch.Tensor
        Shape [batch, time].
    window : torch.Tensor
        An even number of samples.
    hop : int
        Samples between centres.
    frames : int
        How many.

    Returns
    -------
    torch.Tensor
        Real and imaginary part, [batch, 2, frames, bins].

    Example
    -------
    >>> centred_spectrum(torch.randn(3, 8000), torch.hann_window(320), 160, 50).shape
    torch.Size([3, 2, 50, 161])
    """
    size, side = window.shape[0], window.shape[0] // 2
    behind = (frames - 1) * hop + size - side - signal.shape[-1]
    return spectrum_of(F.pad(single(signal), (side, behind)), window, hop)


def spectrum_of(padded: Tensor, window: Tensor, hop: int) -> Tensor:
    """Compute spectra [batch, 2, frames, bins] of all that fits into [batch, time].

    Example
    -------
    >>> spectrum_of(torch.randn(3, 8000), torch.hann_window(320), 160).shape
    torch.Size([3, 2, 49, 161])
    """
    pieces = padded.unfold(-1, window.shape[0], hop) * window.to(padded)
    return rfft_parts(pieces).movedim(-1, 1)


def modulus(spectrum: Tensor) -> Tensor:
    """Compute magnitudes whose gradient is finite at zero.

    Arguments
    ---------
    spectrum : torch.Tensor
        Shape [batch, 2, frames, bins].

    Returns
    -------
    torch.Tensor
        `FLOOR` at least, shape [batch, frames, bins].

    Example
    -------
    >>> modulus(torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)).item()
    5.0
    """
    return spectrum.square().sum(1).clamp(min=FLOOR**2).sqrt()


def compress(spectrum: Tensor, exponent: float) -> Tensor:
    """Raise a spectrum's magnitudes to a power and keep the phase.

    Arguments
    ---------
    spectrum : torch.Tensor
        Shape [batch, 2, frames, bins].
    exponent : float
        1 changes nothing.

    Returns
    -------
    torch.Tensor
        Same shape.

    Example
    -------
    >>> compress(torch.tensor([0.0, 4.0]).view(1, 2, 1, 1), 0.5).flatten()
    tensor([0., 2.])
    """
    if exponent == 1:
        return spectrum
    return spectrum * modulus(spectrum).pow(exponent - 1).unsqueeze(1)
