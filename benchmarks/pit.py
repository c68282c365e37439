"""Permutation invariant SI-SDR beside SpeechBrain's: time and agreement.

    python benchmarks/pit.py [--batch 16] [--seconds 4] [--rate 8000] [--talkers 2 3]

Prints, for each number of talkers, the milliseconds of a loss and its gradient and the
ratio, rounds interleaved. The peer copies the signals of every pair of talkers.
"""

import argparse
import functools
from collections.abc import Callable

import torch
from measure import (
    interleave,
    middle,
    options,
    parse,
    print_table,
    ratio,
    record,
    scaled,
)
from speechbrain.nnet.losses import get_si_snr_with_pitwrapper
from torch import Tensor

from speechbrain_fusion.losses.pit import pit_si_sdr_loss

Loss = Callable[[Tensor, Tensor], Tensor]
HEADER = (
    "talkers",
    "ours, ms",
    "SpeechBrain, ms",
    "ratio (range)",
    "largest difference, dB",
)


def main() -> None:
    """Measure and print a table."""
    parser = options(__doc__, rounds=7)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rate", type=int, default=8000)
    parser.add_argument("--talkers", type=int, nargs="+", default=[2, 3])
    arguments = parse(parser, device=True)
    samples = round(arguments.seconds * arguments.rate)
    print(
        f"{torch.get_num_threads()} threads, batch {arguments.batch}, {samples} samples"
    )
    shapes = [(arguments.batch, talkers, samples) for talkers in arguments.talkers]
    print_table(HEADER, (compare(shape, arguments) for shape in shapes))


def ours(reference: Tensor, estimate: Tensor) -> Tensor:
    """Return the loss of every item."""
    return pit_si_sdr_loss(reference, estimate, reduction="none")


def compare(
    shape: tuple[int, int, int], arguments: argparse.Namespace
) -> tuple[object, ...]:
    """Return a row of the table for one batch."""
    reference, noise = torch.randn(
        2, *shape, generator=torch.Generator().manual_seed(0)
    ).to(arguments.device)
    pair = [reference, reference.flip(1) + 0.3 * noise]
    # each gets the layout in memory that it asks for
    pairs = {ours: pair, get_si_snr_with_pitwrapper: [x.mT.contiguous() for x in pair]}

    def step(loss: Loss) -> Tensor:
        values = loss(pairs[loss][0], pairs[loss][1].requires_grad_())
        torch.autograd.grad(values.mean(), pairs[loss][1])
        return values.detach()

    ways = {loss.__name__: functools.partial(step, loss) for loss in pairs}
    seconds = interleave(ways, arguments.rounds, arguments.device, arguments.clock)
    here, there = (scaled(seconds[name], 1e3) for name in ways)
    case = f"{shape[1]} talkers, batch {shape[0]}, {shape[2]} samples"
    record("PIT SI-SDR and gradient", case, here, "ms", "SpeechBrain", there)
    values = [way() for way in ways.values()]
    numbers = (f"{middle(here):.1f}", f"{middle(there):.1f}", ratio(there, here))
    return shape[1], *numbers, f"{(values[0] - values[1]).abs().max():.1e}"


if __name__ == "__main__":
    main()
