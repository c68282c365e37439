"""What the tests of the documentation share."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT
from tests.docs.executors import Reader
from tests.docs.substitutions import STAND_INS
from tests.docs.world import make_world
from tests.preloaded import preloaded


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of commands that take the place of others."""
    folder = tmp_path_factory.mktemp("stand_ins")
    for name, text in STAND_INS.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of all the files that pages name."""
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def make_reader(
    tmp_path: Path, world: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Reader]]:
    """Make somebody who reads a page, in a folder that holds what it names."""
    home, path, modules = Path.cwd(), sys.path[:], set(sys.modules)

    def make(page: str, with_programs: bool) -> Reader:
        folder = tmp_path / "reader"
        shutil.copytree(world, folder, symlinks=True)
        # where one name means several things, what it means on this page
        mixtures = page == "systems/librimix_noisy.md"
        (folder / "FOLDER").symlink_to("LibriMix" if mixtures else "my_recordings")
        for name in ("RECORDINGS", "TIMIT", "NOISES"):
            (folder / name).symlink_to("my_recordings")
        # one process for PESQ: others would take longer to begin than to work
        environ = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        environ["LOKY_MAX_CPU_COUNT"] = "1"
        if with_programs:
            stand_ins = request.getfixturevalue("stand_ins")
            environ["STAND_INS"] = str(Path(__file__).parent)
            environ |= preloaded({"PATH": os.environ["PATH"]})
            environ["PATH"] = f"{stand_ins}{os.pathsep}{environ['PATH']}"
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        return Reader(folder, environ)

    yield make
    os.chdir(home)
    sys.path[:] = path
    for name in {"own_network", "onnx_stream"} & (set(sys.modules) - modules):
        del sys.modules[name]
