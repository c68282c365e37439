"""Two-branch enhancement: a magnitude and a complex network that work together.

    noisy spectrum -> encoder -> temporal units -> decoder -> magnitude M
           |             | com: what its experts agreed on
           +-------> encoder -> temporal units -> decoders -> S_r, S_i

    S = M (S_r + j S_i) / |S_r + j S_i|

The magnitude comes from one branch and the phase from the other, whose encoder's gates
also hear the first one's experts. Spectra are power-compressed on the way in, and again
expanded on the way out.

Source: Tai et al., "Foster Strengths and Circumvent Weaknesses: a Speech Enhancement
Framework with Two-branch Collaborative Learning", arXiv 2110.05713.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechbrain_fusion.losses.signal import check_pair, valid_samples
from speechbrain_fusion.models.unified import blank
from speechbrain_fusion.nnet.chunks import valid_steps
from speechbrain_fusion.nnet.expert_block import CollaborativeExpertBlock
from speechbrain_fusion.nnet.filterbank import overlap_add
from speechbrain_fusion.nnet.squeezed_tcn import SqueezedTemporalUnit


def widths(bins: int, kernels: Sequence[int]) -> list[int]:
    """Tell how many bins are left after each block of stride 2.

    Raises
    ------
    ValueError
        If there are too few for a kernel.

    Example
    -------
    >>> widths(161, [5, 3, 3, 3, 3])
    [161, 79, 39, 19, 9, 4]
    """
    found = [bins]
    for kernel in kernels:
        if found[-1] < kernel:
            raise ValueError(
                f"fft_size: expected one that leaves {kernel} bins at block "
                f"{len(found)} of {len(kernels)}, got {2 * (bins - 1)}, which leaves "
                f"{found[-1]}"
            )
        found.append((found[-1] - kernel) // 2 + 1)
    return found


class SpectralEncoder(nn.Module):
    """Expert blocks that halve the bins.

    Arguments
    ---------
    channels : int
        Channels of each block's result.
    experts : int
        Channels of each expert.
    kernels : sequence of int
        Bins of each block's kernels, over two frames.
    norm : str
        "batch", "layer" or "cumulative".

    Example
    -------
    >>> encoder = SpectralEncoder(64, 32, [5, 3, 3])
    >>> features, experts = encoder(torch.randn(2, 2, 7, 161))
    >>> [tuple(x.shape) for x in features]
    [(2, 64, 7, 79), (2, 64, 7, 39), (2, 64, 7, 19)]
    """

    def __init__(
        self, channels: int, experts: int, kernels: Sequence[int], norm: str = "batch"
    ) -> None:
        super().__init__()
        ins = [2, *[channels] * (len(kernels) - 1)]
        self.blocks = nn.ModuleList(
            CollaborativeExpertBlock(
                each, channels, (2, kernel), experts=experts, norm=norm
            )
            for each, kernel in zip(ins, kernels, strict=True)
        )

    def forward(
        self,
        x: Tensor,
        controls: Sequence[Tensor | None] | None = None,
        valid: Tensor | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Encode [batch, 2, frames, bins]; return each block's two results."""
        features, agreed = [], []
        for block, control in zip(
            self.blocks, controls or [None] * len(self.blocks), strict=True
        ):
            x, com = block(x, control, valid)
            features.append(x)
            agreed.append(com)
        return features, agreed


class SpectralDecoder(nn.Module):
    """Transposed expert blocks that hear the encoder's features and double the bins.

    Arguments
    ---------
    channels, experts, kernels, norm
        As of the `SpectralEncoder`.
    final_norm : bool
        Batch norm and PReLU at the end, as in the released network.

    Example
    -------
    >>> features, _ = SpectralEncoder(64, 32, [5, 3])(torch.randn(2, 2, 7, 161))
    >>> SpectralDecoder(64, 32, [5, 3])(features[-1], features, [161, 79]).shape
    torch.Size([2, 7, 161])
    """

    def __init__(
        self,
        channels: int,
        experts: int,
        kernels: Sequence[int],
        norm: str = "batch",
        final_norm: bool = False,
    ) -> None:
        super().__init__()
        outs = [1, *[channels] * (len(kernels) - 1)]
        norms = [norm if final_norm else None, *[norm] * (len(kernels) - 1)]
        self.blocks = nn.ModuleList(
            CollaborativeExpertBlock(
                2 * channels,
                out,
                (2, kernel),
                experts=experts,
                transposed=True,
                norm=each,
            )
            for out, kernel, each in zip(outs, kernels, norms, strict=True)
        )

    def forward(
        self,
        x: Tensor,
        features: Sequence[Tensor],
        bins: Sequence[int],
        valid: Tensor | None = None,
    ) -> Tensor:
        """Decode [batch, channels, frames, bins] to [batch, frames, bins].

        `bins` are those at the input of each of the encoder's blocks.
        """
        levels = list(zip(self.blocks, features, bins, strict=True))
        for block, heard, wanted in reversed(levels):
            x, _ = block(torch.cat([x, heard], 1), valid=valid, bins=wanted)
        return x.squeeze(1)


class TemporalUnits(nn.ModuleList):
    """Groups of squeezed temporal units with dilations 1, 2, 4, ...

    Arguments
    ---------
    channels, squeezed, kernel_size, causal, norm
        See `SqueezedTemporalUnit`.
    groups : int
        How often the dilations are gone through.
    units : int
        Units of a group.

    Example
    -------
    >>> TemporalUnits(256, units=2, groups=1)(torch.randn(2, 256, 40)).shape
    torch.Size([2, 256, 40])
    """

    def __init__(
        self,
        channels: int,
        squeezed: int = 64,
        kernel_size: int = 5,
        groups: int = 3,
        units: int = 6,
        causal: bool = False,
        norm: str = "batch",
    ) -> None:
        super().__init__(
            SqueezedTemporalUnit(channels, squeezed, kernel_size, 2**unit, causal, norm)
            for _ in range(groups)
            for unit in range(units)
        )

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map [batch, channels, frames]; `valid` [batch, frames] are an item's own."""
        for unit in self:
            x = unit(x, valid)
        return x


class SpectralBranch(nn.Module):
    """An encoder, temporal units over all that is left of a frame, and decoders.

    Arguments
    ---------
    bins : sequence of int
        At the input of each of the encoder's blocks, and behind the last.
    channels, experts, kernels, norm, final_norm
        See `SpectralEncoder` and `SpectralDecoder`.
    decoders : int
        Signals that come out.
    causal : bool
        Hear no later frame.
    **temporal
        Further arguments of `TemporalUnits`.

    Example
    -------
    >>> branch = SpectralBranch([161, 79, 39], 64, 32, [5, 3], decoders=2, groups=1)
    >>> outputs, experts = branch(torch.randn(2, 2, 7, 161))
    >>> outputs.shape, [tuple(x.shape) for x in experts]
    (torch.Size([2, 2, 7, 161]), [(2, 32, 7, 79), (2, 32, 7, 39)])
    """

    def __init__(
        self,
        bins: Sequence[int],
        channels: int,
        experts: int,
        kernels: Sequence[int],
        norm: str = "batch",
        final_norm: bool = False,
        decoders: int = 1,
        causal: bool = False,
        **temporal: int,
    ) -> None:
        super().__init__()
        self.bins = [*bins[:-1]]
        sizes = channels, experts, kernels, norm
        self.encoder = SpectralEncoder(*sizes)
        self.temporal = TemporalUnits(
            channels * bins[-1], causal=causal, norm=norm, **temporal
        )
        self.decoders = nn.ModuleList(
            SpectralDecoder(*sizes, final_norm) for _ in range(decoders)
        )

    def forward(
        self,
        x: Tensor,
        controls: Sequence[Tensor | None] | None = None,
        valid: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Map spectra [batch, 2, frames, bins] to [batch, decoders, frames, bins].

        Returns that and what the encoder's experts agreed on, for another branch's
        controls.
        """
        features, agreed = self.encoder(x, controls, valid)
        # channels and bins of a frame together, channel by channel
        last = features[-1].transpose(2, 3)
        hidden = self.temporal(last.flatten(1, 2), valid)
        hidden = hidden.unflatten(1, last.shape[1:3]).transpose(2, 3)
        outputs = [d(hidden, features, self.bins, valid) for d in self.decoders]
        return torch.stack(outputs, 1), agreed


class Enhanced(NamedTuple):
    """What a `TwoBranchEnhancer` returns; padding is zero everywhere.

    Spectra are compressed and at the network's level; frames first.

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


# Magnitudes below it have no phase.
FLOOR = 1e-6
# Mean power of an item that is not brought to a level.
SILENCE = 1e-14
BRANCHES = ("both", "magnitude", "complex")


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
    kernels : sequence of int
        Bins of the kernels, one for each block.
    groups, units, squeezed, temporal_kernel : int
        See `TemporalUnits`.
    norm : str
        "batch", "layer" or "cumulative".
    causal : bool
        Hear nothing beyond the window of the STFT, in evaluation.
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
        If an option is unknown, the window is too short for the kernels, or both causal
        and normalized are asked for.

    Notes
    -----
    With the defaults and `final_norm` the 3 214 992 parameters of the released network.

    Example
    -------
    >>> model = TwoBranchEnhancer(units=2, groups=1)
    >>> noisy = torch.randn(3, 8001)
    >>> enhanced = model(noisy, torch.tensor([1.0, 0.5, 0.7]), clean=0.5 * noisy)
    >>> enhanced.signal.shape, enhanced.magnitude.shape, enhanced.clean.shape
    (torch.Size([3, 8001]), torch.Size([3, 53, 161]), torch.Size([3, 2, 53, 161]))
    """

    window: Tensor

    def __init__(
        self,
        fft_size: int = 320,
        hop: int = 160,
        channels: int = 64,
        experts: int = 32,
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
        if branches not in BRANCHES:
            raise ValueError(f"branches: expected one of {BRANCHES}, got {branches!r}")
        if hop < 1 or fft_size % (2 * hop):
            raise ValueError(
                f"hop: expected a part of half the window, {fft_size // 2}, got {hop}"
            )
        if causal and normalize:
            raise ValueError("normalize: expected false for a causal network")
        self.fft_size, self.hop, self.compression = fft_size, hop, compression
        self.exchange, self.detach_exchange = exchange, detach_exchange
        self.normalize = not causal if normalize is None else normalize
        self.register_buffer("window", torch.hann_window(fft_size), persistent=False)

        def branch(decoders: int) -> SpectralBranch:
            return SpectralBranch(
                widths(fft_size // 2 + 1, kernels),
                channels,
                experts,
                kernels,
                norm,
                final_norm,
                decoders,
                causal,
                groups=groups,
                units=units,
                squeezed=squeezed,
                kernel_size=temporal_kernel,
            )

        self.magnitude = None if branches == "complex" else branch(1)
        self.linear = nn.Identity() if branches == "complex" else nn.Conv2d(1, 1, 1)
        self.complex = None if branches == "magnitude" else branch(2)

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
        if noisy.dim() != 2:
            raise ValueError(f"expected [batch, time], got {tuple(noisy.shape)}")
        check_pair(noisy, noisy if clean is None else clean, lengths)
        count = None if lengths is None else valid_samples(noisy, lengths)
        level = self._level(noisy, count)
        valid = None if count is None else self._valid(count, noisy.shape[-1])
        spectrum = self.analyze(noisy / level, count)
        magnitude, complex_ = self.estimate(spectrum, valid)
        recovered = recover(magnitude, complex_, spectrum)
        return Enhanced(
            level * self.synthesize(recovered, noisy.shape[-1], count),
            _own(magnitude, valid),
            _own(complex_, valid),
            None if clean is None else self.analyze(clean / level, count),
            None if valid is None else valid.sum(1) / valid.shape[1],
        )

    def _level(self, noisy: Tensor, count: Tensor | None) -> Tensor:
        """Measure each item's root mean square, [batch, 1]; 1 if it is to stay."""
        if not self.normalize:
            return noisy.new_ones(len(noisy), 1)
        own = noisy if count is None else blank(noisy, count)
        samples = noisy.shape[-1] if count is None else count[:, None]
        power = own.float().square().sum(-1, keepdim=True) / samples
        # silence stays silence
        return power.where(power > SILENCE, 1.0).sqrt()

    def frames(self, samples: int) -> int:
        """Count the frames that hear any of so many samples."""
        return 1 - (-(samples + self.fft_size // 2) // self.hop)

    def _valid(self, count: Tensor, time: int) -> Tensor:
        """Tell which frames hear any of an item's own samples, [batch, frames]."""
        frames = 1 + (count + self.fft_size // 2 + self.hop - 1) // self.hop
        return valid_steps(frames, self.frames(time))

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
        own = signal if count is None else blank(signal, count)
        time, side = signal.shape[-1], self.fft_size // 2
        missing = (self.frames(time) - 1) * self.hop - time
        with torch.autocast(signal.device.type, enabled=False):
            padded = F.pad(_single(own), (side, missing + side))
            window = self.window.to(padded)
            frames = padded.unfold(-1, self.fft_size, self.hop) * window
            spectrum = torch.view_as_real(torch.fft.rfft(frames)).movedim(-1, 1)
            return _raise(spectrum, self.compression - 1)

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
            wide = _raise(_single(spectrum), 1 / self.compression - 1)
            bins = torch.view_as_complex(wide.movedim(1, -1).contiguous())
            frames = torch.fft.irfft(bins, self.fft_size).mT
            window = self.window.to(frames)[:, None]
            signal = overlap_add(frames * window, self.hop)
            weight = overlap_add(window.square().expand_as(frames[0]), self.hop)
        side = self.fft_size // 2
        signal = (signal / weight.clamp(min=FLOOR))[:, side : side + time]
        return signal if count is None else blank(signal, count)

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
            magnitude = F.softplus(self.linear(output)).squeeze(1)
        if self.complex is None:
            return magnitude, None
        if agreed is not None and self.detach_exchange:
            agreed = [com.detach() for com in agreed]
        return magnitude, self.complex(
            spectrum, agreed if self.exchange else None, valid
        )[0]


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
    >>> noisy = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    >>> recover(torch.full((1, 1, 1), 10.0), None, noisy).flatten()
    tensor([6., 8.])
    """
    phase = noisy if spectrum is None else spectrum
    if magnitude is None:
        return phase
    phase, magnitude = _single(phase), _single(magnitude)
    return phase * (magnitude / _modulus(phase)).unsqueeze(1)


def _modulus(spectrum: Tensor) -> Tensor:
    """Compute magnitudes [batch, frames, bins] whose gradient is finite at zero."""
    return spectrum.square().sum(1).clamp(min=FLOOR**2).sqrt()


def _raise(spectrum: Tensor, exponent: float) -> Tensor:
    """Multiply a spectrum by a power of its magnitudes."""
    if exponent == 0:
        return spectrum
    return spectrum * _modulus(spectrum).pow(exponent).unsqueeze(1)


def _own(x: Tensor | None, valid: Tensor | None) -> Tensor | None:
    """Set frames that are padding to zero."""
    if x is None or valid is None:
        return x
    shape = [len(valid), *[1] * (x.dim() - 3), valid.shape[1], 1]
    return x.masked_fill(~valid.view(shape), 0.0)


def _single(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
