"""Real-time factors of streams: the time of a step over that of the sound in it.

    python benchmarks/streaming.py [--milliseconds 2 20] [--seconds 10]
        [--systems clarity shipped] [--runtimes PyTorch onnxruntime]

"clarity" is the published binaural system of the Clarity challenge, "shipped" the model
of the package; all have the size of their recipes (see systems.py). A stream keeps up
where the factor is below 1, also at the 99th percentile. The step in ONNX Runtime needs
the extra `export` and is left out without it.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import peers
import torch
from measure import clock, options, parse, print_table, record
from systems import make, sample_rate
from torch import Tensor, nn

from speechbrain_fusion.inference.streaming import Stream

Step = Callable[[Tensor], object]
Make = Callable[[nn.Module, int], Step]
SYSTEMS = ("clarity", "shipped", "convtasnet_causal", "two_branch_causal")
WARM_UP = 20


def make_onnx_step(system: nn.Module, block: int) -> Callable[[Tensor], np.ndarray]:
    """Export a system's step, for any block, and begin a stream of ONNX Runtime."""
    from speechbrain_fusion.inference.export import export_step
    from speechbrain_fusion.inference.onnx_stream import OnnxStream

    with tempfile.TemporaryDirectory() as folder:
        stream = OnnxStream(export_step(system, f"{folder}/step.onnx"))
    return lambda sound: stream.step(sound.numpy())


# what takes a step [inputs, samples] of a system's new stream
RUNTIMES: dict[str, Make] = {
    "PyTorch": lambda system, block: Stream(system, block=block).step,
    "PyTorch, any block": lambda system, block: Stream(system).step,
    "onnxruntime": make_onnx_step,
}


def main() -> None:
    """Print the table."""
    parser = options(__doc__)
    parser.add_argument("--milliseconds", type=float, nargs="+", default=[2.0, 20.0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS))
    parser.add_argument("--runtimes", nargs="+", default=list(RUNTIMES))
    arguments = parse(parser)
    if not all(map(peers.find, ("onnxruntime", "onnx"))):
        arguments.runtimes = [x for x in arguments.runtimes if x != "onnxruntime"]
    header = ("system", "runtime", "step, ms", "median", "99th percentile", "least")
    print_table(header, measure_all(arguments))


def measure_all(arguments: argparse.Namespace) -> Iterator[tuple]:
    """Yield a row for each system, runtime and length of a step."""
    for name in arguments.systems:
        rate = sample_rate(name)
        torch.manual_seed(0)
        system = make(name).eval()
        for milliseconds in arguments.milliseconds:
            samples = round(rate * milliseconds / 1000)
            size = int(system.inputs), samples
            steps: dict[str, Step] = {
                each: RUNTIMES[each](system, samples) for each in arguments.runtimes
            }
            found = time_steps(steps, size, rate, arguments.seconds, arguments.clock)
            for runtime, factors in found.items():
                case = f"{name}, {runtime}, steps of {milliseconds:g} ms"
                record("Streams, median", case, factors, "of real time")
                record("Streams, 99th percentile", case, late(factors), "of real time")
                yield name, runtime, f"{milliseconds:g}", *describe(factors)


def time_steps(
    steps: dict[str, Step],
    size: tuple[int, int],
    rate: int,
    seconds: float,
    clock_name: str = "wall",
) -> dict[str, list[float]]:
    """Return the real-time factors of all steps, the ways taking turns.

    A step's size is [inputs, samples], its sound noise of about speech's level.
    """
    factors: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(WARM_UP + round(seconds * rate / size[1])):
        sound = 0.1 * torch.randn(size)
        for name, step in steps.items():
            start = clock("cpu", clock_name)
            step(sound)
            taken = clock("cpu", clock_name) - start
            if turn >= WARM_UP:
                factors[name].append(taken * rate / size[1])
    return factors


def describe(factors: Sequence[float]) -> tuple[str, str, str]:
    """Return the median, the 99th percentile and the least, to three digits."""
    median = statistics.median(factors)
    return f"{median:.3f}", f"{late(factors):.3f}", f"{min(factors):.3f}"


def late(factors: Sequence[float]) -> float:
    """Return the 99th percentile."""
    ordered = sorted(factors)
    return ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]


if __name__ == "__main__":
    main()
