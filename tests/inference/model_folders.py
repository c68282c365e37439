"""Model folders of every system, small enough to be made in no time."""

from pathlib import Path
from typing import Any

import torch
from hyperpyyaml import load_hyperpyyaml
from hyperpyyaml.core import resolve_references
from torch import nn

from speechbrain_fusion.inference.folder import write_model

RATE = 8000
# as in the recipes, values are shared by reference
YAMLS = {
    "binaural": """
fuse: back
network: !new:speechbrain_fusion.models.BinauralTasNet
    N: 16
    L: 8
    B: 8
    H: 8
    S: 12
    P: 5
    X: 2
    R: 1
    fuse: !ref <fuse>
    share_norms: true
""",
    "binaural_stft": """
network: !new:speechbrain_fusion.models.BinauralTasNet
    {N: 16, B: 8, H: 8, S: 12, P: 5, X: 1, R: 1, encoding: stft, causal: false}
""",
    "talkers": """
filters: 8
enhancement: !new:speechbrain_fusion.models.ConvTasNetMasker
    {channels: !ref <filters>, masks: 1, bottleneck: 6, hidden: 7, skip: 9, blocks: 2,
     repeats: 1, causal: true}
separation: !new:speechbrain_fusion.models.ConvTasNetMasker
    {channels: !ref <filters>, masks: 2, bottleneck: 6, hidden: 7, skip: 9, blocks: 2,
     repeats: 1, causal: true}
network: !new:speechbrain_fusion.models.UnifiedSeparator
    enhancement: !ref <enhancement>
    separation: !ref <separation>
    channels: !ref <filters>
""",
    "three_talkers": """
enhancement: !new:speechbrain_fusion.nnet.DPRNNMasker
    {channels: 8, masks: 1, blocks: 1, hidden: 4, chunk: 10}
separation: !new:speechbrain_fusion.nnet.DPRNNMasker
    {channels: 8, masks: 3, blocks: 1, hidden: 4, chunk: 10}
network: !new:speechbrain_fusion.models.UnifiedSeparator
    enhancement: !ref <enhancement>
    separation: !ref <separation>
    channels: 8
""",
    "two_branch": """
kernels: [5, 3]
network: !new:speechbrain_fusion.models.TwoBranchEnhancer
    {fft_size: 64, hop: 32, channels: 4, experts: 4, kernels: !ref <kernels>, units: 2}
""",
    "two_branch_causal": """
network: !new:speechbrain_fusion.models.TwoBranchEnhancer
    {fft_size: 64, hop: 32, channels: 4, experts: 4, kernels: [5, 3], units: 2,
     causal: true}
""",
    "shared_latent": """
fft_sizes: [256, 128]
speech: !new:speechbrain_fusion.models.SpeechAutoencoder
    {fft_sizes: !ref <fft_sizes>, hop: 64, channels: [32, 16], kernel: 1}
network: !new:speechbrain_fusion.models.SharedLatentEnhancer
    {speech: !ref <speech>, channels: [32, 32, 16], kernel: 3}
""",
    "mask": """
fft_sizes: [256, 128]
network: !new:speechbrain_fusion.models.MaskEnhancer
    {mask: complex, fft_sizes: !ref <fft_sizes>, hop: 64, channels: [32, 16], kernel: 3}
""",
}
TASKS = {
    "binaural": "BinauralEnhancer",
    "binaural_stft": "BinauralEnhancer",
    "talkers": "SpeechSeparator",
    "three_talkers": "SpeechSeparator",
}
FACTS = {
    "name": "small",
    "corpus": "demo",
    "recipe": "some",
    "seed": 5,
    "metrics": {"si_sdr": {"unprocessed": 0.5, "enhanced": 4.0}},
}


def make_run(folder: Path, kind: str) -> tuple[Path, nn.Module]:
    """Write the resolved YAML of a run, and make its network with any parameters."""
    folder.mkdir(parents=True, exist_ok=True)
    text = f"# a run\nsample_rate: {RATE}\n{YAMLS[kind]}"
    text += "modules:\n    enhancer: !ref <network>\n"
    path = folder / "hyperparams.yaml"
    path.write_text(resolve_references(text).read())
    torch.manual_seed(1)
    network = load_hyperpyyaml(path.read_text())["modules"]["enhancer"]
    _disturb(network)
    return path, network.eval()


@torch.no_grad()
def _disturb(network: nn.Module) -> None:
    """Move everything away from where it begins, statistics too."""
    for name, value in network.state_dict().items():
        if value.is_floating_point() and not name.endswith("_extra_state"):
            value.add_(0.02 * torch.rand_like(value))


def make_folder(root: Path, kind: str = "binaural", **changes: Any) -> Path:
    """Write a model folder."""
    path, network = make_run(root / "run", kind)
    return write_model(root / "model", path, network, {**FACTS, **changes})


def change_yaml(folder: Path, old: str, new: str) -> None:
    """Replace a part of a model folder's YAML, which must be there."""
    path = folder / "hyperparams.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
