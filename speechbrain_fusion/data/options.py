"""Checks of the options that data sets and corpora share, with one text for each."""

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from speechbrain_fusion.data.folders import Folder


def check_segment(segment: float | None, rate: int, whole: bool = True) -> None:
    """Refuse a segment without a sample.

    Arguments
    ---------
    segment : float or None
        In seconds; None for whole recordings.
    rate : int
        Sample rate in Hz.
    whole : bool
        Whether it may be None.

    Raises
    ------
    ValueError
        If it is so short, or not finite.

    Example
    -------
    >>> check_segment(2.0, 16000)
    """
    if segment is None and whole:
        return
    if segment is None or not 1 <= segment * rate < math.inf:
        raise ValueError(f"segment: expected a sample at least, got {segment} s")


def check_within(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Refuse an option out of its range.

    Raises
    ------
    ValueError
        Naming the option and its range.

    Example
    -------
    >>> check_within("room_share", 0.5, 0, 1)
    """
    if not low <= value <= high:
        raise ValueError(f"{name}: expected {low:g} to {high:g}, got {value}")


def check_bounds(name: str, bounds: Sequence[float]) -> None:
    """Refuse what are no bounds of a range.

    Raises
    ------
    ValueError
        If they are not two finite numbers in order.

    Example
    -------
    >>> check_bounds("gain", (-15.0, 10.0))
    """
    pair = _numbers(bounds) and len(bounds) == 2
    if not pair or not -math.inf < bounds[0] <= bounds[1] < math.inf:
        raise ValueError(
            f"{name}: expected two finite numbers in ascending order, got {bounds}"
        )


def check_snr(snr: Sequence[float]) -> None:
    """Refuse what are no SNRs.

    Raises
    ------
    ValueError
        If there is none, or one is not finite.

    Example
    -------
    >>> check_snr((-5, 0, 5))
    """
    if not _numbers(snr) or not snr or not all(math.isfinite(x) for x in snr):
        raise ValueError(f"snr: expected a list of finite numbers in dB, got {snr}")


def check_speeds(speeds: Sequence[int]) -> None:
    """Refuse what are no speeds in percent.

    Raises
    ------
    ValueError
        If there is none, or one is not positive.

    Example
    -------
    >>> check_speeds((95, 100))
    """
    whole = _numbers(speeds) and all(isinstance(x, int) for x in speeds)
    if not whole or not speeds or min(speeds) < 1:
        raise ValueError(
            f"speeds: expected a list of whole percentages from 1, got {speeds}"
        )


def _numbers(values: Any) -> bool:
    """Say whether it is a list of numbers, and not one alone."""
    listed = isinstance(values, Sequence) and not isinstance(values, str)
    return listed and all(
        isinstance(x, Real) and not isinstance(x, bool) for x in values
    )


def check_counts(counts: Mapping[str, object], anew: bool = False) -> None:
    """Refuse numbers of items that are none, a recipe's scene_counts or mixture_counts.

    Arguments
    ---------
    counts : mapping of str to int or None
        Items of each split; None for all that there are.
    anew : bool
        Whether items are made anew, of which there is no such thing as all.

    Raises
    ------
    ValueError
        Naming the split.

    Example
    -------
    >>> check_counts({"train": 100, "valid": None})
    """
    for split, count in counts.items():
        if count is None and not anew:
            continue
        if not isinstance(count, Integral) or isinstance(count, bool) or count < 1:
            raise ValueError(
                "counts (scene_counts, mixture_counts): expected a whole number of "
                f"items from 1 for {split!r}, got {count!r}"
            )


def epoch_size(size: int | None, default: int) -> int:
    """Say how many items an epoch has.

    Raises
    ------
    ValueError
        If none is asked for.

    Example
    -------
    >>> epoch_size(None, 7)
    7
    """
    if size is not None and size < 1:
        raise ValueError(f"size: expected 1 at least, got {size}")
    return default if size is None else size


def chosen_corpus(**folders: Folder) -> str | None:
    """Say which of several corpora is given.

    Raises
    ------
    ValueError
        If there are two, naming them.

    Example
    -------
    >>> chosen_corpus(data_folder=None, recordings="my/talkers")
    'recordings'
    """
    given = [name for name, folder in folders.items() if folder is not None]
    if len(given) > 1:
        raise ValueError(f"expected one corpus, got {', '.join(given)}")
    return given[0] if given else None


def check_noise_folder(noise_folder: Folder, corpus: str | None) -> None:
    """Refuse noises without the speech that they are for, or the reverse.

    Arguments
    ---------
    noise_folder : Path, str or None
        The noises.
    corpus : str or None
        What `chosen_corpus` said. "data_folder" has no noises of its own, "recordings"
        may have; "paired" and the demo corpus, None, take no others.

    Raises
    ------
    ValueError
        If they do not go together.

    Example
    -------
    >>> check_noise_folder(None, "data_folder")
    Traceback (most recent call last):
    ...
    ValueError: noise_folder: expected a folder beside data_folder, got None
    """
    if corpus == "data_folder" and noise_folder is None:
        raise ValueError("noise_folder: expected a folder beside data_folder, got None")
    if noise_folder is not None and corpus in (None, "paired"):
        beside = f"beside {corpus}" if corpus else "without data_folder"
        raise ValueError(f"noise_folder: expected None {beside}")
