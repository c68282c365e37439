"""Precision: what is too small or too steep for half precision is cast up first."""

import torch
from torch import Tensor


def single(x: Tensor) -> Tensor:
    """Return a tensor in float32, or in float64 if that is what it is.

    Example
    -------
    >>> single(torch.zeros(1, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    return x.to(torch.promote_types(x.dtype, torch.float32))


def single_pair(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return two tensors in float32, or both in float64 if either is.

    Example
    -------
    >>> pair = single_pair(torch.zeros(1).bfloat16(), torch.zeros(1).double())
    >>> [each.dtype for each in pair]
    [torch.float64, torch.float64]
    """
    dtype = torch.promote_types(x.dtype, y.dtype)
    dtype = torch.promote_types(dtype, torch.float32)
    return x.to(dtype), y.to(dtype)
