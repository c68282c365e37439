"""Depthwise convolution, forward and backward: plain, by the direct sum, by FFT.

    python benchmarks/depthwise.py [--taps 3 8 16] [--frames 4000] [--device cuda]

Plain is the library's dilated convolution, beside which the table of all benchmarks has
the way that the package takes. `nnet.convolution.FFT_TAPS` is the number of
taps at which direct sum and FFT take equally long.
"""

import argparse
import functools

import torch
import torch.nn.functional as F
from measure import interleave, options, parse, print_table, ratio, record
from torch import Tensor

from speechbrain_fusion.nnet.convolution import (
    direct_depthwise,
    fft_depthwise,
    fft_pays,
    same_padding,
)

TAPS = (3, 8, 16, 32, 64, 96, 128, 256)


def main() -> None:
    """Print the table."""
    parser = options(__doc__)
    parser.add_argument("--taps", type=int, nargs="+", default=TAPS)
    parser.add_argument("--frames", type=int, default=4000)
    arguments = parse(parser, device=True)
    size = f"batch 2, 2 ears, 64 channels, {arguments.frames} frames"
    print(f"{size.capitalize()}; median of rounds (range)\n")
    rows = (
        (taps, dilation, *compare(taps, dilation, arguments))
        for taps in arguments.taps
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
    x = torch.randn(2, 2, 64, arguments.frames, device=device, requires_grad=True)
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
    case = f"{taps} taps, dilation {dilation}"
    chosen = fft if fft_pays(taps, sum(padding), x.shape[-1], x.device.type) else direct
    record("Depthwise convolution and gradient", case, chosen, "s", "PyTorch", plain)
    return ratio(plain, direct), ratio(direct, fft), ratio(plain, fft)


if __name__ == "__main__":
    main()
