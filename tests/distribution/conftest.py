"""Wheel and sdist of this tree, and an environment that has the wheel alone."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.distribution.dependencies import link, needed

ROOT = Path(__file__).parents[2]
JUNK = (
    *("recipes/timit/results/small/1234/train.py", "recipes/results/fusion.yaml"),
    *("results/fusion/test_items.csv", "tests/__pycache__/conftest.cpython-310.pyc"),
    *("build/lib/speechbrain_fusion/removed.py", "docs/_build/html/index.html"),
    *("recipes/__pycache__/train.cpython-310.pyc", "dist/old-0.0.1.tar.gz"),
)
WHERE = """
import importlib.metadata, json, speechbrain_fusion
found = importlib.metadata.distribution("speechbrain-fusion")
folder = str(found.locate_file(""))
print(json.dumps([speechbrain_fusion.__file__, found.version, folder]))
"""


class Built(NamedTuple):
    """What the distributions were made of, and the names that are in them."""

    files: set[str]
    wheel: Path
    in_wheel: set[str]
    in_sdist: set[str]


class Away(NamedTuple):
    """An environment, such as one with the wheel and nothing of the checkout."""

    bin: Path

    def run(self, folder: Path, *command: object) -> str:
        """Run a command of the environment in a folder; return what it printed."""
        done = subprocess.run(
            [str(self.bin / str(command[0])), *map(str, command[1:])],
            cwd=folder,
            env={**without_paths(), "PATH": f"{self.bin}{os.pathsep}{os.defpath}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def ask(self, folder: Path, script: str, *arguments: object) -> Any:
        """Run a script and load the JSON in its last line."""
        lines = self.run(folder, "python", "-c", script, *arguments).splitlines()
        return json.loads(lines[-1])

    def holds(self, path: str) -> bool:
        """Tell whether a file or folder is inside the environment."""
        return Path(path).resolve().is_relative_to(self.bin.parent.resolve())


def without_paths() -> dict[str, str]:
    """Return this process's environment without what leads to the checkout."""
    hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    kept = {key: x for key, x in os.environ.items() if key not in hidden}
    return {**kept, "OMP_NUM_THREADS": "1"}


def tree_files() -> set[str]:
    """List what belongs to the tree: what git tracks or would."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no git checkout: the files of the tree are not known")
    return {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Build both from a copy of the tree in which runs and tools left their files."""
    files, tree = tree_files(), tmp_path_factory.mktemp("tree")
    for name in sorted(files):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    for name in JUNK:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("left over\n")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "-o", folder, tree]
    done = subprocess.run(
        command, env=without_paths(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = {name for name in archive.namelist() if not name.endswith("/")}
    with tarfile.open(sdist) as archive:
        members = [x.name.partition("/")[2] for x in archive if x.isfile()]
    return Built(files, wheel, in_wheel, {*members})


@pytest.fixture(scope="session")
def away(built, tmp_path_factory):
    """Install the wheel where its dependencies are, and no other distribution.

    They are linked from this environment, as an index may be out of reach. What the
    wheel does not ask for is not there: no extra, no test tool, no editable install.
    """
    folder = tmp_path_factory.mktemp("away") / "venv"
    venv.create(folder, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python"]
    install = [*pip, "install", "-q", "--no-deps", "--no-index", built.wheel]
    subprocess.run(install, env=without_paths(), check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (wheel,) = metadata.distributions(path=[str(packages)])
    link(needed(wheel.requires or ()), packages)
    return Away(folder / "bin")
