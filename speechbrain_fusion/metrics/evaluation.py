"""Scores of files: read, checked and scored pair by pair, into one table."""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import joblib
import torch
from torch import Tensor
from tqdm import tqdm

from speechbrain_fusion.data.audio import AudioError, read
from speechbrain_fusion.metrics.pairs import Pair
from speechbrain_fusion.metrics.scorers import Scored, known_metrics, score_signals
from speechbrain_fusion.metrics.table import MetricTable, finite, write_json

# Seconds that files of a pair may differ by at their end: a network's frame or two.
TOLERANCE = 0.1
# Pairs below which a process takes longer to start than to work.
WORTH_A_PROCESS = 8
# What a table calls the files of a pair.
SYSTEM_OF = {"noisy": "unprocessed", "estimate": "enhanced"}


class Item(NamedTuple):
    """What a pair scored, by system."""

    pair: Pair
    rate: int
    channels: int
    seconds: float
    cut: bool
    scores: dict[str, Scored]

    def reasons(self) -> Iterator[dict[str, str]]:
        """List what could not be scored: id, system, metric, reason."""
        for system, scored in self.scores.items():
            for metric, reason in scored.reasons.items():
                found = {"system": system, "metric": metric, "reason": reason}
                yield {"id": self.pair.name, **found}


class Evaluation(NamedTuple):
    """A table of scores, and what a reader must know beside it.

    Attributes
    ----------
    table : MetricTable
        The scores.
    reasons : list of dict
        Of each score that is missing: id, system, metric, reason.
    failures : list of str
        A line for each pair that could not be scored at all.
    notes : list of str
        What was resampled and what was cut.
    """

    table: MetricTable
    reasons: list[dict[str, str]]
    failures: list[str]
    notes: list[str]

    def write_json(self, path: Path | str) -> None:
        """Write summary, items, reasons, failures and notes; null where no figure is.

        Arguments
        ---------
        path : Path or str
            The file; what it held before stays until all is written.
        """
        content = {
            **self.table.report(),
            "scores": [finite(row) for row in self.table.to_rows()],
            "unscored": self.reasons,
            "failures": self.failures,
            "notes": self.notes,
        }
        write_json(path, content)


def evaluate_files(
    pairs: Sequence[Pair],
    metrics: Sequence[str] | None = None,
    jobs: int | None = None,
    progress: bool = False,
) -> Evaluation:
    """Score pairs of files.

    A pair's files must have the same rate and channels. Where their lengths differ by
    up to 0.1 s, the longer one's end is left out and a note says so.

    Arguments
    ---------
    pairs : sequence of Pair
        From `match_files`.
    metrics : sequence of str, optional
        Names of `scorers.SCORERS`; by default all that fit the number of channels.
    jobs : int, optional
        Processes; 1 stays in this one, None takes one per CPU if there are enough
        pairs for all.
    progress : bool
        Show a bar on stderr.

    Returns
    -------
    Evaluation
        The noisy files are its table's system "unprocessed", the estimates "enhanced".

    Raises
    ------
    ValueError
        If a metric is not known.

    Example
    -------
    >>> import numpy as np, soundfile
    >>> folder = getfixture("tmp_path")
    >>> noise = 0.1 * np.random.default_rng(0).standard_normal(8000)
    >>> soundfile.write(folder / "s.wav", noise, 8000, "FLOAT")
    >>> soundfile.write(folder / "y.wav", 0.9 * noise, 8000, "FLOAT")
    >>> pair = Pair("y", folder / "s.wav", folder / "y.wav")
    >>> table = evaluate_files([pair], ["snr"], jobs=1).table
    >>> round(table.summary()["snr"]["mean"]["enhanced"], 3)
    20.0
    """
    metrics = None if metrics is None else known_metrics(metrics)
    work = functools.partial(_score_pair, metrics=metrics)
    jobs = jobs or min(joblib.cpu_count(), len(pairs) // WORTH_A_PROCESS)
    workers = max(1, min(jobs, len(pairs)))
    results = joblib.Parallel(workers, return_as="generator")(
        joblib.delayed(work)(pair) for pair in pairs
    )
    shown = tqdm(results, total=len(pairs), unit="file", disable=not progress)
    return _collect(list(shown))


def _score_pair(pair: Pair, metrics: Sequence[str] | None) -> Item | str:
    """Score a pair; what cannot be used comes back as a line."""
    try:
        signals, rate, cut = read_pair(pair)
    except AudioError as error:
        return str(error)
    reference = signals.pop("reference")
    scores = {
        SYSTEM_OF[role]: score_signals(reference, signal, rate, metrics)
        for role, signal in signals.items()
    }
    channels, time = reference.shape
    return Item(pair, rate, channels, time / rate, cut, scores)


def read_pair(pair: Pair) -> tuple[dict[str, Tensor], int, bool]:
    """Read the files of a pair and check that they can be compared.

    Returns
    -------
    signals : dict of str to torch.Tensor
        By role (reference, estimate and perhaps noisy), float32, [channels, time].
    rate : int
        In Hz.
    cut : bool
        Whether the end of one was left out.

    Raises
    ------
    AudioError
        Naming the file and what was expected.
    """
    paths = {"reference": pair.reference, "estimate": pair.estimate}
    paths |= {"noisy": pair.noisy} if pair.noisy else {}
    signals, rate = {}, 0
    for role, path in paths.items():
        # a pipe would be waited for
        if not path.is_file():
            raise AudioError(f"{path}: not a regular file, expected an audio file")
        signal, own = read(path)
        signals[role] = torch.from_numpy(signal)
        first, rate = signals["reference"], rate or own
        _check(path, signals[role], own, pair.reference, first, rate)
    lengths = [signal.shape[-1] for signal in signals.values()]
    cut = {role: signal[:, : min(lengths)] for role, signal in signals.items()}
    return cut, rate, min(lengths) < max(lengths)


def _check(
    path: Path, signal: Tensor, own: int, other: Path, first: Tensor, rate: int
) -> None:
    if not signal.numel():
        raise AudioError(f"{path}: holds no samples")
    if not signal.isfinite().all():
        raise AudioError(f"{path}: holds samples that are not finite")
    if own != rate:
        raise AudioError(f"{path}: {own} Hz, expected {rate} Hz as {other} has")
    if len(signal) != len(first):
        raise AudioError(
            f"{path}: {len(signal)} channels, expected {len(first)} as {other} has"
        )
    if abs(signal.shape[-1] - first.shape[-1]) > TOLERANCE * rate:
        raise AudioError(
            f"{path}: {signal.shape[-1] / rate:.3f} s, expected "
            f"{first.shape[-1] / rate:.3f} s as {other} has (to {TOLERANCE:g} s)"
        )


def _collect(results: Sequence[Item | str]) -> Evaluation:
    failures = [result for result in results if isinstance(result, str)]
    items = [result for result in results if isinstance(result, Item)]
    channels = items[0].channels if items else 1
    odd = [item for item in items if item.channels != channels]
    failures += [
        f"{item.pair.reference}: {item.channels} channels, expected {channels} as in "
        f"{items[0].pair.reference} (score them apart)"
        for item in odd
    ]
    items = [item for item in items if item.channels == channels]
    table = MetricTable(_channel_names(channels))
    for item in items:
        condition = {"seconds": round(item.seconds, 3), "rate": item.rate}
        for system, scored in item.scores.items():
            table.add(system, [item.pair.name], [condition], scored.values)
    reasons = [reason for item in items for reason in item.reasons()]
    return Evaluation(table, reasons, failures, _notes(items))


def _channel_names(channels: int) -> tuple[str, ...]:
    if channels == 2:
        return ("left", "right")
    return tuple(str(x + 1) for x in range(channels)) if channels > 1 else ()


def _notes(items: Sequence[Item]) -> list[str]:
    """Say what was resampled and cut."""
    resampled: dict[tuple[int, int], list[str]] = {}
    for item in items:
        for scored in item.scores.values():
            for metric, rate in scored.rates.items():
                names = resampled.setdefault((item.rate, rate), [])
                names += [metric] if metric not in names else []
    notes = [
        f"{', '.join(names)}: files of {own} Hz were scored at {rate} Hz"
        for (own, rate), names in resampled.items()
    ]
    cut = [item.pair.name for item in items if item.cut]
    if cut:
        notes.append(
            f"lengths differ by up to {TOLERANCE:g} s in {len(cut)} items, such as "
            f"{cut[0]}: the end of the longer file was left out"
        )
    return notes
