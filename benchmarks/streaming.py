"""Real-time factors of streams: the time of a step over that of the sound in it.

    python benchmarks/streaming.py [--milliseconds 2 20] [--seconds 10]
        [--systems clarity shipped] [--runtimes PyTorch onnxruntime]
        [--clock processor] [--threads 1]

"clarity" is the published binaural system of the Clarity challenge, "shipped" the model
of the package, "separator" the causal configuration of two temporal convolutional
networks, "two_branch" that of recipes/timit/hparams/causal.yaml; all at full size. A
stream keeps up where the factor is below 1, also at the 99th percentile.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from measure import CONFIGURATIONS, clock, print_table
from torch import Tensor, nn

from speechbrain_fusion.inference.export import export_step
from speechbrain_fusion.inference.onnx_stream import OnnxStream
from speechbrain_fusion.inference.streaming import Stream
from speechbrain_fusion.models import (
    BinauralTasNet,
    ConvTasNetMasker,
    TwoBranchEnhancer,
    UnifiedSeparator,
)

Step = Callable[[Tensor], object]
Make = Callable[[nn.Module, int], Step]
SHIPPED = {"N": 128, "L": 32, "S": 256, "P": 64, "X": 3, "fuse": "back"}
WARM_UP = 20


def make_separator() -> UnifiedSeparator:
    """Make the causal networks of recipes/librimix_noisy/hparams/convtasnet.yaml."""
    enhancement = ConvTasNetMasker(masks=1, repeats=1, causal=True)
    return UnifiedSeparator(enhancement, ConvTasNetMasker(masks=2, causal=True))


def make_onnx_step(system: nn.Module, block: int) -> Callable[[Tensor], np.ndarray]:
    """Export a system's step, for any block, and begin a stream of ONNX Runtime."""
    with tempfile.TemporaryDirectory() as folder:
        stream = OnnxStream(export_step(system, f"{folder}/step.onnx"))
    return lambda sound: stream.step(sound.numpy())


# rate in Hz, and what makes the system
SYSTEMS: dict[str, tuple[int, Callable[[], nn.Module]]] = {
    "clarity": (8000, lambda: BinauralTasNet(**CONFIGURATIONS["report"][1])),
    "shipped": (16000, lambda: BinauralTasNet(**SHIPPED)),
    "separator": (8000, make_separator),
    "two_branch": (16000, lambda: TwoBranchEnhancer(causal=True)),
}
# what takes a step [inputs, samples] of a system's new stream
RUNTIMES: dict[str, Make] = {
    "PyTorch": lambda system, block: Stream(system, block=block).step,
    "PyTorch, any block": lambda system, block: Stream(system).step,
    "onnxruntime": make_onnx_step,
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--milliseconds", type=float, nargs="+", default=[2.0, 20.0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS))
    parser.add_argument("--runtimes", nargs="+", default=list(RUNTIMES))
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    header = ("system", "runtime", "step, ms", "median", "99th percentile", "least")
    print_table(header, measure_all(arguments))


def measure_all(arguments: argparse.Namespace) -> Iterator[tuple]:
    """Yield a row for each system, runtime and length of a step."""
    for name in arguments.systems:
        rate, make = SYSTEMS[name]
        torch.manual_seed(0)
        system = make().eval()
        for milliseconds in arguments.milliseconds:
            samples = round(rate * milliseconds / 1000)
            size = int(system.inputs), samples
            steps: dict[str, Step] = {
                each: RUNTIMES[each](system, samples) for each in arguments.runtimes
            }
            found = time_steps(steps, size, rate, arguments.seconds, arguments.clock)
            for runtime, factors in found.items():
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
    ordered = sorted(factors)
    late = ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]
    median = statistics.median(ordered)
    return f"{median:.3f}", f"{late:.3f}", f"{ordered[0]:.3f}"


if __name__ == "__main__":
    main()
