"""`speechbrain-fusion evaluate`: scores of files against their references."""

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from speechbrain_fusion.commands.ending import (
    UsageError,
    shows_progress,
    tell,
    tell_failures,
)
from speechbrain_fusion.commands.outputs import refuse_existing
from speechbrain_fusion.data.inspection import audio_files
from speechbrain_fusion.metrics.evaluation import Evaluation, evaluate_files
from speechbrain_fusion.metrics.pairs import Pair, match_files
from speechbrain_fusion.metrics.scorers import known_metrics
from speechbrain_fusion.metrics.text import evaluation_text, summary_text


def run(options: argparse.Namespace) -> int:
    """Score, print the table and write what was asked for."""
    pairs, missing, metrics = _read(options)
    result = evaluate_files(pairs, metrics, options.jobs, shows_progress(options))
    result = result._replace(failures=[*missing, *result.failures])
    if len(result.table):
        tell(text(result, compared=options.noisy is not None))
    unwritten = []
    for path, write in (
        (options.json, result.write_json),
        (options.csv, result.table.write_csv),
    ):
        try:
            if path is not None:
                write(path)
        except OSError as error:
            # the other table and the failures are worth no less
            unwritten.append(f"{path}: {error.strerror or error}")
    return tell_failures([*result.failures, *unwritten])


def _read(
    options: argparse.Namespace,
) -> tuple[list[Pair], list[str], list[str] | None]:
    """Find the pairs, and check the metrics' names and what is to be written."""
    try:
        metrics = known_metrics(options.metrics) if options.metrics else None
        files = match_files(options.reference, options.estimate, options.noisy)
    except ValueError as error:
        raise UsageError(str(error)) from error
    inputs = {path.resolve() for path in _inputs(options)}
    for path in _tables(options):
        refuse_existing(path, options.force)
        if path.resolve() in inputs:
            raise UsageError(f"{path}: would overwrite an input")
    return *files, metrics


def _inputs(options: argparse.Namespace) -> Iterator[Path]:
    """List all files that are given, also those without a partner."""
    for given in (options.reference, options.estimate, options.noisy):
        if given is not None:
            path = Path(given)
            yield from audio_files(path) if path.is_dir() else [path]


def _tables(options: argparse.Namespace) -> list[Path]:
    paths = [Path(path) for path in (options.json, options.csv) if path is not None]
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError(f"{paths[0]}: one file for both --json and --csv")
    return paths


def text(result: Evaluation, compared: bool) -> str:
    """Lay out the table, with notes and the reasons for what is missing."""
    table = (summary_text if compared else evaluation_text)(result.table)
    reasons = Counter(
        f"{each['metric']} of {each['system']}: {each['reason']}"
        for each in result.reasons
    )
    missing = [f"{reason} ({count} items)" for reason, count in reasons.items()]
    return "\n".join([table, *result.notes, *missing])
