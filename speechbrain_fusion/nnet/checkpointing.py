"""Activation checkpointing: less memory for the time of a second forward pass.

Source: Chen, Xu, Zhang, Guestrin: "Training Deep Nets with Sublinear Memory Cost",
2016.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from torch.utils.checkpoint import checkpoint

Result = TypeVar("Result")


def recompute(function: Callable[..., Result], *inputs: Any) -> Result:
    """Call a function and keep its inputs alone; the gradient calls it once more.

    Arguments
    ---------
    function : callable
        What it returns follows from its inputs, the parameters of modules and torch's
        random state, which the second call finds as the first did.
    *inputs : Any
        Tensors, and whatever else the function takes.

    Returns
    -------
    Any
        What the function returns, with the same gradients.

    Example
    -------
    >>> import torch
    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> recompute(lambda x: x.exp().log().square(), x).backward()
    >>> x.grad
    tensor(4.)
    """
    return checkpoint(function, *inputs, use_reentrant=False)
