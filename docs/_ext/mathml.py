"""Equations as MathML, which browsers show without any script or network."""

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator


def to_mathml(equation: str, display: str = "inline") -> str:
    """Convert TeX to MathML.

    Example
    -------
    >>> to_mathml("x^2").count("<msup>")
    1
    """
    # the converter knows the environment by its other name
    for end in ("begin", "end"):
        equation = equation.replace(rf"\{end}{{aligned}}", rf"\{end}{{align*}}")
    return convert(equation, display=display)


def visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    """Write an equation within a line."""
    self.body.append(to_mathml(node.astext()))
    raise nodes.SkipNode


def visit_block(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write an equation of its own, which scrolls where the page is narrow."""
    self.body.append('<div class="equation">')
    self.body.append(to_mathml(node.astext(), "block"))
    self.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Offer the renderer as "mathml"."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
