"""Temporal convolutions, forward and backward, beside SpeechBrain's MaskNet.

    python benchmarks/temporal_convolutions.py [--threads 1 2] [--rounds 5]
        [--clock processor] [--device cuda]

Both map a latent of N channels to a mask: input norm, 1x1, X R dilated blocks, 1x1,
ReLU, with equal hyper-parameters and one speaker. Ours does more: each block also has
the skip path, of B channels here (a quarter more multiplications), and biases. The
peer takes odd kernels only. On a machine with other work one thread and the
processor's time say more.
"""

import argparse
import itertools
import os
import statistics

import torch
from measure import interleave, print_table, ratio
from speechbrain.lobes.models.conv_tasnet import MaskNet
from torch import Tensor, nn

from speechbrain_fusion.nnet import PointwiseConv, TemporalConvNet

N, B, H = 256, 256, 512
SETTINGS = ((3, 8, 4), (127, 2, 2))


class OurMaskNet(nn.Module):
    """Our temporal convolutions and the peer's last stage, a 1x1 and a ReLU."""

    def __init__(self, P: int, X: int, R: int, causal: bool) -> None:
        super().__init__()
        self.tcn = TemporalConvNet(N, B, H, B, P, X, R, causal)
        self.mask = PointwiseConv(B, N)

    def forward(self, latent: Tensor) -> Tensor:
        """Map [batch, N, frames] to a mask [1, batch, N, frames]."""
        return torch.relu(self.mask(self.tcn(latent.unsqueeze(1)))).transpose(0, 1)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    threads = sorted({1, os.cpu_count() or 1})
    parser.add_argument("--threads", type=int, nargs="+", default=threads)
    arguments = parser.parse_args()
    header = ("P, X, R", "norm", "threads", "MaskNet, s", "ours, s", "ratio (range)")
    cells = itertools.product(arguments.threads, SETTINGS, (False, True))
    print_table(header, (measure_cell(*cell, arguments) for cell in cells))


def measure_cell(
    threads: int,
    setting: tuple[int, int, int],
    causal: bool,
    arguments: argparse.Namespace,
) -> tuple:
    """Return a row: the medians of both times, and of the rounds' ratios."""
    torch.set_num_threads(threads)
    device = arguments.device
    norm = "cLN" if causal else "gLN"
    peer = MaskNet(N, B, H, *setting, C=1, norm_type=norm, causal=causal).to(device)
    ours = OurMaskNet(*setting, causal).to(device)
    latent = torch.randn(arguments.batch, N, arguments.frames, device=device)

    def step(network: nn.Module) -> None:
        network.zero_grad()
        network(latent).sum().backward()

    ways = {"peer": lambda: step(peer), "ours": lambda: step(ours)}
    times = interleave(ways, arguments.rounds, device, arguments.clock)
    medians = [f"{statistics.median(times[name]):.3f}" for name in ways]
    sizes = ", ".join(map(str, setting))
    kind = "channel, causal" if causal else "global"
    return sizes, kind, threads, *medians, ratio(times["peer"], times["ours"])


if __name__ == "__main__":
    main()
