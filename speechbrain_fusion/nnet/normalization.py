"""Normalization of latents [batch, ears, channels, frames].

Statistics never cross the ears: each is a network of its own. Computed in float32
also inside automatic mixed precision, since an epsilon of 1e-7 is nothing in bf16.
Source: channel-wise and global layer norm of Luo & Mesgarani, "Conv-TasNet", 2019.
"""

import torch
from torch import Tensor, nn


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
        single = x.to(torch.promote_types(x.dtype, torch.float32))
        # var_mean is several times slower along an axis that is not the last
        centred = single - single.mean(dim=2, keepdim=True)
        var = centred.square().mean(dim=2, keepdim=True)
        y = centred * torch.rsqrt(var + self.eps)
        return torch.addcmul(self.beta, y, self.gamma).to(x.dtype)


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
        single = x.to(torch.promote_types(x.dtype, torch.float32))
        if mask is None:
            var, mean = torch.var_mean(single, dim=(2, 3), keepdim=True, correction=0)
        else:
            count = mask.sum(dim=(2, 3), keepdim=True) * x.shape[2]
            mean = (single * mask).sum(dim=(2, 3), keepdim=True) / count
            square = ((single - mean) * mask).square()
            var = square.sum(dim=(2, 3), keepdim=True) / count
        y = (single - mean) * torch.rsqrt(var + self.eps) * self.gamma + self.beta
        return y.to(x.dtype)
