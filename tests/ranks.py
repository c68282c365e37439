"""Scripts on several processes."""

import os
import subprocess
import sys
from pathlib import Path


def run_ranks(text: str, folder: Path, ranks: int = 2) -> None:
    """Run a script on several CPU processes; it asserts what it finds itself."""
    script = folder / "ranks.py"
    script.write_text(text)
    command = ["timeout", "120", sys.executable, "-m", "torch.distributed.run"]
    command += ["--standalone", f"--nproc_per_node={ranks}", str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
