"""Gradient modulation: time and memory beside the plain joint step and TorchJD.

    python benchmarks/modulation.py [--systems dprnn sepformer] [--ways ...]
        [--channels 256] [--batch 1] [--seconds 1] [--device cuda]

The unified separator in the published sizes (`--channels`: narrower), for two talkers:
as DPRNN, its encoder and enhancement network are a quarter of its parameters; as
SepFormer, an eighth. A step is forward, both losses, backward, clipping and Adam, by
each Brain's own `fit_batch`, rounds interleaved. The ways:

- plain: upstream's Brain on the weighted sum.
- modulated: GradientModulationBrain, one projection per tensor.
- mtl_backward: TorchJD as its README has it, told the enhanced features and the
  parameters of either side, gradients aggregated by PCGrad; by default it goes through
  the shared part with both losses at once (vmap), with `parallel_chunk_size=1` in turn.
- backward: TorchJD not told where the networks part.

Without TorchJD the first two alone are measured. It gets no vmap where it says that it
cannot (LSTMs on GPUs). Memory is measured to the byte: what a step allocates at its
peak, which includes what a pass through the shared part needs while it runs; and what
it keeps when the main loss begins its pass, in copies of the shared parameters more
than plain (on CPU).
"""

import argparse
import functools
import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import speechbrain as sb
import torch
from measure import (
    interleave,
    middle,
    on_gpu,
    options,
    parse,
    print_table,
    ratio,
    record,
)
from peers import find
from systems import make
from torch import Tensor, nn

from speechbrain_fusion.brains import GradientModulationBrain
from speechbrain_fusion.losses import latent_loss, pit_si_sdr_loss
from speechbrain_fusion.models.unified import Separation, UnifiedSeparator

if find("TorchJD"):
    from torchjd.aggregation import PCGrad, Sum
    from torchjd.autojac import backward, jac_to_grad, mtl_backward

RATE = 8000
WEIGHT = 0.1
SHARED = ("encoder", "enhancement")
MARK = "the main loss begins its backward pass"


class Memory(NamedTuple):
    """Bytes that a step allocates: at most, and when the main loss is differentiated.

    Not a number where that is not measured.
    """

    peak: int
    kept: float = math.nan


def main() -> None:
    """Print a table of times and one of memory for each system."""
    arguments = parse_all()
    for system in arguments.systems:
        brains = make_brains(system, arguments)
        total, shared = count(brains["plain"])
        print(
            f"\n{system}: {total} parameters, {shared / total:.3f} of them shared; "
            f"{arguments.channels} channels, {arguments.threads} threads, "
            f"{arguments.clock} time\n"
        )
        tabulate_times(system, brains, arguments)
        print()
        tabulate_memory(system, brains, shared, arguments)


def parse_all() -> argparse.Namespace:
    """Parse the command line."""
    parser = options(__doc__)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0)
    return parse(parser, device=True)


# What makes a network narrower, beside its features
INNER = {"dprnn": ("hidden", 1), "sepformer": ("feedforward", 4)}
SYSTEMS = list(INNER)


def make_system(name: str, channels: int) -> UnifiedSeparator:
    """Return the published system of a name, or a narrower one."""
    key, factor = INNER[name]
    inner = {key: factor * channels}
    return make(name, filters=channels, enhancement=inner, separation=inner)


def mark(gradient: Tensor) -> None:
    """Let a profile show the time."""
    with torch.profiler.record_function(MARK):
        pass


class Separator:
    """What all Brains share: the talkers of a batch [batch, talkers, time]."""

    modules: nn.ModuleDict

    def compute_forward(self, batch: Tensor, stage: sb.Stage) -> Separation:
        """Separate the sum of the talkers and a noise."""
        clean = batch.sum(1)
        noisy = clean + 0.5 * torch.randn_like(clean)
        return self.modules.model(noisy, clean=clean)

    def losses(self, outputs: Separation, batch: Tensor) -> dict[str, Tensor]:
        """Return the loss of either network."""
        separation = pit_si_sdr_loss(batch, outputs.signals)
        separation.register_hook(mark)
        enhancement = latent_loss(outputs.clean, outputs.enhanced)
        return {"separation": separation, "enhancement": enhancement}


class Modulated(Separator, GradientModulationBrain):
    """Ours."""

    def compute_objectives(
        self, outputs: Separation, batch: Tensor, stage: sb.Stage
    ) -> dict[str, Tensor]:
        """Return the named losses."""
        return self.losses(outputs, batch)


class Plain(Separator, sb.Brain):
    """Upstream's."""

    def compute_objectives(
        self, outputs: Separation, batch: Tensor, stage: sb.Stage
    ) -> Tensor:
        """Return the weighted sum."""
        losses = self.losses(outputs, batch)
        return losses["separation"] + WEIGHT * losses["enhancement"]


class Parted(Plain):
    """TorchJD, told where the networks part."""

    chunk: int | None = None

    def fit_batch(self, batch: Tensor) -> Tensor:
        """Take a step."""
        outputs = self.compute_forward(batch, sb.Stage.TRAIN)
        losses = self.losses(outputs, batch)
        main, other = losses["separation"], WEIGHT * losses["enhancement"]
        self.differentiate([main, other], outputs)
        self.optimizers_step()
        return (main + other).detach().cpu()

    def differentiate(self, losses: list[Tensor], outputs: Separation) -> None:
        """Give each parameter its gradient."""
        shared, own = split(self)
        mtl_backward(
            losses,
            outputs.enhanced,
            tasks_params=[own, []],
            shared_params=shared,
            parallel_chunk_size=self.chunk,
        )
        jac_to_grad(shared, PCGrad())


class PartedInTurn(Parted):
    """TorchJD, told where the networks part, one loss after the other."""

    chunk = 1


class Whole(Parted):
    """TorchJD, given losses and parameters."""

    def differentiate(self, losses: list[Tensor], outputs: Separation) -> None:
        """Give each parameter its gradient."""
        shared, own = split(self)
        backward(losses, inputs=[*shared, *own], parallel_chunk_size=self.chunk)
        jac_to_grad(shared, PCGrad())
        jac_to_grad(own, Sum())


class WholeInTurn(Whole):
    """TorchJD, given losses and parameters, one loss after the other."""

    chunk = 1


WAYS: dict[str, type[Separator]] = {
    "plain": Plain,
    "modulated": Modulated,
    "mtl_backward": Parted,
    "mtl_backward in turn": PartedInTurn,
    "backward": Whole,
    "backward in turn": WholeInTurn,
}
OURS = ("plain", "modulated")


def make_brains(system: str, arguments: argparse.Namespace) -> dict[str, sb.Brain]:
    """Return a Brain with a model of its own for each way."""
    # torch.vmap does not know cuDNN's recurrent layers
    limited = system == "dprnn" and on_gpu(arguments.device)
    wanted = {*arguments.ways, *OURS} if find("TorchJD") else {*OURS}
    hparams = {
        "gradient_modulation": {
            "main": "separation",
            "weights": {"enhancement": WEIGHT},
            "shared": [f"model.{name}" for name in SHARED],
        }
    }
    brains = {
        name: way(
            {"model": make_system(system, arguments.channels)},
            functools.partial(torch.optim.Adam, lr=1.5e-4),
            hparams,
            {"device": arguments.device, "noprogressbar": True},
        )
        for name, way in WAYS.items()
        if name in wanted and not (limited and name in ("mtl_backward", "backward"))
    }
    for brain in brains.values():
        brain.on_fit_start()
        brain.modules.train()
    return brains


def split(brain: sb.Brain) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the parameters that both losses reach, and the others."""
    sides: tuple[list[nn.Parameter], list[nn.Parameter]] = [], []
    for name, parameter in brain.modules.model.named_parameters():
        sides[not name.startswith(SHARED)].append(parameter)
    return sides


def count(brain: sb.Brain) -> tuple[int, int]:
    """Return how many values all parameters and the shared ones have."""
    shared, own = (sum(p.numel() for p in side) for side in split(brain))
    return shared + own, shared


def make_steps(
    brains: dict[str, sb.Brain], arguments: argparse.Namespace
) -> dict[str, Callable[[], object]]:
    """Return functions that take a step, all on the same batch."""
    shape = arguments.batch, 2, round(RATE * arguments.seconds)
    batch = torch.randn(shape, device=arguments.device)
    return {
        name: functools.partial(brain.fit_batch, batch)
        for name, brain in brains.items()
    }


def tabulate_times(
    system: str, brains: dict[str, sb.Brain], arguments: argparse.Namespace
) -> None:
    """Print the time of a step by way."""
    steps = make_steps(brains, arguments)
    times = interleave(steps, arguments.rounds, arguments.device, arguments.clock)
    rows = [
        (
            name,
            f"{middle(seconds):.3f}",
            ratio(seconds, times["plain"]),
            ratio(seconds, times["modulated"]),
        )
        for name, seconds in times.items()
    ]
    print_table(("way", "step, s", "way / plain (range)", "way / modulated"), rows)
    ours = times["modulated"], "s"
    for name in WAYS:
        if name != "modulated" and (name in brains or not find("TorchJD")):
            case = f"{system} beside {name}"
            record(
                "Gradient modulation, step", case, *ours, peer_of(name), times.get(name)
            )


def peer_of(way: str) -> str:
    """Name the library of a way that is not ours."""
    return "SpeechBrain" if way == "plain" else "TorchJD"


def tabulate_memory(
    system: str,
    brains: dict[str, sb.Brain],
    shared: int,
    arguments: argparse.Namespace,
) -> None:
    """Print what a step allocates, beside the plain one."""
    steps = make_steps(brains, arguments)
    # by now each optimizer has what it keeps
    memory = {name: measure(step, arguments.device) for name, step in steps.items()}
    rows = (
        (name, f"{peak / 2**20:.1f}", *extra(memory[name], memory["plain"], shared))
        for name, (peak, _) in memory.items()
    )
    print_table(("way", "peak, MiB", "more, %", "kept, copies"), rows)
    ours = memory.pop("modulated").peak / 2**20, "MiB"
    for name, (peak, _) in memory.items():
        peer, case = peer_of(name), f"{system} beside {name}"
        record("Gradient modulation, memory", case, *ours, peer, peak / 2**20)


def extra(ours: Memory, plain: Memory, shared: int) -> tuple[str, str]:
    """Return how much more the peak is, and how many copies more are kept."""
    more = 100 * (ours.peak / plain.peak - 1)
    return f"{more:+.2f}", f"{(ours.kept - plain.kept) / (4 * shared):+.2f}"


def measure(step: Callable[[], object], device: str) -> Memory:
    """Return what a step allocates, beyond what there was before."""
    if on_gpu(device):
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        step()
        return Memory(torch.cuda.max_memory_allocated(device) - before)
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        step()
    events = sorted(
        profile.profiler.kineto_results.events(), key=lambda event: event.start_ns()
    )
    names = [event.name() for event in events]
    changes = [event.nbytes() * (event.name() == "[memory]") for event in events]
    balance = list(itertools.accumulate(changes))
    return Memory(max(balance), balance[names.index(MARK)])


if __name__ == "__main__":
    main()
