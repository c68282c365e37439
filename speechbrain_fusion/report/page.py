"""One page about a run, to look at and to listen to, that needs nothing but itself.

It opens from disk: figures are SVG, audio and spectrograms are inside it, and its
policy lets it fetch nothing and run no script but its own.
"""

import base64
import hashlib
import string
from importlib import resources
from pathlib import Path

from speechbrain.utils.logger import get_logger

from speechbrain_fusion.data.files import written_whole
from speechbrain_fusion.messages import in_a_line
from speechbrain_fusion.report.page_conditions import conditions_section
from speechbrain_fusion.report.page_curves import curves_section
from speechbrain_fusion.report.page_html import Html, join, tag
from speechbrain_fusion.report.page_players import listen_section
from speechbrain_fusion.report.page_run import Run, as_written, read_run
from speechbrain_fusion.report.page_sections import (
    header,
    pictures,
    results_section,
    settings_section,
)

logger = get_logger(__name__)

PAGE = "report.html"
# in this order: the last says what is otherwise on a telephone and on paper
STYLES = ("colours.css", "page.css", "players.css", "media.css")
TITLES = {
    "results": "Results",
    "listen": "Listen",
    "conditions": "By condition",
    "learning": "Learning curves",
    "settings": "Configuration",
}


def write_page(run_folder: Path | str, output: Path | str | None = None) -> Path:
    """Write a page about a run: results, curves, players and configuration.

    Arguments
    ---------
    run_folder : Path or str
        The run's output folder. What is missing in it the page says.
    output : Path or str, optional
        The HTML file to write, by default `report.html` in the run's folder.

    Returns
    -------
    Path
        That file.

    Raises
    ------
    ValueError
        If it is no folder of a run, or one of its files is broken, naming it.
    OSError
        If the page cannot be written.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> _ = (folder / "hyperparams.yaml").write_text("name: fusion")
    >>> write_page(folder).name
    'report.html'
    """
    folder = Path(run_folder)
    run = read_run(folder)
    with as_written(folder):
        text = make_page(run)
    path = folder / PAGE if output is None else Path(output)
    with written_whole(path, "wb") as file:
        # names of files may be other bytes than text
        file.write(text.encode("utf-8", "backslashreplace"))
    return path


def page_lines(folder: Path) -> list[str]:
    """Write the page at the end of a run, which it must not stop.

    Arguments
    ---------
    folder : Path
        The run's output folder.

    Returns
    -------
    list of str
        A line to print: where the page is. If there is none a warning says why.
    """
    try:
        return [f"to listen to     {write_page(folder)}"]
    # whatever it is: the run's results are there, and the warning names it
    except Exception as error:
        logger.warning(f"no page to listen to: {in_a_line(error)}")
        return []


def make_page(run: Run) -> str:
    """Put the page together.

    Arguments
    ---------
    run : Run
        What there is to show.

    Returns
    -------
    str
        HTML.
    """
    template, script = _asset("page.html"), _asset("page.js")
    sections = {
        "results": results_section(run),
        "listen": listen_section(run),
        "conditions": conditions_section(run),
        "learning": join([curves_section(run), pictures(run)]),
        "settings": settings_section(run),
    }
    return string.Template(template).substitute(
        title=tag("title", f"{run.name} - speechbrain-fusion"),
        policy=policy(script),
        style="\n".join(map(_asset, STYLES)),
        script=script,
        header=header(run),
        links=join(tag("a", x, href=f"#{name}") for name, x in TITLES.items()),
        sections=join(_section(name, sections[name]) for name in TITLES),
    )


def _asset(name: str) -> str:
    folder = resources.files("speechbrain_fusion.report") / "page_assets"
    return (folder / name).read_text(encoding="utf-8")


def _section(name: str, content: Html) -> Html:
    heading = tag("h2", TITLES[name], id=f"{name}-title")
    return tag("section", heading, content, id=name, aria_labelledby=f"{name}-title")


def policy(script: str) -> str:
    """Say what the page may do: show what is inside it, and run this script alone.

    Arguments
    ---------
    script : str
        The content of its script element.

    Returns
    -------
    str
        A content security policy.

    Example
    -------
    >>> policy("").split("; ")[0]
    "default-src 'none'"
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = {
        "default-src": "'none'",
        "img-src": "data:",
        "media-src": "data:",
        "style-src": "'unsafe-inline'",
        "script-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())
