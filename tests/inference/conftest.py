"""A model folder, made once and copied for each test."""

import shutil
from pathlib import Path

import pytest

from tests.inference.model_folders import make_folder


@pytest.fixture(scope="session")
def original(tmp_path_factory) -> Path:
    """A model folder, to be copied."""
    return make_folder(tmp_path_factory.mktemp("original"))


@pytest.fixture
def folder(original, tmp_path, monkeypatch) -> Path:
    """A model folder, seen from an empty one."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return shutil.copytree(original, tmp_path / "model")
