"""Normalization of latents [batch, ears, channels, frames].

Statistics never cross the ears: each is a network of its own. Computed in float32
also inside automatic mixed precision, since an epsilon of 1e-7 is lost in bfloat16.

Source: channel-wise and global layer norm of Luo & Mesgarani, "Conv-TasNet", 2019.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from speechbrain_fusion.nnet.precision import single
from speechbrain_fusion.nnet.stepping import step_channel_norm, stepping


class ChannelNorm(nn.Module):
    """Mean and variance over the channels of each frame: causal.

    Arguments
    ---------
    channels : int
        Channels of each network.
    ears : int
        Number of networks side by side.
    eps : float
        Added to the variance.

    Example
    -------
    >>> y = ChannelNorm(64, ears=2)(torch.randn(3, 2, 64, 10))
    >>> bool(y.mean(dim=2).abs().max() < 1e-5)
    True
    """

    def __init__(self, channels: int, ears: int = 1, eps: float = 1e-7) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(ears, channels, 1))
        self.beta = nn.Parameter(torch.zeros(ears, channels, 1))
        self.eps = eps

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalize [batch, ears, channels, frames]; the mask changes nothing."""
        if stepping():
            return step_channel_norm(x, self.gamma, self.beta, self.eps)
        return _ChannelNorm.apply(*self._single(x), self.eps).to(x.dtype)

    def _single(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the input, weights and biases in single precision at least."""
        wide = single(x)
        return wide, self.gamma.to(wide.dtype), self.beta.to(wide.dtype)


class _ChannelNorm(torch.autograd.Function):
    """Channel norm in half the time and memory of autograd's. Differentiable once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
        # var_mean is several times slower along an axis that is not the last
        y = x - x.mean(dim=2, keepdim=True)
        scale = torch.rsqrt(y.square().mean(dim=2, keepdim=True) + eps)
        ctx.save_for_backward(y.mul_(scale), scale, gamma)
        return torch.addcmul(beta, y, gamma)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        y, scale, gamma = ctx.saved_tensors
        product = grad * y
        of_gamma = product.sum(dim=3, keepdim=True).sum(0)
        of_beta = grad.sum(dim=3, keepdim=True).sum(0)
        # the gradient's part along the mean and along y itself changes nothing
        mean = gamma.mT / gamma.shape[1]
        of_x = (grad * gamma).addcmul_(y, mean @ product, value=-1).sub_(mean @ grad)
        return of_x.mul_(scale), of_gamma, of_beta, None

    @staticmethod
    def symbolic(graph: Any, x: Any, gamma: Any, beta: Any, eps: float) -> Any:
        """Tell the ONNX exporter which operators this is."""
        ones = torch.ones(gamma.type().sizes()[1])
        scale = graph.op("Constant", value_t=ones)
        swap = {"perm_i": [0, 1, 3, 2]}
        # the exporter ends the process where it does not know the number of axes
        kind = x.type().with_sizes([None] * 4)
        last = graph.op("Transpose", x, **swap).setType(kind)
        y = graph.op("LayerNormalization", last, scale, axis_i=-1, epsilon_f=eps)
        y = graph.op("Transpose", y.setType(kind), **swap)
        y = graph.op("Add", graph.op("Mul", y, gamma), beta)
        return y.setType(x.type())


class GlobalNorm(ChannelNorm):
    """Mean and variance over channels and (valid) frames: needs the whole signal.

    Takes the arguments of `ChannelNorm`.

    Example
    -------
    >>> y = GlobalNorm(64, ears=2)(torch.randn(3, 2, 64, 10))
    >>> bool(y.mean(dim=(2, 3)).abs().max() < 1e-5)
    True
    """

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalize [batch, ears, channels, frames].

        Arguments
        ---------
        x : Tensor
            [batch, ears, channels, frames].
        mask : Tensor, optional
            [batch, 1, 1, frames], one where a frame is valid: padding is left out of
            the statistics.

        Returns
        -------
        Tensor
            Of the same shape.
        """
        wide, gamma, beta = self._single(x)
        if mask is None:
            flat = wide.flatten(1, 2), x.shape[1], gamma.flatten(), beta.flatten()
            return F.group_norm(*flat, self.eps).view_as(x).to(x.dtype)
        count = mask.sum(dim=(2, 3), keepdim=True) * x.shape[2]
        mean = (wide * mask).sum(dim=(2, 3), keepdim=True) / count
        square = ((wide - mean) * mask).square()
        var = square.sum(dim=(2, 3), keepdim=True) / count
        scale = gamma * torch.rsqrt(var + self.eps)
        return torch.addcmul(beta - mean * scale, wide, scale).to(x.dtype)
