"""What the benchmarks share: clocks, interleaved rounds, memory, tables."""

import itertools
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

import torch

Result = TypeVar("Result")

RELEASE = {"N": 512, "L": 64, "H": 256, "S": 64, "P": 256, "output_activation": "tanh"}
# The two published systems: rate in Hz, what differs from BinauralTasNet's defaults
CONFIGURATIONS: dict[str, tuple[int, dict]] = {
    "report": (8000, {"share_norms": True}),
    "release": (16000, {"share_norms": True, **RELEASE}),
}


def clock(device: str, name: str = "wall") -> float:
    """Read the clock: "wall", or "processor", which other work disturbs less."""
    if device == "cuda":
        torch.cuda.synchronize()
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


def ratio(slow: Sequence[float], fast: Sequence[float]) -> str:
    """Describe the median of the rounds' ratios, and their range."""
    ratios = [a / b for a, b in zip(slow, fast, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def peak_memory(device: str) -> float:
    """Return the most memory used so far, in MiB: the process's or the GPU's."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def in_new_process(function: Callable[..., Result], *arguments: object) -> Result:
    """Call a function in a process of its own, whose memory nothing else has used."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table, each row as it comes."""
    for row in itertools.chain((header, ["---"] * len(header)), rows):
        print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)
