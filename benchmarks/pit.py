"""Permutation invariant SI-SDR beside SpeechBrain's: time and agreement.

    python benchmarks/pit.py [--batch 16] [--seconds 4] [--rate 8000] [--rounds 7]

Prints, for 2 and 3 talkers, the milliseconds of a loss and its gradient and the ratio
of the medians, rounds interleaved, by the processor's time, which other work on the
machine disturbs least.
"""

import argparse
import functools
import statistics
from collections.abc import Callable

import torch
from measure import interleave, print_table
from speechbrain.nnet.losses import get_si_snr_with_pitwrapper
from torch import Tensor

from speechbrain_fusion.losses.pit import pit_si_sdr_loss

Loss = Callable[[Tensor, Tensor], Tensor]
HEADER = ("talkers", "ours, ms", "SpeechBrain, ms", "ratio", "largest difference, dB")


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rate", type=int, default=8000)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    samples = round(arguments.seconds * arguments.rate)
    print(
        f"{torch.get_num_threads()} threads, batch {arguments.batch}, {samples} samples"
    )
    shapes = [(arguments.batch, talkers, samples) for talkers in (2, 3)]
    print_table(HEADER, [compare(shape, arguments.rounds) for shape in shapes])


def ours(reference: Tensor, estimate: Tensor) -> Tensor:
    """Return the loss of every item."""
    return pit_si_sdr_loss(reference, estimate, reduction="none")


def compare(shape: tuple[int, int, int], rounds: int) -> tuple[object, ...]:
    """Return a row of the table for one batch."""
    reference, noise = torch.randn(
        2, *shape, generator=torch.Generator().manual_seed(0)
    )
    pair = [reference, reference.flip(1) + 0.3 * noise]
    # each gets the layout in memory that it asks for
    pairs = {ours: pair, get_si_snr_with_pitwrapper: [x.mT.contiguous() for x in pair]}

    def step(loss: Loss) -> Tensor:
        values = loss(pairs[loss][0], pairs[loss][1].requires_grad_())
        torch.autograd.grad(values.mean(), pairs[loss][1])
        return values.detach()

    ways = {loss.__name__: functools.partial(step, loss) for loss in pairs}
    seconds = interleave(ways, rounds, "cpu", "processor")
    here, there = (1e3 * statistics.median(seconds[name]) for name in ways)
    values = [way() for way in ways.values()]
    numbers = (f"{here:.1f}", f"{there:.1f}", f"{there / here:.1f}")
    return shape[1], *numbers, f"{(values[0] - values[1]).abs().max():.1e}"


if __name__ == "__main__":
    main()
