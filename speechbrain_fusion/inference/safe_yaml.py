"""What a model folder's YAML may say, checked before anything is made of it.

A HyperPyYAML file may call any function (`!apply:os.system`), and so may a string in
it that looks like a tuple, one that references put together, or an anchor within
itself. So the file is only composed into nodes, and everything that is not known to be
harmless is refused: there remain plain values, the modules that this package exports,
references to what stands above, and one Pretrainer.
"""

import dataclasses
import functools
import inspect
import re
from collections.abc import Iterator
from typing import Any, NoReturn

import ruamel.yaml
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from speechbrain.utils.run_opts import RunOptions
from torch import nn

from speechbrain_fusion import models
from speechbrain_fusion import nnet as layers

MODEL, MODULES, PRETRAINER, RATE = "model", "modules", "pretrainer", "sample_rate"
NEW, REFERENCE = "!new:", "!ref"
TRANSFER = f"{NEW}speechbrain.utils.parameter_transfer.Pretrainer"
STANDARD = "tag:yaml.org,2002:"

MAX_CHARACTERS = 32768
MAX_BRACKETS = 400
MAX_DEPTH = 8
MAX_INTEGER = 2**24

KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# what HyperPyYAML makes a tuple of is read by a loader that calls functions
TUPLE = re.compile(r"\([A-Za-z0-9_ .,+-]*\)")
SCALARS = {
    "null": re.compile(r"|~|null|Null|NULL"),
    "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "int": re.compile(r"[+-]?[0-9]{1,9}"),
    "float": re.compile(r"[+-]?[0-9]*\.?[0-9]*([eE][+-]?[0-9]{1,3})?"),
    "str": re.compile(r"[A-Za-z0-9_ .,+-]{0,200}"),
}
# attributes of SpeechBrain's interface, which it would take over
RESERVED = {field.name for field in dataclasses.fields(RunOptions)}
RESERVED |= {"savedir", "audio_normalizer"}


@functools.cache
def known_classes() -> frozenset[str]:
    """Name the classes that a model folder may name: this package's modules.

    Example
    -------
    >>> "speechbrain_fusion.models.BinauralTasNet" in known_classes()
    True
    >>> "speechbrain_fusion.models.binaural.torch.nn.Linear" in known_classes()
    False
    """
    exported = {
        f"{room.__name__}.{name}": getattr(room, name)
        for room in (models, layers)
        for name in room.__all__
    }
    return frozenset(
        name
        for name, found in exported.items()
        if inspect.isclass(found) and issubclass(found, nn.Module)
    )


def check_yaml(text: str, name: str) -> None:
    """Refuse a model folder's YAML that could do more than describe a model.

    Arguments
    ---------
    text : str
        The YAML.
    name : str
        Of the file, for the errors.

    Raises
    ------
    ValueError
        Naming file and line, what is there and what was expected.

    Example
    -------
    >>> check_yaml("model: !apply:os.system [ls]", "evil.yaml")
    Traceback (most recent call last):
    ...
    ValueError: evil.yaml, line 1: !apply:os.system is refused, expected plain values...
    """
    _Check(name).root(_compose(text, name))


def _compose(text: str, name: str) -> Any:
    """Parse into nodes, of which nothing is made."""
    _check_characters(text, name)
    try:
        return ruamel.yaml.YAML(pure=True).compose(text)
    except (ruamel.yaml.error.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = name if mark is None else f"{name}, line {mark.line + 1}"
        reason = getattr(error, "problem", None) or type(error).__name__
        raise ValueError(f"{place}: not a readable YAML file ({reason})") from error


def _check_characters(text: str, name: str) -> None:
    """Refuse what two readers may read differently: odd characters, directives."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(
            f"{name}: {len(text)} characters, expected {MAX_CHARACTERS} at most"
        )
    # deep nesting takes parsers minutes
    if text.count("[") + text.count("{") > MAX_BRACKETS:
        raise ValueError(f"{name}: expected {MAX_BRACKETS} lists and mappings at most")
    for number, line in enumerate(text.split("\n"), 1):
        odd = next((x for x in line if not " " <= x <= "~"), None)
        if odd is not None:
            raise ValueError(
                f"{name}, line {number}: character {odd!r} is refused, expected plain "
                "ASCII"
            )
        if line.startswith("%"):
            raise ValueError(f"{name}, line {number}: a directive is refused")


class _Check:
    """Walk the nodes of one file."""

    def __init__(self, name: str) -> None:
        self.name = name
        # keys above the current line, and whether a module stands there
        self.above: dict[str, bool] = {}

    def refuse(self, node: Any, what: str, expected: str) -> NoReturn:
        line = node.start_mark.line + 1
        raise ValueError(
            f"{self.name}, line {line}: {what} is refused, expected {expected}"
        )

    def refuse_tag(self, node: Any, where: str = "") -> NoReturn:
        self.refuse(
            node,
            _shown(node.tag) + where,
            "plain values and modules of this package; trust=True loads any YAML, and "
            "with it any code that it names",
        )

    def root(self, node: Any) -> None:
        if not isinstance(node, MappingNode):
            raise ValueError(f"{self.name}: expected a YAML file of keys")
        self.plain(node, "map")
        for key, value in self.pairs(node):
            if key in RESERVED:
                self.refuse(value, f"the key {key}", "none of SpeechBrain's options")
            if key == MODULES:
                self.references(value, MODEL)
            elif key == PRETRAINER:
                self.pretrainer(value)
            else:
                self.value(value, 1)
            self.above[key] = value.tag.startswith(NEW)
        self.check_complete()

    def check_complete(self) -> None:
        needed = (RATE, MODEL, MODULES, PRETRAINER)
        if missing := [key for key in needed if key not in self.above]:
            raise ValueError(f"{self.name}: no {', '.join(missing)}, expected {needed}")
        if not self.above[MODEL]:
            raise ValueError(f"{self.name}: {MODEL} is no module, expected {NEW}CLASS")

    def plain(self, node: Any, kind: str) -> None:
        """Refuse a tag, and an anchor."""
        self.unanchored(node)
        if node.tag != STANDARD + kind:
            self.refuse_tag(node)

    def pairs(self, node: Any) -> Iterator[tuple[str, Any]]:
        seen = set()
        for key, value in node.value:
            if not isinstance(key, ScalarNode) or not KEY.fullmatch(key.value):
                self.refuse(key, "this key", "a name of letters, digits and _")
            self.plain(key, "str")
            if key.value in seen:
                self.refuse(key, f"a second {key.value}", "every key once")
            seen.add(key.value)
            yield key.value, value

    def value(self, node: Any, depth: int) -> None:
        if depth > MAX_DEPTH:
            self.refuse(node, "such nesting", f"{MAX_DEPTH} levels at most")
        if node.tag == REFERENCE:
            self.reference(node)
        elif node.tag.startswith(NEW):
            self.module(node, depth)
        elif isinstance(node, ScalarNode):
            self.scalar(node)
        elif isinstance(node, MappingNode):
            self.plain(node, "map")
            self.children(node, depth)
        else:
            self.plain(node, "seq")
            self.children(node, depth)

    def children(self, node: Any, depth: int) -> None:
        if isinstance(node, SequenceNode):
            for each in node.value:
                self.value(each, depth + 1)
        elif isinstance(node, MappingNode):
            for _, each in self.pairs(node):
                self.value(each, depth + 1)

    def module(self, node: Any, depth: int) -> None:
        if node.tag.removeprefix(NEW) not in known_classes():
            self.refuse_tag(node)
        self.unanchored(node)
        if isinstance(node, ScalarNode) and node.value:
            self.refuse(node, f"{node.value!r}", "arguments by name")
        self.children(node, depth)

    def unanchored(self, node: Any) -> None:
        """Refuse an anchor, by which a node may contain itself."""
        if node.anchor is not None:
            self.refuse(node, f"the anchor &{node.anchor}", "values written in full")

    def scalar(self, node: Any) -> None:
        self.unanchored(node)
        # what looks like a tuple is a text until HyperPyYAML has been used once
        kind = "str" if node.tag == "!tuple" else node.tag.removeprefix(STANDARD)
        if kind not in SCALARS:
            self.refuse_tag(node)
        known = SCALARS[kind].fullmatch(node.value)
        if kind == "str":
            known = known or TUPLE.fullmatch(node.value)
        if not known:
            self.refuse(node, f"{_shown(node.value)!r}", "a plain number or word")
        if kind == "int" and abs(int(node.value)) > MAX_INTEGER:
            self.refuse(node, node.value, f"{MAX_INTEGER} at most")

    def reference(self, node: Any) -> str:
        """Refuse references but to a whole key above: no arithmetic, no text."""
        self.unanchored(node)
        text = node.value if isinstance(node, ScalarNode) else ""
        if not (text.startswith("<") and text.endswith(">")):
            text = ""
        if (key := text[1:-1]) not in self.above:
            self.refuse_tag(node, f" {_shown(node.value)!r}")
        return key

    def references(self, node: Any, name: str) -> None:
        """Expect the mapping of one name to the model."""
        if not isinstance(node, MappingNode) or node.tag != STANDARD + "map":
            self.refuse_tag(node)
        self.plain(node, "map")
        pairs = list(self.pairs(node))
        known = [(key, getattr(value, "tag", "")) for key, value in pairs]
        if known != [(name, REFERENCE)] or self.reference(pairs[0][1]) != MODEL:
            self.refuse(node, "this mapping", f"{name}: {REFERENCE} <{MODEL}> alone")

    def pretrainer(self, node: Any) -> None:
        """Expect a Pretrainer that has nothing but the model to load."""
        if not isinstance(node, MappingNode) or node.tag != TRANSFER:
            self.refuse_tag(node)
        self.unanchored(node)
        pairs = list(self.pairs(node))
        if [key for key, _ in pairs] != ["loadables"]:
            self.refuse(node, "this pretrainer", "loadables alone")
        self.references(pairs[0][1], MODEL)


def _shown(text: Any) -> str:
    """Shorten what a file says to what an error can show."""
    text = f"{text}"
    return text if len(text) <= 80 else f"{text[:77]}..."
