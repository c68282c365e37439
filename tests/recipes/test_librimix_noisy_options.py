"""Options of `recipes/librimix_noisy` are those of its networks, losses and data."""

import pytest
import torch

from speechbrain_fusion.models.unified import OpenMask
from tests.ranks import ROOT
from tests.recipes.test_librimix_noisy import MASKERS, as_option
from tests.recipes.yamls import (
    assert_made,
    built_both,
    counts,
    folders,
    load_both,
    load_yaml,
    modulation,
    of_corpus,
    of_optimizer,
    rates,
)

RECIPE = ROOT / "recipes" / "librimix_noisy"


def separated(built):
    """Pass noise through the whole network."""
    with torch.no_grad():
        return built["separator"].eval()(torch.randn(1, 400))


def is_undone(built):
    """Say whether the decoder gives back what the encoder took, but for its ends."""
    separator, signal = built["separator"], torch.randn(1, 1, 400)
    with torch.no_grad():
        made = separator.decoder(separator.encoder(signal).relu())
    inside = slice(100, 300)
    return torch.allclose(made[..., inside], signal[..., inside], atol=1e-4)


def checkpointed(built):
    """Tell, of each part of both maskers that can be, whether it computes again."""
    parts = built["separator"].modules()
    return {x.checkpointing for x in parts if hasattr(x, "checkpointing")}


def of_loss(key):
    """Look at an argument of the separation's loss."""
    return lambda built: built["losses"]["separation"].keywords[key]


OPTIONS = {
    # the network
    "talkers": (
        3,
        lambda x: [separated(x).signals.shape[1], of_corpus("talkers")(x)],
        [3, 3],
    ),
    "filters": (72, lambda x: separated(x).enhanced.shape[1], 72),
    "kernel_size": (16, lambda x: x["separator"].latency, 16),
    "initialization": ("random", is_undone, False),
    "causal": ("true", lambda x: x["separator"].causal, True),
    "checkpointing": ("true", checkpointed, {True}),
    # losses and training
    "weight_se": (0.7, lambda x: x["loss_weights"]["enhancement"], 0.7),
    "loss_threshold": (-12.0, of_loss("threshold"), -12.0),
    "snr_weight": (0.4, of_loss("snr_weight"), 0.4),
    "modulation": ("module", lambda x: modulation(x).granularity, "module"),
    "lr": (0.02, of_optimizer("lr"), 0.02),
    "halve_from_epoch": (9, lambda x: x["lr_annealing"].dont_halve_until_epoch, 9),
    "number_of_epochs": (3, lambda x: x["epoch_counter"].limit, 3),
    # data
    "sample_rate": (16000, rates("pesq", "stoi"), {16000}),
    **folders(
        "data_folder", "librispeech", "wham", "metadata", "recordings", "demo_folder"
    ),
    "mode": ("max", of_corpus("mode"), "max"),
    "train_set": ("train-100", of_corpus("train_set"), "train-100"),
    "dynamic_mixing": ("true", of_corpus("dynamic_mixing"), True),
    "speeds": ("[90, 110]", of_corpus("speeds"), [90, 110]),
    **counts("mixture_counts"),
}


both = built_both(RECIPE, "small", OPTIONS)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_is_that_of_what_is_built(option, both):
    assert_made(OPTIONS[option], *both)


# of those that are left to each network's YAML
SHARED = {key: OPTIONS[key] for key in ("talkers", "filters", "checkpointing")}


@pytest.mark.parametrize("name", ["dprnn", "sepformer", "convtasnet"])
def test_every_network_has_its_talkers_filters_and_checkpointing(name, tmp_path):
    small = as_option(MASKERS[name])
    maskers = {"enhancement": small, "separation": small}
    base, changed = load_both(RECIPE, name, tmp_path, SHARED, **maskers)
    for option in SHARED.values():
        assert_made(option, base, changed)


def test_the_baseline_has_neither_enhancement_nor_its_loss(tmp_path):
    for only in ("true", "false"):
        built = load_yaml(RECIPE, "small", tmp_path, separation_only=only)
        open_mask = isinstance(built["separator"].enhancement, OpenMask)
        assert open_mask == (built["loss_weights"]["enhancement"] == 0)
        assert open_mask == (only == "true")
