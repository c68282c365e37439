"""Names that no page describes: others' by this table, our internal ones as text.

Every other name that is not found is a warning, and so an error of the build.
"""

import builtins
import pydoc
import re

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

TORCH = "https://docs.pytorch.org/docs/stable"
PYTHON = "https://docs.python.org/3/library"
PAGES = {
    r"torch\.Tensor": f"{TORCH}/tensors.html#torch.Tensor",
    r"torch\.Generator": f"{TORCH}/generated/torch.Generator.html",
    r"torch\.nn\.(?:modules\.\w+\.)?(Module|Parameter|ModuleList|Sequential)": (
        rf"{TORCH}/generated/torch.nn.\1.html"
    ),
    r"(?:pathlib\.)?Path": f"{PYTHON}/pathlib.html#pathlib.Path",
    r"(?:collections\.abc\.)?(Callable|Iterable|Iterator|Mapping|Sequence)(\[.*)?": (
        rf"{PYTHON}/collections.abc.html#collections.abc.\1"
    ),
    r"(?:typing\.)?(Any|NamedTuple|Protocol)": rf"{PYTHON}/typing.html#typing.\1",
    r"(\w+(?:Error|Exit|Warning))": rf"{PYTHON}/exceptions.html#\1",
}
# Known, but on no page that would help
PLAIN = r"(torch|numpy|np|speechbrain|collections|typing|pathlib|random)\.[\w.]+"


def find_external(
    app: Sphinx,
    env: BuildEnvironment,
    node: addnodes.pending_xref,
    text: nodes.TextElement,
) -> nodes.Node | None:
    """Resolve a name that is not ours."""
    name = node.get("reftarget", "")
    if node.get("refdomain") != "py":
        return None
    for pattern, page in PAGES.items():
        if found := re.fullmatch(pattern, name):
            link = nodes.reference("", "", internal=False, refuri=found.expand(page))
            link += text
            return link
    return text if is_known(name, node.get("reftype", "")) else None


def is_known(name: str, kind: str) -> bool:
    """Whether a name may stand without a link: it exists, or is any code in backticks.

    Example
    -------
    >>> is_known("speechbrain_fusion.models.joint.Cycle", "class")
    True
    >>> is_known("speechbrain_fusion.models.joint.Circle", "class")
    False
    """
    if kind == "obj" or re.fullmatch(PLAIN, name) or hasattr(builtins, name):
        return True
    ours = name.startswith("speechbrain_fusion.")
    return ours and pydoc.locate(name) is not None


def setup(app: Sphinx) -> dict[str, bool]:
    """Ask this table last."""
    app.connect("missing-reference", find_external, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
