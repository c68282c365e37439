"""What a table of measurements says of where and when it was made."""

import datetime
import importlib.metadata
import os
import platform
import resource
import subprocess
import time
from pathlib import Path

import torch

LIBRARIES = ("torch", "speechbrain", "speechbrain-fusion", "numpy", "scipy")


def describe(device: str) -> dict[str, str]:
    """Name the machine, the versions and the date."""
    cpus = len(os.sched_getaffinity(0))
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(" ", "minutes"),
        "processor": f"{processor()}, {cpus} cores of {os.cpu_count()}",
        "memory": f"{memory() / 2**30:.1f} GiB",
        "GPU": gpu(),
        "device": device,
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "Python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in LIBRARIES},
        "commit": commit(),
        "threads": f"one, unless the command says more (OMP_NUM_THREADS {threads})",
    }


def processor() -> str:
    """Return the processor's name."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    names = [x.split(":")[1].strip() for x in lines if x.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def memory() -> float:
    """Return the machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def gpu() -> str:
    """Return the GPU's name and memory."""
    if not torch.cuda.is_available():
        return "none"
    found = torch.cuda.get_device_properties(0)
    return f"{found.name}, {found.total_memory / 2**30:.1f} GiB"


def commit() -> str:
    """Return the commit that is measured, and whether files were changed since."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "..")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (
        ", with changes" if changed else ""
    )


class OtherWork:
    """How many cores other work keeps busy, from now on.

    Linux counts what all processes take, and what the host of a virtual machine gives
    to others; what this one and its children took is subtracted.
    """

    def __init__(self) -> None:
        self.start = self._now()

    @staticmethod
    def _now() -> tuple[float, float, float] | None:
        path = Path("/proc/stat")
        if not path.is_file():
            return None
        user, nice, system, *_, stolen = map(int, path.read_text().split()[1:9])
        busy = (user + nice + system + stolen) / os.sysconf("SC_CLK_TCK")
        kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        used = [resource.getrusage(kind) for kind in kinds]
        own = sum(each.ru_utime + each.ru_stime for each in used)
        return time.monotonic(), busy, own

    def cores(self) -> float | None:
        """Return their mean number; None where the system does not say."""
        now = self._now()
        if self.start is None or now is None:
            return None
        elapsed, busy, own = (b - a for a, b in zip(self.start, now, strict=True))
        return max(0.0, (busy - own) / elapsed)
