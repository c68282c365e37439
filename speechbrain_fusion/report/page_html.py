"""HTML that is escaped unless it was made here."""

import html
from collections.abc import Iterable

# Elements that have no end tag.
VOID = {"br", "hr", "img", "input"}


class Html(str):
    """Text that is HTML already, and is not escaped again."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: str | float | bool | None) -> Html:
    """Make an element; everything that is not `Html` is escaped.

    Arguments
    ---------
    name : str
        Of the element.
    children : str
        Its content, one after the other.
    attributes : str, number, bool or None
        By name, with "_" for "-" and one more at the end of Python's own words
        (`class_`); None and False are left out, True has no value.

    Returns
    -------
    Html
        The element.

    Example
    -------
    >>> tag("p", "a < b ", tag("b", "c"), class_="note", hidden=True)
    '<p class="note" hidden>a &lt; b <b>c</b></p>'
    """
    given = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{join(children)}</{name}>")


def _attribute(key: str, value: str | float | bool | None) -> str:
    key = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    if value is True:
        return f" {key}"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f' {key}="{html.escape(text)}"'


def join(parts: Iterable[str], between: str = "") -> Html:
    """Put parts one after the other, those that are not `Html` escaped.

    Example
    -------
    >>> join(["<b>", tag("br")], between=" ")
    '&lt;b&gt; <br>'
    """
    safe = (x if isinstance(x, Html) else html.escape(str(x)) for x in parts)
    return Html(html.escape(between).join(safe))
