"""Metrics of a batch beside what is used elsewhere: time and agreement.

    python benchmarks/metrics.py [--batch 8] [--seconds 4] [--rate 8000] [--jobs 1]

SI-SDR beside torchmetrics', BSS Eval's SDR beside torchmetrics' and mir_eval's, PIT
beside torchmetrics', STOI beside a loop of pystoi (whose score ours is, over several
processes with --jobs). Rounds interleaved; a peer that is missing is left out.
"""

import argparse
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
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
from peers import find, installation
from torch import Tensor

from speechbrain_fusion.losses import pit_si_sdr_loss
from speechbrain_fusion.metrics import sdr, si_sdr, stoi

HEADER = ("metric", "peer", "ours, ms", "peer, ms", "ratio (range)", "difference")
Score = Callable[[Tensor, Tensor], Any]


def main() -> None:
    """Measure and print a table."""
    parser = options(__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rate", type=int, default=8000)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parse(parser)
    if arguments.jobs != 1 and arguments.clock == "processor":
        parser.error("--jobs: the processor's clock sees one process alone")
    print_table(HEADER, compare_all(arguments))


def compare_all(arguments: argparse.Namespace) -> Iterator[tuple[object, ...]]:
    """Yield a row for each metric and peer."""
    generator = torch.Generator().manual_seed(0)
    shape = 2, arguments.batch, 2, round(arguments.seconds * arguments.rate)
    clean, noise = torch.randn(shape, generator=generator)
    envelope = torch.arange(shape[-1]) / arguments.rate
    clean = clean * (1.05 + torch.sin(2 * torch.pi * 4 * envelope))
    pair = clean, clean + 0.3 * noise
    for name, (ours, peers) in metrics(arguments.rate, arguments.jobs).items():
        for peer, score in peers.items():
            yield compare(name, peer, ours, score, pair, arguments)


def compare(
    name: str,
    peer: str,
    ours: Score,
    theirs: Callable[[Any], Score],
    pair: tuple[Tensor, Tensor],
    arguments: argparse.Namespace,
) -> tuple[object, ...]:
    """Return a row of the table."""
    ways: dict[str, Score] = {"ours": ours}
    if (module := find(peer)) is not None:
        ways["theirs"] = theirs(module)
    calls = {way: functools.partial(score, *pair) for way, score in ways.items()}
    seconds = interleave(calls, arguments.rounds, "cpu", arguments.clock)
    times = {way: scaled(x, 1e3 / len(pair[0])) for way, x in seconds.items()}
    here, there = times["ours"], times.get("theirs")
    case = (
        f"{name}, {arguments.batch} x 2 x {arguments.seconds:g} s, {arguments.rate} Hz"
    )
    record("Metrics, an item", case, here, "ms", peer, there)
    if there is None:
        return name, peer, f"{middle(here):.2f}", installation(peer), "", ""
    values = [torch.as_tensor(np.asarray(call())) for call in calls.values()]
    difference = (values[0] - values[1]).abs().max()
    medians = [f"{middle(x):.2f}" for x in (here, there)]
    return name, peer, *medians, ratio(there, here), f"{difference:.1e}"


def metrics(
    rate: int, jobs: int
) -> dict[str, tuple[Score, dict[str, Callable[[Any], Score]]]]:
    """Return our metrics, and how each peer's is made of its module."""

    def pit(reference: Tensor, estimate: Tensor) -> Tensor:
        return pit_si_sdr_loss(reference, estimate, reduction="none")

    return {
        "SI-SDR": (si_sdr, {"torchmetrics": torchmetrics_si_sdr}),
        "SDR": (sdr, {"torchmetrics": torchmetrics_sdr, "mir_eval": mir_eval_sdr}),
        "PIT SI-SDR": (pit, {"torchmetrics": torchmetrics_pit}),
        "STOI": (
            functools.partial(stoi, rate=rate, jobs=jobs),
            {"pystoi": functools.partial(pystoi_loop, rate=rate)},
        ),
    }


def torchmetrics_si_sdr(module: Any) -> Score:
    """Return torchmetrics' SI-SDR, with our order of arguments."""
    score = module.scale_invariant_signal_distortion_ratio
    return lambda reference, estimate: score(estimate, reference, zero_mean=True)


def torchmetrics_sdr(module: Any) -> Score:
    """Return torchmetrics' SDR in float64, as ours."""
    score = module.signal_distortion_ratio
    return lambda reference, estimate: score(estimate.double(), reference.double())


def torchmetrics_pit(module: Any) -> Score:
    """Return torchmetrics' SI-SDR under the best permutation, negative as a loss."""
    score = module.scale_invariant_signal_distortion_ratio

    def pit(reference: Tensor, estimate: Tensor) -> Tensor:
        best, _ = module.permutation_invariant_training(
            estimate, reference, score, zero_mean=True
        )
        return -best

    return pit


def mir_eval_sdr(module: Any) -> Score:
    """Return a loop over mir_eval's BSS Eval of one source at a time."""

    def loop(reference: Tensor, estimate: Tensor) -> list[list[float]]:
        score = module.bss_eval_sources
        return [
            [float(score(s[None], y[None])[0][0]) for s, y in zip(*item, strict=True)]
            for item in zip(reference.numpy(), estimate.numpy(), strict=True)
        ]

    return loop


def pystoi_loop(module: Any, rate: int) -> Score:
    """Return a loop over pystoi."""

    def loop(reference: Tensor, estimate: Tensor) -> list[list[float]]:
        return [
            [module.stoi(s, y, rate) for s, y in zip(*item, strict=True)]
            for item in zip(reference.numpy(), estimate.numpy(), strict=True)
        ]

    return loop


if __name__ == "__main__":
    main()
