"""The table of a run as plain text."""

import math
from collections.abc import Mapping, Sequence

from speechbrain_fusion.metrics.info import metric_info
from speechbrain_fusion.metrics.table import MEAN, SYSTEMS, Figures, MetricTable

Row = tuple[str, ...]
HEADER = (*SYSTEMS, "gain")


def summary_text(table: MetricTable) -> str:
    """Lay the summary out as aligned text, with what could not be scored.

    Arguments
    ---------
    table : MetricTable
        Scores of a test.

    Returns
    -------
    str
        A row per metric and channel; the gain is positive where a metric got better.

    Example
    -------
    >>> import torch
    >>> table = MetricTable(channels=())
    >>> for system, score in {"unprocessed": 1.0, "enhanced": 3.0}.items():
    ...     table.add(system, ["a"], [{}], {"snr": torch.tensor([score])})
    >>> print(summary_text(table))
    1 items; means over scored items; a positive gain is better
    metric  unit  channel  unprocessed  enhanced    gain  scored
    snr     dB    mean           1.000     3.000  +2.000     1/1
    """
    title = f"{len(table)} items; means over scored items; a positive gain is better"
    rows: list[Row] = [("metric", "unit", "channel", *_header(table))]
    notes = []
    for metric, channels in table.summary().items():
        unit = metric_info(metric).unit
        for name, figures in channels.items():
            rows.append((metric, unit, name, *_cells(figures, table)))
        missing = int(channels[MEAN]["total"] - channels[MEAN]["scored"])
        if missing:
            notes.append(f"{metric}: {missing} items could not be scored")
    return "\n".join([title, *_aligned(rows, left=3), *notes])


def evaluation_text(table: MetricTable) -> str:
    """Lay out the means of what stands alone, with nothing to compare it to.

    Arguments
    ---------
    table : MetricTable
        Scores of the system "enhanced".

    Returns
    -------
    str
        A row per metric and channel.

    Example
    -------
    >>> import torch
    >>> table = MetricTable(channels=())
    >>> table.add("enhanced", ["a"], [{}], {"snr": torch.tensor([3.0])})
    >>> print(evaluation_text(table))
    1 items; means over scored items
    metric  unit  channel   mean  scored
    snr     dB    mean     3.000     1/1
    """
    rows: list[Row] = [("metric", "unit", "channel", "mean", "scored")]
    for metric, channels in table.summary().items():
        unit = metric_info(metric).unit
        for name, figures in channels.items():
            mean = _number(figures["enhanced"])
            rows.append((metric, unit, name, mean, _scored(figures)))
    title = f"{len(table)} items; means over scored items"
    return "\n".join([title, *_aligned(rows, left=3)])


def condition_text(table: MetricTable, condition: str, metrics: Sequence[str]) -> str:
    """Lay metrics out per value of a condition, e.g. per kind of noise.

    Arguments
    ---------
    table : MetricTable
        Scores of a test.
    condition : str
        A condition's name, e.g. "noise".
    metrics : sequence of str
        The metrics' names.

    Returns
    -------
    str
        A block per metric, in it a row per value.
    """
    blocks = []
    for metric in metrics:
        rows: list[Row] = [(condition, *_header(table))]
        for value, figures in table.by(condition, metric).items():
            rows.append((str(value), *_cells(figures, table)))
        unit = metric_info(metric).unit
        what = f"{metric} in {unit}" if unit else metric
        blocks.append("\n".join([f"{what} by {condition}", *_aligned(rows, left=1)]))
    return "\n\n".join(blocks)


def published_text(
    published: Mapping[str, Mapping[str, Sequence[float]]], values: Sequence[str]
) -> str:
    """Lay out what others have measured, marked as not comparable.

    Arguments
    ---------
    published : mapping of str to mapping
        Of each system the values of each metric.
    values : sequence of str
        What each value is for, e.g. SNRs.

    Returns
    -------
    str
        A row per system and metric.

    Raises
    ------
    ValueError
        If a metric has another number of values.

    Example
    -------
    >>> print(published_text({"SSE": {"pesq": [1.32, 1.33]}}, ["-5 dB", "0 dB"]))
    published, for orientation: measured by others on ANOTHER test set
    system  metric  -5 dB   0 dB
    SSE       pesq  1.320  1.330
    """
    rows: list[Row] = [("system", "metric", *values)]
    for system, metrics in published.items():
        for metric, figures in metrics.items():
            if len(figures) != len(values):
                raise ValueError(
                    f"published: expected {len(values)} values of {system}'s {metric}, "
                    f"got {len(figures)}"
                )
            rows.append((system, metric, *map(_number, figures)))
    title = "published, for orientation: measured by others on ANOTHER test set"
    return "\n".join([title, *_aligned(rows, left=1)])


def _header(table: MetricTable) -> Row:
    return (*HEADER, *table.references, "scored")


def _cells(figures: Figures, table: MetricTable) -> Row:
    """Format means, gain, references and how many items were scored."""
    ours, others = (
        [_number(figures[name]) for name in names]
        for names in (SYSTEMS, table.references)
    )
    return (*ours, _number(figures["gain"], "+"), *others, _scored(figures))


def _scored(figures: Figures) -> str:
    return f"{figures['scored']:.0f}/{figures['total']:.0f}"


def _number(value: float, sign: str = "-") -> str:
    return f"{value:{sign}.3f}" if math.isfinite(value) else "-"


def _aligned(rows: Sequence[Row], left: int) -> list[str]:
    """Pad cells to columns, the first `left` of them to the left."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    signs = ["<"] * left + [">"] * (len(widths) - left)
    return [
        "  ".join(
            f"{cell:{sign}{width}}"
            for cell, sign, width in zip(row, signs, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
