"""Scores in tables: of a test's worst and best items."""

from collections.abc import Mapping

from speechbrain_fusion.metrics.info import gain, metric_info
from speechbrain_fusion.metrics.table import SYSTEMS
from speechbrain_fusion.report.extremes import WORST, extremes
from speechbrain_fusion.report.page_html import Html, join, tag
from speechbrain_fusion.report.page_run import GROUPS, Run, item_means
from speechbrain_fusion.report.page_text import (
    condition_text,
    direction,
    metric_text,
    name_text,
    score_text,
)

LISTED = 5


def ranked(run: Run) -> list[tuple[str, dict[str, float]]]:
    """Order items from the worst to the best by the run's metric.

    Arguments
    ---------
    run : Run
        With scores.

    Returns
    -------
    list of tuple
        Names of the items that were scored, and their scores by system.
    """
    if run.metric is None:
        return []
    sign = -1.0 if metric_info(run.metric).better == "lower" else 1.0
    means = {
        name: item_means(item["scores"].get(run.metric, {}))
        for name, item in run.rows.items()
    }
    scored = {
        name: x
        for name, x in means.items()
        if (value := x.get("enhanced")) is not None and abs(value) < float("inf")
    }
    return sorted(scored.items(), key=lambda x: (sign * x[1]["enhanced"], x[0]))


def extremes_table(run: Run, places: Mapping[str, str]) -> Html:
    """List the worst and the best items of all, with what they are.

    Arguments
    ---------
    run : Run
        With scores; nothing is listed without.
    places : mapping of str to str
        Where on the page an item is, by its name.

    Returns
    -------
    Html
        A table.
    """
    order, metric = ranked(run), run.metric
    groups = extremes(order, LISTED)
    if not groups[WORST] or metric is None:
        return Html("")
    bodies = [
        tag(
            "tbody",
            tag("tr", tag("th", why, scope="rowgroup", colspan=4), class_=why),
            *(_extreme(run, metric, *item, places.get(item[0])) for item in items),
        )
        for why, items in groups.items()
    ]
    header = ("item", *SYSTEMS, "gain")
    cells = [
        tag("th", x, scope="col", class_=f"number {x}" if n else None)
        for n, x in enumerate(header)
    ]
    what = f"The worst and the best of {len(order)} items by {name_text(metric)}"
    caption = tag("caption", f"{what}, in {metric_text(metric)} {direction(metric)}")
    head = tag("thead", tag("tr", *cells))
    table = tag("table", caption, head, *bodies, class_="extremes")
    kept = tag("p", "Those that are links are played below.", class_="note")
    return join([scrolling(table, what), *([kept] if places else [])])


def _extreme(
    run: Run, metric: str, name: str, means: Mapping[str, float], place: str | None
) -> Html:
    shown = tag("a", name, href=f"#{place}") if place else tag("span", name)
    before, after = means.get("unprocessed"), means.get("enhanced")
    return tag(
        "tr",
        tag("th", shown, tag("small", what_it_is(run, name)), scope="row"),
        tag("td", score_text(metric, before), class_="number unprocessed"),
        tag("td", score_text(metric, after), class_="number"),
        gain_cell(metric, before, after),
        class_="listed",
    )


def gain_cell(metric: str, before: float | None, after: float | None) -> Html:
    """Make a table's cell of how much better a score got.

    Example
    -------
    >>> gain_cell("si_sdr", 1.0, 3.0)
    '<td class="number gain better">+2.00</td>'
    """
    return tag(
        "td", gain_text(metric, before, after), class_=gain_class(metric, before, after)
    )


def gain_text(metric: str, before: float | None, after: float | None) -> str:
    """Write how much better a score got, with its sign.

    Example
    -------
    >>> gain_text("ild_error", 3.0, 2.5), gain_text("si_sdr", None, 1.0)
    ('+0.50', '–')
    """
    if before is None or after is None:
        return score_text(metric, None)
    return score_text(metric, gain(metric, before, after), sign=True)


def gain_class(metric: str, before: float | None, after: float | None) -> str:
    """Say by the sign of what is written how a gain is coloured.

    Example
    -------
    >>> gain_class("si_sdr", 1.0, 3.0), gain_class("si_sdr", 1.0, 1.001)
    ('number gain better', 'number gain')
    """
    kinds = {"+": " better", "\N{MINUS SIGN}": " worse"}
    text = gain_text(metric, before, after)
    return f"number gain{kinds.get(text[0], '')}"


def badge(why: str) -> Html:
    """Mark why an item is here.

    Example
    -------
    >>> badge("worst")
    '<span class="badge worst">worst</span>'
    """
    return tag("span", why, class_=f"badge {why if why in GROUPS else ''}".strip())


def what_it_is(run: Run, name: str) -> str:
    """Write the conditions of an item, those alone that are not its name."""
    known = run.rows.get(name, {}).get("conditions", {})
    told = {k: x for k, x in known.items() if x not in (name, "False")}
    return " · ".join(condition_text(k, x) for k, x in told.items())


def scrolling(table: Html, label: str) -> Html:
    """Let a table that is too wide for the page move by itself, by keyboard too.

    Example
    -------
    >>> scrolling(tag("table"), "scores")[:44]
    '<div class="scroll" role="region" aria-label'
    """
    return tag(
        "div", table, class_="scroll", role="region", aria_label=label, tabindex=0
    )
