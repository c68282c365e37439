"""Temporal convolutions, forward and backward, beside SpeechBrain's MaskNet.

    python benchmarks/temporal_convolutions.py [--threads 2] [--rounds 5] [--batch 2]
        [--frames 2000] [--clock processor] [--device cuda]

Both map a latent of N channels to a mask: input norm, 1x1, X R dilated blocks, 1x1,
ReLU, with equal hyper-parameters and one speaker. Ours does more: each block also has
the skip path, of B channels here (a quarter more multiplications), and biases. The
peer takes odd kernels only. On a machine with other work one thread and the
processor's time say more.
"""

import argparse
import itertools

import torch
from measure import interleave, middle, options, parse, print_table, ratio, record
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
    parser = options(__doc__)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--frames", type=int, default=2000)
    arguments = parse(parser, device=True)
    header = ("P, X, R", "norm", "MaskNet, s", "ours, s", "ratio (range)")
    cells = itertools.product(SETTINGS, (False, True))
    print_table(header, (measure_cell(*cell, arguments) for cell in cells))


def measure_cell(
    setting: tuple[int, int, int], causal: bool, arguments: argparse.Namespace
) -> tuple:
    """Return a row: the medians of both times, and of the rounds' ratios."""
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
    medians = [f"{middle(times[name]):.3f}" for name in ways]
    sizes = ", ".join(map(str, setting))
    kind = "channel, causal" if causal else "global"
    pair = times["ours"], "s", "SpeechBrain", times["peer"]
    record(
        "Temporal convolutions and gradient", f"P, X, R = {sizes}, {kind} norm", *pair
    )
    return sizes, kind, *medians, ratio(times["peer"], times["ours"])


if __name__ == "__main__":
    main()
