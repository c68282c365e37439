"""Scripts as processes of their own, one or several."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.preloaded import preloaded

ROOT = Path(__file__).parents[1]


def run_process(
    command: Sequence[object], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run a command on this working tree from a folder, with one thread."""
    environ = preloaded({**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)})
    python = {sys.executable: environ["PROGRAMS"] + "/python"}
    return subprocess.run(
        [python.get(str(x), str(x)) for x in command],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


def torchrun(count: int, script: Path | str, arguments: Sequence, folder: Path) -> str:
    """Run a script as several processes from a folder, or show what it said."""
    # a deadlock must end: timeout tells the launcher, which ends its processes
    command = ["timeout", "600", sys.executable, "-m", "torch.distributed.run"]
    launcher = ["--standalone", f"--nproc_per_node={count}"]
    done = run_process([*command, *launcher, script, *arguments], folder)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


# what the script leaves must be gone before its process group may end
IN_A_GROUP = """
import runpy
from speechbrain_fusion.brains.launch import leave_group

runpy.run_path({script!r}, run_name="__main__")
leave_group()
"""


def run_ranks(text: str, folder: Path) -> None:
    """Run a script's text as two processes; it asserts what it finds itself."""
    script, launched = folder / "ranks.py", folder / "in_a_group.py"
    script.write_text(text)
    launched.write_text(IN_A_GROUP.format(script=str(script)))
    torchrun(2, launched, (), folder)
