"""What the page says of a run beside its players and figures."""

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

from speechbrain_fusion.metrics.info import metric_info
from speechbrain_fusion.metrics.table import MEAN, SYSTEMS
from speechbrain_fusion.report.page_audio import data_uri
from speechbrain_fusion.report.page_html import Html, join, tag
from speechbrain_fusion.report.page_run import Run, summary_systems
from speechbrain_fusion.report.page_scores import gain_class, scrolling
from speechbrain_fusion.report.page_text import (
    direction,
    name_text,
    score_text,
    without_machine,
)
from speechbrain_fusion.report.run_files import (
    COMMAND,
    ENVIRONMENT,
    GRADIENTS_FIGURE,
    LATENTS,
    SCRIPT,
    SETTINGS,
    SUMMARY,
)

# Metrics that are shown large, after the one that selects: so many of the first there.
PRINCIPAL = 4
FAMILIAR = ("si_sdr", "snr", "pesq", "stoi", "mbstoi")
PACKAGES = ("speechbrain-fusion", "speechbrain", "torch", "torchaudio", "numpy")
PICTURES = {
    GRADIENTS_FIGURE: "Gradients of the losses over the steps of training",
    LATENTS: "Latents of the same frames before and after joint training",
}
LARGEST = 1_000_000

Figures = Mapping[str, float | None]


def header(run: Run) -> Html:
    """Say what was run: its name, recipe and size."""
    about = about_recipe(run)
    return join(
        [
            tag(
                "p",
                "speechbrain-fusion",
                tag("span", " report of a run"),
                class_="over",
            ),
            tag("h1", run.name),
            *([tag("p", about, class_="about")] if about else []),
            tag("ul", *(tag("li", fact) for fact in facts(run)), class_="facts"),
        ]
    )


def about_recipe(run: Run) -> str:
    """Say what a run's recipe does, as its script does.

    Example
    -------
    >>> from types import SimpleNamespace as Namespace
    >>> about_recipe(Namespace(texts={"train.py": "'''Train it.'''"}))
    'Train it.'
    """
    try:
        text = ast.get_docstring(ast.parse(run.texts.get(SCRIPT, ""))) or ""
    except (SyntaxError, ValueError):
        return ""
    return " ".join(text.split("\n\n")[0].split())


def facts(run: Run) -> list[str]:
    """List what is known of a run in a word or two each."""
    epochs = sum(len(history) for history in run.stages.values())
    rate, seed = run.settings.get("sample_rate"), run.settings.get("seed")
    model = run.model
    latency = model.get("latency")
    delay = ""
    if isinstance(latency, int) and isinstance(rate, int | float):
        delay = f"latency {1000 * latency / rate:g} ms"
    known = {
        _count(len(run.rows), "test item"): bool(run.rows),
        _count(epochs, "epoch"): bool(epochs),
        f"{rate / 1000:g} kHz" if isinstance(rate, int | float) else "": True,
        f"seed {seed}": seed is not None,
        "causal": bool(model.get("causal")),
        delay: True,
    }
    return [text for text, there in known.items() if there and text]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def principal_figures(run: Run) -> Html:
    """Show the means of a few metrics large, that which selects before others."""
    known = dict.fromkeys((run.metric or "", *FAMILIAR, *run.summary))
    shown = [metric for metric in known if metric in run.summary][:PRINCIPAL]
    cards = [_card(x, run.summary[x]["channels"][MEAN]) for x in shown]
    return tag("div", *cards, class_="cards") if cards else Html("")


def metric_title(metric: str) -> list[str]:
    """Name a metric, with an arrow to what is better and its unit apart.

    Example
    -------
    >>> metric_title("si_sdr")
    ['SI-SDR ↑ ', '<span class="unit">dB</span>']
    """
    unit = metric_info(metric).unit
    name = f"{name_text(metric)} {direction(metric)} "
    return [name, *([tag("span", unit, class_="unit")] if unit else [])]


def _card(metric: str, figures: Figures) -> Html:
    before, after = figures.get("unprocessed"), figures.get("enhanced")
    gain = score_text(metric, figures.get("gain"), sign=True)
    return tag(
        "div",
        tag("p", *metric_title(metric), class_="what"),
        tag("p", score_text(metric, after), class_="large"),
        tag(
            "p",
            tag("span", gain, class_=gain_class(metric, before, after)),
            tag("span", f" from {score_text(metric, before)}"),
            class_="from",
        ),
        class_="card",
    )


def results_section(run: Run) -> Html:
    """Lay out the means of every metric, channel and system.

    Arguments
    ---------
    run : Run
        Its summary may be empty, which is said then.

    Returns
    -------
    Html
        The content of the section.
    """
    if not run.summary:
        text = "The run has not been tested: there is no "
        return tag("p", text, tag("code", SUMMARY), ".", class_="missing")
    references = [x for x in summary_systems(run.summary) if x not in SYSTEMS]
    header = ("metric", *SYSTEMS, "gain", *references)
    cells = [
        tag("th", name_text(x), scope="col", class_="number" if n else None)
        for n, x in enumerate(header)
    ]
    bodies = [_metric(x, each, references) for x, each in run.summary.items()]
    what = f"Means over {_count(len(run.rows), 'test item')}"
    caption = tag("caption", f"{what}; a positive gain is better")
    table = tag("table", caption, tag("thead", tag("tr", *cells)), *bodies)
    return join([principal_figures(run), scrolling(table, what), *_missing(run)])


def _metric(metric: str, about: Mapping[str, Any], references: Sequence[str]) -> Html:
    """Lay out a metric: the mean over its channels, then each of them."""
    channels = about["channels"]
    rows = [_means(metric, metric_title(metric), channels[MEAN], references, "mean")]
    rows += [
        _means(metric, [name.replace("_", " ")], figures, references, "channel")
        for name, figures in channels.items()
        if name != MEAN
    ]
    return tag("tbody", *rows)


def _means(
    metric: str,
    title: Sequence[str],
    figures: Figures,
    references: Sequence[str],
    style: str,
) -> Html:
    before, after = (figures.get(name) for name in SYSTEMS)
    gain = score_text(metric, figures.get("gain"), sign=True)
    return tag(
        "tr",
        tag("th", *title, scope="row"),
        tag("td", score_text(metric, before), class_="number"),
        tag("td", score_text(metric, after), class_="number enhanced"),
        tag("td", gain, class_=gain_class(metric, before, after)),
        *(
            tag("td", score_text(metric, figures.get(name)), class_="number")
            for name in references
        ),
        class_=style,
    )


def _missing(run: Run) -> list[Html]:
    """Say which metrics are of fewer items than there are."""
    notes = []
    for metric, about in run.summary.items():
        figures = about["channels"][MEAN]
        scored, total = (int(figures.get(x) or 0) for x in ("scored", "total"))
        if scored < total:
            text = (
                f"{name_text(metric)}: {total - scored} of {total} items could not be"
            )
            notes.append(tag("p", f"{text} scored and are in no mean.", class_="note"))
    return notes


def pictures(run: Run) -> Html:
    """Show figures that the run has drawn itself and the page has not."""
    found = [
        tag(
            "figure",
            tag("figcaption", tag("b", text)),
            tag("img", src=data_uri("image/png", path.read_bytes()), alt=text),
            class_="picture",
        )
        for name, text in PICTURES.items()
        if (path := run.folder / name).is_file() and path.stat().st_size < LARGEST
    ]
    return join(found)


def settings_section(run: Run) -> Html:
    """Show command, versions, configuration and environment, paths shortened."""
    known = versions(run.texts.get(ENVIRONMENT, ""))
    listed = [tag("div", tag("dt", k), tag("dd", x)) for k, x in known.items()]
    command = without_machine(run.texts.get(COMMAND, "").strip())
    unknown = f"The run has kept no command ({COMMAND})."
    folds = {
        f"Configuration, {SETTINGS}": run.texts.get(SETTINGS, ""),
        f"Environment, {ENVIRONMENT}": run.texts.get(ENVIRONMENT, ""),
    }
    note = "Of absolute paths only the last two names are shown."
    return join(
        [
            tag("pre", tag("code", command), class_="command")
            if command
            else tag("p", unknown, class_="missing"),
            tag("dl", *listed, class_="versions") if listed else Html(""),
            *(_fold(title, text) for title, text in folds.items()),
            tag("p", note, class_="note"),
        ]
    )


def _fold(title: str, text: str) -> Html:
    if not text:
        return tag("p", f"{title}: there is none.", class_="missing")
    content = tag("pre", tag("code", without_machine(text)), tabindex=0)
    return tag("details", tag("summary", title), content)


def versions(environment: str) -> dict[str, str]:
    r"""Find the versions that matter in upstream's description of a system.

    Arguments
    ---------
    environment : str
        What env.log has.

    Returns
    -------
    dict of str to str
        By name, those that are found.

    Example
    -------
    >>> versions("Python version:\n3.11.7 (main)\ntorch==2.11.0\nnumpy==2.4.6\n")
    {'Python': '3.11.7', 'torch': '2.11.0', 'numpy': '2.4.6'}
    """
    found = {}
    if python := re.search(r"^Python version:\s+(\S+)", environment, re.MULTILINE):
        found["Python"] = python[1]
    for name in PACKAGES:
        pattern = rf"(?<![\w-]){name.replace('-', '[-_]')}==([\w.+!-]+)"
        if version := re.search(pattern, environment):
            found[name] = version[1]
    if revision := re.search(r"^Git revision:\s+(\w+)", environment, re.MULTILINE):
        found["revision"] = revision[1]
    return found
