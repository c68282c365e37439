"""The processes that work on one training."""

from torch import distributed


def several_processes() -> bool:
    """Say whether processes of torch.distributed work together, be it one alone.

    Example
    -------
    >>> several_processes()
    False
    """
    return distributed.is_available() and distributed.is_initialized()
