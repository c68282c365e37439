"""The reference has every public name, and none that does not exist."""

import importlib
import inspect
import re

import pytest

from tests.docs.blocks import DOCS

PACKAGES = sorted(path.stem for path in (DOCS / "api").glob("*.rst"))
GROUP = re.compile(r"^\.\. api-group:: (\S+)\n\n((?:    \w+\n?)+)", re.M)


def listed(package: str) -> list[tuple[str, str]]:
    """List module and name of all that a page documents."""
    text = (DOCS / "api" / f"{package}.rst").read_text(encoding="utf-8")
    return [
        (module, name)
        for module, names in GROUP.findall(text)
        for name in names.split()
    ]


def test_every_package_has_a_page():
    expected = {"nnet", "losses", "models", "brains", "data", "metrics"}
    assert {*PACKAGES} == expected | {"inference", "report"}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there_once(package):
    module = f"speechbrain_fusion.{package}"
    names = [name for place, name in listed(package) if place == module]
    assert sorted(names) == sorted(importlib.import_module(module).__all__)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_has_a_docstring(package):
    for place, name in listed(package):
        assert getattr(importlib.import_module(place), name).__doc__, f"{place}.{name}"


# as in "Takes the arguments of `snr`", "See `snr`"
ELSEWHERE = re.compile(r"(Takes|[Ss]ee)[^`.]+`\w")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_argument_is_described(package):
    for place, name in listed(package):
        thing = getattr(importlib.import_module(place), name)
        text = inspect.getdoc(thing)
        inherited = isinstance(thing, type) and "__init__" not in vars(thing)
        if (inherited and not issubclass(thing, tuple)) or ELSEWHERE.search(text):
            continue
        for argument, kind in inspect.signature(thing).parameters.items():
            if kind.kind not in (kind.VAR_POSITIONAL, kind.VAR_KEYWORD):
                assert re.search(rf"\b{argument}\b", text), f"{name}: {argument}"
