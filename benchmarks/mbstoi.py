"""MBSTOI of a batch of binaural scenes beside pyclarity's: time and agreement.

    python benchmarks/mbstoi.py [--scenes 8] [--seconds 2] [--rate 16000] [--threads 2]

Prints the peer's time per scene over ours, the largest difference between the scores,
and what the loss costs in training. Without the peer ours alone is measured.
"""

import argparse
import functools
import os

import torch
from measure import (
    in_new_process,
    interleave,
    middle,
    options,
    parse,
    print_table,
    ratio,
    record,
    scaled,
)
from peers import find, installation
from torch import Tensor

from speechbrain_fusion.losses import MBSTOILoss
from speechbrain_fusion.metrics import mbstoi

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
HEADER = ("work", "ours, ms", "pyclarity, ms", "ratio (range)", "largest difference")


def main() -> None:
    """Measure in a process whose libraries all have the same number of threads."""
    parser = options(__doc__, rounds=3)
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rate", type=int, default=16000)
    arguments = parse(parser)
    os.environ.update(dict.fromkeys(THREADS, str(arguments.threads)))
    print_table(HEADER, in_new_process(measure, arguments))


def measure(arguments: argparse.Namespace) -> list[tuple[object, ...]]:
    """Return both rows of the table."""
    torch.set_num_threads(arguments.threads)
    return [compare(arguments), training(arguments)]


def scenes(count: int, seconds: float, rate: int) -> tuple[Tensor, Tensor]:
    """Modulated noise on the left as talkers, and noise from the right on it."""
    generator = torch.Generator().manual_seed(0)
    samples, delay = round(seconds * rate), round(3e-4 * rate)
    talker, noise = torch.randn(
        2, count, samples, generator=generator, dtype=torch.float64
    )
    wave = 2 * torch.pi * 4 * torch.arange(samples) / rate
    talker = talker * (1.05 + torch.sin(wave + torch.arange(count)[:, None]))
    clean = torch.stack([talker, 0.7 * talker.roll(delay, -1)], 1)
    snr = torch.linspace(-12, 12, count)[:, None, None]
    heard = torch.stack([0.7 * noise.roll(delay, -1), noise], 1)
    return clean, clean + 10 ** (-snr / 20) * heard


def compare(arguments: argparse.Namespace) -> tuple[object, ...]:
    """Return a row: the metric of a scene."""
    clean, processed = scenes(arguments.scenes, arguments.seconds, arguments.rate)
    rows, peer = torch.cat([clean, processed], 1).numpy(), find("pyclarity")

    def ours() -> list[float]:
        return mbstoi(clean, processed, arguments.rate).tolist()

    def theirs() -> list[float]:
        return [float(peer.mbstoi(*row, arguments.rate)) for row in rows]

    ways = [ours, theirs] if peer else [ours]
    named = {way.__name__: way for way in ways}
    seconds = interleave(named, arguments.rounds, "cpu", arguments.clock)
    times = [scaled(values, 1e3 / len(rows)) for values in seconds.values()]
    case = f"batch of {arguments.scenes}, {arguments.seconds:g} s, {arguments.rate} Hz"
    case = f"{case}, threads: {arguments.threads}"
    there = times[1] if peer else None
    record("MBSTOI, a scene", case, times[0], "ms", "pyclarity", there)
    if there is None:
        missing = f"missing: {installation('pyclarity')}"
        return case, f"{middle(times[0]):.1f}", missing, "", ""
    difference = max(abs(a - b) for a, b in zip(ours(), theirs(), strict=True))
    medians = [f"{middle(x):.1f}" for x in times]
    return case, *medians, ratio(there, times[0]), f"{difference:.1e}"


def training(arguments: argparse.Namespace) -> tuple[object, ...]:
    """Return a row: the loss and its gradient."""
    seconds = 2 * arguments.seconds
    clean, processed = (x.float() for x in scenes(2, seconds, 8000))
    loss = MBSTOILoss(8000)
    processed.requires_grad_()

    def step(target: Tensor) -> None:
        torch.autograd.grad(loss(target, processed), processed)

    ways = {"ours": functools.partial(step, clean)}
    found = interleave(ways, 5 * arguments.rounds, "cpu", arguments.clock)["ours"]
    case = f"2 scenes of {seconds:g} s, 8000 Hz, threads: {arguments.threads}"
    record("MBSTOI loss and gradient", case, scaled(found, 1e3), "ms")
    return f"loss and gradient, {case}", f"{1e3 * middle(found):.0f}", "", "", ""


if __name__ == "__main__":
    main()
