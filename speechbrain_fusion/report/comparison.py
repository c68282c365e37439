"""Several systems side by side, each trained several times: table and picture."""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from speechbrain_fusion.data.files import written_whole
from speechbrain_fusion.metrics.comparison import (
    TrainingsDifference,
    compare_trainings,
    read_scores,
)
from speechbrain_fusion.metrics.info import FEATURE_METRICS, metric_info
from speechbrain_fusion.report.figures import import_pyplot, save_figure

Tables = Mapping[str, Sequence[Path]]
COLUMNS = ["metric", "unit", "system", "unprocessed", "mean", "spread", "trainings"]
PANELS_IN_A_ROW = 4
LIMITS = ("items_low", "items_high", "trainings_low", "trainings_high")


class Row(NamedTuple):
    """A system's figures in one metric."""

    system: str
    metric: str
    unprocessed: float
    trainings: np.ndarray  # mean over the items of each training
    differences: dict[str, TrainingsDifference]  # from each baseline

    @property
    def mean(self) -> float:
        """The mean over trainings."""
        return float(self.trainings.mean())

    @property
    def spread(self) -> float:
        """The standard deviation over trainings, NaN for one."""
        several = len(self.trainings) > 1
        return float(self.trainings.std(ddof=1)) if several else math.nan


def write_comparison(
    folder: Path,
    tables: Tables,
    metrics: Sequence[str],
    baselines: Sequence[str],
) -> list[str]:
    """Compare systems in each metric and write table and picture.

    Arguments
    ---------
    folder : Path
        Where comparison.csv, comparison.md and comparison.png go.
    tables : mapping of str to sequence of Path
        Each system's tables of test items, one for each training.
    metrics : sequence of str
        Names of the metrics.
    baselines : sequence of str
        The systems that the others are compared with.

    Returns
    -------
    list of str
        Lines to print: the table, and where it lies.

    Raises
    ------
    ValueError
        If the trainings scored different items.
    """
    rows = list(compare_systems(tables, metrics, baselines))
    with written_whole(folder / "comparison.csv") as file:
        columns = [*COLUMNS, *_columns(baselines)]
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(_flat, rows))
    lines = markdown_table(rows, baselines)
    with written_whole(folder / "comparison.md") as file:
        file.write("\n".join(lines) + "\n")
    lines += ["", f"table   {folder / 'comparison.csv'}"]
    try:
        draw_comparison(folder / "comparison.png", rows, baselines[0])
        lines.append(f"figure  {folder / 'comparison.png'}")
    except ImportError as error:
        lines.append(f"no figure: {error}")
    return lines


def compare_systems(
    tables: Tables, metrics: Sequence[str], baselines: Sequence[str]
) -> Iterator[Row]:
    """Compare every system with every baseline in every metric.

    Arguments
    ---------
    tables, metrics, baselines
        As for `write_comparison`.

    Yields
    ------
    Row
        Metric by metric.
    """
    for metric in metrics:
        for system, paths in tables.items():
            means = [_mean(read_scores(path, metric)) for path in paths]
            yield Row(
                system,
                metric,
                _unprocessed(paths[0], metric),
                np.array(means),
                {
                    baseline: compare_trainings(paths, tables[baseline], metric)
                    for baseline in baselines
                    if baseline != system
                },
            )


def _unprocessed(path: Path, metric: str) -> float:
    """Average what all systems begin with, if there is such a thing."""
    if metric in FEATURE_METRICS:
        return math.nan
    return _mean(read_scores(path, metric, "unprocessed"))


def _mean(scores: Mapping[str, float]) -> float:
    return float(np.nanmean(list(scores.values())))


def _columns(baselines: Sequence[str]) -> list[str]:
    """Name the columns of the differences."""
    return [
        f"minus_{baseline}{part}"
        for baseline in baselines
        for part in ("", *(f"_{limit}" for limit in LIMITS))
    ]


def _flat(row: Row) -> dict[str, Any]:
    """Lay a row out as columns; a baseline's differences from itself are empty."""
    differences = [
        (f"minus_{name}", both.items, both.trainings)
        for name, both in row.differences.items()
    ]
    return {
        "metric": row.metric,
        "unit": metric_info(row.metric).unit,
        "system": row.system,
        "unprocessed": row.unprocessed,
        "mean": row.mean,
        "spread": row.spread,
        "trainings": " ".join(f"{x:.6g}" for x in row.trainings),
        **{name: items.mean for name, items, _ in differences},
        **{f"{name}_items_low": items.low for name, items, _ in differences},
        **{f"{name}_items_high": items.high for name, items, _ in differences},
        **{f"{name}_trainings_low": runs.low for name, _, runs in differences},
        **{f"{name}_trainings_high": runs.high for name, _, runs in differences},
    }


def markdown_table(rows: Sequence[Row], baselines: Sequence[str]) -> list[str]:
    """Lay out means over trainings, and the differences from each baseline.

    Arguments
    ---------
    rows : sequence of Row
        Of all systems and metrics.
    baselines : sequence of str
        A table of differences for each.

    Returns
    -------
    list of str
        Lines of Markdown.
    """
    metrics = list(dict.fromkeys(row.metric for row in rows))
    systems = list(dict.fromkeys(row.system for row in rows))
    by_place = {(row.system, row.metric): row for row in rows}
    trainings = len(rows[0].trainings)
    header = ["system", *(_heading(metric) for metric in metrics)]
    before = [by_place[systems[0], x].unprocessed for x in metrics]
    shown = ["-" if math.isnan(x) else f"{x:.3f}" for x in before]
    lines = [f"Mean ± standard deviation over {trainings} trainings:", ""]
    lines += _markdown([header, ["unprocessed", *shown]], first=True)
    lines += _markdown(
        [[name, *(_value(by_place[name, x]) for x in metrics)] for name in systems]
    )
    for baseline in baselines:
        cells = [
            [name, *(_difference(by_place[name, x], baseline) for x in metrics)]
            for name in systems
            if name != baseline
        ]
        what = f"Difference from {baseline} (95 % interval over items; over trainings):"
        lines += ["", what, "", *_markdown([header, *cells], first=True)]
        lines += _unscored(rows, baseline)
    return lines


def _unscored(rows: Sequence[Row], baseline: str) -> list[str]:
    """Say which differences are of fewer items than there are."""
    notes = [
        f"{row.metric} of {row.system}: over the {found.items.pairs} of {found.total} "
        "items that all trainings of both scored; means are over each one's own."
        for row in rows
        if (found := row.differences.get(baseline)) and found.items.pairs < found.total
    ]
    return ["", *notes] if notes else []


def _heading(metric: str) -> str:
    unit = metric_info(metric).unit
    return f"{metric} / {unit}" if unit else metric


def _value(row: Row) -> str:
    several = len(row.trainings) > 1
    return f"{row.mean:.3f} ± {row.spread:.3f}" if several else f"{row.mean:.3f}"


def _difference(row: Row, baseline: str) -> str:
    found = row.differences[baseline]
    intervals = "; ".join(
        f"{x.low:+.3f} .. {x.high:+.3f}"
        for x in (found.items, found.trainings)
        if x.pairs > 1
    )
    return f"{found.items.mean:+.3f} ({intervals})"


def _markdown(rows: Sequence[Sequence[str]], first: bool = False) -> list[str]:
    """Write cells as rows of Markdown, a rule after the first if it is a heading."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    rule = [f"|{'---|' * len(rows[0])}"] if first else []
    return [*lines[:1], *rule, *lines[1:]]


def draw_comparison(path: Path, rows: Sequence[Row], baseline: str) -> None:
    """Draw each system's difference from a baseline, a panel per metric.

    The dots are trainings, the bar their mean, the line its 95 % interval over items;
    the arrow shows which way is better.

    Arguments
    ---------
    path : Path
        The PNG to write.
    rows : sequence of Row
        Of all systems and metrics.
    baseline : str
        The system whose differences are zero.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    metrics = list(dict.fromkeys(row.metric for row in rows))
    systems = sum(row.metric == metrics[0] for row in rows) - 1
    wide = min(len(metrics), PANELS_IN_A_ROW)
    high = -(-len(metrics) // wide)
    figure, axes = import_pyplot().subplots(
        high,
        wide,
        figsize=(2.4 * wide + 1.2, (0.3 * systems + 0.9) * high + 0.4),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat[len(metrics) :]:
        axis.remove()
    for axis, metric in zip(axes.flat, metrics, strict=False):
        _draw_metric(axis, [row for row in rows if row.metric == metric], baseline)
    axes[0, 0].invert_yaxis()
    figure.suptitle(
        f"difference from {baseline}: mean with 95 % interval over test items; "
        "dots are trainings",
        fontsize="medium",
    )
    save_figure(figure, path, dpi=120)


def _draw_metric(axis: Any, rows: Sequence[Row], baseline: str) -> None:
    """Draw one panel: a line for each system but the baseline."""
    others = [row for row in rows if row.system != baseline]
    for place, row in enumerate(others):
        items, dots = row.differences[baseline].items, row.differences[baseline].each
        axis.plot([items.low, items.high], [place, place], color="C0", linewidth=2)
        axis.plot(items.mean, place, marker="|", color="C0", markersize=11)
        axis.plot(dots, [place] * len(dots), ".", color="C1", markersize=5)
    axis.axvline(0, color="grey", linewidth=0.8)
    axis.set_yticks(range(len(others)), [row.system for row in others])
    arrow = {"higher": " →", "lower": " ←"}.get(metric_info(rows[0].metric).better, "")
    axis.set_xlabel(f"{_heading(rows[0].metric)}{arrow}", fontsize="small")
    axis.tick_params(labelsize="small")
    axis.grid(axis="x", alpha=0.3)
