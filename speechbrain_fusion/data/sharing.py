"""Sharing out: sets as large as they can be for their shares, in whole numbers."""

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from fractions import Fraction
from typing import TypeVar

# With more scripts than this, not all ways to share them out are tried.
MOST_SCRIPTS = 20

Item = TypeVar("Item")
Shares = Mapping[str, Fraction]
Counts = dict[str, int]


def exact_shares(
    shares: Mapping[str, float], sets: Collection[str]
) -> dict[str, Fraction]:
    """Make shares of which ratios are exact.

    Raises
    ------
    ValueError
        If there is not a positive number for each set.

    Example
    -------
    >>> exact_shares({"train": 0.3, "test": 1}, ["train", "test"])
    {'train': Fraction(3, 10), 'test': Fraction(1, 1)}
    """
    positive = all(0 < share < float("inf") for share in shares.values())
    if {*shares} != {*sets} or not positive:
        raise ValueError(
            f"shares: expected a positive number for each of {', '.join(sets)}, "
            f"got {dict(shares)}"
        )
    return {name: Fraction(str(shares[name])) for name in sets}


def deal(
    items: Iterable[Item],
    shares: Shares,
    sizes: Mapping[Item, int] | None = None,
) -> dict[str, list[Item]]:
    """Give one item after the other to the set that is smallest for its share.

    Arguments
    ---------
    items : iterable
        In the order in which they are given.
    shares : mapping of str to Fraction
        Of the sets.
    sizes : mapping of items to int, optional
        What an item adds to its set; by default 1.

    Returns
    -------
    dict of str to list
        The sets. With items of one size no other way makes the smallest set larger.

    Example
    -------
    >>> deal("abcde", {"train": Fraction(3), "test": Fraction(1)})
    {'train': ['a', 'c', 'd', 'e'], 'test': ['b']}
    """
    sets: dict[str, list[Item]] = {name: [] for name in shares}
    filled = dict.fromkeys(shares, Fraction(0))
    for item in items:
        name = min(filled, key=filled.__getitem__)
        sets[name].append(item)
        filled[name] += (1 if sizes is None else sizes[item]) / shares[name]
    return sets


def apportion(count: int, shares: Shares) -> Counts:
    """Share out a number: the smallest set is as large as it can be for its share.

    Arguments
    ---------
    count : int
        At least 1 for each set.
    shares : mapping of str to Fraction
        Of the sets.

    Returns
    -------
    dict of str to int
        For each set.

    Example
    -------
    >>> apportion(20, {"train": Fraction(3), "valid": Fraction(1)})
    {'train': 15, 'valid': 5}
    """
    return {name: len(given) for name, given in deal(range(count), shares).items()}


def apportion_products(
    speakers: int, scripts: int, shares: Shares
) -> tuple[Counts, Counts]:
    """Share out speakers and scripts such that sets of both are the largest.

    A set has as many utterances as speakers times scripts. The smallest for its share
    is as large as it can be, then all together; exact up to MOST_SCRIPTS scripts.

    Arguments
    ---------
    speakers, scripts : int
        At least 1 for each set.
    shares : mapping of str to Fraction
        Of the sets.

    Returns
    -------
    tuple of dict of str to int
        Speakers and scripts of each set.

    Example
    -------
    >>> shares = dict(zip("abcd", map(Fraction, (6, 6, 2, 6))))
    >>> apportion_products(20, 5, shares)
    ({'a': 6, 'b': 6, 'c': 2, 'd': 6}, {'a': 1, 'b': 1, 'c': 1, 'd': 2})
    """
    plans = [
        (_speakers_for(texts, speakers, shares), texts)
        for texts in _compositions(scripts, shares)
    ]
    return max(plans, key=lambda plan: _merit(plan[0], plan[1], shares))


def _compositions(count: int, shares: Shares) -> Iterator[Counts]:
    """List the ways to share out a number, or one if they are too many."""
    if count > MOST_SCRIPTS:
        # in fractions, both factors of a set follow the root of its share
        roots = {name: Fraction(math.sqrt(share)) for name, share in shares.items()}
        yield apportion(count, roots)
        return
    for cuts in itertools.combinations(range(1, count), len(shares) - 1):
        ends = zip((0, *cuts), (*cuts, count), strict=True)
        yield dict(zip(shares, (end - first for first, end in ends), strict=True))


def _speakers_for(texts: Counts, count: int, shares: Shares) -> Counts:
    """Share out speakers where it is settled how many scripts a set has."""
    worth = {name: shares[name] / texts[name] for name in shares}
    counts = apportion(count, worth)
    least = min(counts[name] / worth[name] for name in shares)
    # what the smallest set needs; the others go where a speaker adds most utterances
    counts = {name: max(1, math.ceil(least * worth[name])) for name in shares}
    most = [name for name in shares if texts[name] == max(texts.values())]
    for _ in range(count - sum(counts.values())):
        name = min(most, key=lambda name: counts[name] / worth[name])
        counts[name] += 1
    return counts


def _merit(
    voices: Counts, texts: Counts, shares: Shares
) -> tuple[Fraction, int, list[Fraction]]:
    sizes = {name: voices[name] * texts[name] for name in shares}
    fill = sorted(sizes[name] / shares[name] for name in shares)
    return fill[0], sum(sizes.values()), fill
