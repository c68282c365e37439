"""Recipes as a user runs them."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_script(
    script: Path, arguments: Sequence[str], folder: Path
) -> subprocess.CompletedProcess:
    """Run a script from a folder of one's own."""
    return subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]
