"""Binaural enhancement by two TasNets that meet in latent fusion layers.

Source: Gajecki & Nogueira, "Deep Latent Fusion Layers for Binaural Speech
Enhancement", IEEE/ACM TASLP, 2023, and the same authors' report to the 1st Clarity
Enhancement Challenge, 2021.
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from speechbrain_fusion.nnet import (
    LearnedFilterbank,
    PointwiseConv,
    STFTFilterbank,
    TemporalConvNet,
    make_sharing,
)
from speechbrain_fusion.nnet.filterbank import ACTIVATIONS, BIASES
from speechbrain_fusion.nnet.options import check_option, check_sizes, choose
from speechbrain_fusion.nnet.padding import blank, own_samples, valid_steps
from speechbrain_fusion.nnet.prelu import PReLU
from speechbrain_fusion.nnet.shapes import check_axes, check_lengths
from speechbrain_fusion.nnet.sharing import SHARINGS
from speechbrain_fusion.nnet.streaming import along, current_memory

STAGES: dict[str, tuple[str, ...]] = {
    "none": (),
    "front": ("front",),
    "back": ("back",),
    "both": ("front", "back"),
}
MASKS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": functools.partial(torch.softmax, dim=2),
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
}
OUTPUTS: dict[str, type[nn.Module]] = {"linear": nn.Identity, "tanh": nn.Tanh}


class BinauralTasNet(nn.Module):
    """One TasNet per ear, joined by Hadamard products of the ears' latents.

    The ears are an axis of one computation; the topologies have equal parameters.
    Other ways of sharing latents than the product are there to be compared with.
    Letters are those of the Conv-TasNet and fusion papers. Depends on no sample
    later than the window that holds the output sample, if causal.

    Arguments
    ---------
    N : int
        Filters of the encoder (learned) or half the window (STFT).
    L : int
        Window of the learned encoder in samples; without effect on an STFT.
    B, H, S : int
        Channels of bottleneck, hidden and skip path.
    P, X, R : int
        Taps of the depthwise convolutions, blocks per repeat, repeats.
    fuse : str
        Where the ears meet: "front" (encodings), "back" (behind the temporal
        convolutions), "both" or "none".
    share : str
        What they give each other there: "product" (latent fusion), "sum", "mean",
        "concat" (and a 1x1), "cross_stitch" or "none"; see `nnet.sharing`.
    encoding : str
        "learned" or "stft" (2N window, N / 2 hop, noisy phase).
    causal : bool
        No sample later than the window (up to rounding, see `fft_depthwise`);
        otherwise global norms over all the signal.
    share_norms : bool
        Two norms for all blocks of a network (as published) or two for each.
    encoder_activation : str
        "linear" or "relu".
    mask_activation : str
        "softmax" (over channels), "sigmoid" or "relu".
    output_activation : str
        "linear" or "tanh".
    stft_pad : bool
        Whether the STFT pads both ends (see `STFTFilterbank`).
    ears : int
        Number of channels, two unless the layer is reused for larger arrays.
    encoder_bias : str
        Where a learned encoder has a bias: "encoding" (as published; it is heard in
        silence), "mask" (in what masks are made of alone: silence stays silent) or
        "none". With none, an `eps` below any signal's power (its square where encodings
        are fused) and a linear output the system does the same at every level, but
        cannot hear how loud one frame is beside another.
    eps : float
        Epsilon of the norms' variances.

    Raises
    ------
    ValueError
        If an option is unknown, a size below one or a window odd, or one ear alone is
        to be fused; with an STFT, if N is no power of two.

    Example
    -------
    >>> model = BinauralTasNet(N=16, L=8, B=8, H=8, S=12, P=5, X=2, R=1)
    >>> model(torch.randn(3, 2, 1000)).shape
    torch.Size([3, 2, 1000])
    """

    task = "enhance"

    def __init__(
        self,
        N: int = 64,
        L: int = 16,
        B: int = 64,
        H: int = 64,
        S: int = 512,
        P: int = 128,
        X: int = 2,
        R: int = 2,
        fuse: str = "both",
        share: str = "product",
        encoding: str = "learned",
        causal: bool = True,
        share_norms: bool = False,
        encoder_activation: str = "linear",
        mask_activation: str = "softmax",
        output_activation: str = "linear",
        stft_pad: bool = True,
        ears: int = 2,
        encoder_bias: str = "encoding",
        eps: float = 1e-7,
    ) -> None:
        super().__init__()
        self.ears, self.causal = ears, causal
        self.inputs = self.outputs = ears
        check_sizes(N=N, L=L, B=B, H=H, S=S, P=P, X=X, R=R, ears=ears)
        stages = choose("fuse", fuse, STAGES)
        if stages and share != "none" and ears < 2:
            raise ValueError(f"fuse: expected 'none' for one ear, got {fuse!r}")
        check_option("share", share, SHARINGS)
        check_option("encoder_bias", encoder_bias, BIASES)
        check_option("encoder_activation", encoder_activation, ACTIVATIONS)
        self.mask_activation = choose("mask_activation", mask_activation, MASKS)
        rest = 1 / N if mask_activation == "softmax" else 0.5
        learned = N, L, encoder_activation, ears, rest, encoder_bias
        banks: dict[str, Callable[[], LearnedFilterbank | STFTFilterbank]] = {
            "learned": lambda: LearnedFilterbank(*learned),
            "stft": lambda: STFTFilterbank(N, stft_pad),
        }
        self.filterbank = choose("encoding", encoding, banks)()
        channels = self.filterbank.channels
        self.tcn = TemporalConvNet(
            channels, B, H, S, P, X, R, causal, share_norms, ears, eps
        )
        self.mask = nn.Sequential(PReLU(S, ears), PointwiseConv(S, channels, ears))
        self.output = choose("output_activation", output_activation, OUTPUTS)()
        self.sharing = nn.ModuleDict(
            {
                stage: make_sharing(share if stage in stages else "none", width, ears)
                for stage, width in {"front": channels, "back": S}.items()
            }
        )

    @property
    def latency(self) -> int:
        """Algorithmic latency in samples, if causal: the encoder's window."""
        return self.filterbank.window

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return self.filterbank.hop

    def process(self, signals: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Do as every system in use does: see `speechbrain_fusion.models.system`."""
        return self(signals, lengths)

    def forward(self, noisy: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Enhance both ears.

        Arguments
        ---------
        noisy : Tensor
            [batch, ears, time].
        lengths : Tensor, optional
            Relative lengths [batch] of a padded batch, as SpeechBrain gives them.

        Returns
        -------
        Tensor
            [batch, ears, time].

        Raises
        ------
        ValueError
            If the input has another number of ears, or the lengths another size.
        """
        check_axes(noisy, batch=None, ears=self.ears, time=None)
        check_lengths(noisy, lengths)
        count = own_samples(noisy, lengths)
        latent, own = self.filterbank.analyze(blank(noisy, count))
        valid = self._valid_frames(latent, count)
        # causal layers do not hear the padding, which follows
        inside = None if self.causal else valid
        # in one expression: a named step would be kept, gigabytes of ten minutes
        mask = self.mask_activation(
            self.mask(
                self.sharing["back"](self.tcn(self.sharing["front"](latent), inside))
            )
        )
        mask = mask if valid is None else mask * valid
        enhanced = self.filterbank.synthesize(mask, own, noisy.shape[-1])
        return blank(self.output(enhanced), count)

    def _valid_frames(self, latent: Tensor, count: Tensor | None) -> Tensor | None:
        """Mark the frames inside each item: [batch, 1, 1, frames], or None."""
        memory = current_memory()
        if memory is not None and memory.valid is not None:
            return along(memory.valid, latent.dim(), -1)
        if count is None:
            return None
        valid = valid_steps(self.filterbank.frames(count), latent.shape[-1])
        return along(valid, latent.dim(), -1).to(latent.dtype)
