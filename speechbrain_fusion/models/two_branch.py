"""Two-branch enhancement: a magnitude and a complex network that work together.

    noisy spectrum -> encoder -> temporal units -> decoder -> magnitude M
           |             | com: its gated experts, level by level
           +-------> encoder -> temporal units -> decoders -> S_r, S_i

    S = M (S_r + j S_i) / |S_r + j S_i|

The magnitude comes from one branch and the phase from the other, whose encoder's gates
also depend on the first one's experts. Spectra are power-compressed on the way in, and
expanded again on the way out.

Source: Tai et al., "Foster Strengths and Circumvent Weaknesses: a Speech Enhancement
Framework with Two-branch Collaborative Learning", arXiv 2110.05713.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from speechbrain_fusion.losses.signal import check_pair
from speechbrain_fusion.nnet.compressed_stft import CompressedSTFT, modulus
from speechbrain_fusion.nnet.level import SILENCE, mean_power
from speechbrain_fusion.nnet.options import check_option
from speechbrain_fusion.nnet.padding import blank_frames, own_samples
from speechbrain_fusion.nnet.precision import single
from speechbrain_fusion.nnet.shapes import check_axes
from speechbrain_fusion.nnet.spectral_branch import SpectralBranch, widths

BRANCHES = ("both", "magnitude", "complex")


class Enhanced(NamedTuple):
    """What a `TwoBranchEnhancer` returns; padding is zero everywhere.

    Spectra are compressed and at the network's level, in float32 (or float64).

    Attributes
    ----------
    signal : torch.Tensor
        Estimate of the clean signal, shape [batch, time].
    magnitude : torch.Tensor or None
        Of the magnitude branch, shape [batch, frames, bins].
    spectrum : torch.Tensor or None
        Real and imaginary part of the complex branch, shape [batch, 2, frames, bins].
    clean : torch.Tensor or None
        Of the clean signal, if it was given, shape [batch, 2, frames, bins].
    lengths : torch.Tensor or None
        Relative lengths of the spectra, shape [batch], if lengths were given.
    """

    signal: Tensor
    magnitude: Tensor | None
    spectrum: Tensor | None
    clean: Tensor | None
    lengths: Tensor | None


class TwoBranchEnhancer(nn.Module):
    """Enhance speech by a magnitude and a complex branch of expert blocks.

    Arguments
    ---------
    fft_size : int
        Samples of an STFT window, a Hann window.
    hop : int
        Samples between windows.
    channels : int
        Channels of encoders and decoders.
    experts : int
        Channels of each expert.
    blocks : str
        What encoders and decoders are made of: "experts", or "plain" for one
        convolution in place of each block, between which there is no exchange.
    kernels : sequence of int
        Bins of the kernels, one for each block.
    groups, units, squeezed, temporal_kernel : int
        See `TemporalUnits`.
    norm : str
        "batch", "layer" or "cumulative".
    causal : bool
        Look no further ahead than the window of the STFT, in evaluation.
    branches : str
        "both"; or one of them, with the noisy phase ("magnitude") or alone ("complex").
    exchange : bool
        Whether the magnitude branch's experts control the complex branch's.
    detach_exchange : bool
        Keep the complex branch's loss from teaching the magnitude branch through them.
    final_norm : bool
        Batch norm and PReLU behind every decoder, as in the released network.
    compression : float
        Exponent of the magnitudes inside; 1 for none.
    normalize : bool, optional
        Bring each item to one level first, which takes all of it: by default unless
        causal.

    Raises
    ------
    ValueError
        If an option is unknown, the window is too short for the kernels, or what is
        asked for excludes each other: causal and normalized, plain and exchange.

    Notes
    -----
    With the defaults and `final_norm` the 3 214 992 parameters of the released network.

    Example
    -------
    >>> import torch
    >>> model = TwoBranchEnhancer(units=2, groups=1)
    >>> noisy = torch.randn(3, 8001)
    >>> enhanced = model(noisy, torch.tensor([1.0, 0.5, 0.7]), clean=0.5 * noisy)
    >>> enhanced.signal.shape, enhanced.magnitude.shape, enhanced.clean.shape
    (torch.Size([3, 8001]), torch.Size([3, 51, 161]), torch.Size([3, 2, 51, 161]))
    """

    task = "enhance"
    inputs = outputs = 1

    def __init__(
        self,
        fft_size: int = 320,
        hop: int = 160,
        channels: int = 64,
        experts: int = 32,
        blocks: str = "experts",
        kernels: Sequence[int] = (5, 3, 3, 3, 3),
        groups: int = 3,
        units: int = 6,
        squeezed: int = 64,
        temporal_kernel: int = 5,
        norm: str = "batch",
        causal: bool = False,
        branches: str = "both",
        exchange: bool = True,
        detach_exchange: bool = False,
        final_norm: bool = False,
        compression: float = 0.5,
        normalize: bool | None = None,
    ) -> None:
        super().__init__()
        check_option("branches", branches, BRANCHES)
        if causal and normalize:
            raise ValueError("normalize: expected false for a causal network")
        if blocks == "plain" and exchange and branches == "both":
            raise ValueError("exchange: expected false for plain blocks, without gates")
        # the latency, if causal
        self.causal, self.latency = causal, fft_size
        self.exchange, self.detach_exchange = exchange, detach_exchange
        self.normalize = not causal if normalize is None else normalize
        self.stft = CompressedSTFT(fft_size, hop, compression)
        branch = functools.partial(
            SpectralBranch,
            widths(fft_size // 2 + 1, kernels),
            *(channels, experts, kernels, norm, final_norm),
            causal=causal,
            blocks=blocks,
            kernel_size=temporal_kernel,
            groups=groups,
            units=units,
            squeezed=squeezed,
        )
        self.magnitude = None if branches == "complex" else branch(decoders=1)
        self.linear = nn.Identity() if branches == "complex" else nn.Conv2d(1, 1, 1)
        self.complex = None if branches == "magnitude" else branch(decoders=2)

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return self.stft.hop

    def process(self, signals: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Do as every system in use does: see `speechbrain_fusion.models.system`."""
        return self(signals.squeeze(1), lengths).signal.unsqueeze(1)

    def forward(
        self, noisy: Tensor, lengths: Tensor | None = None, clean: Tensor | None = None
    ) -> Enhanced:
        """Enhance a batch.

        Arguments
        ---------
        noisy : torch.Tensor
            Shape [batch, time].
        lengths : torch.Tensor, optional
            Relative lengths in (0, 1], shape [batch]. With them an item of a padded
            batch gives what it gives alone (in evaluation, or without batch norm).
        clean : torch.Tensor, optional
            The target, shape [batch, time], to be analysed alike.

        Returns
        -------
        Enhanced
            Signal and spectra.

        Raises
        ------
        ValueError
            If the shapes do not fit.
        """
        check_axes(noisy, batch=None, time=None)
        check_pair(noisy, noisy if clean is None else clean, lengths)
        count = own_samples(noisy, lengths)
        level = self._level(noisy, count)
        valid = self.stft.valid(count, noisy.shape[-1])
        spectrum = self.stft.analyze(noisy / level, count)
        magnitude, complex_ = self.estimate(spectrum, valid)
        recovered = recover(magnitude, complex_, spectrum)
        return Enhanced(
            level * self.stft.synthesize(recovered, noisy.shape[-1], count),
            None if magnitude is None else blank_frames(magnitude, valid, axis=-2),
            None if complex_ is None else blank_frames(complex_, valid, axis=-2),
            None if clean is None else self.stft.analyze(clean / level, count),
            None if valid is None else valid.sum(1) / valid.shape[1],
        )

    def _level(self, noisy: Tensor, count: Tensor | None) -> Tensor:
        """Measure each item's root mean square, [batch, 1]; 1 if it is to stay."""
        if not self.normalize:
            return noisy.new_ones(noisy.shape[0], 1)
        power = mean_power(noisy, count)
        # silence stays silence
        return power.where(power > SILENCE, 1.0).sqrt()

    def estimate(
        self, spectrum: Tensor, valid: Tensor | None = None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Map compressed noisy spectra to those of both branches.

        Arguments
        ---------
        spectrum : torch.Tensor
            Real and imaginary part, shape [batch, 2, frames, bins].
        valid : torch.Tensor, optional
            Whether a frame is an item's own, bool [batch, frames].

        Returns
        -------
        magnitude : torch.Tensor or None
            Shape [batch, frames, bins].
        spectrum : torch.Tensor or None
            Shape [batch, 2, frames, bins].
        """
        magnitude = agreed = None
        if self.magnitude is not None:
            output, agreed = self.magnitude(spectrum, valid=valid)
            magnitude = F.softplus(single(self.linear(output))).squeeze(1)
        if self.complex is None:
            return magnitude, None
        if agreed is not None and self.detach_exchange:
            agreed = [com.detach() for com in agreed]
        controls = agreed if self.exchange else None
        return magnitude, single(self.complex(spectrum, controls, valid)[0])


def recover(magnitude: Tensor | None, spectrum: Tensor | None, noisy: Tensor) -> Tensor:
    """Take the magnitude of one branch and the phase of the other.

    Arguments
    ---------
    magnitude : torch.Tensor or None
        Shape [batch, frames, bins]; None for the spectrum's own.
    spectrum : torch.Tensor or None
        Real and imaginary part, shape [batch, 2, frames, bins]; None for the noisy
        phase.
    noisy : torch.Tensor
        Same shape.

    Returns
    -------
    torch.Tensor
        Real and imaginary part, shape [batch, 2, frames, bins]; zero where a phase is
        wanted of nothing.

    Example
    -------
    >>> import torch
    >>> noisy = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    >>> recover(torch.full((1, 1, 1), 10.0), None, noisy).flatten()
    tensor([6., 8.])
    """
    phase = noisy if spectrum is None else spectrum
    if magnitude is None:
        return phase
    phase, magnitude = single(phase), single(magnitude)
    return phase * (magnitude / modulus(phase)).unsqueeze(1)
