"""Training steps of the published systems: time, memory, waiting for data.

    python benchmarks/training_step.py [--tables methods throughput data]
        [--systems clarity] [--threads 1] [--clock processor] [--device cuda]
    python benchmarks/training_step.py --tables throughput
        [--systems librimix_noisy/dprnn timit/causal ...]
        [--modes fp32 bf16 bf16+compile] [--batches 1 2] [--seconds 2 4]

A step is forward, loss, backward and the optimizer. Three tables:

methods: the step of the binaural networks (SI-SDR, Adam) beside the same networks with
plain dilated depthwise convolutions.

throughput: seconds of audio per second and peak memory of every YAML of a published
size, by mode, batch and length. A step is that of the recipe's own Brain, with its
losses; of shared latent spaces that of stage two. Modes are the recipes' own options:
fp32 (on a GPU with TF32, as SpeechBrain trains), bf16 (--precision bf16) and
bf16+compile (--compile besides). On a GPU all three are the default, on the batch and
length of the YAML. On a CPU fp32 on one example of 2 s is: the batches are made for
GPUs, and compiling takes minutes for each network. The first steps, in which it is
compiled, are not counted. What does not compile or not fit into memory says so in its
row, and the rest goes on.

data: the share of a step spent waiting for data, when the binaural recipe's YAML trains
on scenes rendered from the demo corpus.

Memory is what steps add to a process at rest (compiled, also what the compiler keeps),
or all of a GPU's, in a new process each.
"""

import argparse
import functools
import itertools
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch
from depthwise import plain_depthwise
from measure import (
    in_new_process,
    interleave,
    middle,
    on_gpu,
    options,
    parse,
    peak_memory,
    print_table,
    ratio,
    record,
    watch_memory,
)
from recipe_step import make_batch, make_brain, step_of
from result_table import number
from systems import (
    PUBLISHED_BINAURAL,
    YAMLS,
    make,
    published,
    sample_rate,
    training_batch,
)
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException

from speechbrain_fusion.brains import EnhancementBrain, start_run
from speechbrain_fusion.losses import si_sdr_loss
from speechbrain_fusion.messages import first_line
from speechbrain_fusion.nnet import DepthwiseConv
from speechbrain_fusion.nnet.convolution import direct_depthwise

RECIPE = Path(__file__).parents[1] / "recipes" / "binaural" / "train.py"
METHODS: dict[str, Callable[..., Tensor] | None] = {
    "plain": plain_depthwise,
    "direct": direct_depthwise,
    "auto": None,
}
# Run options of the recipes
COMPILE = "--compile"
MODES = {
    "fp32": (),
    "bf16": ("--precision=bf16",),
    "bf16+compile": ("--precision=bf16", COMPILE),
}
ON_CPU: dict[str, list] = {"modes": ["fp32"], "batches": [1], "seconds": [2.0]}
# Steps before those that are counted, and one more with them
WARM_UP = 2
# What libraries say where a system's memory, or a GPU's, is not enough
NO_MEMORY = ("out of memory", "can't allocate memory", "ALLOC_FAILED")
LONGEST = 100


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
    parser.add_argument("--systems", nargs="+", choices=[*YAMLS, *published()])
    parser.add_argument("--modes", nargs="+", choices=MODES)
    parser.add_argument("--length", type=float, default=4.0, help="of methods, in s")
    parser.add_argument("--batches", type=int, nargs="+")
    parser.add_argument("--seconds", type=float, nargs="+")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--scenes", type=int, default=40)
    arguments = parse(parser, device=True)
    if arguments.scenes < 8:
        parser.error(f"--scenes: expected 8 or more, got {arguments.scenes}")
    return arguments


def methods(arguments: argparse.Namespace) -> None:
    """Time of a step by method of the depthwise convolutions."""
    systems = arguments.systems or PUBLISHED_BINAURAL
    header = [f"{method}, s" for method in METHODS]
    rows = (compare(name, arguments) for name in systems)
    print_table(("system", *header, "plain / auto (range)"), rows)


def compare(name: str, arguments: argparse.Namespace) -> tuple[object, ...]:
    """Return a row of the methods' table."""
    size = 2, arguments.length
    steps = {
        method: make_step(name, *size, method, arguments.device) for method in METHODS
    }
    times = interleave(steps, arguments.rounds, arguments.device, arguments.clock)
    medians = [f"{middle(times[method]):.3f}" for method in METHODS]
    pair = times["auto"], "s", "PyTorch", times["plain"]
    case = f"{name}, 2 x {arguments.length:g} s, threads: {arguments.threads}"
    record("Training step, dilated convolutions", case, *pair)
    return name, *medians, ratio(times["plain"], times["auto"])


def make_step(
    name: str, batch: int, seconds: float, method: str, device: str
) -> Callable[[], None]:
    """Return a function that takes one training step."""
    rate, model = sample_rate(name), make(name).to(device)
    for layer in model.modules():
        if isinstance(layer, DepthwiseConv) and METHODS[method] is not None:
            layer.convolve = METHODS[method]
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    target, mixture = torch.randn(2, batch, 2, round(rate * seconds), device=device)
    return functools.partial(step, model, optimizer, target, mixture)


def step(
    model: nn.Module, optimizer: torch.optim.Optimizer, target: Tensor, mixture: Tensor
) -> None:
    """Take one training step."""
    optimizer.zero_grad()
    si_sdr_loss(target, model(mixture)).backward()
    optimizer.step()


def throughput(arguments: argparse.Namespace) -> None:
    """Seconds of audio per second in training, and peak memory of a step."""
    header = ("system", "mode", "batch", "length, s", "audio s / s")
    rows = (measure_cell(arguments, *cell) for cell in cells(arguments))
    print_table((*header, "memory, MiB", "MiB per s of audio"), rows)


def cells(arguments: argparse.Namespace) -> Iterator[tuple[str, str, int, float]]:
    """Yield system, mode, batch and seconds of each row."""
    given = {key: x for key in ON_CPU if (x := getattr(arguments, key)) is not None}
    for name in arguments.systems or published():
        default = on_a_gpu(name) if on_gpu(arguments.device) else ON_CPU
        chosen = {**default, **given}
        yield from ((name, *cell) for cell in itertools.product(*chosen.values()))


def on_a_gpu(name: str) -> dict[str, list]:
    """Return all modes, and the batch and length that a system's YAML trains on."""
    batch, seconds = training_batch(name)
    return {"modes": [*MODES], "batches": [batch], "seconds": [seconds]}


def measure_cell(
    arguments: argparse.Namespace, name: str, mode: str, batch: int, seconds: float
) -> tuple:
    """Return a row of the throughput's table."""
    audio = batch * seconds
    case = f"{name}, {mode}, {batch} x {seconds:g} s"
    begin = name, mode, batch, f"{seconds:g}"
    try:
        found = in_new_process(
            measure_step, arguments, name, batch, seconds, MODES[mode]
        )
    except BrokenProcessPool:
        found = "the system ended the process: out of memory?"
    if isinstance(found, str):
        record("Training, throughput", case, found, "")
        return *begin, found.replace("|", "\\|"), "", ""
    median, memory = found
    record("Training, throughput", case, audio / median, "audio s / s")
    record("Training, memory", case, memory / audio, "MiB / s of audio")
    return *begin, number(audio / median), f"{memory:.0f}", f"{memory / audio:.0f}"


def measure_step(
    arguments: argparse.Namespace,
    name: str,
    batch: int,
    seconds: float,
    run_options: tuple[str, ...],
) -> tuple[float, float] | str:
    """Return the median time of a step and the memory that steps add, in MiB.

    Or why there are none: not every error of a compiler can be sent to another process.
    """
    torch.set_num_threads(arguments.threads)
    device = arguments.device
    with tempfile.TemporaryDirectory() as folder:
        try:
            brain = make_brain(name, {}, folder, [f"--device={device}", *run_options])
            if COMPILE in run_options:
                check_compiled(brain)
            take = step_of(brain, make_batch(brain, name, batch, seconds))
            rest = watch_memory(device)
            for _ in range(WARM_UP):
                take()
            # what compiling took is none of a step's
            watch_memory(device)
            times = interleave({"": take}, arguments.rounds, device, arguments.clock)
        except Exception as error:
            traceback.print_exc()
            return reason(error)
    return statistics.median(times[""]), peak_memory(device) - rest


def check_compiled(brain: EnhancementBrain) -> None:
    """Refuse a network that is not compiled: upstream goes on without, and warns."""
    for name, module in brain.modules.items():
        if not hasattr(module, "_orig_mod"):
            raise RuntimeError(f"torch.compile refused {name}")


def reason(error: Exception) -> str:
    """Say in a few words why a step cannot be measured."""
    inner = getattr(error, "inner_exception", error)
    said = f"{type(inner).__name__}: {first_line(inner)}"
    lacking = isinstance(inner, torch.OutOfMemoryError | MemoryError)
    if lacking or any(words in said for words in NO_MEMORY):
        return "out of memory"
    if isinstance(error, TorchDynamoException):
        said = f"does not compile: {said}"
    return said if len(said) <= LONGEST else f"{said[: LONGEST - 3]}..."


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
