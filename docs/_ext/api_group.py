"""A group of a package's public names: a line about each, then all of each.

.. api-group:: speechbrain_fusion.nnet

    FusionLayer
    make_sharing
"""

import importlib
import inspect

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def kind_of(value: object) -> str:
    """Name autodoc's directive for an object."""
    if isinstance(value, type):
        return "autoexception" if issubclass(value, Exception) else "autoclass"
    return "autofunction" if inspect.isroutine(value) else "autodata"


def write_group(package: str, names: list[str]) -> list[str]:
    """Write a group in reStructuredText."""
    lines = [f".. currentmodule:: {package}", ""]
    lines += [".. autosummary::", "   :nosignatures:", ""]
    lines += [*(f"   {name}" for name in names), ""]
    module = importlib.import_module(package)
    for name in names:
        lines += [f".. {kind_of(getattr(module, name))}:: {name}", ""]
    return lines


class ApiGroup(SphinxDirective):
    """The directive `api-group`."""

    has_content = True
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Parse what `write_group` writes."""
        names = [line.strip() for line in self.content if line.strip()]
        source, _ = self.get_source_info()
        try:
            text = StringList(write_group(self.arguments[0], names), source)
        except (ImportError, AttributeError) as error:
            raise self.error(f"api-group: {error}") from error
        node = nodes.container()
        self.state.nested_parse(text, 0, node)
        return node.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Offer the directive."""
    app.add_directive("api-group", ApiGroup)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
