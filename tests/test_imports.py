"""Who imports whom: downwards, and nowhere in a circle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import speechbrain_fusion

ROOT = Path(speechbrain_fusion.__file__).parent
NAME = ROOT.name
# What stands on one line knows what is on it and below
FLOORS = (
    ("brains", "inference", "report", "commands", "cli"),
    ("models", "data", "metrics"),
    ("losses",),
    ("nnet",),
    ("extras", "messages", "typed"),
)
FLOOR = {part: number for number, line in enumerate(FLOORS) for part in line}
MODULES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts): path
    for path in ROOT.rglob("*.py")
}


def imported(path: Path, everywhere: bool) -> set[str]:
    """List the modules of ours that a file imports, inside functions too or not."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if everywhere else tree.body
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: expected absolute imports"
            names = {f"{node.module}.{each.name}" for each in node.names}
            found |= {x if x in MODULES else str(node.module) for x in names}
    packages = {x.removesuffix(".__init__"): x for x in MODULES}
    return {packages[x] for x in found if x in packages}


def part(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_down(module):
    if part(module) not in FLOOR:
        assert module == f"{NAME}.__init__"
        return
    above = {
        other
        for other in imported(MODULES[module], everywhere=True)
        if part(other) in FLOOR and FLOOR[part(other)] < FLOOR[part(module)]
    }
    assert not above


def test_no_circle():
    graph = {x: imported(path, everywhere=False) - {x} for x, path in MODULES.items()}
    tuple(TopologicalSorter(graph).static_order())


RECIPES = ["binaural", "daps_noisex", "librimix_noisy", "timit"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_no_recipe_imports_another(recipe):
    folder = ROOT.parent / "recipes"
    if not folder.is_dir():
        pytest.skip("no recipes beside the package")
    assert {path.parent.name for path in folder.glob("*/train.py")} == {*RECIPES}
    for path in (folder / recipe).rglob("*.py"):
        names = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {each.name for each in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(str(node.module))
        assert not {name.split(".")[0] for name in names} & {"recipes", *RECIPES}
