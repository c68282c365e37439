"""MBSTOI of a batch of binaural scenes beside pyclarity's: time and agreement.

    python benchmarks/mbstoi.py [--scenes 8] [--seconds 2] [--rate 16000] [--rounds 3]

Prints the peer's time per scene over ours, medians of interleaved rounds, with one
thread and with all, the largest difference between the scores, and what the loss costs
in training. On a machine with other work the processor's time says more. The peer
installs without its dependencies:

    pip install --no-deps pyclarity==0.9.0
"""

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from speechbrain_fusion.losses import MBSTOILoss
from speechbrain_fusion.metrics import mbstoi

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def main() -> None:
    """Measure in a process of its own for each number of threads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rate", type=int, default=16000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--here", action="store_true", help="with the threads there are"
    )
    arguments = parser.parse_args()
    if importlib.util.find_spec("clarity") is None:
        sys.exit("pyclarity is missing: pip install --no-deps pyclarity==0.9.0")
    if arguments.here:
        print(f"threads: {torch.get_num_threads()}", flush=True)
        compare(arguments)
        training(arguments.rounds)
        return
    for limit in (dict.fromkeys(THREADS, "1"), {}):
        unlimited = {k: v for k, v in os.environ.items() if k not in THREADS}
        command = [sys.executable, *sys.argv, "--here"]
        subprocess.run(command, check=True, env=unlimited | limit)


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


def compare(arguments: argparse.Namespace) -> None:
    """Print times, their ratio and the difference of the scores."""
    from clarity.evaluator.mbstoi import mbstoi as peer

    clean, processed = scenes(arguments.scenes, arguments.seconds, arguments.rate)
    rows = torch.cat([clean, processed], 1).numpy()

    def ours() -> list[float]:
        return mbstoi(clean, processed, arguments.rate).tolist()

    def theirs() -> list[float]:
        return [float(peer(*row, arguments.rate)) for row in rows]

    ours()
    rounds = [[timed(way) for way in (ours, theirs)] for _ in range(arguments.rounds)]
    size = f"{arguments.scenes} scenes of {arguments.seconds:g} s"
    for name, column in (("elapsed", 0), ("processor", 1)):
        here, there = (
            1e3 * statistics.median(x[way][column] for x in rounds) / len(rows)
            for way in (0, 1)
        )
        print(
            f"{size}, {name} time of one: {here:.1f} ms, pyclarity {there:.0f} ms, "
            f"ratio {there / here:.0f}"
        )
    scores = zip(*(x[2] for x in rounds[0]), strict=True)
    print(f"largest difference: {max(abs(a - b) for a, b in scores):.1e}")


def timed(work: Callable[[], list[float]]) -> tuple[float, float, list[float]]:
    """Return the elapsed and the processor's seconds, and what work returns."""
    start = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - start[0], time.process_time() - start[1], result


def training(rounds: int) -> None:
    """Print the time of the loss and its gradient: 2 items of 4 s at 8 kHz."""
    clean, processed = (x.float() for x in scenes(2, 4.0, 8000))
    loss = MBSTOILoss(8000)
    processed.requires_grad_()

    def step() -> list[float]:
        torch.autograd.grad(loss(clean, processed), processed)
        return []

    step()
    times = [timed(step) for _ in range(5 * rounds)]
    elapsed, processor = (1e3 * statistics.median(x[i] for x in times) for i in (0, 1))
    print(
        f"loss and gradient, 2 items of 4 s at 8 kHz: {elapsed:.0f} ms elapsed, "
        f"{processor:.0f} ms processor time",
        flush=True,
    )


if __name__ == "__main__":
    main()
