"""What is in wheel and sdist: all that belongs there, and nothing that was left."""

import ast
import configparser
import runpy
import sys
from email.parser import Parser
from importlib import metadata
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

from tests.distribution.conftest import ROOT

MADE = {
    *("PKG-INFO", "entry_points.txt", "dependency_links.txt", "requires.txt"),
    *("SOURCES.txt", "top_level.txt"),
}


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_the_recipes(built):
    expected = {x for x in built.files if x.startswith("speechbrain_fusion/")}
    recipes = {x for x in built.files if x.startswith("recipes/")}
    expected |= {f"speechbrain_fusion/{x}" for x in recipes}
    assert {x for x in built.in_wheel if ".dist-info/" not in x} == expected


@pytest.mark.slow
def test_the_sdist_holds_the_tree(built):
    added = {x for x in built.in_sdist - built.files if x.rpartition("/")[2] in MADE}
    assert built.in_sdist - added == built.files


@pytest.mark.slow
def test_what_an_index_shows(built):
    with ZipFile(built.wheel) as archive:
        (name,) = [x for x in built.in_wheel if x.endswith(".dist-info/METADATA")]
        about = Parser().parsestr(archive.read(name).decode())
    assert about["Name"] == "speechbrain-fusion"
    assert about["License-Expression"] == "Apache-2.0"
    assert about["Description-Content-Type"] == "text/markdown"
    assert about.get_payload().startswith("# speechbrain-fusion")
    assert {"plots", "sofa", "rooms", "export"} <= {*about.get_all("Provides-Extra")}


def test_every_package_is_declared():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    found = ROOT.glob("speechbrain_fusion/**/__init__.py")
    packages = {".".join(x.parent.relative_to(ROOT).parts) for x in found}
    declared = set(config["options"]["packages"].split())
    assert declared == {*packages, "speechbrain_fusion.recipes"}


def test_every_dependency_has_a_lower_bound_to_test():
    script = runpy.run_path(str(ROOT / "scripts" / "oldest_dependencies.py"))
    requirements = [*script["requirements"](ROOT / "setup.cfg")]
    pins = {script["oldest"](line) for line in requirements}
    names = {pin.partition("==")[0] for pin in pins}
    assert {"torch", "speechbrain", "matplotlib", "onnx", "sofar", "pytest"} <= names
    assert len(pins) == len(names)


@pytest.mark.skipif(
    (ROOT / "PKG-INFO").exists(), reason="an sdist's setup.cfg has lost its comments"
)
def test_every_upper_bound_is_explained():
    lines = (ROOT / "setup.cfg").read_text(encoding="utf-8").splitlines()
    bounds = [number for number, line in enumerate(lines) if ",<" in line]
    assert bounds
    for number in bounds:
        # by the comment above it, or above the requirements or the extra it stands in
        while ">=" in lines[number] or lines[number].endswith(" ="):
            number -= 1
        assert "#" in lines[number]


def libraries(path):
    """List the libraries that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.partition(".")[0])
    return found - {"speechbrain_fusion", *sys.stdlib_module_names}


def test_every_library_is_asked_for_by_name():
    # what another library happens to bring may be gone with its next release
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = config["options.extras_require"]
    # only functions import those of extras: modules are tried without them
    texts = (config["options"]["install_requires"], extras["plots"], extras["export"])
    lines = filter(None, "\n".join(texts).splitlines())
    installed = (metadata.files(Requirement(line).name) for line in lines)
    asked = {x.parts[0].partition(".")[0] for files in installed for x in files}
    for folder in ("speechbrain_fusion", "recipes"):
        paths = [*(ROOT / folder).rglob("*.py")]
        assert paths
        for path in paths:
            assert libraries(path) <= asked, f"{path}: {libraries(path) - asked}"
