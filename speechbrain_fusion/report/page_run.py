"""What a run has left in its folder, as the page shows it."""

import contextlib
import csv
import functools
import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ruamel.yaml

from speechbrain_fusion.messages import unwrapped
from speechbrain_fusion.metrics.table import MEAN, SYSTEMS, MetricTable
from speechbrain_fusion.report.extremes import BEST, WORST
from speechbrain_fusion.report.run_files import (
    COMMAND,
    ENVIRONMENT,
    EXAMPLES,
    EXPECTED,
    HISTORY,
    INDEX,
    ITEMS,
    JOINT_STAGE,
    MODEL,
    SCRIPT,
    SETTINGS,
    SPEECH_HISTORY,
    SPEECH_STAGE,
    SUMMARY,
)

# Conditions that are names even where they look like numbers.
NAMED = ("talker", "talkers", "speaker", "speech", "mixture", "scene")
NUMBER = re.compile(r"\s*[-+]?\d+(\.\d*)?([eE][-+]?\d+)?\s*")
# What a summary says of a metric and a channel beside the systems' means.
FIGURES = ("gain", "scored", "total")

# Why an item was kept, in the order of the page.
GROUPS = (WORST, BEST, "first")

History = Sequence[Mapping[str, float | None]]
Summary = Mapping[str, Any]


@dataclass(frozen=True)
class Kept:
    """An item whose audio was kept: its name, why, and its files by signal."""

    id: str
    why: Sequence[str]
    files: Mapping[str, Path]


@dataclass
class Run:
    """A run as far as its folder has it; what is not there is empty.

    Arguments
    ---------
    folder : Path
        Its output folder.
    settings : dict
        The YAML's keys, with tags but nothing made of them.
    texts : dict of str to str
        Files as they are, by name.
    summary : dict
        Of each metric unit, direction and figures per channel.
    table : MetricTable
        Scores and conditions of the test's items.
    stages : dict of str to sequence of dict
        The figures of each epoch, by stage of training.
    kept : list of Kept
        Items to listen to.
    metric : str or None
        By which items are worst or best.
    model : dict
        What the model folder says of the model.
    """

    folder: Path
    settings: Mapping[str, Any]
    texts: Mapping[str, str]
    summary: Summary
    table: MetricTable
    stages: Mapping[str, History]
    kept: Sequence[Kept]
    metric: str | None
    model: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the run is called: as in its YAML, or as its folder."""
        return str(self.settings.get("name") or self.folder.resolve().name)

    @functools.cached_property
    def rows(self) -> dict[str, dict[str, Any]]:
        """Conditions and scores of each item, by name, as `MetricTable.state`'s."""
        return self.table.state()["items"]

    def select(self) -> str | None:
        """Name what decided on the best checkpoint."""
        chosen = self.settings.get("select")
        return None if chosen is None else str(chosen)


def read_run(folder: Path) -> Run:
    """Read what a run has left.

    Arguments
    ---------
    folder : Path
        A run's output folder.

    Returns
    -------
    Run
        What there is.

    Raises
    ------
    ValueError
        If it is no folder of a run, or a file in it cannot be read, naming it.
    """
    if not any((folder / name).is_file() for name in EXPECTED):
        found = "no such folder" if not folder.is_dir() else "not the folder of a run"
        raise ValueError(f"{folder}: {found}, expected one of {', '.join(EXPECTED)}")
    names = (SETTINGS, COMMAND, ENVIRONMENT, SCRIPT)
    texts = {name: _read(folder / name) for name in names if (folder / name).is_file()}
    settings = read_settings(texts.get(SETTINGS, ""), folder / SETTINGS)
    with as_written(folder):
        return _gather(folder, texts, settings)


@contextlib.contextmanager
def as_written(folder: Path) -> Iterator[None]:
    """Name the folder where what is in its files is not what a run writes.

    Raises
    ------
    ValueError
        In the place of what Python says of such content.

    Example
    -------
    >>> with as_written(Path("results")):
    ...     [{"loss": 1.0}][0]["epoch"]
    Traceback (most recent call last):
    ValueError: results: a file is not as a run writes it (KeyError: 'epoch')
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"{folder}: a file is not as a run writes it ({reason})"
        ) from error


def _gather(folder: Path, texts: Mapping[str, str], settings: Mapping[str, Any]) -> Run:
    summary = read_json(folder / SUMMARY, dict).get("metrics", {})
    index = read_json(folder / EXAMPLES / INDEX, dict)
    chosen = [index.get("metric"), settings.get("select"), *summary]
    return Run(
        folder=folder,
        settings=settings,
        texts=texts,
        summary=summary,
        table=read_table(folder / ITEMS, summary),
        stages=_read_stages(folder),
        kept=_read_kept(folder / EXAMPLES, index),
        metric=next((x for x in chosen if x in summary), None),
        model=read_json(folder / MODEL, dict),
    )


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def read_json(path: Path, kind: type) -> Any:
    """Read a JSON file; one that is not there is empty.

    Raises
    ------
    ValueError
        If it holds something else, naming it.

    Example
    -------
    >>> read_json(getfixture("tmp_path") / "none.json", list)
    []
    """
    if not path.is_file():
        return kind()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(content, kind):
        raise ValueError(f"{path}: expected a {kind.__name__}, got {content!r:.60}")
    return content


def read_settings(text: str, path: Path) -> dict[str, Any]:
    """Read a YAML's keys without making any of its objects.

    Raises
    ------
    ValueError
        If it is no YAML of keys, naming it.

    Example
    -------
    >>> text = "net: !new:torch.nn.Linear {in_features: 3}"
    >>> read_settings(text, Path("a.yaml"))["net"]["in_features"]
    3
    """
    try:
        tree = ruamel.yaml.YAML().load(text) or {}
    except (ruamel.yaml.error.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{path}: not readable as YAML ({unwrapped(error)})"
        ) from error
    if not isinstance(tree, dict):
        raise ValueError(f"{path}: expected keys, got {tree!r:.60}")
    return tree


def summary_systems(summary: Summary) -> list[str]:
    """Name the systems that a summary compares.

    Example
    -------
    >>> channels = {"mean": {"unprocessed": 1.0, "enhanced": 2.0, "gain": 1.0}}
    >>> summary_systems({"snr": {"channels": channels}})
    ['unprocessed', 'enhanced']
    """
    each = (x for metric in summary.values() for x in metric["channels"].values())
    names = dict.fromkeys(name for figures in each for name in figures)
    return [name for name in names if name not in FIGURES]


def read_table(path: Path, summary: Summary) -> MetricTable:
    """Read a test's items; the summary tells scores from conditions.

    Arguments
    ---------
    path : Path
        What `MetricTable.write_csv` wrote.
    summary : dict
        The metrics of what `MetricTable.write_json` wrote.

    Returns
    -------
    MetricTable
        Empty without the file or without any metric.

    Raises
    ------
    ValueError
        If the file has no column of names or scores that are no numbers, naming it.
    """
    each = (metric["channels"] for metric in summary.values())
    channels = list(dict.fromkeys(x for names in each for x in names if x != MEAN))
    references = [x for x in summary_systems(summary) if x not in SYSTEMS]
    known: dict[str, Any] = {"channels": channels, "references": references}
    rows = _read_rows(path) if path.is_file() and summary else []
    columns = _score_columns(rows[0] if rows else (), summary, channels)
    taken = {"id", *(name for names in columns.values() for name in names)}
    conditions = _conditions(rows, taken)
    items: dict[str, Any] = {}
    for row, given in zip(rows, conditions, strict=True):
        items[row["id"]] = {"conditions": given, "scores": _scores(row, columns, path)}
    return MetricTable.load({**known, "items": items})


def _read_rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if "id" not in (reader.fieldnames or ()):
            raise ValueError(f"{path}: expected a column id")
        # short rows lack cells, long ones have some without a name
        return [{k: x or "" for k, x in row.items() if k} for row in reader]


def _score_columns(
    header: Collection[str], summary: Summary, channels: Sequence[str]
) -> dict[tuple[str, str], list[str]]:
    """Name the columns of each metric and system."""
    found = {}
    for metric in summary:
        for system in summary_systems(summary):
            column = f"{metric}_{system}"
            names = [column, *(f"{column}_{channel}" for channel in channels)]
            found[metric, system] = [name for name in names if name in header]
    return found


def _scores(
    row: Mapping[str, str], columns: Mapping[tuple[str, str], list[str]], path: Path
) -> dict[str, dict[str, list[float]]]:
    scores: dict[str, dict[str, list[float]]] = {}
    for (metric, system), names in columns.items():
        try:
            values = [float(row[name]) for name in names if row[name]]
        except ValueError as error:
            raise ValueError(f"{path}: {row['id']}: {error}") from error
        if values:
            scores.setdefault(metric, {})[system] = values
    return scores


def _conditions(
    rows: Sequence[Mapping[str, str]], taken: Collection[str]
) -> list[dict[str, float | str]]:
    """Return what each item is; a column of nothing but numbers is one of numbers."""
    names = [name for name in (rows[0] if rows else ()) if name not in taken]
    numbers = {
        name
        for name in names
        if name not in NAMED and all(NUMBER.fullmatch(row[name]) for row in rows)
    }
    return [
        {
            name: float(row[name]) if name in numbers else row[name]
            for name in names
            if row[name]
        }
        for row in rows
    ]


def _read_stages(folder: Path) -> dict[str, History]:
    """Read the history of each stage; of an unfinished run the last checkpoint's."""
    history = read_json(folder / HISTORY, list)
    if not history:
        saved = sorted(folder.glob("save/CKPT*/history.ckpt"), key=_age)
        history = read_json(saved[-1], dict).get("epochs", []) if saved else []
    speech = read_json(folder / SPEECH_HISTORY, list)
    stages = {SPEECH_STAGE: speech, JOINT_STAGE: history}
    return stages if speech else {"": history} if history else {}


def _age(path: Path) -> tuple[float, str]:
    return path.stat().st_mtime, str(path)


def _read_kept(folder: Path, index: Mapping[str, Any]) -> list[Kept]:
    """List the items with audio, also of a run from before there was an index."""
    if index:
        return [_listed(folder, item) for item in index["items"]]
    found: dict[str, dict[str, Path]] = {}
    names = [p.stem.removesuffix("_mixture") for p in folder.glob("*_mixture.wav")]
    for path in sorted(folder.glob("*.wav")):
        item = max((x for x in names if path.stem.startswith(f"{x}_")), default="")
        if item:
            found.setdefault(item, {})[path.stem.removeprefix(f"{item}_")] = path
    return [Kept(item, ["first"], files) for item, files in found.items()]


def _listed(folder: Path, item: Mapping[str, Any]) -> Kept:
    files = {name: folder / path for name, path in item["files"].items()}
    for path in files.values():
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{folder / INDEX}: {path} is not in its folder")
    return Kept(str(item["id"]), [*item.get("why", [])], files)


def item_means(scores: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Average an item's channels, by system.

    Example
    -------
    >>> item_means({"enhanced": [1.0, 2.0]})
    {'enhanced': 1.5}
    """
    return {
        system: sum(values) / len(values) if values else math.nan
        for system, values in scores.items()
    }
