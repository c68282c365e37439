"""The end of a run: tables, figure, and where everything lies."""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import soundfile
from torch import Tensor

from speechbrain_fusion.data.files import written_whole
from speechbrain_fusion.metrics.table import MetricTable, finite
from speechbrain_fusion.metrics.text import condition_text, summary_text
from speechbrain_fusion.report.figures import draw_run
from speechbrain_fusion.report.run_files import (
    EXAMPLES,
    FIGURE,
    HISTORY,
    ITEMS,
    SUMMARY,
)

# Bytes of a file's name that are the item's: with what follows 255 are allowed.
LONGEST_NAME = 200
# What no file's name has.
UNFIT = re.compile(r"[/\0]")


def write_report(
    folder: Path,
    table: MetricTable,
    history: Sequence[Mapping[str, float]],
    example: Mapping[str, Tensor] | None,
    rate: int,
    by: str | None = None,
    listed: Sequence[str] | None = None,
    curves: Sequence[str] = (),
) -> list[str]:
    """Write what a test gave into the run's folder.

    Arguments
    ---------
    folder : Path
        The run's output folder.
    table : MetricTable
        The test's scores.
    history : sequence of dict
        The figures of each epoch.
    example : dict of str to Tensor, optional
        Signals of one item by title, [channels, time], in the order to draw them.
    rate : int
        Their sample rate in Hz.
    by : str, optional
        Condition of the items, by whose values metrics are also listed, if any has it.
    listed : sequence of str, optional
        Those metrics, by default the first.
    curves : sequence of str
        Metrics of the validation, which are drawn beside the loss.

    Returns
    -------
    list of str
        Lines to print: the table, and where everything lies.
    """
    table.write_csv(folder / ITEMS)
    table.write_json(folder / SUMMARY)
    with written_whole(folder / HISTORY) as file:
        json.dump([finite(figures) for figures in history], file, indent=1)
    files = {"every test item": ITEMS, "summary": SUMMARY, "learning curve": HISTORY}
    lines = ["", summary_text(table), ""]
    if by is not None:
        lines += [_by_condition(table, by, listed or table.metrics()[:1]), ""]
    if example is not None:
        files["audio"] = f"{EXAMPLES}/"
        try:
            draw_run(folder / FIGURE, history, example, rate, curves)
            files["figure"] = FIGURE
        except ImportError as error:
            lines.append(f"no figure: {error}")
    width = max(map(len, files))
    lines += [f"{name:<{width}}  {folder / path}" for name, path in files.items()]
    return lines


def _by_condition(table: MetricTable, condition: str, metrics: Sequence[str]) -> str:
    if any(condition in row for row in table.to_rows()):
        return condition_text(table, condition, metrics)
    return f"no table by {condition}: no item has one"


def write_example(
    folder: Path, name: str, signals: Mapping[str, Tensor], rate: int
) -> None:
    """Write the signals of one item, each to a file of its own.

    Arguments
    ---------
    folder : Path
        It is made if it does not exist.
    name : str
        Of the item, with which the files begin.
    signals : dict of str to Tensor
        By what they are, [channels, time].
    rate : int
        Sample rate in Hz.

    Example
    -------
    >>> import torch
    >>> folder = getfixture("tmp_path")
    >>> write_example(folder, "item", {"noisy": torch.zeros(1, 8)}, 8000)
    >>> [path.name for path in folder.iterdir()]
    ['item_noisy.wav']
    """
    folder.mkdir(parents=True, exist_ok=True)
    for kind, signal in signals.items():
        path = folder / example_file(name, kind)
        # as floats: a scale-invariant loss lets a network exceed full scale
        encoding = {"subtype": "FLOAT", "format": "WAV"}
        # as bytes: a name may be none of text
        soundfile.write(os.fsencode(path), signal.T.numpy(), rate, **encoding)


def example_file(name: str, kind: str) -> str:
    """Name the file of an item's signal, so that a file system takes the name.

    Example
    -------
    >>> example_file("item", "noisy")
    'item_noisy.wav'
    >>> len(example_file(300 * "a", "noisy"))
    210
    >>> example_file("talker/item", "noisy")
    'talker_item-9a637b54_noisy.wav'
    """
    given = os.fsencode(name)
    if len(given) > LONGEST_NAME or UNFIT.search(name):
        # marked, so that other names stay others
        mark = hashlib.sha256(given).hexdigest()[:8]
        begin = given[: LONGEST_NAME - 9].decode("utf-8", "ignore")
        name = f"{UNFIT.sub('_', begin)}-{mark}"
    return f"{name}_{kind}.wav"
