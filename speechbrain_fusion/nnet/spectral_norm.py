"""Normalization of features [batch, channels, frames, ...] that ignores padding.

"batch" takes statistics of each channel over the batches of all processes, "layer" of
each frame, "cumulative" of each frame and all before it. The latter two are causal,
and the same in training and in evaluation. Computed in float32 also inside automatic
mixed precision.

Sources: Ioffe & Szegedy, "Batch Normalization", ICML 2015; Ba, Kiros, Hinton, "Layer
Normalization", arXiv 1607.06450; Luo & Mesgarani, "Conv-TasNet", IEEE/ACM TASLP, 2019
(cumulative).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable

from speechbrain_fusion.nnet.options import choose
from speechbrain_fusion.nnet.precision import single
from speechbrain_fusion.nnet.processes import in_group
from speechbrain_fusion.nnet.streaming import along, current_memory


class BatchNorm(nn.Module):
    """Batch normalization over the valid frames of all processes, on CPUs too.

    PyTorch's SyncBatchNorm exists on GPUs alone and counts the padding. Parameters and
    buffers are those of `torch.nn.BatchNorm2d`; statistics that are not finite, of a
    batch whose step is left out, do not get into the latter.

    Arguments
    ---------
    channels : int
        Channels.
    eps : float
        Added to the variance.
    momentum : float
        How fast the statistics for evaluation follow.

    Example
    -------
    >>> norm, x = BatchNorm(4), torch.randn(3, 4, 10, 7)
    >>> valid = torch.ones(3, 10, dtype=torch.bool)
    >>> valid[1, 6:] = False
    >>> y = norm(x, valid)
    >>> bool(y.transpose(1, 2)[valid].mean().abs() < 1e-6)
    True
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))
        self.eps, self.momentum = eps, momentum

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Normalize [batch, channels, frames, ...]; `valid` is [batch, frames]."""
        alone = valid is None and not in_group() and x[:, 0].numel() > 1
        if alone or not self.training:
            return self._alone(x)
        padding = None
        if valid is not None:
            padding = ~along(valid, x.dim(), 2 - x.dim())
        with torch.autocast(x.device.type, enabled=False):
            y, *moments = _Standardize.apply(single(x), padding, self.eps)
            self._follow(*moments)
            return _scale(y, self.weight, self.bias).to(x.dtype)

    def _alone(self, x: Tensor) -> Tensor:
        """Normalize by running statistics, or where all frames count and are here."""
        running = self.running_mean, self.running_var
        # for PyTorch to change
        now = [each.clone() for each in running] if self.training else running
        with torch.autocast(x.device.type, enabled=False):
            affine = self.weight, self.bias, self.training, self.momentum
            y = F.batch_norm(single(x), now[0], now[1], *affine, self.eps)
        if self.training:
            self._remember(*now)
        return y.to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Move the running statistics towards the unbiased ones, as PyTorch does."""
        unbiased = variance * count / (count - 1).clamp(min=1)
        pairs = (self.running_mean, mean), (self.running_var, unbiased)
        self._remember(*(old.lerp(new.to(old), self.momentum) for old, new in pairs))

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Keep running statistics; those that are not finite would never go away."""
        self.num_batches_tracked.add_(1)
        finite = mean.isfinite() & variance.isfinite()
        for old, new in ((self.running_mean, mean), (self.running_var, variance)):
            old.copy_(torch.where(finite, new, old))


class FrameNorm(nn.Module):
    """Mean and variance over all of a frame: causal.

    Arguments
    ---------
    channels : int
        Channels.
    eps : float
        Added to the variance.

    Example
    -------
    >>> y = FrameNorm(4)(torch.randn(3, 4, 10, 7))
    >>> bool(y.mean((1, 3)).abs().max() < 1e-5)
    True
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Normalize [batch, channels, frames, ...]; `valid` changes nothing."""
        values = single(x)
        with torch.autocast(x.device.type, enabled=False):
            mean, variance = self._statistics(values)
            y = (values - mean) * (variance + self.eps).rsqrt()
            return _scale(y, self.weight, self.bias).to(x.dtype)

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and variances, [batch, 1, frames, 1, ...]."""
        axes = [1, *range(3, x.dim())]
        mean = x.mean(axes, keepdim=True)
        return mean, (x - mean).square().mean(axes, keepdim=True)


class CumulativeNorm(FrameNorm):
    """Mean and variance over a frame and all before it: causal.

    Takes the arguments of `FrameNorm`.

    Example
    -------
    >>> x = torch.randn(3, 4, 10, 7)
    >>> torch.allclose(CumulativeNorm(4)(x)[:, :, 0], FrameNorm(4)(x)[:, :, 0])
    True
    """

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        own, spread = (each.double() for each in super()._statistics(x))
        sums = torch.cat([own, spread + own.square()], 1)
        memory = current_memory()
        if memory is None:
            frames = torch.arange(1, x.shape[2] + 1, device=x.device, dtype=own.dtype)
            seen, sums = _like(frames, own, axis=2), sums.cumsum(2)
        else:
            axis = 2 - x.dim()
            seen, sums = (
                along(memory.heard, own.dim(), axis),
                memory.accumulate(sums, axis),
            )
        mean, power = (sums / seen).chunk(2, 1)
        variance = (power - mean.square()).clamp(min=0)
        return mean.to(x.dtype), variance.to(x.dtype)


NORMS: dict[str, type[nn.Module]] = {
    "batch": BatchNorm,
    "layer": FrameNorm,
    "cumulative": CumulativeNorm,
}


def make_norm(kind: str, channels: int) -> nn.Module:
    """Make a norm by its name.

    Arguments
    ---------
    kind : str
        "batch", "layer" or "cumulative".
    channels : int
        Channels of the features.

    Returns
    -------
    torch.nn.Module
        Maps [batch, channels, frames, ...] and, optionally, valid frames.

    Raises
    ------
    ValueError
        If there is no such norm.

    Example
    -------
    >>> make_norm("layer", 8)
    FrameNorm()
    """
    return choose("norm", kind, NORMS)(channels)


class _Standardize(torch.autograd.Function):
    """Take out mean and variance of each channel over all processes.

    Padding does not count, becomes zero and has no gradient. Differentiable once.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, padding: Tensor | None, eps: float
    ) -> tuple[Tensor, ...]:
        axes = [0, *range(2, x.dim())]
        number = x.new_full((1,), x[:, 0].numel())
        if padding is not None:
            x = x.masked_fill(padding, 0.0)
            number = (~padding).expand_as(x[:, :1]).sum(dtype=x.dtype)[None]
        count = number.clamp(min=1)
        mean = x.sum(axes) / count
        # what is returned is not changed in place: torch.compile (2.11) would lose the
        # gradient
        y = x - _like(mean, x)
        if padding is not None:
            y = y.masked_fill(padding, 0.0)
        squares = torch.linalg.vector_norm(y, dim=axes).square()
        own = mean
        if in_group():
            mean, squares, count = _of_all(own, squares, number)
        variance = squares / count
        scale = (variance + eps).rsqrt()
        if own is mean:
            y = y * _like(scale, x)
        else:
            y = torch.addcmul(_like((own - mean) * scale, x), y, _like(scale, x))
            if padding is not None:
                y = y.masked_fill(padding, 0.0)
        ctx.save_for_backward(y, padding, scale, count)
        ctx.mark_non_differentiable(mean, variance, count)
        return y, mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor, None, None]:
        y, padding, scale, count = ctx.saved_tensors
        if padding is not None:
            grad = grad.masked_fill(padding, 0.0)
        axes = [0, *range(2, grad.dim())]
        sums = torch.cat([grad.sum(axes), (grad * y).sum(axes)])
        shift, slope = (_like(x, y) for x in (_total(sums) / count).chunk(2))
        result = torch.addcmul(grad - shift, y, slope, value=-1)
        result.mul_(_like(scale, y))
        if padding is not None:
            result.masked_fill_(padding, 0.0)
        return result, None, None


def _of_all(mean: Tensor, squares: Tensor, number: Tensor) -> tuple[Tensor, ...]:
    """Join all processes' means, sums of squared deviations and counts, in one call.

    Each weighs as much as it has counted. Source: Chan, Golub & LeVeque, "Updating
    Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979.
    """
    own = torch.cat([mean, squares, number])
    found = own.new_empty(distributed.get_world_size(), len(own))
    distributed.all_gather(list(found), own)
    means, spreads, weights = found.split([len(mean), len(squares), 1], 1)
    count = weights.sum(0).clamp(min=1)
    joint = (weights * means).sum(0) / count
    between = (weights * (means - joint).square()).sum(0)
    return joint, spreads.sum(0) + between, count


def _total(x: Tensor) -> Tensor:
    """Sum over all processes, in place."""
    if in_group():
        distributed.all_reduce(x)
    return x


def _like(values: Tensor, x: Tensor, axis: int = 1) -> Tensor:
    """Shape one value per entry of an axis so that it goes with `x`."""
    return values.view(*[1] * axis, -1, *[1] * (x.dim() - axis - 1))


def _scale(y: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.addcmul(_like(bias.to(y), y), y, _like(weight.to(y), y))
