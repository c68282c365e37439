"""Collaborative expert blocks: two convolutions, each gated by what the other found.

    u = conv1x1(x);   l, r = conv(u), conv(u)            two experts, m x n kernels
    g_l = sigmoid(conv1x1(l)),  g_r = sigmoid(conv1x1(r))
    com = l * g_r + r * g_l
    y = conv1x1(com)

In a controlled block the gates also depend on the `com` of another branch's block of
the same size: g_l = sigmoid(conv1x1((l + control) / 2)), and g_r likewise. In a
transposed block all of these are transposed convolutions. No block looks ahead: a
kernel of m frames spans a frame and the m - 1 before it.

Source: Tai et al., "Foster Strengths and Circumvent Weaknesses: a Speech Enhancement
Framework with Two-branch Collaborative Learning", arXiv 2110.05713.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from speechbrain_fusion.nnet.bin_conv import BinConv, mix, split_phases
from speechbrain_fusion.nnet.convolution import PointwiseConv
from speechbrain_fusion.nnet.prelu import SharedPReLU
from speechbrain_fusion.nnet.spectral_norm import make_norm
from speechbrain_fusion.nnet.streaming import pad_past


class NormedBlock(nn.Module):
    """Base of blocks of spectral features, which end in a norm and a PReLU or neither.

    Example
    -------
    >>> block = NormedBlock()
    >>> block.add_norm("layer", channels=3)
    >>> block.finish(torch.randn(2, 3, 10, 7), None).shape
    torch.Size([2, 3, 10, 7])
    """

    def add_norm(self, norm: str | None, channels: int) -> None:
        """Make norm and PReLU by the norm's name, last in a block's constructor."""
        self.norm = None if norm is None else make_norm(norm, channels)
        self.activation = nn.Identity() if norm is None else SharedPReLU()

    def finish(self, y: Tensor, valid: Tensor | None) -> Tensor:
        """Pass the result [batch, channels, frames, bins] through them."""
        return y if self.norm is None else self.activation(self.norm(y, valid))


class CollaborativeExpertBlock(NormedBlock):
    """Two experts for spectral features, each gated by the other.

    Both experts are one convolution side by side, and so are their gates.

    Arguments
    ---------
    in_channels, out_channels : int
        Channels in and out.
    kernel_size : sequence of int
        Of the experts: frames (this one and those before) and bins.
    stride : int
        Bins from one output to the next or, transposed, the other way round.
    experts : int
        Channels of each expert.
    transposed : bool
        Increase the number of bins again; see `forward`.
    norm : str, optional
        "batch", "layer" or "cumulative", followed by a PReLU; by default neither.
    pad : bool
        Keep the number of frames, by zeros before the first one or, transposed, by
        dropping those after the last one. Otherwise there are m - 1 fewer or more.

    Raises
    ------
    ValueError
        If the norm is unknown.

    Example
    -------
    >>> block = CollaborativeExpertBlock(2, 64, kernel_size=(2, 5), norm="batch")
    >>> y, com = block(torch.randn(3, 2, 10, 161))
    >>> y.shape, com.shape
    (torch.Size([3, 64, 10, 79]), torch.Size([3, 32, 10, 79]))
    >>> controlled, _ = block(torch.randn(3, 2, 10, 161), control=com)
    >>> back = CollaborativeExpertBlock(64, 2, (2, 5), transposed=True)
    >>> back(controlled, bins=161)[0].shape
    torch.Size([3, 2, 10, 161])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sequence[int] = (2, 3),
        stride: int = 2,
        experts: int = 32,
        transposed: bool = False,
        norm: str | None = None,
        pad: bool = True,
    ) -> None:
        super().__init__()
        self.input = PointwiseConv(in_channels, experts)
        # silence before the first frame goes through the input's bias
        self.before = kernel_size[0] - 1 if pad and not transposed else 0
        sizes = experts, 2 * experts, kernel_size, stride
        self.experts = BinConv(*sizes, transposed, pad=pad and transposed)
        self.gates = PointwiseConv(experts, experts, ears=2)
        self.output = PointwiseConv(experts, out_channels)
        self.add_norm(norm, out_channels)

    def forward(
        self,
        x: Tensor,
        control: Tensor | None = None,
        valid: Tensor | None = None,
        bins: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Pass features through the block.

        Arguments
        ---------
        x : torch.Tensor
            Shape [batch, channels, frames, bins].
        control : torch.Tensor, optional
            Another block's second result, of the same size as this one's.
        valid : torch.Tensor, optional
            Whether a frame is an item's own, bool [batch, frames]: padding does not
            count in batch norm.
        bins : int, optional
            Of the result of a transposed block: one of the numbers that a block of this
            stride reduces to that of `x`, by default the smallest.

        Returns
        -------
        y : torch.Tensor
            Shape [batch, channels, frames, bins].
        com : torch.Tensor
            Both gated experts together, shape [batch, experts, frames, bins].

        Raises
        ------
        ValueError
            If the control is of another size, or the stride does not lead to `bins`.
        """
        wide = pad_past(x, self.before, axis=-2)
        both = self.experts(mix(wide.unsqueeze(1), self.input).squeeze(1))
        heard = both
        if control is not None:
            self._check_control(control, both, x.shape[-1], bins)
            apart = split_phases(control, both.shape[1], both.shape[-1])
            heard = (both + torch.cat([apart, apart], 2)) / 2
        com = gate_crosswise(both, mix(heard, self.gates))
        y = self.experts.join(mix(com, self.output), x.shape[-1], bins)
        return self.finish(y, valid), self.experts.join(com, x.shape[-1], bins)

    def _check_control(
        self, control: Tensor, both: Tensor, bins: int, wanted: int | None
    ) -> None:
        """Refuse a control of another size than the experts'."""
        size = self.experts.bins(bins, wanted)
        shape = (len(both), both.shape[2] // 2, both.shape[3], size)
        if control.shape != shape:
            raise ValueError(f"control: expected {shape}, got {tuple(control.shape)}")


class ConvBlock(NormedBlock):
    """One convolution where a `CollaborativeExpertBlock` has its experts and gates.

    Takes that block's arguments but `experts` and `pad`: it keeps the number of frames.
    Without gates there is nothing that could be controlled.

    Example
    -------
    >>> block = ConvBlock(2, 64, kernel_size=(2, 5), norm="batch")
    >>> y, _ = block(torch.randn(3, 2, 10, 161))
    >>> y.shape
    torch.Size([3, 64, 10, 79])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sequence[int] = (2, 3),
        stride: int = 2,
        transposed: bool = False,
        norm: str | None = None,
    ) -> None:
        super().__init__()
        sizes = in_channels, out_channels, kernel_size, stride
        self.convolution = BinConv(*sizes, transposed)
        self.add_norm(norm, out_channels)

    def forward(
        self,
        x: Tensor,
        control: Tensor | None = None,
        valid: Tensor | None = None,
        bins: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Pass features through the convolution.

        Takes the arguments of a `CollaborativeExpertBlock`, and returns its result
        twice, in place of `com` too.

        Raises
        ------
        ValueError
            If there is a control.
        """
        if control is not None:
            raise ValueError("control: expected None for a block without gates")
        y = self.convolution.join(self.convolution(x), x.shape[-1], bins)
        y = self.finish(y, valid)
        return y, y


class _Crosswise(torch.autograd.Function):
    """Gates in few passes over memory, which is what such blocks wait for."""

    @staticmethod
    def forward(ctx: Any, both: Tensor, logits: Tensor) -> Tensor:
        gates = logits.sigmoid()
        ctx.save_for_backward(both, gates)
        left, right = both.chunk(2, dim=2)
        of_left, of_right = gates.chunk(2, dim=2)
        return torch.addcmul(left * of_right, right, of_left)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        both, gates = ctx.saved_tensors
        if torch.compiler.is_compiling():
            # it would break its graph at what is written in place
            swapped = [torch.cat(x.chunk(2, dim=2)[::-1], 2) for x in (gates, both)]
            grads = [torch.cat([grad, grad], 2) * x for x in swapped]
            return grads[0], grads[1] * gates * (1 - gates)
        of_both, of_gates = torch.empty_like(both), torch.empty_like(gates)
        for result, other in ((of_both, gates), (of_gates, both)):
            halves, factors = result.chunk(2, dim=2), other.chunk(2, dim=2)
            torch.mul(grad, factors[1], out=halves[0])
            torch.mul(grad, factors[0], out=halves[1])
        sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
        return of_both, sigmoid_backward(of_gates, gates, grad_input=of_gates)


def gate_crosswise(both: Tensor, logits: Tensor) -> Tensor:
    """Gate each half of the channels by the other half's logits, and add the halves.

    Differentiable once.

    Arguments
    ---------
    both, logits : torch.Tensor
        Shape [batch, phases, 2 * channels, frames, bins].

    Returns
    -------
    torch.Tensor
        Shape [batch, phases, channels, frames, bins].

    Example
    -------
    >>> both = torch.tensor([3.0, 1.0]).view(1, 1, 2, 1, 1)
    >>> gate_crosswise(both, torch.tensor([0.0, 40.0]).view(1, 1, 2, 1, 1)).item()
    3.5
    """
    return _Crosswise.apply(both, logits)
