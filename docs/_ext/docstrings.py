"""What docstrings mean here, before napoleon reads them.

An indented part after a colon is code, and a bar is a norm, no substitution.
"""

import re
from collections.abc import Iterator
from typing import Any

from sphinx.application import Sphinx
from torch import nn

# a plural behind a name in backticks
PLURAL = re.compile(r"(`[^`]+`)(?=\w)")
UNDERLINE = re.compile(r" *-{3,}")


def tidy(
    app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Change a docstring's lines in place."""
    # a property's first line is a sentence, not "type: description"
    tidied = ["..", ""] if what in ("attribute", "property") else []
    lines[:] = [*tidied, *tidy_lines(lines)]


def tidy_lines(lines: list[str]) -> Iterator[str]:
    r"""Give code, norms and sources as reStructuredText has them.

    Example
    -------
    >>> print(*tidy_lines(["The norm |x|, as in:", "", "    a | b"]), sep="\n")
    The norm \|x\|, as in::
    <BLANKLINE>
        a | b
    """
    code, sections = -1, False
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        sections = sections or bool(UNDERLINE.fullmatch(line))
        if line.strip() and indent <= code:
            code = -1
        if code >= 0 or line.lstrip().startswith((">>>", "...")):
            yield line
            continue
        if sections and line.startswith("Source: "):
            # a section of its own, not the end of the one before
            yield from ("Source", "------")
            line = line.removeprefix("Source: ")
        if line.endswith(":") and _begins_code(lines[number + 1 :], indent):
            line, code = f"{line.rstrip(':')}::", indent
        yield PLURAL.sub(r"\1\\ ", line.replace("|", "\\|"))


def _begins_code(following: list[str], indent: int) -> bool:
    """Whether an indented part follows an empty line."""
    after = next((line for line in following if line.strip()), "")
    blank = bool(following) and not following[0].strip()
    return blank and after.startswith(" " * (indent + 4))


def hide_arguments(
    app: Sphinx, what: str, name: str, value: Any, options: Any, *shown: str | None
) -> tuple[str, None] | None:
    """Show no arguments for a module that takes none."""
    if what == "class" and getattr(value, "__init__", None) is nn.Module.__init__:
        return "()", None
    return None


def setup(app: Sphinx) -> dict[str, bool]:
    """Come before napoleon."""
    app.connect("autodoc-process-signature", hide_arguments)
    app.connect("autodoc-process-docstring", tidy, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
