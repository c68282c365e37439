"""What the benchmarks share: options, clocks, interleaved rounds, memory, rows."""

import argparse
import itertools
import json
import math
import multiprocessing
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from peers import version

Result = TypeVar("Result")
# The file that rows are added to, if this variable names one
ROWS = "BENCHMARK_ROWS"
PROCESS = Path("/proc/self")


class Ratio(NamedTuple):
    """The median of the rounds' ratios, and their range."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f} to {self.most:.2f})"


def options(document: str, rounds: int = 5) -> argparse.ArgumentParser:
    """Begin a command line with what every benchmark understands."""
    parser = argparse.ArgumentParser(description=document.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    return parser


def parse(parser: argparse.ArgumentParser, device: bool = False) -> argparse.Namespace:
    """Parse the command line, with the option --device or not; set the threads."""
    if device:
        parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    return arguments


def on_gpu(device: str) -> bool:
    """Tell whether a device is an NVIDIA GPU, numbered or not."""
    return torch.device(device).type == "cuda"


def clock(device: str, name: str = "wall") -> float:
    """Read the clock: "wall", or "processor", which other work disturbs less."""
    if on_gpu(device):
        torch.cuda.synchronize(device)
    return time.process_time() if name == "processor" else time.perf_counter()


def interleave(
    ways: dict[str, Callable[[], object]], rounds: int, device: str, clock_name: str
) -> dict[str, list[float]]:
    """Return the seconds of every way in every round, after one to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            start = clock(device, clock_name)
            way()
            seconds[name].append(clock(device, clock_name) - start)
    return {name: values[1:] for name, values in seconds.items()}


def ratio(slow: Sequence[float], fast: Sequence[float]) -> Ratio:
    """Compare two ways round by round."""
    ratios = [a / b for a, b in zip(slow, fast, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def scaled(seconds: Iterable[float], by: float) -> list[float]:
    """Bring times to another unit, or to that of one item."""
    return [by * value for value in seconds]


def growth(cost: tuple[float, float], size: tuple[float, float]) -> float:
    """Return the slope of a cost over a size on logarithmic axes; 1 is linear."""
    before, now, small, large = (math.log(max(x, 1e-9)) for x in (*cost, *size))
    return (now - before) / (large - small)


def watch_memory(device: str) -> float:
    """Forget the peak, and return what is in use in MiB: nothing, of a GPU's memory."""
    if on_gpu(device):
        torch.cuda.reset_peak_memory_stats(device)
        return 0.0
    try:
        # Linux sets the peak to what is in use
        (PROCESS / "clear_refs").write_text("5")
    except OSError:
        # where it may not, what is added until the old peak is not seen
        return _resident("VmHWM")
    return _resident("VmRSS")


def peak_memory(device: str) -> float:
    """Return the most memory in use since then, in MiB: the process's or the GPU's."""
    if on_gpu(device):
        return torch.cuda.max_memory_allocated(device) / 2**20
    return _resident("VmHWM")


def _resident(key: str) -> float:
    """Return what Linux says of this process; elsewhere its peak, for all keys."""
    path = PROCESS / "status"
    if not path.is_file():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    lines = path.read_text(encoding="utf-8").splitlines()
    return next(int(x.split()[1]) for x in lines if x.startswith(key)) / 2**10


def in_new_process(function: Callable[..., Result], *arguments: object) -> Result:
    """Call a function in a process of its own, whose memory nothing else has used."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table, each row as it comes."""
    for row in itertools.chain((header, ["---"] * len(header)), rows):
        print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)


def record(
    what: str,
    case: str,
    ours: float | Sequence[float] | str,
    unit: str,
    peer: str | None = None,
    theirs: float | Sequence[float] | None = None,
) -> None:
    """Add a row to the table of all benchmarks, if there is one.

    Arguments
    ---------
    what, case : str
        What was measured, and with what sizes.
    ours : float or sequence of float or str
        A value, less being better where there is a peer; or those of all rounds; or
        why there is none.
    unit : str
        Of ours and theirs.
    peer : str, optional
        A name of `peers.PEERS`.
    theirs : float or sequence of float, optional
        As ours, of the same rounds; None if the peer is missing.
    """
    if not (path := os.environ.get(ROWS)):
        return
    found, both = None, theirs is not None
    if both:
        sequences = [[x] if isinstance(x, float | int) else x for x in (theirs, ours)]
        found = ratio(*sequences)
    row = {
        "what": what,
        "case": case,
        "unit": unit,
        "ours": ours if isinstance(ours, str) else middle(ours),
        "peer": peer,
        "version": version(peer) if both and peer else None,
        "theirs": None if theirs is None else middle(theirs),
        "ratio": found,
    }
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def middle(values: float | Sequence[float]) -> float:
    """Return the median of several values, or the one."""
    return values if isinstance(values, float | int) else statistics.median(values)
