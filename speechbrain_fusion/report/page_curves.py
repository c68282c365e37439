"""Learning curves of a run."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from speechbrain_fusion.report.page_charts import Line, line_chart
from speechbrain_fusion.report.page_html import Html, join, tag
from speechbrain_fusion.report.page_run import SPEECH_STAGE, History, Run
from speechbrain_fusion.report.page_text import metric_text, minus, name_text

PARTS = {"train": "training", "valid": "validation"}
LOSS = "loss"
# What gradients were like, and what each figure is.
GRADIENTS = {
    "conflict": "rate of conflicts with the main gradient",
    "cosine": "cosine with the main gradient",
    "norm": "norm of the gradient, over the main one's",
    "kept": "part of the gradient that was kept",
}
# With more figures than this, those of single losses are folded away.
OPEN = 6


@dataclass(frozen=True)
class Panel:
    """One figure: its title and, by name of the curve, figures of the history."""

    title: str
    curves: Mapping[str, str]
    detail: bool = False


def panels(history: History, metrics: Collection[str]) -> list[Panel]:
    """Decide what is drawn together.

    Arguments
    ---------
    history : sequence of dict
        The figures of each epoch.
    metrics : collection of str
        Names that are metrics in validation even if a loss is called so.

    Returns
    -------
    list of Panel
        The loss, each metric, each term of the loss, gradients, and the rate.

    Example
    -------
    >>> history = [{"epoch": 1, "train_loss": 2, "train_snr": 3, "valid_snr": -3}]
    >>> [panel.title for panel in panels(history, ["snr"])]
    ['loss', 'SNR / dB', 'SNR loss']
    """
    known = dict.fromkeys(name for figures in history for name in figures)
    trained = _named(known, "train_")
    valid = _named(known, "valid_")
    scored = [x for x in valid if x != LOSS and (x in metrics or x not in trained)]
    drawn = [Panel("loss", _pair(LOSS, known))]
    drawn += [Panel(metric_text(x), {PARTS["valid"]: f"valid_{x}"}) for x in scored]
    gradients = {kind: _named(trained, f"{kind}_") for kind in GRADIENTS}
    taken = {f"{kind}_{x}" for kind, names in gradients.items() for x in names}
    for name in trained:
        if name != LOSS and name not in taken:
            both = _pair(
                name, [x for x in known if x.removeprefix("valid_") not in scored]
            )
            drawn.append(Panel(f"{name_text(name)} loss", both, detail=True))
    for kind, names in gradients.items():
        curves = {name_text(x): f"train_{kind}_{x}" for x in names}
        drawn.append(Panel(GRADIENTS[kind], curves, detail=True))
    drawn.append(Panel("learning rate", {"rate": "lr"} if "lr" in known else {}, True))
    return [panel for panel in drawn if panel.curves]


def _named(names: Collection[str], beginning: str) -> list[str]:
    return [x.removeprefix(beginning) for x in names if x.startswith(beginning)]


def _pair(name: str, known: Collection[str]) -> dict[str, str]:
    found = {text: f"{part}_{name}" for part, text in PARTS.items()}
    return {text: figure for text, figure in found.items() if figure in known}


def curves_section(run: Run) -> Html:
    """Draw how each stage of a training got on.

    Arguments
    ---------
    run : Run
        Its history may be empty, which is said then.

    Returns
    -------
    Html
        The content of the section.
    """
    if not run.stages:
        return tag("p", "The run has no history of epochs yet.", class_="missing")
    return join(_stage(run, title, history) for title, history in run.stages.items())


def _stage(run: Run, title: str, history: History) -> Html:
    heading = [tag("h3", title)] if title else []
    best = best_epoch(history, run.select()) if title != SPEECH_STAGE else None
    note = []
    if best is not None and len(history) > 1:
        text = f"The dashed line is epoch {best}, the best by {_by(run)}."
        note = [tag("p", text, class_="note")]
    metrics = {*run.summary, *(run.settings.get("valid_metrics") or {})}
    drawn = [(p, figure(p, history, best)) for p in panels(history, metrics)]
    main = [x for panel, x in drawn if x and not panel.detail]
    details = [x for panel, x in drawn if x and panel.detail]
    if len(main) + len(details) <= OPEN:
        return join([*heading, *note, tag("div", *main, *details, class_="figures")])
    folded = tag(
        "details",
        tag("summary", f"Losses one by one, gradients and rate ({len(details)})"),
        tag("div", *details, class_="figures"),
    )
    return join([*heading, *note, tag("div", *main, class_="figures"), folded])


def _by(run: Run) -> str:
    chosen = run.select() or LOSS
    return f"validation {name_text(chosen)}"


def best_epoch(history: History, select: str | None) -> int | None:
    """Find the epoch whose checkpoint was the best.

    Arguments
    ---------
    history : sequence of dict
        The figures of each epoch; "chosen" is what decided, if that is known.
    select : str or None
        What it was: a metric of the validation or "loss".

    Returns
    -------
    int or None
        The last of equal ones as the latest checkpoint is kept; None if unknown.

    Example
    -------
    >>> best_epoch([{"epoch": 1, "valid_snr": 3}, {"epoch": 2, "valid_snr": 2}], "snr")
    1
    """
    lower = select == LOSS
    values = [x.get("chosen", x.get(f"valid_{select}")) for x in history]
    scored = [
        (-value if lower else value, int(figures["epoch"] or 0))
        for figures, value in zip(history, values, strict=True)
        if value is not None and math.isfinite(value)
    ]
    return max(scored)[1] if scored else None


def figure(panel: Panel, history: History, best: int | None) -> Html | None:
    """Draw a panel with its title and legend; None if nothing in it is finite.

    Example
    -------
    >>> panel = Panel("loss", {"training": "train_loss"})
    >>> figure(panel, [{"epoch": 1, "train_loss": None}], None)
    """
    epochs = [float(figures["epoch"] or 0) for figures in history]
    lines = [
        Line(title, f"line-{_style(title, number)}", _points(epochs, history, name))
        for number, (title, name) in enumerate(panel.curves.items())
    ]
    shown = [line for line in lines if line.finite()]
    if not shown:
        return None
    label = "; ".join([panel.title, *map(_summary, shown)])
    legend = [
        tag("span", line.title, class_=f"key {line.style}")
        for line in shown
        if len(shown) > 1 or line.title in PARTS.values()
    ]
    chart = line_chart(shown, label, "epoch", whole=True, mark=best)
    caption = tag("figcaption", tag("b", panel.title), *legend)
    return tag("figure", caption, chart)


def _style(title: str, number: int) -> str:
    known = [*PARTS.values()]
    return f"{known.index(title) if title in known else number % 6}"


def _points(
    epochs: Sequence[float], history: History, name: str
) -> list[tuple[float, float]]:
    values = [figures.get(name) for figures in history]
    return [
        (epoch, math.nan if value is None else value)
        for epoch, value in zip(epochs, values, strict=True)
    ]


def _summary(line: Line) -> str:
    points = line.finite()
    first, last = (minus(f"{points[place][1]:.4g}") for place in (0, -1))
    return f"{line.title} from {first} to {last} in {len(points)} epochs"
