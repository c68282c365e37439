"""What tests of recipes share."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def load_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Path], Callable]:
    """Load a script's main, to run in this process, in a folder of the test."""
    monkeypatch.chdir(tmp_path)

    def load(script: Path) -> Callable:
        name = f"{script.parent.name}_{script.stem}"
        spec = importlib.util.spec_from_file_location(name, script)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.main

    return load


@pytest.fixture
def run_here(
    request: pytest.FixtureRequest, load_recipe: Callable[[Path], Callable]
) -> Callable:
    """Run the recipe of a test's module, its `TRAIN`, in this process."""
    return load_recipe(request.module.TRAIN)
