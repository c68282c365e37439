"""Parts of the repository's files, as pages show them; needs no Sphinx."""

import difflib
import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]+)?")
# Where a file of the repository is told about on this site
PAGES = {
    "README.md": "/measured.md",
    "README.md#use-a-trained-model": "/howto/trained_models.md",
    "recipes/binaural": "/systems/binaural.md",
    "recipes/librimix_noisy": "/systems/librimix_noisy.md",
    "recipes/timit": "/systems/timit.md",
    "recipes/daps_noisex": "/systems/daps_noisex.md",
    "speechbrain_fusion/pretrained/binaural/README.md": "/howto/trained_models.md",
    "examples/plain.py": "/howto/gradient_modulation.md",
    "examples/modulated.py": "/howto/gradient_modulation.md",
    "CONTRIBUTING.md": "/contributing.md",
    "CHANGELOG.md": "/changelog.md",
}


def take(text: str, section: str = "", after: str = "", before: str = "") -> str:
    """Take a part out of a text.

    Raises
    ------
    ValueError
        If there is no such heading or text, naming it.
    """
    if section:
        heading = rf"^(#+) {re.escape(section)}\n(.*?)(?=^#{{1,2}} |\Z)"
        if not (found := re.search(heading, text, re.M | re.S)):
            raise ValueError(f"no heading {section!r}")
        text = found[2]
    for mark in filter(None, (after, before)):
        if mark not in text:
            raise ValueError(f"no text {mark!r}")
    text = text.partition(after)[2] if after else text
    return (text.partition(before)[0] if before else text).strip("\n") + "\n"


def relink(text: str, file: str) -> str:
    """Lead links to this site's pages.

    Raises
    ------
    ValueError
        If a link leads to a file that no page is about.
    """

    def target(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(file), link[1]))
        if path.startswith("docs/"):
            return path.removeprefix("docs")
        page = PAGES.get(path + (link[2] or "")) or PAGES.get(path)
        page = page or PAGES.get(path.removesuffix("/README.md"))
        if page is None:
            raise ValueError(f"no page for the link to {path}")
        return page

    return LINK.sub(target, text)


def keep_cells(text: str) -> str:
    r"""Keep a table's numbers in one line.

    Example
    -------
    >>> keep_cells("| 1.62 .. 2 |")
    '| 1.62\xa0..\xa02 |'
    """
    lines = text.splitlines()
    return "\n".join(_unbreak(x) if x.startswith("|") else x for x in lines)


def _unbreak(row: str) -> str:
    return re.sub(r" (\.\.|\u00b1|/) ", "\u00a0\\1\u00a0", row)


def list_changes(old: str, new: str) -> list[str]:
    """List the lines that change, each place with a line around it.

    Example
    -------
    >>> list_changes("examples/plain.py", "examples/modulated.py")[0]
    '--- examples/plain.py'
    """
    sides = [(ROOT / x).read_text(encoding="utf-8").splitlines() for x in (old, new)]
    return [*difflib.unified_diff(*sides, old, new, n=1, lineterm="")]
