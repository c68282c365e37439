"""Time and memory of enhancing a whole recording at once, over its length.

    python benchmarks/inference.py [--seconds 1 10 60 600] [--threads 1]
        [--clock processor] [--keep_memory] [--device cuda]

The growth is the exponent between a length and the one before: 1 is linear. Memory is
what the call adds to a process at rest, or all of a GPU's, in a new process each.

On Linux glibc gives blocks over 32 MiB back to the system at once, which clears every
page that it hands out anew: at ten minutes half of the time. With --keep_memory the
processes keep it, and the time is that of the network.
"""

import argparse
import math
import os
import statistics
from collections.abc import Iterator

import torch
from measure import (
    CONFIGURATIONS,
    in_new_process,
    interleave,
    peak_memory,
    print_table,
)

from speechbrain_fusion.models import BinauralTasNet

GLIBC_LIMITS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    lengths = [1.0, 10.0, 60.0, 600.0]
    parser.add_argument("--seconds", type=float, nargs="+", default=lengths)
    parser.add_argument("--systems", nargs="+", default=list(CONFIGURATIONS))
    parser.add_argument("--keep_memory", action="store_true")
    arguments = parser.parse_args()
    if arguments.keep_memory:
        # read by glibc at the start of the processes that measure
        os.environ.update(dict.fromkeys(GLIBC_LIMITS, str(2**40)))
    header = ("system", "length, s", "time, s", "audio s / s", "growth of time")
    rows = (
        row for name in arguments.systems for row in measure_system(name, arguments)
    )
    print_table((*header, "memory, MiB", "growth of memory"), rows)


def measure_system(name: str, arguments: argparse.Namespace) -> Iterator[tuple]:
    """Yield a row for each length."""
    before = None
    for seconds in sorted(arguments.seconds):
        time, memory = in_new_process(measure, arguments, name, seconds)
        now = math.log(seconds), math.log(time), math.log(max(memory, 1e-3))
        slopes = growth(before, now)
        speed, used = f"{seconds / time:.0f}", f"{memory:.0f}"
        yield name, f"{seconds:g}", f"{time:.3f}", speed, slopes[0], used, slopes[1]
        before = now


def growth(before: tuple | None, now: tuple) -> list[str]:
    """Return the slopes of time and memory over length, on logarithmic axes."""
    if before is None:
        return ["", ""]
    run = now[0] - before[0]
    return [f"{(now[i] - before[i]) / run:.2f}" for i in (1, 2)]


def measure(
    arguments: argparse.Namespace, name: str, seconds: float
) -> tuple[float, float]:
    """Return the median time and the memory in MiB of enhancing `seconds` of audio."""
    torch.set_num_threads(arguments.threads)
    rate, options = CONFIGURATIONS[name]
    device = arguments.device
    model = BinauralTasNet(**options).to(device).eval()
    mixture = torch.randn(1, 2, round(rate * seconds), device=device)
    rest = 0.0 if device == "cuda" else peak_memory(device)

    def enhance() -> None:
        with torch.no_grad():
            model(mixture)

    times = interleave({"ours": enhance}, arguments.rounds, device, arguments.clock)
    return statistics.median(times["ours"]), peak_memory(device) - rest


if __name__ == "__main__":
    main()
