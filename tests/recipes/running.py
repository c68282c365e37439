"""Recipes as a user runs them."""

import csv
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.ranks import run_process


def run_script(
    script: Path, arguments: Sequence[str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run a script from a folder of one's own."""
    return run_process([sys.executable, script, *arguments], folder)


def read_rows(path: Path | str) -> list[dict[str, str]]:
    """Read a table."""
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def command_line(name: str, settings: Mapping[str, Any]) -> list[str]:
    """Write a YAML of a recipe and changes of its keys, without those that are None."""
    given = [f"--{key}={x}" for key, x in settings.items() if x is not None]
    return [f"hparams/{name}.yaml", *given]


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]
