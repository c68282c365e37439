"""Cost as the work grows: time and memory of training steps and of inference.

    python benchmarks/growth.py [--systems binaural dprnn ...] [--points 4]
        [--axes width batch length talkers] [--clock processor]
    python benchmarks/growth.py --axes processes
    python benchmarks/growth.py --published --systems binaural release --axes length
        --tasks inference --lengths 1 10 60 600 [--keep_memory]
    python benchmarks/growth.py --systems functions

Each axis is doubled from a small system on (see growth_point.py), everything else
staying as it is; --published takes the sizes of the recipes' YAMLs. A step is that of
the recipe's own Brain; with several processes they share its gradients, each with as
many examples as one alone ("processes, equal work each") or with a part of them
("processes, equal work"). Memory is what is added to a process that has taken a step of
the smallest system before, in a new process each, or all of a GPU's. Of the rounds'
times the least counts: what other work adds is none of ours. There are no more
processes than GPUs or cores.

The growth is the exponent between a point and the one before: 1 is linear. Listed at
the end is what grows over the last two steps by more than 0.15 above its expected
exponent, of which EXPECTED has a list; points of less memory than LITTLE are not
judged.

On Linux glibc gives blocks over 32 MiB back to the system at once, which clears every
page that it hands out anew: at ten minutes half of the time. With --keep_memory the
processes keep it, and the time is that of the network.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from growth_functions import FUNCTIONS, SIZES, measure_function
from growth_point import BASE, FAMILIES, SEPARATORS
from measure import (
    growth,
    in_new_process,
    on_gpu,
    options,
    parse,
    print_table,
    record,
)

POINT = Path(__file__).with_name("growth_point.py")
GLIBC_LIMITS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
TOLERANCE = 0.15
# MiB: what libraries take now and then
LITTLE = 32.0
# Exponents where they need not be 1
EXPECTED = {
    # of matrices that are as wide as high
    "width": 2.0,
    # one more encoding and decoding for each talker, the networks staying
    "talkers": 1.0,
    # all have the same
    "processes, equal work each": 0.0,
    "processes, equal work": -1.0,
}
AXES = ("width", "batch", "length", "talkers", "processes")
TASKS = ("inference", "step")


class Cost(NamedTuple):
    """What one point of an axis costs, in seconds and MiB, by task."""

    size: float
    time: dict[str, float]
    memory: dict[str, float]


def main() -> None:
    """Print a table for each system and axis, and what grows too fast."""
    arguments = parse_all()
    if arguments.keep_memory:
        # read by glibc at the start of the processes that measure
        os.environ.update(dict.fromkeys(GLIBC_LIMITS, str(2**40)))
    steep = [line for each in arguments.systems for line in system(each, arguments)]
    print("\nFaster than expected:", *(steep or ["nothing"]), sep="\n")


def parse_all() -> argparse.Namespace:
    """Parse the command line."""
    parser = options(__doc__, rounds=3)
    systems = [*FAMILIES, "functions"]
    default = [name for name in FAMILIES if name != "release"]
    parser.add_argument("--systems", nargs="+", choices=systems, default=default)
    parser.add_argument("--axes", nargs="+", choices=AXES, default=list(AXES))
    names = [*FUNCTIONS]
    parser.add_argument("--functions", nargs="+", choices=names, default=names)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--points", type=int, default=4)
    parser.add_argument("--lengths", type=float, nargs="+", help="in place of points")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--published", action="store_true")
    parser.add_argument("--keep_memory", action="store_true")
    return parse(parser, device=True)


def system(name: str, arguments: argparse.Namespace) -> Iterator[str]:
    """Print the tables of a system; yield what grows too fast."""
    if name == "functions":
        for function in arguments.functions:
            yield from tabulate(function, *of_function(function, arguments))
        return
    for axis in axes(arguments):
        if axis == "talkers" and name not in SEPARATORS:
            continue
        costs = [measure(name, point, arguments) for point in points(axis, arguments)]
        yield from tabulate(name, axis, costs)


def axes(arguments: argparse.Namespace) -> Iterator[str]:
    """Yield the axes; that of the processes is two."""
    for axis in arguments.axes:
        yield from (x for x in (*AXES[:-1], *[*EXPECTED][-2:]) if x.startswith(axis))


def points(axis: str, arguments: argparse.Namespace) -> Iterator[dict]:
    """Yield what changes along an axis; "size" is what the exponent is about."""
    for power in range(arguments.points):
        if axis in BASE and not (axis == "length" and arguments.lengths):
            size = BASE[axis] * 2**power
            yield {"size": size, axis: size}
    if axis == "length":
        yield from ({"size": x, axis: x} for x in arguments.lengths or ())
    if axis.startswith("processes"):
        most = max(arguments.processes)
        for count in processes(arguments):
            batch = most // count if axis.endswith("work") else 1
            yield {"size": count, "processes": count, "batch": batch}


def processes(arguments: argparse.Namespace) -> list[int]:
    """Return the numbers of processes, each of which has a GPU or a core."""
    gpu = on_gpu(arguments.device)
    limit = torch.cuda.device_count() if gpu else len(os.sched_getaffinity(0))
    return [count for count in arguments.processes if count <= limit]


def measure(name: str, point: dict, arguments: argparse.Namespace) -> Cost:
    """Measure one point in processes of its own."""
    count = point.get("processes", 1)
    start = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={count}"]
    keys = ("published", "rounds", "threads", "clock", "device", "tasks")
    given = {key: getattr(arguments, key) for key in keys}
    if "processes" in point:
        # nothing else has them work together
        given["tasks"] = ["step"]
    wanted = json.dumps({**given, **point, "family": name})
    done = subprocess.run(
        [sys.executable, *(start if count > 1 else []), str(POINT), wanted],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": str(arguments.threads)},
    )
    if done.returncode:
        raise RuntimeError(f"{name}, {point}:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    cost = Cost(point["size"], found["time"], found["memory"])
    if arguments.published:
        publish(name, point, cost)
    return cost


def publish(name: str, point: dict, cost: Cost) -> None:
    """Record the cost of a system in its published size."""
    sizes = {key: value for key, value in point.items() if key != "size"}
    case = ", ".join([name, *(f"{key} {value:g}" for key, value in sizes.items())])
    for task, seconds in cost.time.items():
        record(f"Time of {task}", case, seconds, "s")
        record(f"Memory of {task}", case, cost.memory[task], "MiB")


def of_function(name: str, arguments: argparse.Namespace) -> tuple[str, list[Cost]]:
    """Measure a function along its axis, in a process of its own."""
    axis = FUNCTIONS[name][0]
    sizes = SIZES[axis][: arguments.points]
    given = arguments.rounds, arguments.threads, arguments.clock
    found = in_new_process(measure_function, name, sizes, *given)
    pairs = zip(sizes, found, strict=True)
    return axis, [Cost(x, {"call": time}, {"call": mib}) for x, (time, mib) in pairs]


def tabulate(name: str, axis: str, costs: list[Cost]) -> Iterator[str]:
    """Print a table of an axis; yield what grows too fast."""
    tasks = [*costs[0].time]
    print(f"\n{name}, {axis}\n")
    columns = ("s", "growth", "MiB", "growth")
    header = [f"{task}, {column}" for task in tasks for column in columns]
    print_table([axis, *header], rows(tasks, costs))
    for task in tasks:
        for kind in ("time", "memory"):
            values = [getattr(cost, kind)[task] for cost in costs]
            yield from judge(f"{kind} of {task}", name, axis, values, costs)


def judge(
    what: str, name: str, axis: str, values: list[float], costs: list[Cost]
) -> Iterator[str]:
    """Record the growth over the last points; yield a line if it is too fast.

    Over two steps, if there are: one alone may be noise. Before them fixed costs hide
    what grows.
    """
    least = LITTLE if what.startswith("memory") else 0.0
    last = range(max(0, len(costs) - 3), len(costs) - 1)
    first = next((place for place in last if values[place] >= least), None)
    if first is None or values[-1] < least:
        return
    sizes = costs[first].size, costs[-1].size
    slope = growth((values[first], values[-1]), sizes)
    record(
        f"Growth, {what}",
        f"{name}, {axis} {sizes[0]:g} to {sizes[1]:g}",
        slope,
        "exponent",
    )
    expected = EXPECTED.get(axis, 1.0)
    if slope > expected + TOLERANCE:
        yield f"{name}, {what} over {axis}: {slope:.2f}, expected {expected:g}"


def rows(tasks: list[str], costs: list[Cost]) -> Iterator[list[str]]:
    """Yield the table's row of each point."""
    slopes = {
        (task, kind): ["", *(f"{x:.2f}" for x in exponents(values, costs))]
        for task in tasks
        for kind in ("time", "memory")
        for values in [[getattr(x, kind)[task] for x in costs]]
    }
    for place, cost in enumerate(costs):
        row = [f"{cost.size:g}"]
        for task in tasks:
            row += [f"{cost.time[task]:.4f}", slopes[task, "time"][place]]
            row += [f"{cost.memory[task]:.0f}", slopes[task, "memory"][place]]
        yield row


def exponents(values: list[float], costs: list[Cost]) -> list[float]:
    """Return the growth from each point to the next."""
    sizes = [cost.size for cost in costs]
    pairs = zip(values, values[1:], sizes, sizes[1:], strict=False)
    return [growth((a, b), (small, large)) for a, b, small, large in pairs]


if __name__ == "__main__":
    main()
