"""The worst and the best of what is ordered."""

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")
WORST, BEST = "worst", "best"


def extremes(order: Sequence[Item], most: int) -> dict[str, list[Item]]:
    """Take both ends of what is ordered from the worst to the best.

    Arguments
    ---------
    order : sequence
        From the worst on.
    most : int
        How many of each; no item is both.

    Returns
    -------
    dict of str to list
        "worst" and "best", each from the outermost on.

    Example
    -------
    >>> extremes("abcde", 3)
    {'worst': ['a', 'b'], 'best': ['e', 'd']}
    """
    count = min(most, len(order) // 2)
    return {WORST: [*order[:count]], BEST: [*order[::-1][:count]]}
