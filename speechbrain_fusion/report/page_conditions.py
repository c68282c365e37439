"""Metrics by what the items of a test are: kind of noise, SNR, direction."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from speechbrain_fusion.metrics.table import SYSTEMS, Condition
from speechbrain_fusion.report.page_charts import (
    Line,
    Row,
    finite_values,
    line_chart,
    row_chart,
)
from speechbrain_fusion.report.page_html import Html, join, tag
from speechbrain_fusion.report.page_run import Run, item_means
from speechbrain_fusion.report.page_text import axis_text, metric_text, name_text

# A condition with more names than this is not drawn, nor are items one by one beyond.
MOST_NAMES = 24
MOST_ITEMS = 300
# A condition with so few numbers has a mean for each.
FEW = 8
BINS = 6

Points = dict[str, list[tuple[float, float]]]


def drawable(values: Sequence[Condition]) -> str:
    """Decide how a condition is drawn.

    Arguments
    ---------
    values : sequence of str or float
        Of the items.

    Returns
    -------
    str
        "names", "levels" (few numbers), "numbers" or, for nothing, "".

    Example
    -------
    >>> drawable(["wind", "rain"] * 2), drawable([0.0, 5.0] * 2)
    ('names', 'levels')
    >>> drawable(["wind", "wind"]), drawable([x / 7 for x in range(30)])
    ('', 'numbers')
    """
    kinds = len({*values})
    if kinds < 2:
        return ""
    repeated = kinds <= len(values) / 2
    if all(isinstance(x, float) for x in values):
        return "levels" if repeated and kinds <= FEW else "numbers"
    return "names" if repeated and kinds <= MOST_NAMES else ""


def conditions(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Condition]]:
    """List what is known of the items: by name each item's value.

    Example
    -------
    >>> conditions({"a": {"conditions": {"snr": 1.0}}})
    {'snr': [1.0]}
    """
    found: dict[str, list[Condition]] = {}
    for item in rows.values():
        for name, value in item["conditions"].items():
            found.setdefault(name, []).append(value)
    return found


def conditions_section(run: Run) -> Html:
    """Draw every metric by every condition that tells items apart.

    Arguments
    ---------
    run : Run
        Its table may be empty, which is said then.

    Returns
    -------
    Html
        The content of the section; one metric is shown at a time.
    """
    known = conditions(run.rows)
    kinds = {name: drawable(values) for name, values in known.items()}
    drawn = [name for name, kind in kinds.items() if kind]
    metrics = [x for x in run.table.metrics() if x in run.summary]
    if not drawn or not metrics:
        text = "No condition tells the items of the test apart."
        return tag("p", text, class_="missing")
    chosen = run.metric if run.metric in metrics else metrics[0]
    groups = [
        tag(
            "div",
            *_figures(run, metric, {name: kinds[name] for name in drawn}),
            class_="figures",
            data_metric=metric,
            hidden=metric != chosen,
        )
        for metric in metrics
    ]
    return join([_picker(metrics, chosen), *groups, _left_out(known, kinds)])


def _picker(metrics: Sequence[str], chosen: str) -> Html:
    """Make the choice of a metric, with the legend of the figures."""
    options = [
        tag("option", metric_text(x), value=x, selected=x == chosen) for x in metrics
    ]
    return tag(
        "p",
        tag("label", "Metric ", tag("select", *options, id="metric")),
        *(tag("span", system, class_=f"key {system}") for system in SYSTEMS),
        tag("span", "small dots are items, large ones means", class_="legend"),
        class_="picker",
    )


def _left_out(
    known: Mapping[str, Sequence[Condition]], kinds: Mapping[str, str]
) -> Html:
    names = [
        f"{name_text(name)} ({len({*values})} values)"
        for name, values in known.items()
        if not kinds[name] and len({*values}) > 1
    ]
    if not names:
        return Html("")
    text = f"Not drawn, as it is another for most items: {', '.join(names)}."
    return tag("p", text, class_="note")


def _figures(run: Run, metric: str, kinds: Mapping[str, str]) -> list[Html]:
    return [
        x
        for name, kind in kinds.items()
        if (x := condition_figure(run, metric, name, kind)) is not None
    ]


def condition_figure(run: Run, metric: str, condition: str, kind: str) -> Html | None:
    """Draw a metric by a condition.

    Arguments
    ---------
    run : Run
        Its scores and conditions.
    metric, condition : str
        Their names.
    kind : str
        What `drawable` says.

    Returns
    -------
    Html or None
        A figure with its title; None if there is no finite score to draw.
    """
    points = _points(run, metric, condition)
    if not any(points.values()):
        return None
    label = f"{name_text(metric)} by {name_text(condition)}, unprocessed and enhanced"
    if kind == "names":
        rows = _rows(run, points, metric, condition)
        if not finite_values(rows):
            # many items, and none that all systems have a score of
            return None
        chart = row_chart(rows, label, metric_text(metric))
    else:
        lines = _lines(points, kind == "levels")
        chart = line_chart(lines, label, axis_text(condition))
    title = tag("b", f"{metric_text(metric)} by {name_text(condition)}")
    return tag("figure", tag("figcaption", title), chart)


def _points(run: Run, metric: str, condition: str) -> Points:
    """Return condition and score of each item, by system."""
    points: Points = {system: [] for system in SYSTEMS}
    for item in run.rows.values():
        means = item_means(item["scores"].get(metric, {}))
        if condition in item["conditions"]:
            for system in points.keys() & means.keys():
                points[system].append((item["conditions"][condition], means[system]))
    return {k: [p for p in x if math.isfinite(p[1])] for k, x in points.items()}


def _rows(run: Run, points: Points, metric: str, condition: str) -> list[Row]:
    few = sum(map(len, points.values())) <= 2 * MOST_ITEMS
    rows = []
    for value, figures in run.table.by(condition, metric).items():
        means = {system: figures[system] for system in SYSTEMS}
        each = {
            system: [y for x, y in found if x == value and few]
            for system, found in points.items()
        }
        rows.append(Row(str(value), int(figures["total"]), means, each))
    return rows


def _lines(points: Points, levels: bool) -> list[Line]:
    """Return clouds of items, if they are not too many, under curves of means."""
    clouds = [
        Line(system, system, found, joined=False)
        for system, found in points.items()
        if len(found) <= MOST_ITEMS
    ]
    curves = [
        Line(f"{system}, mean", system, binned(found, levels))
        for system, found in points.items()
        if found
    ]
    return [*clouds, *curves]


def binned(
    points: Sequence[tuple[float, float]], levels: bool
) -> list[tuple[float, float]]:
    """Average points that are near each other.

    Arguments
    ---------
    points : sequence of tuple of float
        x and y.
    levels : bool
        Whether those of the same x are averaged, or else as many each.

    Returns
    -------
    list of tuple of float
        Mean x and mean y of each group.

    Example
    -------
    >>> binned([(0.0, 1.0), (0.0, 3.0), (5.0, 4.0)], levels=True)
    [(0.0, 2.0), (5.0, 4.0)]
    """
    order = sorted(points)
    if levels:
        values = sorted({x for x, _ in order})
        groups = [[p for p in order if p[0] == value] for value in values]
    else:
        count = max(1, min(BINS, len(order) // 3))
        edges = [len(order) * n // count for n in range(count + 1)]
        groups = [order[a:b] for a, b in itertools.pairwise(edges)]
    return [
        (sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups
    ]
