"""Parts of the repository's own texts, so that a sentence and a number stand once.

    ```{readme} recipes/binaural/README.md
    :section: Measured
    ```

`section` is a heading without its marks; `after` and `before` are texts between which
the part lies, within the section or the file. Links lead to the pages of this site.
"""

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from readme_parts import ROOT, keep_cells, relink, take
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Readme(SphinxDirective):
    """The directive `readme`."""

    required_arguments = 1
    option_spec = dict.fromkeys(("section", "after", "before"), directives.unchanged)

    def run(self) -> list[nodes.Node]:
        """Parse the part as if it stood here."""
        file = self.arguments[0]
        self.env.note_dependency(str(ROOT / file))
        try:
            text = (ROOT / file).read_text(encoding="utf-8")
            part = relink(take(text, **self.options), file)
        except (OSError, ValueError) as error:
            raise self.error(f"{file}: {error}") from error
        lines = StringList(keep_cells(part).splitlines(), file)
        # into the page itself, so that headings are its own
        page = self.state_machine.node
        self.state.nested_parse(lines, 0, page, match_titles=True)
        return []


def setup(app: Sphinx) -> dict[str, bool]:
    """Offer the directive."""
    app.add_directive("readme", Readme)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
