"""Options of `recipes/timit` are those of its network, training and data."""

import pytest
import torch

from speechbrain_fusion.nnet import BatchNorm, CollaborativeExpertBlock
from speechbrain_fusion.nnet.expert_block import ConvBlock
from speechbrain_fusion.nnet.spectral_norm import CumulativeNorm, FrameNorm
from tests.ranks import ROOT
from tests.recipes.yamls import (
    assert_made,
    built_both,
    counts,
    folders,
    load_yaml,
    modulation,
    of_corpus,
    of_mixtures,
    of_optimizer,
    rates,
)

RECIPE = ROOT / "recipes" / "timit"
BRANCHES = ("magnitude", "complex")


def encoded(built):
    """Encode a frame: features and experts by level, [batch, channels, 1, bins]."""
    enhancer = built["enhancer"]
    bins = enhancer.stft.fft_size // 2 + 1
    return enhancer.complex.encoder.eval()(torch.zeros(1, 2, 1, bins))


def level_widths(built):
    return [level.shape[-1] for level in encoded(built)[0]]


def norms(built):
    modules = built["enhancer"].complex.encoder.modules()
    return {type(x) for x in modules if isinstance(x, BatchNorm | FrameNorm)}


def dilations(built):
    units = built["enhancer"].complex.temporal
    return [unit.signal.convolution.dilation[0] for unit in units]


def has_last_norm(built):
    return built["enhancer"].complex.decoders[0].blocks[0].norm is not None


def references(key):
    return lambda x: [x["references"][name].keywords[key] for name in ("irm", "cirm")]


OPTIONS = {
    # the network
    "exchange": ("false", lambda x: x["enhancer"].exchange, False),
    "detach_exchange": ("true", lambda x: x["enhancer"].detach_exchange, True),
    "norm": ("cumulative", norms, {CumulativeNorm}),
    "causal": ("true", lambda x: x["enhancer"].causal, True),
    "fft_size": (
        256,
        lambda x: [x["enhancer"].latency, *references("fft_size")(x)],
        [256] * 3,
    ),
    "hop": (64, lambda x: [x["enhancer"].hop, *references("hop")(x)], [64] * 3),
    "channels": (6, lambda x: encoded(x)[0][0].shape[1], 6),
    "experts": (5, lambda x: encoded(x)[1][0].shape[1], 5),
    "kernels": ("[7, 5, 3]", level_widths, [62, 29, 14]),
    "groups": (2, lambda x: dilations(x).count(1), 2),
    "units": (4, lambda x: max(dilations(x)), 8),
    "squeezed": (
        7,
        lambda x: x["enhancer"].complex.temporal[0].squeeze.out_channels,
        7,
    ),
    "compression": (0.3, lambda x: x["enhancer"].stft.compression, 0.3),
    "final_norm": ("true", has_last_norm, True),
    # training
    "modulation": ("module", lambda x: modulation(x).granularity, "module"),
    "main_loss": ("magnitude", lambda x: modulation(x).main, "magnitude"),
    "lr": (0.02, of_optimizer("lr"), 0.02),
    "weight_decay": (0.3, of_optimizer("weight_decay"), 0.3),
    "number_of_epochs": (3, lambda x: x["epoch_counter"].limit, 3),
    "stop_after": (2, lambda x: x["epoch_counter"].limit_to_stop, 2),
    # data
    "sample_rate": (8000, rates("composite", "stoi", "estoi"), {8000}),
    **folders("data_folder", "noise_folder", "recordings", "paired", "demo_folder"),
    "noise_shares": ("[0.5, 0.3, 0.2]", of_corpus("noise_shares"), [0.5, 0.3, 0.2]),
    "valid_speakers": ("[mabc]", of_corpus("valid_speakers"), ["mabc"]),
    **counts("mixture_counts"),
    "snr": ("[3]", of_mixtures("snr"), [3]),
    "loop_noise": ("true", of_mixtures("loop"), True),
    "train_snr": ("[4]", lambda x: of_corpus("train_mixtures")(x)["snr"], [4]),
    "train_gain": (
        "[-3.0, 2.0]",
        lambda x: of_corpus("train_mixtures")(x)["gain"],
        [-3.0, 2.0],
    ),
}


both = built_both(RECIPE, "small", OPTIONS)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_is_that_of_what_is_built(option, both):
    assert_made(OPTIONS[option], *both)


@pytest.mark.parametrize("branch", BRANCHES)
def test_one_branch_is_built_if_one_is_asked_for(branch, tmp_path):
    enhancer = load_yaml(RECIPE, "small", tmp_path, branches=branch)["enhancer"]
    built = [name for name in BRANCHES if getattr(enhancer, name) is not None]
    assert built == [branch]


def test_plain_blocks_are_convolutions_alone(tmp_path):
    changes = {"blocks": "plain", "exchange": "false"}
    enhancer = load_yaml(RECIPE, "small", tmp_path, **changes)["enhancer"]
    kinds = {type(module) for module in enhancer.modules()}
    assert ConvBlock in kinds
    assert CollaborativeExpertBlock not in kinds
