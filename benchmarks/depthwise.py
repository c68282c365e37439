"""Depthwise convolution by FFT and by the direct sum: forward and backward.

    python benchmarks/depthwise.py [--device cuda]

Prints the time of the direct sum over that of the FFT for the published configurations'
shapes; above one the FFT wins. `nnet.convolution.FFT_KERNEL` follows from it.
"""

import argparse
import statistics
import time

import torch
from torch import Tensor

from speechbrain_fusion.nnet.convolution import (
    direct_depthwise,
    fft_depthwise,
    same_padding,
)

TAPS = (3, 8, 16, 32, 64, 128, 256)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print("taps  dilation  direct / FFT (batch 2, 2 ears, 64 channels, 4000 frames)")
    for taps in TAPS:
        for dilation in (1, 2):
            ratio = compare(taps, dilation, arguments.device, arguments.rounds)
            print(f"{taps:4d}  {dilation:8d}  {ratio:12.2f}")


def compare(taps: int, dilation: int, device: str, rounds: int) -> float:
    """Return the median over rounds of the ratio of times."""
    x = torch.randn(2, 2, 64, 4000, device=device, requires_grad=True)
    weight = torch.randn(2, 64, taps, device=device, requires_grad=True)
    padding = same_padding(taps, dilation, causal=True)

    def seconds(convolve) -> float:
        start = time.perf_counter()
        y: Tensor = convolve(x, weight, dilation, padding)
        torch.autograd.grad(y.sum(), (x, weight))
        if x.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - start

    ways = (direct_depthwise, fft_depthwise)
    times = [[seconds(way) for way in ways] for _ in range(rounds + 1)][1:]
    return statistics.median(direct / fft for direct, fft in times)


if __name__ == "__main__":
    main()
