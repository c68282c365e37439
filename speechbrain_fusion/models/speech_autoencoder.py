"""An autoencoder of clean speech whose amplitude and phase have decoders of their own.

    spectra -> encoder -> latent -> amplitude decoder -> softplus
                                 -> phase decoder -> cos, sin per bin

Source: see `speechbrain_fusion.models.shared_latent`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from speechbrain_fusion.nnet.compressed_stft import FLOOR, modulus
from speechbrain_fusion.nnet.level import to_unit_power
from speechbrain_fusion.nnet.padding import blank_frames, own_samples
from speechbrain_fusion.nnet.precision import single
from speechbrain_fusion.nnet.resolutions import FFT_SIZES, MultiResolutionSTFT
from speechbrain_fusion.nnet.shapes import check_axes, check_lengths
from speechbrain_fusion.nnet.spectral_stack import SpectralStack


class Decoded(NamedTuple):
    """What decoders make of a latent; padding is zero.

    Attributes
    ----------
    latent : torch.Tensor
        Without the noise of training, [batch, channels, frames].
    amplitude : torch.Tensor
        Compressed, [batch, frames, bins].
    phase : torch.Tensor or None
        Points on the unit circle (cos, sin), [batch, 2, frames, bins]; None without a
        phase decoder.
    """

    latent: Tensor
    amplitude: Tensor
    phase: Tensor | None


class Rebuilt(NamedTuple):
    """What a `SpeechAutoencoder` returns, at unit power.

    Attributes
    ----------
    spectrum : torch.Tensor
        Compressed, of what came in, [batch, 2, frames, bins].
    decoded : Decoded
        Latent, amplitude and phase.
    signal : torch.Tensor
        What came in, [batch, time].
    estimate : torch.Tensor or None
        What amplitude and phase (or, without a decoder of it, the signal's own phase)
        sound like, [batch, time], if it is wanted.
    again : torch.Tensor or None
        Spectrum of the estimate, [batch, 2, frames, bins].
    lengths : torch.Tensor or None
        Relative lengths in frames, [batch], if lengths were given.
    """

    spectrum: Tensor
    decoded: Decoded
    signal: Tensor
    estimate: Tensor | None
    again: Tensor | None
    lengths: Tensor | None


class EncoderInput(NamedTuple):
    """Signals as encoders take them: at unit power, in float32 (or float64).

    Attributes
    ----------
    signal : torch.Tensor
        Padding blanked, [batch, time].
    gain : torch.Tensor
        What brought the signal to unit power, [batch, 1].
    spectrum : torch.Tensor
        Compressed, of the largest window, [batch, 2, frames, bins].
    features : torch.Tensor
        Of all windows, [batch, channels, frames].
    valid : torch.Tensor or None
        Which frames are an item's own, bool [batch, frames]; None without padding.
    """

    signal: Tensor
    gain: Tensor
    spectrum: Tensor
    features: Tensor
    valid: Tensor | None


class SpeechAutoencoder(nn.Module):
    """Encode clean speech, and decode amplitude and phase independently.

    Arguments
    ---------
    fft_sizes : sequence of int
        Samples of the windows, the largest first: spectra of all are encoded, that of
        the largest is decoded.
    hop : int
        Samples between frames.
    compression : float
        Exponent of the magnitudes.
    channels : sequence of int
        Of the encoder's layers; the decoders mirror them.
    kernel : int
        Frames of the convolutions, an odd number.
    phase : bool
        Whether there is a phase decoder; then real and imaginary parts are encoded
        too, as amplitudes alone do not tell a signal from its negative.
    latent_noise : float
        Standard deviation of the noise on latents in training; none in evaluation.
    latent_norm : bool
        Divide each latent channel by its mean over time.
    final_norm : bool
        Batch norm before the amplitude's softplus, as in SSE. It slows training down:
        most amplitudes are near zero.

    Raises
    ------
    ValueError
        If sizes, hop or kernel are not possible, or the noise is negative.

    Notes
    -----
    With SSE's configuration, ``fft_sizes=(1024,), phase=False, final_norm=True``, its
    6 092 739 parameters.

    Example
    -------
    >>> model = SpeechAutoencoder((512, 256), 128, channels=(64, 32), kernel=1)
    >>> rebuilt = model(torch.randn(3, 8001), torch.tensor([1.0, 0.5, 0.7]))
    >>> rebuilt.decoded.latent.shape, rebuilt.estimate.shape
    (torch.Size([3, 32, 65]), torch.Size([3, 8001]))
    """

    def __init__(
        self,
        fft_sizes: Sequence[int] = FFT_SIZES,
        hop: int = 32,
        compression: float = 0.5,
        channels: Sequence[int] = (512, 256, 128, 64),
        kernel: int = 7,
        phase: bool = True,
        latent_noise: float = 1.0,
        latent_norm: bool = True,
        final_norm: bool = False,
    ) -> None:
        super().__init__()
        if latent_noise < 0:
            raise ValueError(f"latent_noise: expected at least 0, got {latent_noise}")
        self.stft = MultiResolutionSTFT(fft_sizes, hop, compression, parts=phase)
        self.channels, bins, back = [*channels], self.stft.bins, [*reversed(channels)]
        self.encoder = SpectralStack([self.stft.channels, *channels], kernel)
        self.amplitude = SpectralStack([*back, bins], kernel, norm=final_norm)
        self.phase = None
        if phase:
            self.phase = SpectralStack([*back, 2 * bins], kernel, False, False)
        self.latent_noise, self.latent_norm = latent_noise, latent_norm

    def forward(
        self, signal: Tensor, lengths: Tensor | None = None, sound: bool = True
    ) -> Rebuilt:
        """Encode and decode clean speech.

        Arguments
        ---------
        signal : torch.Tensor
            Shape [batch, time].
        lengths : torch.Tensor, optional
            Relative lengths in (0, 1], shape [batch]; None for all of it.
        sound : bool
            Whether the estimate is wanted, and its spectrum.

        Returns
        -------
        Rebuilt
            All that the losses need.

        Raises
        ------
        ValueError
            If the shapes do not fit.
        """
        check_axes(signal, batch=None, time=None)
        check_lengths(signal, lengths)
        count = own_samples(signal, lengths)
        unit, _, spectrum, features, valid = encoder_input(self.stft, signal, count)
        latent = self.encode(features, valid)
        decoded = self.decode(latent, valid, self.training)
        estimate = again = None
        if sound:
            joined = join(decoded.amplitude, decoded.phase, spectrum)
            estimate = self.stft.synthesize(joined, signal.shape[-1], count)
            again = self.stft.analyze(estimate, count)
        own = None if valid is None else valid.float().mean(-1)
        return Rebuilt(spectrum, decoded, unit, estimate, again, own)

    def get_extra_state(self) -> Tensor:
        """Return what belongs to the parameters, but is none, as a tensor like them."""
        own = self._front()
        return torch.tensor([*own.values()][1:] + own["fft_sizes"], dtype=torch.float64)

    def set_extra_state(self, state: Tensor | dict[str, Any]) -> None:
        """Refuse parameters that were trained with other features.

        Arguments
        ---------
        state : torch.Tensor or dict
            What `get_extra_state` returned; a dict in older checkpoints.

        Raises
        ------
        ValueError
            Naming what differs.
        """
        own = self._front()
        if isinstance(state, Tensor):
            values = state.tolist()
            sizes, values = values[len(own) - 1 :], values[: len(own) - 1]
            state = dict(zip(own, [sizes, *values], strict=False))
        other = {name: state.get(name) for name in own if state.get(name) != own[name]}
        if other:
            raise ValueError(f"trained with {other}, expected {own}")

    def _front(self) -> dict[str, Any]:
        """Name the settings of the features."""
        stft = self.stft
        front = {"fft_sizes": list(stft.fft_sizes), "hop": stft.main.hop}
        front |= {"compression": stft.compression, "latent_norm": self.latent_norm}
        return front

    def encode(self, features: Tensor, valid: Tensor | None = None) -> Tensor:
        """Encode features [batch, channels, frames]; `valid` is [batch, frames]."""
        return self.normalize(self.encoder(features, valid), valid)

    def normalize(self, latent: Tensor, valid: Tensor | None = None) -> Tensor:
        """Divide each channel of [batch, channels, frames] by its mean over time.

        If that is wanted (`latent_norm`); padding, where not `valid`, is blanked.
        """
        own = blank_frames(latent, valid)
        if not self.latent_norm:
            return own
        total = own.sum(-1, keepdim=True)
        if valid is None:
            mean = total / latent.shape[-1]
        else:
            mean = total / valid.sum(-1).view(-1, 1, 1).clamp(min=1)
        return own / mean.clamp(min=FLOOR)

    def decode(
        self, latent: Tensor, valid: Tensor | None = None, noise: bool = False
    ) -> Decoded:
        """Decode amplitude and phase.

        Arguments
        ---------
        latent : torch.Tensor
            Shape [batch, channels, frames].
        valid : torch.Tensor, optional
            Which frames are an item's own, bool [batch, frames].
        noise : bool
            Add the noise of training to the latent first.

        Returns
        -------
        Decoded
            The latent without noise, amplitude and phase.
        """
        heard = self.disturb(latent) if noise else latent
        amplitude = single(blank_frames(self.amplitude(heard, valid), valid)).mT
        if self.phase is None:
            return Decoded(latent, amplitude, None)
        parts = single(blank_frames(self.phase(heard, valid), valid)).mT
        parts = torch.stack(parts.chunk(2, -1), 1)
        return Decoded(latent, amplitude, parts / modulus(parts).unsqueeze(1))

    def disturb(self, latent: Tensor) -> Tensor:
        """Add the noise of training."""
        if self.latent_noise == 0:
            return latent
        return latent + self.latent_noise * torch.randn_like(latent)


def encoder_input(
    stft: MultiResolutionSTFT, signal: Tensor, count: Tensor | None
) -> EncoderInput:
    """Analyse signals at unit power.

    Arguments
    ---------
    stft : MultiResolutionSTFT
        Gives spectra and features.
    signal : torch.Tensor
        Shape [batch, time].
    count : torch.Tensor or None
        Each item's own samples, shape [batch].

    Returns
    -------
    EncoderInput
        Signal, gain, spectrum, features and valid frames.

    Example
    -------
    >>> stft = MultiResolutionSTFT((512, 256), 128)
    >>> encoder_input(stft, torch.randn(3, 8001), None).features.shape
    torch.Size([3, 386, 65])
    """
    unit, gain = to_unit_power(signal, count)
    spectrum = stft.analyze(unit, count)
    features = stft.features(unit, count, spectrum)
    return EncoderInput(
        unit, gain, spectrum, features, stft.valid(count, signal.shape[-1])
    )


def join(amplitude: Tensor, phase: Tensor | None, spectrum: Tensor) -> Tensor:
    """Put amplitudes and phases together.

    Arguments
    ---------
    amplitude : torch.Tensor
        Shape [batch, frames, bins].
    phase : torch.Tensor or None
        Points on the unit circle, shape [batch, 2, frames, bins].
    spectrum : torch.Tensor
        Whose phase it is if none is given, same shape.

    Returns
    -------
    torch.Tensor
        Shape [batch, 2, frames, bins].

    Example
    -------
    >>> spectrum = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    >>> join(torch.full((1, 1, 1), 10.0), None, spectrum).flatten()
    tensor([6., 8.])
    """
    if phase is None:
        phase = spectrum / modulus(spectrum).unsqueeze(1)
    return amplitude.unsqueeze(1) * phase
