"""Options of `recipes/binaural` are those of its network, losses and data."""

import pytest
import torch
from torch import nn

from speechbrain_fusion.nnet import STFTFilterbank
from speechbrain_fusion.nnet.sharing import (
    ConcatSharing,
    CrossStitch,
    MeanSharing,
    ProductSharing,
    SumSharing,
)
from speechbrain_fusion.nnet.tcn import GlobalNorm
from tests.ranks import ROOT
from tests.recipes.yamls import (
    assert_made,
    built_both,
    counts,
    folders,
    load_both,
    load_yaml,
    of_corpus,
    of_optimizer,
)

RECIPE = ROOT / "recipes" / "binaural"


def rates(built):
    """Gather the rates of all that depends on it."""
    parts = [built["losses"][name] for name in ("ild", "ipd")]
    names = ("pesq", "stoi", "mbstoi", "ild_error", "itd_error")
    parts += [built["metrics"][name] for name in names]
    found = {part.keywords["rate"] for part in parts}
    return {*found, built["losses"]["mbstoi"].rate, of_corpus("rate")(built)}


def of_part(part, key):
    """Look at what makes a part of the corpus."""
    return lambda built: of_corpus(part)(built).keywords[key]


OPTIONS = {
    "fuse": ("front", lambda x: type(x["enhancer"].sharing["back"]), nn.Identity),
    "encoding": (
        "stft",
        lambda x: isinstance(x["enhancer"].filterbank, STFTFilterbank),
        True,
    ),
    "mask_activation": (
        "sigmoid",
        lambda x: x["enhancer"].mask_activation is torch.sigmoid,
        True,
    ),
    "sample_rate": (16000, rates, {16000}),
    "loss_weights": (
        "{ild: 0.2}",
        lambda x: [x["loss_weights"][name] for name in ("ild", "si_sdr")],
        [0.2, 1.0],
    ),
    "lr": (0.02, of_optimizer("lr"), 0.02),
    "number_of_epochs": (3, lambda x: x["epoch_counter"].limit, 3),
    **folders("data_folder", "demo_folder"),
    **counts("scene_counts"),
    "hrir": ("ears.sofa", of_corpus("hrir"), "ears.sofa"),
    "responses": ("{clockwise: true}", of_part("responses", "clockwise"), True),
    "scenes": ("{talker_share: 0.5}", of_part("scenes", "talker_share"), 0.5),
}


both = built_both(RECIPE, "fusion", OPTIONS)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_is_that_of_what_is_built(option, both):
    assert_made(OPTIONS[option], *both)


CLARITY = ("data_folder", "sample_rate", "segment", "scene_counts", "seed")


def test_the_clarity_challenge_has_its_options_too(tmp_path):
    options = {name: OPTIONS[name] for name in CLARITY}
    built = load_both(RECIPE, "clarity", tmp_path, options, data_folder="clarity_data")
    for option in options.values():
        assert_made(option, *built)


WAYS = {
    "product": ProductSharing,
    "sum": SumSharing,
    "mean": MeanSharing,
    "concat": ConcatSharing,
    "cross_stitch": CrossStitch,
    "none": nn.Identity,
}
STAGES = {"none": (), "front": ("front",), "back": ("back",), "both": ("front", "back")}


@pytest.mark.parametrize("way", WAYS)
def test_ears_share_in_the_way_that_is_asked_for(way, tmp_path):
    sharing = load_yaml(RECIPE, "fusion", tmp_path, share=way)["enhancer"].sharing
    assert {type(sharing[stage]) for stage in ("front", "back")} == {WAYS[way]}


@pytest.mark.parametrize("fuse", STAGES)
def test_ears_meet_where_they_are_asked_to(fuse, tmp_path):
    sharing = load_yaml(RECIPE, "fusion", tmp_path, fuse=fuse)["enhancer"].sharing
    fused = (x for x in sharing if isinstance(sharing[x], ProductSharing))
    assert (*fused,) == STAGES[fuse]


def test_an_option_of_the_network_alone_leaves_the_others(tmp_path):
    network = "{R: 3, causal: false, encoder_bias: mask, output_activation: tanh}"
    built = load_yaml(RECIPE, "fusion", tmp_path, enhancer=network)["enhancer"]
    # X is 2 in the YAML
    assert len(built.tcn.blocks) == 6
    assert isinstance(built.tcn.input_norm, GlobalNorm)
    assert built.filterbank.bias == "mask"
    assert isinstance(built.output, nn.Tanh)
    # norms are shared
    assert len(built.tcn.norms) == 2
