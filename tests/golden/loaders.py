"""Build models from golden files: what they hold, and where it belongs."""

import ast
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speechbrain_fusion.models import BinauralTasNet, TwoBranchEnhancer
from speechbrain_fusion.nnet import CollaborativeExpertBlock, SqueezedTemporalUnit
from tests.golden.fill import fill

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


# -- two branches ----------------------------------------------------------------------

GATED = {
    "squeeze": "conv1",
    **{f"signal.{k}": f"mainbranch.{i}" for i, k in enumerate(("activation", "norm"))},
    **{f"gate.{k}": f"maskbranch.{i}" for i, k in enumerate(("activation", "norm"))},
    **{f"expand.{k}": f"conv2.{i}" for i, k in enumerate(("activation", "norm"))},
    "signal.convolution": "mainbranch.2",
    "gate.convolution": "maskbranch.2",
    "expand.convolution": "conv2.2",
}
DECODERS = {"magnitude": ["de_1"], "complex": ["de_2_real", "de_2_imag"]}
BLOCKS = {
    "ceb": lambda: CollaborativeExpertBlock(6, 10, (2, 5), pad=False),
    "controlled_ceb": lambda: CollaborativeExpertBlock(6, 10, (2, 5), pad=False),
    "transposed_ceb": lambda: CollaborativeExpertBlock(
        12, 10, (2, 3), transposed=True, pad=False
    ),
    "s_tcm": lambda: SqueezedTemporalUnit(256, dilation=4),
    "two_branch": lambda: TwoBranchEnhancer(final_norm=True),
}

State = dict[str, Tensor]


def load_two_branch(
    path: Path | str,
) -> tuple[torch.nn.Module, list[Tensor], list[Tensor]]:
    """Read a golden file of the two-branch network or one of its blocks.

    Returns the model in evaluation mode, its inputs and its expected outputs, in the
    file's order.
    """
    path = Path(path)
    file = np.load(path, allow_pickle=False)
    shapes = zip(
        file["state_names"].tolist(), file["state_shapes"].tolist(), strict=True
    )
    theirs = {
        name: torch.from_numpy(fill(name, ast.literal_eval(shape)))
        for name, shape in shapes
    }
    state, model = _two_branch_state(path.stem, theirs), BLOCKS[path.stem]()
    found = model.load_state_dict(state, strict=False)
    missing = [x for x in found.missing_keys if not x.endswith("num_batches_tracked")]
    assert (missing, found.unexpected_keys) == ([], [])
    arrays = [
        [torch.from_numpy(file[x]) for x in file.files if x.startswith(kind)]
        for kind in ("input", "output")
    ]
    return model.eval(), *arrays


def _two_branch_state(kind: str, theirs: State) -> State:
    if kind == "s_tcm":
        return _unit(theirs, "")
    if kind != "two_branch":
        return _experts(theirs, "", transposed=kind.startswith("transposed"))
    state = {f"linear.{x}": theirs[f"lin_1.0.{x}"] for x in ("weight", "bias")}
    for number, (branch, decoders) in enumerate(DECODERS.items(), start=1):
        for place in range(5):
            level = place + 1
            prefix = f"en_{number}"
            state |= _below(
                f"{branch}.encoder.blocks.{place}",
                _experts(theirs, f"{prefix}.conv{level}.", False)
                | _norm(theirs, f"{prefix}.en{level}.", (0, 1)),
            )
            for index, decoder in enumerate(decoders):
                prefix = f"{decoder}.de{level}."
                state |= _below(
                    f"{branch}.decoders.{index}.blocks.{place}",
                    _experts(theirs, f"{prefix}0.", True)
                    | _norm(theirs, prefix, (2, 3)),
                )
        for unit in range(18):
            name = f"TCMs_{number}.{unit // 6}.residual{unit % 6 + 1}."
            state |= _below(f"{branch}.temporal.{unit}", _unit(theirs, name))
    return state


def _below(name: str, state: State) -> State:
    return {f"{name}.{key}": value for key, value in state.items()}


def _experts(theirs: State, prefix: str, transposed: bool) -> State:
    """Join both experts, and both gates, of an expert block."""

    def of(name: str, part: str) -> Tensor:
        return theirs[f"{prefix}{name}.{part}"]

    def mixer(part: str, *names: str) -> Tensor:
        """Join 1x1 convolutions, of which a transposed one is a 1x1 too."""
        values = [of(name, part) for name in names]
        if part == "bias":
            return torch.stack(values).unsqueeze(-1)
        flat = [x.flatten(1) for x in values]
        return torch.stack([(x.mT if transposed else x) for x in flat])

    state = {}
    for part in ("weight", "bias"):
        side = int(transposed and part == "weight")
        state[f"input.{part}"] = mixer(part, "con1")
        state[f"experts.{part}"] = torch.cat([of("l", part), of("r", part)], side)
        state[f"gates.{part}"] = mixer(part, "l_conv", "r_conv")
        state[f"output.{part}"] = mixer(part, "con2")
    return state


def _norm(theirs: State, prefix: str, places: tuple[int, int]) -> State:
    """Take the norm and the PReLU behind an expert block."""
    norm, activation = (f"{prefix}{place}." for place in places)
    parts = ("weight", "bias", "running_mean", "running_var")
    state = {f"norm.{part}": theirs[norm + part] for part in parts}
    return state | {"activation.slope": theirs[activation + "weight"].view(1, 1)}


def _unit(theirs: State, prefix: str) -> State:
    """Rename the parts of a squeezed temporal unit."""
    return {
        f"{ours}.{name.rpartition('.')[2]}": value
        for ours, other in GATED.items()
        for name, value in theirs.items()
        if name.rpartition(".")[0] == prefix + other
    }
