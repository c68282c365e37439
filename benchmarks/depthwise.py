"""Depthwise convolution, forward and backward: plain, by the direct sum, by FFT.

    python benchmarks/depthwise.py [--device cuda] [--threads 1] [--clock processor]

Plain is the library's dilated convolution. `nnet.convolution.FFT_TAPS` is the number of
taps at which direct sum and FFT take equally long.
"""

import argparse
import functools

import torch
import torch.nn.functional as F
from measure import interleave, print_table, ratio
from torch import Tensor

from speechbrain_fusion.nnet.convolution import (
    direct_depthwise,
    fft_depthwise,
    same_padding,
)

TAPS = (3, 8, 16, 32, 64, 96, 128, 256)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("Batch 2, 2 ears, 64 channels, 4000 frames; median of rounds (range)\n")
    rows = (
        (taps, dilation, *compare(taps, dilation, arguments))
        for taps in TAPS
        for dilation in (1, 2)
    )
    header = ("taps", "dilation", "plain / direct", "direct / FFT", "plain / FFT")
    print_table(header, rows)


def plain_depthwise(
    x: Tensor, weight: Tensor, dilation: int, padding: tuple[int, int]
) -> Tensor:
    """Convolve as `direct_depthwise` does, by the library's dilated convolution."""
    kernel = weight.flatten(0, 1).unsqueeze(1)
    padded = F.pad(x.flatten(1, 2), padding)
    y = F.conv1d(padded, kernel, dilation=dilation, groups=kernel.shape[0])
    return y.unflatten(1, x.shape[1:3])


def compare(
    taps: int, dilation: int, arguments: argparse.Namespace
) -> tuple[str, str, str]:
    """Return the ratios of the three times."""
    device = arguments.device
    x = torch.randn(2, 2, 64, 4000, device=device, requires_grad=True)
    weight = torch.randn(2, 64, taps, device=device, requires_grad=True)
    padding = same_padding(taps, dilation, causal=True)

    def both_ways(convolve) -> None:
        y: Tensor = convolve(x, weight, dilation, padding)
        torch.autograd.grad(y.sum(), (x, weight))

    ways = {
        way.__name__: functools.partial(both_ways, way)
        for way in (plain_depthwise, direct_depthwise, fft_depthwise)
    }
    plain, direct, fft = interleave(
        ways, arguments.rounds, device, arguments.clock
    ).values()
    return ratio(plain, direct), ratio(direct, fft), ratio(plain, fft)


if __name__ == "__main__":
    main()
