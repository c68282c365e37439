"""What `speechbrain_fusion.inference` may expect of every system."""

import pytest
import torch

from speechbrain_fusion.models import (
    BinauralTasNet,
    ConvTasNetMasker,
    MaskEnhancer,
    SharedLatentEnhancer,
    SpeechAutoencoder,
    System,
    TwoBranchEnhancer,
    UnifiedSeparator,
)
from speechbrain_fusion.nnet import DPRNNMasker


def separator(masker: type, *sizes: int, talkers: int = 2, **options) -> System:
    enhancement, separation = (
        masker(8, masks, *sizes, **options) for masks in (1, talkers)
    )
    return UnifiedSeparator(enhancement, separation, 8, initialization="random")


def shared_latent() -> SharedLatentEnhancer:
    speech = SpeechAutoencoder((256, 128), 64, channels=(32, 16), kernel=1)
    return SharedLatentEnhancer(speech, (32, 32, 16), kernel=3)


SYSTEMS = {
    "binaural": lambda: BinauralTasNet(N=16, L=8, B=8, H=8, S=12, P=5, X=2, R=1),
    "convtasnet": lambda: separator(ConvTasNetMasker, 6, 7, 9, 3, 2, 1, causal=True),
    "dprnn": lambda: separator(DPRNNMasker, 1, 4, talkers=3, chunk=10),
    "two_branch": lambda: TwoBranchEnhancer(64, 32, 4, 4, kernels=(5, 3), units=2),
    "two_branch_causal": lambda: TwoBranchEnhancer(
        64, 32, 4, 4, kernels=(5, 3), units=2, causal=True
    ),
    "shared_latent": shared_latent,
    "mask": lambda: MaskEnhancer("ratio", (256, 128), 64, channels=(32, 16), kernel=3),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_maps_its_inputs_to_its_outputs(name):
    system = SYSTEMS[name]().eval()
    assert isinstance(system, System)
    signals = torch.randn(3, system.inputs, 1003)
    with torch.inference_mode():
        whole = system.process(signals)
        padded = system.process(signals, torch.tensor([1.0, 0.6, 0.8]))
    assert whole.shape == padded.shape == (3, system.outputs, 1003)
    torch.testing.assert_close(padded[0], whole[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", [n for n in SYSTEMS if SYSTEMS[n]().causal])
def test_a_causal_system_hears_no_more_than_its_latency(name):
    system = SYSTEMS[name]().eval()
    signals = torch.randn(1, system.inputs, 1000, requires_grad=True)
    system.process(signals)[..., 500].sum().backward()
    heard = signals.grad.abs().sum((0, 1)).nonzero()
    assert int(heard.max()) < 500 + system.latency


def test_only_causal_systems_say_so():
    causal = {name for name in SYSTEMS if SYSTEMS[name]().causal}
    assert causal == {"binaural", "convtasnet", "two_branch_causal"}
