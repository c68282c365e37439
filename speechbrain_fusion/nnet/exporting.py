"""A mode in which layers use only operations that ONNX runtimes have too.

While a model is exported, sizes that depend on the signal's length must be recorded as
operations, and FFTs are replaced by products with the matrix of the transform. Results
differ by rounding alone. The mode belongs to a thread: others are not affected.
"""

import contextlib
import threading
from collections.abc import Iterator

import torch
from torch import Tensor


class _Local(threading.local):
    """Whether each thread is exporting."""

    exporting = False


_LOCAL = _Local()


def is_exporting() -> bool:
    """Tell whether this thread exports layers.

    Example
    -------
    >>> is_exporting()
    False
    """
    return _LOCAL.exporting


@contextlib.contextmanager
def exporting() -> Iterator[None]:
    """Let this thread's layers know that they are being exported.

    Example
    -------
    >>> with exporting():
    ...     is_exporting()
    True
    """
    before, _LOCAL.exporting = _LOCAL.exporting, True
    try:
        yield
    finally:
        _LOCAL.exporting = before


def larger(first: int, second: int) -> int:
    """Return the larger of two sizes, so that a tracer records the choice.

    Arguments
    ---------
    first, second : int
        Sizes; to a tracer they are tensors.

    Returns
    -------
    int
        The larger one.

    Example
    -------
    >>> larger(3, 5)
    5
    """
    # sizes are tensors to a tracer
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return torch.maximum(first, second)
    return max(first, second)
