"""A network of one's own streams as it hears offline, or is refused."""

import pytest
import torch

from speechbrain_fusion.inference.step import StepModel
from speechbrain_fusion.inference.streaming import Stream
from speechbrain_fusion.nnet import (
    FusionLayer,
    LearnedFilterbank,
    PointwiseConv,
    TemporalConvNet,
)
from speechbrain_fusion.nnet.streaming import along, current_memory
from tests.inference.causal_systems import assert_near, offline


class OwnNetwork(torch.nn.Module):
    """Two branches of this package's layers, of different widths."""

    task, causal, latency, hop = "enhance", True, 16, 8
    inputs = outputs = 2

    def __init__(self, masked):
        super().__init__()
        self.masked, widths = masked, (24, 16)
        self.banks = torch.nn.ModuleList(LearnedFilterbank(n, 16) for n in widths)
        self.branches = torch.nn.ModuleList(
            TemporalConvNet(n, 8, 8, 16, 3, 2, 1) for n in widths
        )
        self.fuse = FusionLayer()
        self.masks = torch.nn.ModuleList(PointwiseConv(16, n) for n in widths)

    def process(self, signals, lengths=None):
        ears = zip(self.banks, signals.split(1, 1), strict=True)
        latents = [bank.analyze(ear)[0] for bank, ear in ears]
        fused = self.fuse(*(self.branches[i](latents[i]) for i in (0, 1)))
        masks, memory = [mask(fused).sigmoid() for mask in self.masks], current_memory()
        if self.masked and memory is not None and memory.valid is not None:
            masks = [x * along(memory.valid, x.dim(), -1) for x in masks]
        parts = zip(self.banks, masks, latents, strict=True)
        return torch.cat(
            [bank.synthesize(x, z, signals.shape[-1]) for bank, x, z in parts], 1
        )


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32, torch.float64])
def test_networks_that_do_not_mask_are_refused(kind):
    message = (
        r"OwnNetwork: .* whole signal at the start and the end, first in sample 0 of "
        r".* expected frames .* masked, as current_memory\(\)\.valid .*own_model\.md"
    )
    for _ in range(2):
        with pytest.raises(ValueError, match=message):
            StepModel(OwnNetwork(masked=False).to(kind))
    StepModel(OwnNetwork(masked=True).to(kind))


@pytest.mark.parametrize("time", [1, 7, 8, 96, 101])
def test_networks_that_mask_stream(time):
    network, signal = OwnNetwork(masked=True).eval(), torch.randn(2, 2, time)
    stream = Stream(network, batch=2)
    parts = [stream.step(part) for part in signal.split(11, -1)]
    found = torch.cat([*parts, stream.flush()], -1)[..., stream.latency :]
    assert_near(found, offline(network, signal))


def test_networks_that_hear_further_ahead_than_they_say_are_refused():
    network = OwnNetwork(masked=True)
    network.latency = 8
    with pytest.raises(ValueError, match=r"start and the middle and the end.* latency"):
        StepModel(network)
    network.latency = 7
    with pytest.raises(ValueError, match="latency of a hop or more, got 7 and a hop"):
        StepModel(network)


class Shortened(OwnNetwork):
    def process(self, signals, lengths=None):
        return super().process(signals)[..., : signals.shape[-1] // 8 * 8]


def test_networks_that_shorten_signals_are_refused():
    with pytest.raises(ValueError, match=r"Shortened: expected process to return \(1"):
        StepModel(Shortened(masked=True))
