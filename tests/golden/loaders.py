"""Build models from golden files: what they hold, and where it belongs."""

import ast
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speechbrain_fusion.models import BinauralTasNet

FUSE = {
    "Independent": "none",
    "Front_fusion": "front",
    "Back_fusion": "back",
    "Double_fusion": "both",
}
SIDES = ("left", "right")
BLOCK = {
    "expand": "first_1x1",
    "project": "residual_1x1",
    "skip": "skip_1x1",
}


def load_fusion(
    path: Path | str,
) -> tuple[BinauralTasNet, dict[str, Tensor], dict[str, Tensor]]:
    """Read a golden file of the binaural fusion network.

    Returns the model in evaluation mode, its inputs and its expected outputs, both
    as {"signal": [batch, 2, time]}.
    """
    file = np.load(path, allow_pickle=False)
    meta = ast.literal_eval(str(file["meta"]))
    model = BinauralTasNet(
        **{letter: meta[letter] for letter in "NLBHSPXR"},
        fuse=FUSE[meta["topology"]],
        encoding="stft" if meta["encoding"] == "stft" else "learned",
        causal=meta["causal"],
        output_activation=meta["output_activation"],
        share_norms=True,
        stft_pad=False,
    )
    model.load_state_dict(_state(file, meta))
    stacked = (
        torch.from_numpy(np.stack([file[f"{kind}_{side}"] for side in SIDES], axis=1))
        for kind in ("input", "output")
    )
    inputs, outputs = ({"signal": signal} for signal in stacked)
    return model.eval(), inputs, outputs


def _state(file: np.lib.npyio.NpzFile, meta: dict) -> dict[str, Tensor]:
    """Translate the file's names and layouts into the model's state."""

    def stack(name: str) -> Tensor:
        """Both sides' array of one name, [ears, ...]."""
        arrays = [file[f"weights/{side}.{name}"] for side in SIDES]
        return torch.from_numpy(np.stack(arrays))

    def pointwise(target: str, name: str) -> dict[str, Tensor]:
        return {
            f"{target}.weight": stack(f"{name}.kernel")[:, 0].transpose(1, 2),
            f"{target}.bias": stack(f"{name}.bias")[..., None],
        }

    def norm(target: str, name: str) -> dict[str, Tensor]:
        return {
            f"{target}.{part}": stack(f"{name}.{part}").flatten(1)[..., None]
            for part in ("gamma", "beta")
        }

    def block(index: int, name: str) -> dict[str, Tensor]:
        target = f"tcn.blocks.{index}"
        state = {
            f"{target}.depthwise.weight": stack(f"{name}.depthwise.kernel")[
                :, :, 0
            ].transpose(1, 2),
            f"{target}.depthwise.bias": stack(f"{name}.depthwise.bias")[..., None],
        }
        for ours, theirs in BLOCK.items():
            state |= pointwise(f"{target}.{ours}", f"{name}.{theirs}")
        for order in ("first", "second"):
            slopes = stack(f"{name}.{order}_prelu.alpha")
            state[f"{target}.{order}_activation.slope"] = slopes.flatten(1)
        return state

    state = norm("tcn.input_norm", "tcn.input_norm")
    state |= norm("tcn.norms.0", "tcn.first_norm")
    state |= norm("tcn.norms.1", "tcn.second_norm")
    state |= pointwise("tcn.bottleneck", "tcn.bottleneck")
    state |= pointwise("mask.1", "masker.conv")
    state["mask.0.slope"] = stack("masker.prelu.alpha").flatten(1)
    for index in range(meta["R"] * meta["X"]):
        repeat, place = divmod(index, meta["X"])
        state |= block(index, f"tcn.block_{repeat}_{place}")
    if meta["encoding"] == "deep":
        encoder = stack("encoder.kernel")[:, :, 0].transpose(1, 2)
        state["filterbank.encoder.weight"] = encoder
        state["filterbank.encoder.bias"] = stack("encoder.bias")[..., None]
        # the file holds the transposed convolution as [kernel, out, in]
        state["filterbank.decoder.weight"] = stack("decoder.kernel")[:, :, 0]
    return state
