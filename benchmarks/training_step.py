"""Training steps of the two published systems: time, memory, waiting for data.

    python benchmarks/training_step.py [--tables methods throughput data]
        [--systems clarity] [--threads 1] [--clock processor] [--device cuda]

A step is forward, loss (SI-SDR), backward and Adam. Three tables: the step beside the
same network with plain dilated depthwise convolutions; seconds of audio per second and
peak memory over batch size, length and precision; and the share of a step spent waiting
for data, when the recipe's YAML trains on scenes rendered from the demo corpus. Memory
is what a step adds to a process at rest, or all of a GPU's, in a new process each.
"""

import argparse
import functools
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from depthwise import plain_depthwise
from measure import (
    in_new_process,
    interleave,
    middle,
    options,
    parse,
    peak_memory,
    print_table,
    ratio,
    record,
    watch_memory,
)
from systems import PUBLISHED_BINAURAL, make, sample_rate
from torch import Tensor, nn

from speechbrain_fusion.brains import EnhancementBrain, start_run
from speechbrain_fusion.losses import si_sdr_loss
from speechbrain_fusion.nnet import DepthwiseConv
from speechbrain_fusion.nnet.convolution import direct_depthwise

RECIPE = Path(__file__).parents[1] / "recipes" / "binaural" / "train.py"
METHODS: dict[str, Callable[..., Tensor] | None] = {
    "plain": plain_depthwise,
    "direct": direct_depthwise,
    "auto": None,
}
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def main() -> None:
    """Print the tables."""
    arguments = parse_all()
    tables = {"methods": methods, "throughput": throughput, "data": data}
    for name in arguments.tables:
        print(f"\n{tables[name].__doc__}\n")
        tables[name](arguments)


def parse_all() -> argparse.Namespace:
    """Parse the command line."""
    parser = options(__doc__)
    tables = ("methods", "throughput", "data")
    parser.add_argument("--tables", nargs="+", choices=tables, default=tables)
    parser.add_argument("--systems", nargs="+", default=PUBLISHED_BINAURAL)
    precisions = list(PRECISIONS)
    parser.add_argument(
        "--precisions", nargs="+", choices=precisions, default=precisions
    )
    parser.add_argument("--length", type=float, default=4.0, help="of methods, in s")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 8])
    parser.add_argument("--seconds", type=float, nargs="+", default=[2.0, 4.0, 8.0])
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--scenes", type=int, default=40)
    arguments = parse(parser, device=True)
    if arguments.scenes < 8:
        parser.error(f"--scenes: expected 8 or more, got {arguments.scenes}")
    return arguments


def methods(arguments: argparse.Namespace) -> None:
    """Time of a step by method of the depthwise convolutions."""
    header = [f"{method}, s" for method in METHODS]
    rows = (compare(name, arguments) for name in arguments.systems)
    print_table(("system", *header, "plain / auto (range)"), rows)


def compare(name: str, arguments: argparse.Namespace) -> tuple[object, ...]:
    """Return a row of the methods' table."""
    size = 2, arguments.length
    steps = {
        method: make_step(name, *size, "fp32", method, arguments.device)
        for method in METHODS
    }
    times = interleave(steps, arguments.rounds, arguments.device, arguments.clock)
    medians = [f"{middle(times[method]):.3f}" for method in METHODS]
    pair = times["auto"], "s", "PyTorch", times["plain"]
    case = f"{name}, 2 x {arguments.length:g} s, threads: {arguments.threads}"
    record("Training step, dilated convolutions", case, *pair)
    return name, *medians, ratio(times["plain"], times["auto"])


def make_step(
    name: str, batch: int, seconds: float, precision: str, method: str, device: str
) -> Callable[[], None]:
    """Return a function that takes one training step."""
    rate, model = sample_rate(name), make(name).to(device)
    for layer in model.modules():
        if isinstance(layer, DepthwiseConv) and METHODS[method] is not None:
            layer.convolve = METHODS[method]
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    target, mixture = torch.randn(2, batch, 2, round(rate * seconds), device=device)
    return functools.partial(step, model, optimizer, target, mixture, precision)


def step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    target: Tensor,
    mixture: Tensor,
    precision: str,
) -> None:
    """Take one training step."""
    optimizer.zero_grad()
    dtype = PRECISIONS[precision]
    lower = dtype != torch.float32
    with torch.autocast(mixture.device.type, dtype, enabled=lower):
        estimate = model(mixture)
    si_sdr_loss(target, estimate.float()).backward()
    optimizer.step()


def throughput(arguments: argparse.Namespace) -> None:
    """Seconds of audio per second in training, and peak memory of a step."""
    header = ("system", "precision", "batch", "length, s", "audio s / s")
    cells = itertools.product(
        arguments.systems, arguments.precisions, arguments.batches, arguments.seconds
    )
    rows = (measure_cell(arguments, *cell) for cell in cells)
    print_table((*header, "memory, MiB", "MiB per s of audio"), rows)


def measure_cell(
    arguments: argparse.Namespace, name: str, precision: str, batch: int, seconds: float
) -> tuple:
    """Return a row of the throughput's table."""
    cell = name, batch, seconds, precision
    median, memory = in_new_process(measure_step, arguments, *cell)
    audio = batch * seconds
    case = f"{name}, {precision}, {batch} x {seconds:g} s"
    record("Training, throughput", case, audio / median, "audio s / s")
    record("Training, memory", case, memory / audio, "MiB / s of audio")
    speed, density = f"{audio / median:.1f}", f"{memory / audio:.0f}"
    return name, precision, batch, f"{seconds:g}", speed, f"{memory:.0f}", density


def measure_step(
    arguments: argparse.Namespace, name: str, batch: int, seconds: float, precision: str
) -> tuple[float, float]:
    """Return the median time of a step and the memory that it adds, in MiB."""
    torch.set_num_threads(arguments.threads)
    device = arguments.device
    take = make_step(name, batch, seconds, precision, "auto", device)
    rest = watch_memory(device)
    times = interleave({"step": take}, arguments.rounds, device, arguments.clock)
    return statistics.median(times["step"]), peak_memory(device) - rest


def data(arguments: argparse.Namespace) -> None:
    """Share of a step spent waiting for data: the recipe on rendered scenes."""
    rows = (measure_share(arguments, workers) for workers in arguments.workers)
    print_table(("workers", "step, ms", "waiting, ms", "share"), rows)


def measure_share(arguments: argparse.Namespace, workers: int) -> tuple:
    """Return a row of the data's table."""
    step, wait = in_new_process(measure_waiting, arguments, workers)
    share = 100 * wait / (step + wait)
    record("Waiting for data, share of a step", f"{workers} workers", share, "%")
    return workers, f"{1e3 * step:.0f}", f"{1e3 * wait:.1f}", f"{share:.1f} %"


class TimedBrain(EnhancementBrain):
    """A Brain that notes when each step begins and ends."""

    def fit_batch(self, batch: object) -> Tensor:
        """Take one training step."""
        begin = time.perf_counter()
        loss = super().fit_batch(batch)
        # the loss is read, so that a GPU has finished
        float(loss)
        self.__dict__.setdefault("times", []).append((begin, time.perf_counter()))
        return loss


def measure_waiting(arguments: argparse.Namespace, workers: int) -> tuple[float, float]:
    """Train an epoch by the recipe's YAML; return mean step and mean wait in seconds.

    The first two steps, with the workers' start, are left out.
    """
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        hparams, run_opts = start_run(
            [
                str(RECIPE.parent / "hparams" / "fusion.yaml"),
                f"--device={arguments.device}",
                f"--output_folder={folder}/run",
                f"--demo_folder={folder}/demo",
                f"--scene_counts={{train: {arguments.scenes}, valid: 4, test: 4}}",
                f"--train_loader={{batch_size: 2, num_workers: {workers}}}",
                "--number_of_epochs=1",
                "--noprogressbar",
            ],
            RECIPE,
        )
        brain = TimedBrain(hparams["modules"], hparams["opt_class"], hparams, run_opts)
        scenes = hparams["corpus"]()["train"]
        brain.fit(
            hparams["epoch_counter"],
            scenes,
            train_loader_kwargs=hparams["train_loader"],
        )
    times = brain.times[2:]
    waits = [after[0] - before[1] for before, after in itertools.pairwise(times)]
    steps = [end - begin for begin, end in times[1:]]
    return statistics.mean(steps), statistics.mean(waits)


if __name__ == "__main__":
    main()
