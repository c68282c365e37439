"""Filterbanks between waveform and latent: learned (TasNet) and short-time Fourier.

Both offer `analyze`, which gives the latent that masks are computed from and what the
masks are applied to, and `synthesize`, which applies a mask and returns to the
waveform. An output sample depends on no input sample that is a `window` later.

Sources: Luo & Mesgarani, "Conv-TasNet", IEEE/ACM TASLP, 2019 (learned); Griffin & Lim,
"Signal estimation from modified short-time Fourier transform", IEEE TASSP 32(2), 1984.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechbrain_fusion.nnet.convolution import PointwiseConv, pointwise
from speechbrain_fusion.nnet.dft import irfft_parts, rfft_parts
from speechbrain_fusion.nnet.exporting import is_exporting, larger
from speechbrain_fusion.nnet.options import check_option
from speechbrain_fusion.nnet.stepping import step_overlap_add, stepping
from speechbrain_fusion.nnet.streaming import current_memory, overlap

# Of a learned encoder: what follows it, and where it has its bias.
ACTIVATIONS = ("linear", "relu")
BIASES = ("encoding", "mask", "none")


def frame(x: Tensor, size: int, hop: int) -> Tensor:
    """Cut [..., time] into overlapping frames [..., size, frames].

    Example
    -------
    >>> frame(torch.arange(6), size=4, hop=2)
    tensor([[0, 2],
            [1, 3],
            [2, 4],
            [3, 5]])
    """
    return x.unfold(-1, size, hop).transpose(-1, -2)


def overlap_add(frames: Tensor, hop: int) -> Tensor:
    """Sum frames [..., size, frames] to [..., size + hop * (frames - 1)].

    The hop divides the size: each part of one hop's length is shifted by its place.

    Example
    -------
    >>> overlap_add(torch.ones(4, 3), hop=2)
    tensor([1., 1., 2., 2., 2., 2., 1., 1.])
    """
    if stepping():
        return step_overlap_add(frames, hop)
    parts = frames.unflatten(-2, (-1, hop))
    overlap = parts.shape[-3]
    shifted = [
        F.pad(parts[..., place, :, :], (place, overlap - 1 - place))
        for place in range(overlap)
    ]
    return torch.stack(shifted).sum(0).transpose(-1, -2).flatten(-2)


def complete_frames(x: Tensor, size: int, hop: int) -> Tensor:
    """Append zeros to [..., time] until frames of `size` every `hop` cover it all.

    Example
    -------
    >>> complete_frames(torch.ones(1, 5), size=4, hop=2).shape
    torch.Size([1, 6])
    """
    time = x.shape[-1]
    return F.pad(x, (0, larger(size - time, -(time - size) % hop)))


def count_frames(samples: Tensor, size: int, hop: int) -> Tensor:
    """Count the frames that `complete_frames` makes of so many samples.

    Example
    -------
    >>> count_frames(torch.tensor([1, 4, 5, 7]), size=4, hop=2)
    tensor([1, 1, 2, 3])
    """
    beyond = (samples - size).clamp(min=0)
    return torch.div(beyond + hop - 1, hop, rounding_mode="floor") + 1


class LearnedFilterbank(nn.Module):
    """Encoder and decoder of a TasNet: a strided convolution and its transpose.

    They begin as an orthogonal transform and its inverse, so that without a ReLU, and
    with as many filters as a window has samples or more, a mask that is `rest`
    everywhere returns the input, but for the first and the last half of a window, which
    only one frame holds, at half its amplitude: learning starts near it.
    All ears begin with the same filters, so that the product of their latents is a
    local cross-correlation (ours: the papers name no initialization). Both compute in
    float32 inside autocast too: eight bits of a waveform are audible noise.

    Arguments
    ---------
    channels : int
        Filters N.
    window : int
        Kernel L in samples, even; the stride is L / 2.
    activation : str
        Of the encoder: "linear" or "relu".
    ears : int
        Number of networks side by side.
    rest : float
        Value of the mask of an untrained network.
    bias : str
        Where the encoder has a bias. "encoding": in the encoding, as published; the
        output is then never quite silent. "mask": in what masks are computed from, not
        in what is decoded, so that silence stays silent. "none": nowhere, so that the
        encoding is proportional to the input.

    Raises
    ------
    ValueError
        If the window is odd, or an option is unknown.

    Example
    -------
    >>> bank = LearnedFilterbank(64, window=16, ears=2)
    >>> latent, own = bank.analyze(torch.randn(3, 2, 1000))
    >>> latent.shape, bank.synthesize(torch.ones_like(latent), own, 1000).shape
    (torch.Size([3, 2, 64, 124]), torch.Size([3, 2, 1000]))
    """

    def __init__(
        self,
        channels: int,
        window: int,
        activation: str = "linear",
        ears: int = 1,
        rest: float = 1.0,
        bias: str = "encoding",
    ) -> None:
        super().__init__()
        if window < 2 or window % 2:
            raise ValueError(f"window L: expected an even number, got {window}")
        check_option("activation", activation, ACTIVATIONS)
        check_option("bias", bias, BIASES)
        self.channels, self.window, self.hop = channels, window, window // 2
        self.bias, self.relu = bias, activation == "relu"
        self.encoder = PointwiseConv(window, channels, ears, bias != "none")
        self.decoder = PointwiseConv(channels, window, ears, bias=False)
        self._begin_as_identity(rest)

    def _begin_as_identity(self, rest: float) -> None:
        """Make the decoder the encoder's inverse, each sample being in two frames."""
        basis = nn.init.orthogonal_(torch.empty(self.channels, self.window))
        scale = math.sqrt(1 / (2 * rest))
        with torch.no_grad():
            self.encoder.weight.copy_(scale * basis)
            self.decoder.weight.copy_(scale * basis.T)
            if self.encoder.bias is not None:
                self.encoder.bias.zero_()

    def frames(self, samples: Tensor) -> Tensor:
        """Count the frames that hold any of the first `samples` samples."""
        return count_frames(samples, self.window, self.hop)

    def analyze(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Encode [batch, ears, time]; see the module.

        Both results, which differ by the bias at most, are [batch, ears, N, frames].
        """
        memory = current_memory()
        if memory is None:
            x = complete_frames(x, self.window, self.hop)
        else:
            x = memory.begin(x, self.window, self.hop, 1, self.frames)
        frames = frame(x, self.window, self.hop)
        with torch.autocast(x.device.type, enabled=False):
            return self._encode(frames.to(self.encoder.weight.dtype))

    def _encode(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        if self.bias != "mask":
            latent = self._activate(self.encoder(frames))
            return latent, latent
        assert self.encoder.bias is not None
        own = pointwise(frames, self.encoder.weight)
        biased = own + self.encoder.bias.to(own.dtype)
        return self._activate(biased), self._activate(own)

    def _activate(self, latent: Tensor) -> Tensor:
        return F.relu(latent) if self.relu else latent

    def synthesize(self, mask: Tensor, latent: Tensor, time: int) -> Tensor:
        """Decode the masked latent to [batch, ears, time]."""
        with torch.autocast(latent.device.type, enabled=False):
            masked = (mask * latent).to(self.decoder.weight.dtype)
            return overlap(overlap_add(self.decoder(masked), self.hop), time)


class STFTFilterbank(nn.Module):
    """Short-time Fourier magnitudes; the inverse keeps the noisy phase.

    The window is a periodic Hamming window of 2N samples, the hop N / 2, and the
    synthesis window undoes the analysis window for this hop (Griffin & Lim, 1984).

    Arguments
    ---------
    channels : int
        N, a power of two from 4 up; there are N + 1 bins.
    pad : bool
        Whether to pad both ends, so that a mask of ones returns the input to 1e-6 at
        any length; without, frames are taken where the window fits (the released
        reference).

    Raises
    ------
    ValueError
        If the number of channels is none of these.

    Example
    -------
    >>> bank = STFTFilterbank(64)
    >>> x = torch.randn(3, 2, 1001)
    >>> latent, own = bank.analyze(x)
    >>> y = bank.synthesize(torch.ones_like(latent), own, 1001)
    >>> bool((y - x).abs().max() < 1e-5)
    True
    """

    def __init__(self, channels: int, pad: bool = True) -> None:
        super().__init__()
        if channels < 4 or channels & (channels - 1):
            raise ValueError(
                "channels N of an STFT: expected a power of two from 4 up, got "
                f"{channels}"
            )
        self.channels, self.window, self.hop = channels + 1, 2 * channels, channels // 2
        self.past = self.window - self.hop if pad else 0
        window = torch.hamming_window(self.window, periodic=True)
        gain = window.square().unflatten(0, (-1, self.hop)).sum(0)
        self.analysis: Tensor
        self.synthesis: Tensor
        self.register_buffer("analysis", window, persistent=False)
        self.register_buffer(
            "synthesis", window / gain.repeat(window.numel() // self.hop), False
        )

    def frames(self, samples: Tensor) -> Tensor:
        """Count the frames of the first `samples` samples.

        With padding all that hold any of them, without those that lie within them, but
        one at least.
        """
        if self.past:
            return (
                torch.div(samples + self.past - 1, self.hop, rounding_mode="floor") + 1
            )
        beyond = (samples - self.window).clamp(min=0)
        return torch.div(beyond, self.hop, rounding_mode="floor") + 1

    def analyze(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return magnitudes and the complex spectrum of [batch, ears, time].

        Both are [batch, ears, N + 1, frames]. While a model is exported, the spectrum
        is real and imaginary part, [..., 2].

        Raises
        ------
        ValueError
            If the signal is shorter than a window, without padding.
        """
        memory = current_memory()
        if memory is not None:
            early = 0 if self.past else self.window // self.hop - 1
            x = memory.begin(x, self.window, self.hop, early, self.frames)
        elif self.past:
            x = F.pad(x, (self.past, self.past))
            x = complete_frames(x, self.window, self.hop)
        elif x.shape[-1] < self.window:
            raise ValueError(
                f"an STFT without padding needs at least {self.window} samples, the "
                f"window, got {x.shape[-1]}"
            )
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(self.analysis.dtype)
            frames = frame(x, self.window, self.hop) * self.analysis[:, None]
            spectrum = _spectrum(frames)
            return _magnitude(spectrum), spectrum

    def synthesize(self, mask: Tensor, spectrum: Tensor, time: int) -> Tensor:
        """Return the masked spectrum's waveform, [batch, ears, time]."""
        with torch.autocast(spectrum.device.type, enabled=False):
            frames = _masked_frames(mask, spectrum, self.window)
            y = overlap_add(frames * self.synthesis[:, None], self.hop)
        memory = current_memory()
        if memory is not None:
            hops = self.window // self.hop - 1
            return memory.silence_start(memory.overlap(y, time), hops)
        y = y[..., self.past : self.past + time]
        return F.pad(y, (0, time - y.shape[-1]))


def _spectrum(frames: Tensor) -> Tensor:
    """Transform frames [..., size, frames] to spectra [..., bins, frames]."""
    if is_exporting():
        return rfft_parts(frames.transpose(-1, -2)).transpose(-2, -3)
    return torch.fft.rfft(frames, dim=-2)


def _magnitude(spectrum: Tensor) -> Tensor:
    """Return magnitudes of what `_spectrum` gives."""
    if is_exporting():
        return spectrum.square().sum(-1).sqrt()
    return spectrum.abs()


def _masked_frames(mask: Tensor, spectrum: Tensor, size: int) -> Tensor:
    """Mask what `_spectrum` gives and return to frames [..., size, frames]."""
    if is_exporting():
        parts = (mask.unsqueeze(-1) * spectrum).transpose(-2, -3)
        return irfft_parts(parts[..., 0], parts[..., 1], size).transpose(-1, -2)
    return torch.fft.irfft(mask * spectrum, n=size, dim=-2)


@torch.no_grad()
def start_as_frame(encoder: Tensor, decoder: Tensor) -> None:
    """Set filters so that a decoder undoes an encoder with a ReLU.

    Half of the filters are an orthonormal frame of a window, the others its negative:
    what the ReLU takes from one the other has. Windows overlap by half, so that each
    sample is in two of them.

    Arguments
    ---------
    encoder : torch.Tensor
        Filters to be set, shape [channels, 1, taps].
    decoder : torch.Tensor
        Same shape.

    Raises
    ------
    ValueError
        If there are fewer than two channels for each tap.

    Example
    -------
    >>> filters = torch.empty(2, 8, 1, 4)
    >>> start_as_frame(*filters)
    >>> window = torch.randn(4)
    >>> torch.allclose(
    ...     2 * (filters[0, :, 0] @ window).relu() @ filters[1, :, 0], window, atol=1e-6
    ... )
    True
    """
    channels, _, taps = encoder.shape
    if channels < 2 * taps or channels % 2:
        raise ValueError(
            f"channels: expected an even number of at least {2 * taps} for frames of "
            f"{taps} samples, got {channels}"
        )
    half = nn.init.orthogonal_(encoder.new_empty(channels // 2, taps))
    encoder.copy_(torch.cat([half, -half]).unsqueeze(1))
    decoder.copy_(encoder / 2)
