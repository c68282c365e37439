"""Runs compared item by item: the mean difference and how sure it is."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from speechbrain_fusion.metrics.info import FEATURE_METRICS


class PairedDifference(NamedTuple):
    """How two systems differ over the same items.

    Attributes
    ----------
    mean : float
        Of a - b.
    low, high : float
        The limits of its confidence interval.
    pairs : int
        How many there were.
    """

    mean: float
    low: float
    high: float
    pairs: int


def paired_difference(
    a: Sequence[float] | np.ndarray,
    b: Sequence[float] | np.ndarray,
    confidence: float = 0.95,
) -> PairedDifference:
    """Estimate the mean difference a - b of paired values, with its interval.

    Arguments
    ---------
    a, b : sequence of float or np.ndarray
        Values of the same items in the same order, shape [items]. Pairs with NaN or
        inf do not count.
    confidence : float
        Probability that the interval covers the true mean, 0 to 1.

    Returns
    -------
    PairedDifference
        mean, low, high and the number of pairs. The interval is NaN below two pairs.

    Raises
    ------
    ValueError
        If the numbers of values differ.

    Notes
    -----
    Student: "The probable error of a mean", Biometrika 6, 1908: mean +- t s / sqrt(n).

    Example
    -------
    >>> mean, low, high, pairs = paired_difference([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    >>> mean, round(low, 3), round(high, 3), pairs
    (2.0, -0.484, 4.484, 3)
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"expected two equal rows of values, got {a.shape}, {b.shape}")
    paired = np.isfinite(a) & np.isfinite(b)
    difference, pairs = a[paired] - b[paired], int(paired.sum())
    mean = float(difference.mean()) if pairs else math.nan
    if pairs < 2:
        return PairedDifference(mean, math.nan, math.nan, pairs)
    error = float(difference.std(ddof=1)) / math.sqrt(pairs)
    half = float(stats.t.ppf(0.5 + confidence / 2, pairs - 1)) * error
    return PairedDifference(mean, mean - half, mean + half, pairs)


class TrainingsDifference(NamedTuple):
    """A difference over several trainings of each of two systems.

    Of the same mean, `items` has the interval over items, for these trainings, and
    `trainings` the interval over trainings, for these items. `each` has the difference
    of each training. All are over the items that every training scored, `items.pairs`
    of `total`.
    """

    items: PairedDifference
    trainings: PairedDifference
    each: tuple[float, ...]
    total: int


def read_scores(
    path: Path | str, metric: str, system: str = "enhanced"
) -> dict[str, float]:
    r"""Read each item's score of a system, averaged over its channels.

    Arguments
    ---------
    path : Path or str
        What `MetricTable.write_csv` wrote.
    metric : str
        A metric's name.
    system : str
        "enhanced" or "unprocessed".

    Returns
    -------
    dict of str to float
        By the items' names; NaN where a channel was not scored.

    Raises
    ------
    ValueError
        If the file lacks the metric, or holds anything but numbers there, naming the
        column.

    Example
    -------
    >>> path = getfixture("tmp_path") / "a.csv"
    >>> _ = path.write_text("id,snr_enhanced_left,snr_enhanced_right\nx,1,3\n")
    >>> read_scores(path, "snr")
    {'x': 2.0}
    """
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        name = f"{metric}_{system}"
        columns = reader.fieldnames or ()
        found = [x for x in columns if x == name or x.startswith(f"{name}_")]
        if not found or "id" not in columns:
            raise ValueError(f"{path}: expected columns id and {name}[_channel]")
        return {
            row["id"]: sum(_score(path, row, x) for x in found) / len(found)
            for row in reader
        }


def _score(path: Path | str, row: Mapping[str, str | None], column: str) -> float:
    """Read a cell; an empty one was not scored."""
    try:
        return float(row[column] or "nan")
    except ValueError as error:
        raise ValueError(
            f"{path}: item {row['id']}, column {column}: expected a number, got "
            f"{row[column]!r}"
        ) from error


def compare_csv(
    path_a: Path | str, path_b: Path | str, metric: str, confidence: float = 0.95
) -> PairedDifference:
    r"""Compare the enhanced scores of two runs over the same items.

    Arguments
    ---------
    path_a, path_b : Path or str
        What `MetricTable.write_csv` wrote for each run.
    metric : str
        A metric's name; its channels are averaged per item.
    confidence : float
        Of the interval, 0 to 1.

    Returns
    -------
    PairedDifference
        Of run a - run b.

    Raises
    ------
    ValueError
        If a file lacks the metric, or the runs scored different items: by their
        names, or by the scores of the unprocessed signals.

    Notes
    -----
    The interval is over items, for one training each: it holds no variance between
    trainings.

    Example
    -------
    >>> paths = [getfixture("tmp_path") / name for name in ("a.csv", "b.csv")]
    >>> columns = "id,snr_unprocessed,snr_enhanced"
    >>> _ = paths[0].write_text(f"{columns}\nx,0,3\ny,1,5\n")
    >>> _ = paths[1].write_text(f"{columns}\ny,1,4\nx,0,2\n")
    >>> compare_csv(*paths, "snr")
    PairedDifference(mean=1.0, low=1.0, high=1.0, pairs=2)
    """
    a, b = (read_scores(x, metric) for x in (path_a, path_b))
    _check_same_items(path_a, path_b, metric)
    return paired_difference([a[x] for x in a], [b[x] for x in a], confidence)


def compare_trainings(
    paths_a: Sequence[Path | str],
    paths_b: Sequence[Path | str],
    metric: str,
    confidence: float = 0.95,
) -> TrainingsDifference:
    r"""Compare two systems that were each trained several times, over the same items.

    Arguments
    ---------
    paths_a, paths_b : sequence of Path or str
        What `MetricTable.write_csv` wrote for each training; the two of one place are
        a pair (of one seed, say).
    metric : str
        A metric's name; its channels are averaged per item.
    confidence : float
        Of the intervals, 0 to 1.

    Returns
    -------
    TrainingsDifference
        Of system a - system b. An item that some training left without a score does
        not count.

    Raises
    ------
    ValueError
        If the numbers of trainings differ, or what `compare_csv` refuses.

    Example
    -------
    >>> folder, columns = getfixture("tmp_path"), "id,snr_unprocessed,snr_enhanced"
    >>> trained = {"a1": (3, 5), "a2": (4, 6), "b1": (2, 2), "b2": (2, 4)}
    >>> for name, (x, y) in trained.items():
    ...     _ = (folder / name).write_text(f"{columns}\nx,0,{x}\ny,1,{y}\n")
    >>> a, b = ([folder / f"{system}{n}" for n in (1, 2)] for system in "ab")
    >>> compare_trainings(a, b, "snr").trainings
    PairedDifference(mean=2.0, low=2.0, high=2.0, pairs=2)
    """
    if len(paths_a) != len(paths_b) or not paths_a:
        raise ValueError(
            f"expected as many trainings of both, got {len(paths_a)}, {len(paths_b)}"
        )
    for path in (*paths_a[1:], *paths_b):
        _check_same_items(paths_a[0], path, metric)
    a, b = (_score_table(paths, metric) for paths in (paths_a, paths_b))
    scored = np.isfinite(a).all(0) & np.isfinite(b).all(0)
    a, b = a[:, scored], b[:, scored]
    return TrainingsDifference(
        paired_difference(a.mean(0), b.mean(0), confidence),
        paired_difference(a.mean(1), b.mean(1), confidence),
        tuple((a - b).mean(1).tolist()),
        scored.size,
    )


def _score_table(paths: Sequence[Path | str], metric: str) -> np.ndarray:
    """Read the scores of several trainings, [trainings, items] by name."""
    tables = [read_scores(path, metric) for path in paths]
    return np.array([[table[name] for name in sorted(table)] for table in tables])


def _check_same_items(path_a: Path | str, path_b: Path | str, metric: str) -> None:
    """Refuse two tables that did not score the same items."""
    a, b = (read_scores(x, metric, "unprocessed") for x in (path_a, path_b))
    if odd := sorted(a.keys() ^ b.keys()):
        shown = ", ".join(odd[:3])
        raise ValueError(
            f"{path_a} and {path_b} hold different items: {len(odd)} are in one only,"
            f" such as {shown}"
        )
    if metric in FEATURE_METRICS:
        return
    for name, score in a.items():
        # one name may stand for another scene in a run on other data
        if not np.isclose(score, b[name], atol=1e-3, equal_nan=True):
            raise ValueError(
                f"{path_a} and {path_b} hold different items: unprocessed, {name} has "
                f"{metric} {score:.3f} in one and {b[name]:.3f} in the other"
            )
