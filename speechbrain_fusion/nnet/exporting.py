"""A mode in which layers compute by what other runtimes know too.

While a model is exported, what depends on a signal's length must be recorded and not
be decided, and FFTs give way to sums of products. Results differ by rounding alone.
Other threads go on as they do.
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
    """Return the larger of two sizes; a tracer's choice between its own is recorded.

    Example
    -------
    >>> larger(3, 5)
    5
    """
    # sizes are tensors to a tracer
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return torch.maximum(first, second)
    return max(first, second)
