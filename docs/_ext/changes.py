"""What makes one file of the repository another one.

```{changes} examples/plain.py examples/modulated.py
```
"""

from docutils import nodes
from readme_parts import ROOT, list_changes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Changes(SphinxDirective):
    """The directive `changes`."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        """Show the lines as a block of code."""
        for file in self.arguments:
            self.env.note_dependency(str(ROOT / file))
        text = "\n".join(list_changes(*self.arguments))
        return [nodes.literal_block(text, text, language="diff")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Offer the directive."""
    app.add_directive("changes", Changes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
