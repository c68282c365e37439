"""The benchmarks' modules, which are no package, and small benchmarks of a test."""

import importlib
import json
from pathlib import Path

import pytest
import ruamel.yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
ROW = {
    "what": "a thing",
    "case": "small",
    "unit": "ms",
    "ours": 2.0,
    "peer": "NumPy",
    "version": "1.0",
    "theirs": 5.0,
    "ratio": [2.5, 2.0, 3.0],
}


@pytest.fixture
def load(monkeypatch):
    """Import a module of the benchmarks' folder by its name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.fixture
def declared(tmp_path):
    """Declare benchmarks of a test: a script's text by its name."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()

    def declare(scripts, **more):
        listed = {}
        for name, text in scripts.items():
            (folder / f"{name}.py").write_text(text)
            plain = {"script": f"{name}.py", "options": "", "quick": "--quick"}
            listed[name] = {**plain, "minutes": 1, **more}
        with (folder / "benchmarks.yaml").open("w") as file:
            ruamel.yaml.YAML().dump(listed, file)
        return folder / "benchmarks.yaml"

    return declare


def script(row: dict | None = None, then: str = "") -> str:
    """Write a script that notes that it ran, gives a row and then does something."""
    line = json.dumps({**ROW, **(row or {})}) + "\n"
    return f"""
import os, signal, sys
open("ran.txt", "a").write(sys.argv[0] + "\\n")
open(os.environ["BENCHMARK_ROWS"], "a").write({line!r})
{then}
"""
