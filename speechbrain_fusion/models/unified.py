"""Unified enhancement and separation of noisy mixtures of talkers.

Source: Hu et al., "Unifying Speech Enhancement and Separation with Gradient Modulation
for End-to-End Noise-Robust Speech Separation", ICASSP 2023.

    w = E(noisy)                    encoder: convolution, ReLU
    e = w * M(w)                    enhancement network M, one mask
    s_i = D(e * M_i(e))             separation network, a mask for each talker; decoder

The masks of the talkers multiply the enhanced features. In training the features e are
to be near E(clean mixture) (`losses.latent`), and s near the talkers (`losses.pit`).

The published systems (19 684 098 and 29 171 458 parameters for two talkers) are

    UnifiedSeparator(DPRNNMasker(256, 1, blocks=2), DPRNNMasker(256, 2, blocks=6))
    UnifiedSeparator(SepFormerMasker(256, 1, layers=1), SepFormerMasker(256, 2))
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechbrain_fusion.nnet.convolution import PointwiseConv
from speechbrain_fusion.nnet.filterbank import (
    complete_frames,
    count_frames,
    start_as_frame,
)
from speechbrain_fusion.nnet.options import check_option
from speechbrain_fusion.nnet.padding import blank, own_samples, valid_steps
from speechbrain_fusion.nnet.prelu import PReLU
from speechbrain_fusion.nnet.shapes import check_axes, check_lengths
from speechbrain_fusion.nnet.streaming import along, current_memory, overlap
from speechbrain_fusion.nnet.tcn import TemporalConvNet

INITIALIZATIONS = ("random", "frame")


class Separation(NamedTuple):
    """What a `UnifiedSeparator` returns; padding is zero everywhere.

    Attributes
    ----------
    signals : torch.Tensor
        Estimates of the talkers, shape [batch, talkers, time].
    noisy : torch.Tensor
        Features of the noisy mixture, shape [batch, channels, frames].
    enhanced : torch.Tensor
        Features of the enhanced mixture, same shape.
    clean : torch.Tensor or None
        Features of the clean mixture, if it was given, same shape.
    lengths : torch.Tensor or None
        Relative lengths of the features, shape [batch], if lengths were given.
    """

    signals: Tensor
    noisy: Tensor
    enhanced: Tensor
    clean: Tensor | None
    lengths: Tensor | None


class ConvTasNetMasker(nn.Module):
    """Masks from features by temporal convolutions.

    Arguments
    ---------
    channels : int
        Channels of the features.
    masks : int
        Number of masks.
    bottleneck, hidden, skip : int
        Channels B, H and S inside.
    kernel_size : int
        Taps P of the depthwise convolutions.
    blocks, repeats : int
        Blocks X of a repeat, repeats R.
    causal : bool
        Whether no frame hears a later one.
    checkpointing : bool
        Trade time for memory: compute activations again for the gradient.

    Notes
    -----
    Luo & Mesgarani, "Conv-TasNet", IEEE/ACM TASLP, 2019; their letters.

    Example
    -------
    >>> masker = ConvTasNetMasker(8, 2, 6, 7, 9, blocks=2, repeats=1)
    >>> masker(torch.randn(3, 8, 47)).shape
    torch.Size([3, 2, 8, 47])
    """

    def __init__(
        self,
        channels: int = 256,
        masks: int = 2,
        bottleneck: int = 128,
        hidden: int = 512,
        skip: int = 128,
        kernel_size: int = 3,
        blocks: int = 8,
        repeats: int = 3,
        causal: bool = False,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.masks, self.causal = masks, causal
        sizes = bottleneck, hidden, skip, kernel_size, blocks, repeats
        self.tcn = TemporalConvNet(
            channels, *sizes, causal, checkpointing=checkpointing
        )
        self.output = nn.Sequential(
            PReLU(skip), PointwiseConv(skip, masks * channels), nn.ReLU()
        )

    def forward(self, features: Tensor, frames: Tensor | None = None) -> Tensor:
        """Compute masks.

        Arguments
        ---------
        features : torch.Tensor
            Shape [batch, channels, frames].
        frames : torch.Tensor, optional
            Each item's own number of frames, shape [batch].

        Returns
        -------
        torch.Tensor
            Zero or more, shape [batch, masks, channels, frames].
        """
        inside = None
        if frames is not None and not self.causal:
            # causal layers do not hear the padding, which follows
            inside = valid_steps(frames, features.shape[-1])[:, None, None]
            inside = inside.to(features.dtype)
        hidden = self.tcn(features.unsqueeze(1), inside)
        return self.output(hidden).squeeze(1).unflatten(1, (self.masks, -1))


class OpenMask(nn.Module):
    """A masker that lets everything through.

    Example
    -------
    >>> OpenMask()(torch.randn(3, 8, 47)).shape
    torch.Size([3, 1, 1, 1])
    """

    def forward(self, features: Tensor, frames: Tensor | None = None) -> Tensor:
        """Return ones, [batch, 1, 1, 1], for features [batch, channels, frames]."""
        return features.new_ones(features.shape[0], 1, 1, 1)


class UnifiedSeparator(nn.Module):
    """Separate a noisy mixture through its enhanced features.

    A masker is called with features [batch, channels, frames] and each item's own
    number of frames [batch] or None, and returns [batch, masks, channels, frames]:
    `DPRNNMasker`, `SepFormerMasker`, `ConvTasNetMasker` or one's own, which tells by
    its attributes `masks` how many they are and, if so, `causal` that it hears no later
    frame.
    Encoder and decoder compute in float32 inside autocast too: eight bits of a waveform
    are audible noise.

    Arguments
    ---------
    enhancement : torch.nn.Module
        A masker of one mask.
    separation : torch.nn.Module
        A masker of as many masks as there are talkers.
    channels : int
        Filters of the encoder.
    kernel_size : int
        Their samples, even; the stride is half of it.
    detach_clean : bool
        Whether the encoder's features of the clean mixture are a target alone. Without
        (as published) the enhancement loss also pulls the encoder towards zero.
    separation_only : bool
        Leave the enhancement network out, as a baseline: its mask is one.
    initialization : str
        How encoder and decoder start: "random" as published, or "frame", in which
        without masks the decoder gives back what the encoder took.

    Raises
    ------
    ValueError
        If the kernel size is odd, the separation does not tell its number of masks, or
        the initialization is unknown or needs more channels.

    Example
    -------
    >>> maskers = [ConvTasNetMasker(8, masks, 6, 7, 9, 3, 2, 1) for masks in (1, 2)]
    >>> model = UnifiedSeparator(*maskers, channels=8)
    >>> noisy = torch.randn(3, 1001)
    >>> separation = model(noisy, torch.tensor([1.0, 0.5, 0.7]), clean=0.5 * noisy)
    >>> separation.signals.shape, separation.enhanced.shape, separation.clean.shape
    (torch.Size([3, 2, 1001]), torch.Size([3, 8, 125]), torch.Size([3, 8, 125]))
    """

    task = "separate"
    inputs = 1

    def __init__(
        self,
        enhancement: nn.Module,
        separation: nn.Module,
        channels: int = 256,
        kernel_size: int = 16,
        detach_clean: bool = True,
        separation_only: bool = False,
        initialization: str = "random",
    ) -> None:
        super().__init__()
        check_option("initialization", initialization, INITIALIZATIONS)
        if kernel_size < 2 or kernel_size % 2:
            raise ValueError(f"kernel_size: expected an even number, got {kernel_size}")
        self.kernel_size, self.stride = kernel_size, kernel_size // 2
        # if causal
        self.latency = kernel_size
        masks: int | None = getattr(separation, "masks", None)
        if masks is None:
            name = type(separation).__name__
            raise ValueError(f"separation: expected a number `masks` of {name}")
        self.outputs = masks
        parts = [separation] if separation_only else [enhancement, separation]
        self.causal = all(getattr(part, "causal", False) for part in parts)
        self.detach_clean = detach_clean
        self.encoder = nn.Conv1d(1, channels, kernel_size, self.stride, bias=False)
        self.enhancement = OpenMask() if separation_only else enhancement
        self.separation = separation
        self.decoder = nn.ConvTranspose1d(
            channels, 1, kernel_size, self.stride, bias=False
        )
        if initialization == "frame":
            start_as_frame(self.encoder.weight, self.decoder.weight)

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return self.stride

    def process(self, signals: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Do as every system in use does: see `speechbrain_fusion.models.system`."""
        return self(signals.squeeze(1), lengths).signals

    def forward(
        self, noisy: Tensor, lengths: Tensor | None = None, clean: Tensor | None = None
    ) -> Separation:
        """Separate the talkers of a mixture.

        Arguments
        ---------
        noisy : torch.Tensor
            Shape [batch, time].
        lengths : torch.Tensor, optional
            Relative lengths in (0, 1], shape [batch]. With them an item of a padded
            batch gives what it gives alone.
        clean : torch.Tensor, optional
            The sum of the talkers, shape [batch, time], to be encoded as target.

        Returns
        -------
        Separation
            Signals, enhanced features, and the features of `clean`.

        Raises
        ------
        ValueError
            If the input is not [batch, time] or does not fit the clean mixture or the
            lengths, or if the enhancement network gives other than one mask.
        """
        if clean is not None and clean.shape != noisy.shape:
            shapes = f"{tuple(noisy.shape)} and {tuple(clean.shape)}"
            raise ValueError(f"noisy and clean mixture differ in shape: {shapes}")
        features = self.encode(noisy, lengths)
        frames = self._frames(noisy, lengths)
        mask = self.enhancement(features, frames)
        if mask.shape[1] != 1:
            raise ValueError(f"enhancement: expected one mask, got {mask.shape[1]}")
        enhanced = features * mask.squeeze(1)
        masks = self.separation(enhanced, frames)
        if masks.shape[1] != self.outputs:
            raise ValueError(
                f"separation: expected {self.outputs} masks, got {masks.shape[1]}"
            )
        separated = enhanced.unsqueeze(1) * masks
        return Separation(
            self.decode(separated, noisy.shape[-1], lengths),
            features,
            enhanced,
            None if clean is None else self._encode_clean(clean, lengths),
            None if frames is None else frames / features.shape[-1],
        )

    def encode(self, signal: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute features.

        Arguments
        ---------
        signal : torch.Tensor
            Shape [batch, time].
        lengths : torch.Tensor, optional
            Relative lengths in (0, 1], shape [batch].

        Returns
        -------
        torch.Tensor
            Zero or more, shape [batch, channels, frames].

        Raises
        ------
        ValueError
            If the input is not [batch, time] or does not fit the lengths.
        """
        check_axes(signal, batch=None, time=None)
        if lengths is not None:
            check_lengths(signal, lengths)
            signal = blank(signal, own_samples(signal, lengths))
        with torch.autocast(signal.device.type, enabled=False):
            whole = self._whole(signal).unsqueeze(1).to(self.encoder.weight.dtype)
            features = F.relu(self.encoder(whole))
        memory = current_memory()
        if memory is not None and memory.valid is not None:
            return features * along(memory.valid, features.dim(), -1)
        return blank(features, self._frames(signal, lengths))

    def _whole(self, signal: Tensor) -> Tensor:
        """Complete the last frame of [batch, time] or, in a stream, the first."""
        memory = current_memory()
        if memory is None:
            return complete_frames(signal, self.kernel_size, self.stride)
        return memory.begin(signal, self.kernel_size, self.stride, 1, self._count)

    def decode(
        self, features: Tensor, time: int, lengths: Tensor | None = None
    ) -> Tensor:
        """Return from features to signals.

        Arguments
        ---------
        features : torch.Tensor
            Shape [batch, signals, channels, frames].
        time : int
            Samples to return.
        lengths : torch.Tensor, optional
            Relative lengths in (0, 1], shape [batch].

        Returns
        -------
        torch.Tensor
            Shape [batch, signals, time].
        """
        with torch.autocast(features.device.type, enabled=False):
            flat = features.flatten(0, 1).to(self.decoder.weight.dtype)
            signals = self.decoder(flat).unflatten(0, features.shape[:2])
        signals = overlap(signals.squeeze(2), time)
        return blank(signals, own_samples(signals, lengths))

    def _encode_clean(self, clean: Tensor, lengths: Tensor | None) -> Tensor:
        learn = torch.is_grad_enabled() and not self.detach_clean
        with torch.set_grad_enabled(learn):
            return self.encode(clean, lengths)

    def _frames(self, signal: Tensor, lengths: Tensor | None) -> Tensor | None:
        """Count the frames that hold any of each item's samples."""
        count = own_samples(signal, lengths)
        return None if count is None else self._count(count)

    def _count(self, samples: Tensor) -> Tensor:
        return count_frames(samples, self.kernel_size, self.stride)
