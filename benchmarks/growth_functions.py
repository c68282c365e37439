"""Losses and metrics of growth.py: their cost over talkers or length."""

import functools
from collections.abc import Callable

import torch
from measure import interleave, peak_memory, watch_memory
from torch import Tensor

from speechbrain_fusion.losses import pit_si_sdr_loss
from speechbrain_fusion.metrics import (
    composite,
    ild_error,
    itd_error,
    mbstoi,
    pesq,
    sdr,
    si_sdr,
    stoi,
)

RATE = 16000
# Numbers of talkers, and seconds
SIZES = {"talkers": (2, 4, 8, 16), "length": (2.0, 4.0, 8.0, 16.0)}


def pit(reference: Tensor, estimate: Tensor) -> None:
    """Compute the loss and its gradient."""
    estimate.requires_grad_()
    torch.autograd.grad(pit_si_sdr_loss(reference, estimate), estimate)


# The axis, how many signals an item has beside it, and the function
FUNCTIONS: dict[str, tuple[str, int, Callable[[Tensor, Tensor], object]]] = {
    "PIT over talkers": ("talkers", 0, pit),
    "PIT": ("length", 2, pit),
    "SI-SDR": ("length", 2, si_sdr),
    "SDR": ("length", 2, sdr),
    "PESQ": ("length", 2, functools.partial(pesq, rate=RATE, jobs=1)),
    "STOI": ("length", 2, functools.partial(stoi, rate=RATE, jobs=1)),
    "MBSTOI": ("length", 2, functools.partial(mbstoi, rate=RATE)),
    "composite": ("length", 1, functools.partial(composite, rate=RATE, jobs=1)),
    "ILD error": ("length", 2, functools.partial(ild_error, rate=RATE)),
    "ITD error": ("length", 2, functools.partial(itd_error, rate=RATE)),
}


def measure_function(
    name: str, sizes: tuple[float, ...], rounds: int, threads: int, clock_name: str
) -> list[tuple[float, float]]:
    """Return, for each size, the least time in s, and the memory in MiB that it adds.

    Sizes grow, so that each has the largest memory until then.
    """
    torch.set_num_threads(threads)
    axis, signals, function = FUNCTIONS[name]
    function(*make_pair(SIZES["length"][0] / 2, signals or 2))
    rest, found = watch_memory("cpu"), []
    for size in sizes:
        longer = axis == "length"
        pair = make_pair(size, signals) if longer else make_pair(1.0, int(size))
        way = {name: functools.partial(function, *pair)}
        times = interleave(way, rounds, "cpu", clock_name)
        found.append((min(times[name]), peak_memory("cpu") - rest))
    return found


def make_pair(seconds: float, signals: int) -> tuple[Tensor, Tensor]:
    """Modulated noise, and more noise on it: [2, signals, time], or [2, time]."""
    generator = torch.Generator().manual_seed(0)
    samples = round(seconds * RATE)
    clean, noise = torch.randn(2, 2, signals, samples, generator=generator)
    wave = 2 * torch.pi * 4 * torch.arange(samples) / RATE
    clean = clean * (1.05 + torch.sin(wave))
    pair = clean, clean + 0.3 * noise
    return pair if signals > 1 else (pair[0][:, 0], pair[1][:, 0])
