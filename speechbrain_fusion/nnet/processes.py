"""The processes that work on one training."""

from torch import distributed


def in_group() -> bool:
    """Say whether this process is of a group of torch.distributed's.

    Example
    -------
    >>> in_group()
    False
    """
    return distributed.is_available() and distributed.is_initialized()
