"""Small causal systems of every kind, all of whose parameters matter."""

import functools
import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from speechbrain_fusion.models import (
    BinauralTasNet,
    ConvTasNetMasker,
    TwoBranchEnhancer,
    UnifiedSeparator,
)

TASNET = {"N": 16, "L": 8, "B": 8, "H": 6, "S": 12, "P": 5, "X": 2, "R": 2}
BRANCH = {"fft_size": 64, "hop": 32, "channels": 4, "experts": 3, "kernels": (5, 3, 3)}
BRANCH |= {"units": 2, "groups": 1, "squeezed": 5, "temporal_kernel": 3}


def separator(talkers: int = 2, taps: int = 3, **options) -> UnifiedSeparator:
    maskers = [
        ConvTasNetMasker(8, masks, 6, 7, 9, taps, 2, 2, causal=True)
        for masks in (1, talkers)
    ]
    return UnifiedSeparator(*maskers, channels=8, kernel_size=8, **options)


def randomized(system: nn.Module) -> nn.Module:
    """Move all parameters and statistics from where they begin."""
    with torch.no_grad():
        for parameter in system.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        for name, values in system.named_buffers():
            if name.endswith("running_mean"):
                values.normal_(0, 0.3)
            if name.endswith("running_var"):
                values.uniform_(0.5, 2)
    return system.eval()


tasnet = functools.partial(BinauralTasNet, **TASNET)
branches = functools.partial(TwoBranchEnhancer, **BRANCH, causal=True)
SYSTEMS: dict[str, Callable[[], nn.Module]] = {
    **{
        f"{encoding}_{fuse}": functools.partial(tasnet, fuse=fuse, encoding=encoding)
        for encoding in ("learned", "stft")
        for fuse in ("none", "front", "back", "both")
    },
    **{
        f"share_{way}": functools.partial(tasnet, share=way, share_norms=True)
        for way in ("sum", "mean", "concat", "cross_stitch", "none")
    },
    "one_ear": functools.partial(tasnet, fuse="none", ears=1),
    "three_ears": functools.partial(tasnet, ears=3, encoder_activation="relu"),
    "sigmoid_tanh": functools.partial(
        tasnet, mask_activation="sigmoid", output_activation="tanh"
    ),
    "long_taps": functools.partial(tasnet, P=40),
    "one_tap": functools.partial(tasnet, P=1),
    "bias_for_the_mask": functools.partial(tasnet, encoder_bias="mask"),
    "no_bias": functools.partial(tasnet, encoder_bias="none", eps=1e-14),
    "stft_unpadded": functools.partial(tasnet, encoding="stft", stft_pad=False),
    "separator": separator,
    "separation_only": functools.partial(separator, 3, separation_only=True),
    **{
        f"branches_{which}_{norm}": functools.partial(
            branches, branches=which, norm=norm
        )
        for which, norm in itertools.product(
            ("both", "magnitude", "complex"), ("batch", "layer", "cumulative")
        )
    },
    "no_exchange": functools.partial(branches, exchange=False, norm="layer"),
    "plain": functools.partial(branches, blocks="plain", exchange=False, norm="layer"),
    "uncompressed": functools.partial(branches, compression=1.0, norm="cumulative"),
    "final_norm": functools.partial(branches, final_norm=True),
    "overlap_of_4": functools.partial(branches, hop=16, norm="cumulative"),
    "overlap_of_8": functools.partial(
        branches, hop=8, blocks="plain", exchange=False, norm="cumulative"
    ),
}
# one of each kind, where all would take long
KINDS = ("learned_both", "stft_both", "separator", "overlap_of_4")


def make(name: str) -> nn.Module:
    return randomized(SYSTEMS[name]())


def offline(system: nn.Module, signal: Tensor) -> Tensor:
    with torch.inference_mode():
        return system.process(signal)


def assert_near(found: Tensor, expected: Tensor, bound: float = 1e-5) -> None:
    """Compare signals whose largest samples are about 1."""
    scale = max(1.0, expected.abs().max().item())
    torch.testing.assert_close(found, expected, atol=bound * scale, rtol=0)
