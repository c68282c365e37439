"""Dual-path maskers for padded batches of any length: DPRNN and SepFormer.

Sources: Luo, Chen, Yoshioka: "Dual-Path RNN", ICASSP 2020; Subakan et al.: "Attention
is All You Need in Speech Separation", ICASSP 2021.

They are SpeechBrain's dual-path lobes with the same parameters under the same names,
and the same results for a single signal. Different here:

- Frames are cut into chunks of K that overlap by half. The chunks of a padded item are
  those that it has alone, followed by others, which are excluded from the norms, from
  the attention and from the LSTM's backward direction. So an item gives what it gives
  alone.
- Positional encodings are computed, where a table would end at 2500 chunks.
- Attention weights are never stored, and the output's 1x1 follows the overlap-add.
- Layers are initialized one by one; upstream copies one block into all of them.
"""

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from speechbrain.lobes.models.dual_path import (
    Dual_Computation_Block,
    Dual_Path_Model,
    SBRNNBlock,
    SBTransformerBlock,
)
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from speechbrain_fusion.nnet.checkpointing import recompute
from speechbrain_fusion.nnet.chunks import (
    count_chunks,
    cut_chunks,
    join_chunks,
    normalize,
    positions,
)
from speechbrain_fusion.nnet.exporting import is_exporting
from speechbrain_fusion.nnet.padding import valid_steps

# Steps of all sequences that a transformer gets at once, on a CPU without gradients.
STEPS_AT_ONCE = 4096


class RecurrentPath(SBRNNBlock):
    """Bidirectional LSTM over sequences of different lengths.

    Arguments
    ---------
    channels : int
        Channels in.
    hidden : int
        Units of each direction.
    layers : int
        Layers.
    checkpointing : bool
        Trade time for memory: compute activations again for the gradient.

    Example
    -------
    >>> RecurrentPath(8, 5)(torch.randn(3, 20, 8), torch.tensor([20, 2, 7])).shape
    torch.Size([3, 20, 10])
    """

    def __init__(
        self, channels: int, hidden: int, layers: int = 1, checkpointing: bool = False
    ) -> None:
        super().__init__(channels, hidden, layers, "LSTM", 0.0, bidirectional=True)
        self.checkpointing = checkpointing

    def forward(self, x: Tensor, steps: Tensor | None = None) -> Tensor:
        """Map [batch, steps, channels], of which `steps` [batch] are an item's own."""
        if self.checkpointing and torch.is_grad_enabled():
            return recompute(self._run, x, steps)
        return self._run(x, steps)

    def _run(self, x: Tensor, steps: Tensor | None) -> Tensor:
        self.mdl.rnn.flatten_parameters()
        steps = None if steps is None else steps.cpu()
        # packed sequences take twice the time
        if steps is None or int(steps.min()) == x.shape[1]:
            return self.mdl.rnn(x)[0]
        packed = pack_padded_sequence(x, steps, True, enforce_sorted=False)
        return pad_packed_sequence(self.mdl.rnn(packed)[0], True, 0.0, x.shape[1])[0]


class TransformerPath(SBTransformerBlock):
    """Pre-norm transformer encoder over sequences of different, unlimited lengths.

    Arguments
    ---------
    channels : int
        Channels in and out, even.
    layers : int
        Layers.
    heads : int
        Attention heads.
    feedforward : int
        Units of the feed-forward networks.
    dropout : float
        Of attention, feed-forward networks and residual paths.
    checkpointing : bool
        Trade time for memory: compute activations again for the gradient.

    Example
    -------
    >>> path = TransformerPath(8, layers=2, heads=2, feedforward=16)
    >>> path(torch.randn(3, 20, 8), torch.tensor([20, 2, 7])).shape
    torch.Size([3, 20, 8])
    """

    def __init__(
        self,
        channels: int,
        layers: int,
        heads: int = 8,
        feedforward: int = 1024,
        dropout: float = 0.1,
        checkpointing: bool = False,
    ) -> None:
        super().__init__(
            layers, channels, heads, feedforward, dropout=dropout, norm_before=True
        )
        self.checkpointing = checkpointing

    def forward(self, x: Tensor, steps: Tensor | None = None) -> Tensor:
        """Map [batch, steps, channels], of which `steps` [batch] are an item's own."""
        padding = None if steps is None else ~valid_steps(steps, x.shape[1])
        recorded = is_exporting() or torch.compiler.is_compiling()
        if recorded or torch.is_grad_enabled() or x.device.type != "cpu":
            return self._run(x, padding)
        # sequences do not hear each other: few at a time take less memory
        rows = max(1, STEPS_AT_ONCE // x.shape[1])
        pads = itertools.repeat(None) if padding is None else padding.split(rows)
        parts = zip(x.split(rows), pads, strict=False)
        return torch.cat([self._run(*part) for part in parts])

    def _run(self, x: Tensor, padding: Tensor | None) -> Tensor:
        again = self.checkpointing and torch.is_grad_enabled()
        x = x + positions(x.shape[1], x.shape[2], x.device).to(x.dtype)
        for layer in self.mdl.layers:
            inputs = layer, x, padding
            x = recompute(_encode, *inputs) if again else _encode(*inputs)
        return self.mdl.norm(x)


def _encode(layer: Any, x: Tensor, padding: Tensor | None) -> Tensor:
    """Run upstream's pre-norm layer without attention weights, which it would store."""
    y = layer.norm1(x)
    mask = {"key_padding_mask": padding, "return_attn_weights": False}
    x = x + layer.dropout1(layer.self_att(y, y, y, **mask))
    return x + layer.dropout2(layer.pos_ffn(layer.norm2(x)))


class DualPathBlock(Dual_Computation_Block):
    """A model within chunks and one across them, each with a norm and a residual path.

    Arguments
    ---------
    intra, inter : torch.nn.Module
        `RecurrentPath` or `TransformerPath` within and across chunks.
    channels : int
        Channels in and out.
    linear : bool
        Whether a linear layer follows each path.

    Example
    -------
    >>> block = DualPathBlock(RecurrentPath(8, 5), RecurrentPath(8, 5), 8, linear=True)
    >>> block(torch.randn(2, 6, 10, 8)).shape
    torch.Size([2, 6, 10, 8])
    """

    def __init__(
        self, intra: nn.Module, inter: nn.Module, channels: int, linear: bool
    ) -> None:
        super().__init__(
            intra, inter, channels, "ln", linear_layer_after_inter_intra=linear
        )
        if not linear:
            self.intra_linear = self.inter_linear = nn.Identity()

    def forward(self, x: Tensor, chunks: Tensor | None = None) -> Tensor:
        """Transform chunks.

        Arguments
        ---------
        x : torch.Tensor
            Shape [batch, chunks, chunk, channels].
        chunks : torch.Tensor, optional
            Each item's own number of chunks, shape [batch].

        Returns
        -------
        torch.Tensor
            Of the same shape.
        """
        batch, total, size, _ = x.shape
        valid = steps = None
        if chunks is not None:
            valid = valid_steps(chunks, total)
            steps = chunks.repeat_interleave(size)
        intra = self.intra_linear(self.intra_mdl(x.flatten(0, 1)))
        x = x + normalize(self.intra_norm, intra.unflatten(0, (batch, total)), valid)
        inter = self.inter_mdl(x.transpose(1, 2).flatten(0, 1), steps)
        inter = self.inter_linear(inter).unflatten(0, (batch, size)).transpose(1, 2)
        return x + normalize(self.inter_norm, inter, valid)


class DualPathMasker(Dual_Path_Model):
    """Masks from features, by blocks that work within and across chunks.

    Arguments
    ---------
    channels : int
        Channels of the features.
    masks : int
        Number of masks.
    blocks : list of DualPathBlock
        Of the same channels.
    chunk : int
        Frames K of a chunk, even.

    Raises
    ------
    ValueError
        If K is odd.

    Notes
    -----
    Luo, Chen, Yoshioka: "Dual-Path RNN", ICASSP 2020.

    Example
    -------
    >>> blocks = [
    ...     DualPathBlock(RecurrentPath(8, 5), RecurrentPath(8, 5), 8, linear=True)
    ...     for _ in range(2)
    ... ]
    >>> masker = DualPathMasker(8, 3, blocks, chunk=10)
    >>> masker(torch.randn(2, 8, 47), torch.tensor([47, 20])).shape
    torch.Size([2, 3, 8, 47])
    """

    def __init__(
        self, channels: int, masks: int, blocks: list[DualPathBlock], chunk: int = 250
    ) -> None:
        if chunk < 2 or chunk % 2:
            raise ValueError(f"chunk K: expected an even number, got {chunk}")
        super().__init__(channels, channels, None, None, 0, "ln", chunk, masks)
        self.masks = masks
        self.dual_mdl = nn.ModuleList(blocks)

    def forward(self, features: Tensor, frames: Tensor | None = None) -> Tensor:
        """Compute masks.

        Arguments
        ---------
        features : torch.Tensor
            Shape [batch, channels, frames].
        frames : torch.Tensor, optional
            Each item's own number of frames, shape [batch]. With it an item of a padded
            batch gives what it gives alone.

        Returns
        -------
        torch.Tensor
            Zero or more, shape [batch, masks, channels, frames].
        """
        valid = chunks = None
        if frames is not None:
            valid = valid_steps(frames, features.shape[-1])
            chunks = count_chunks(frames, self.K)
        x = self.conv1d(normalize(self.norm, features.mT, valid).mT)
        if valid is not None:
            x = x * valid.unsqueeze(1)
        x = cut_chunks(x, self.K)
        for block in self.dual_mdl:
            x = block(x, chunks)
        return self._masks(join_chunks(self.prelu(x), features.shape[-1]))

    def _masks(self, x: Tensor) -> Tensor:
        """Map [batch, channels, frames], summed over two chunks, to masks."""
        # upstream's 1x1 comes before the sum: each frame gets its bias twice
        x = F.conv1d(x, self.conv2d.weight.squeeze(-1), 2 * self.conv2d.bias)
        x = x.unflatten(1, (self.num_spks, -1)).flatten(0, 1)
        x = self.activation(self.end_conv1x1(self.output(x) * self.output_gate(x)))
        return x.unflatten(0, (-1, self.num_spks))


class DPRNNMasker(DualPathMasker):
    """Dual-path recurrent network: LSTMs within and across chunks.

    Arguments
    ---------
    channels : int
        Channels of the features.
    masks : int
        Number of masks.
    blocks : int
        Pairs of paths.
    hidden : int
        Units of an LSTM in each direction.
    layers : int
        Layers of an LSTM.
    chunk : int
        Frames K of a chunk, even.
    checkpointing : bool
        Trade time for memory: compute activations again for the gradient.

    Example
    -------
    >>> DPRNNMasker(8, 2, blocks=1, hidden=4, chunk=10)(torch.randn(3, 8, 47)).shape
    torch.Size([3, 2, 8, 47])
    """

    def __init__(
        self,
        channels: int = 256,
        masks: int = 2,
        blocks: int = 6,
        hidden: int = 256,
        layers: int = 1,
        chunk: int = 250,
        checkpointing: bool = False,
    ) -> None:
        def path() -> RecurrentPath:
            return RecurrentPath(channels, hidden, layers, checkpointing)

        pairs = [
            DualPathBlock(path(), path(), channels, linear=True) for _ in range(blocks)
        ]
        super().__init__(channels, masks, pairs, chunk)


class SepFormerMasker(DualPathMasker):
    """Dual-path transformer: attention within and across chunks.

    Arguments
    ---------
    channels : int
        Channels of the features.
    masks : int
        Number of masks.
    blocks : int
        Pairs of paths.
    layers : int
        Layers of each path.
    heads : int
        Attention heads.
    feedforward : int
        Units of the feed-forward networks.
    dropout : float
        Of attention, feed-forward networks and residual paths; 0 in the published
        systems.
    chunk : int
        Frames K of a chunk, even.
    checkpointing : bool
        Trade time for memory: compute activations again for the gradient.

    Example
    -------
    >>> masker = SepFormerMasker(8, 2, 1, layers=1, heads=2, feedforward=16, chunk=10)
    >>> masker(torch.randn(3, 8, 47)).shape
    torch.Size([3, 2, 8, 47])
    """

    def __init__(
        self,
        channels: int = 256,
        masks: int = 2,
        blocks: int = 2,
        layers: int = 8,
        heads: int = 8,
        feedforward: int = 1024,
        dropout: float = 0.0,
        chunk: int = 250,
        checkpointing: bool = False,
    ) -> None:
        def path() -> TransformerPath:
            sizes = channels, layers, heads, feedforward
            return TransformerPath(*sizes, dropout, checkpointing)

        pairs = [
            DualPathBlock(path(), path(), channels, linear=False) for _ in range(blocks)
        ]
        super().__init__(channels, masks, pairs, chunk)
