"""Collaborative expert blocks: two convolutions, each gated by what the other found.

    u = conv1x1(x);   l, r = conv(u), conv(u)            two experts, m x n kernels
    g_l = sigmoid(conv1x1(l)),  g_r = sigmoid(conv1x1(r))
    com = l * g_r + r * g_l
    y = conv1x1(com)

Controlled, the gates also hear the `com` of another branch's block of the same size:
g_l = sigmoid(conv1x1((l + control) / 2)), and g_r likewise. Transposed, all four are
transposed convolutions. Time is never looked ahead of: a kernel of m frames hears the
m - 1 before.

Source: Tai et al., "Foster Strengths and Circumvent Weaknesses: a Speech Enhancement
Framework with Two-branch Collaborative Learning", arXiv 2110.05713.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechbrain_fusion.nnet.spectral_norm import make_norm


class CollaborativeExpertBlock(nn.Module):
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
        Widen the bins again; see `forward`.
    norm : str, optional
        "batch", "layer" or "cumulative", followed by a PReLU; by default neither.
    pad : bool
        Keep the number of frames, by zeros before the first or, transposed, without the
        last ones. Otherwise they are m - 1 fewer or more.

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
        self.transposed = transposed
        convolution = nn.ConvTranspose2d if transposed else nn.Conv2d
        self.input = nn.Conv2d(in_channels, experts, 1)
        frames, bins = kernel_size
        self.reach = frames - 1 if pad else 0
        self.experts = convolution(experts, 2 * experts, (frames, bins), (1, stride))
        self.gates = nn.Conv2d(2 * experts, 2 * experts, 1, groups=2)
        self.output = nn.Conv2d(experts, out_channels, 1)
        self.norm = None if norm is None else make_norm(norm, out_channels)
        self.activation = nn.Identity() if norm is None else nn.PReLU()

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
            Of the result of a transposed block: of all that the stride maps to as many
            bins as `x` has, by default the least.

        Returns
        -------
        y : torch.Tensor
            Shape [batch, channels, frames, bins].
        com : torch.Tensor
            What the experts agreed on, [batch, experts, frames, bins].
        """
        both = self._consult(x, bins)
        heard = both
        if control is not None:
            heard = (both + torch.cat([control, control], 1)) / 2
        gates = self.gates(heard).sigmoid().chunk(2, dim=1)
        left, right = both.chunk(2, dim=1)
        com = left * gates[1] + right * gates[0]
        y = self.output(com)
        if self.norm is not None:
            y = self.activation(self.norm(y, valid))
        return y, com

    def _consult(self, x: Tensor, bins: int | None) -> Tensor:
        """Run both experts without looking ahead, [batch, 2 * experts, ...]."""
        if not self.transposed:
            return self.experts(self.input(F.pad(x, (0, 0, self.reach, 0))))
        u = self.input(x)
        size = None
        if bins is not None:
            size = (u.shape[2] + self.experts.kernel_size[0] - 1, bins)
        wide = self.experts(u, size)
        return wide[:, :, : wide.shape[2] - self.reach]
