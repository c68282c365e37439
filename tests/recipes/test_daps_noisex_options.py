"""Options of `recipes/daps_noisex` are those of its networks, losses and data."""

import pytest

from tests.ranks import ROOT
from tests.recipes.yamls import (
    assert_made,
    built_both,
    counts,
    folders,
    modulation,
    of_corpus,
    of_mixtures,
    of_optimizer,
    rates,
)

RECIPE = ROOT / "recipes" / "daps_noisex"


def widths(stack):
    return [layer.conv.out_channels for layer in stack.layers]


def kernel(stack):
    return stack.layers[0].conv.kernel_size[0]


def ends_in_norm(stack):
    return stack.layers[-1].norm is not None


def resolutions(built):
    losses = built["losses"], built["speech_losses"]
    return [
        [*built["speech"].stft.fft_sizes],
        of_corpus("window")(built),
        *(kind["multi_resolution"].keywords["fft_sizes"] for kind in losses),
    ]


def exponents(built):
    losses, speech_losses = built["losses"], built["speech_losses"]
    compressed = losses["pure_noise"], losses["multi_resolution"]
    compressed += (speech_losses["multi_resolution"],)
    found = {loss.keywords["compression"] for loss in compressed}
    return {built["speech"].stft.compression, *found}


def schedules(key):
    """Look at how the rate of both stages falls."""
    kinds = ("lr_annealing", "speech_lr_annealing")
    return lambda x: [getattr(x[kind], key) for kind in kinds]


def learning_rates(built):
    kinds = ("opt_class", "speech_opt_class")
    return [of_optimizer("lr", kind)(built) for kind in kinds] + schedules("lr")(built)


def stage_lengths(kind):
    """Look at the epochs of a stage: how many are trained, and until when it falls."""
    counter, annealing = f"{kind}epoch_counter", f"{kind}lr_annealing"
    return lambda x: [x[counter].limit, x[annealing].epochs]


def patience(built):
    counters = (built[f"{kind}epoch_counter"] for kind in ("", "speech_"))
    return [counter.limit_to_stop for counter in counters]


OPTIONS = {
    # data
    "sample_rate": (8000, rates("composite", "stoi"), {8000}),
    **folders(
        "data_folder", "noise_folder", "rooms_folder", "recordings", "demo_folder"
    ),
    "simulated_rooms": (3, of_corpus("simulated_rooms"), 3),
    "versions": ("[ipad]", of_corpus("versions"), ["ipad"]),
    "disjoint": ("[script]", of_corpus("disjoint"), ["script"]),
    "speaker_shares": ("{clean: 0.4}", of_corpus("shares"), {"clean": 0.4}),
    "utterances": ("{test: 9}", of_corpus("utterances"), {"test": 9}),
    "mat_rate": (20000, of_corpus("mat_rate"), 20000),
    "loop_noise": ("true", of_mixtures("loop"), True),
    "room_share": (0.3, of_mixtures("room_share"), 0.3),
    "pure_noise": (0.2, of_mixtures("pure_noise"), 0.2),
    "snr": ("[7]", of_mixtures("snr"), [7]),
    "added_snr": ("[-1.0, 2.0]", of_mixtures("added_snr"), [-1.0, 2.0]),
    "test_segment": (0.9, of_corpus("test_segment"), 0.9),
    **counts("counts"),
    "seed": (
        77,
        lambda x: [of_corpus("seeds")(x)[name] for name in ("clean_train", "train")],
        [77, 77],
    ),
    "paired": ("true", of_corpus("paired"), True),
    # the networks
    "fft_sizes": ("[256, 64]", resolutions, [[256, 64]] * 4),
    "hop": (32, lambda x: x["enhancer"].hop, 32),
    "compression": (0.3, exponents, {0.3}),
    "speech_channels": ("[9, 5]", lambda x: widths(x["speech"].encoder), [9, 5]),
    "speech_kernel": (3, lambda x: kernel(x["speech"].encoder), 3),
    "mixture_channels": (
        "[12, 9, 5]",
        lambda x: widths(x["enhancer"].encoder),
        [12, 9, 5],
    ),
    "kernel": (9, lambda x: kernel(x["enhancer"].encoder), 9),
    "share": ("space", lambda x: x["enhancer"].share, "space"),
    "phase_decoder": ("false", lambda x: x["speech"].phase is None, True),
    "noisy_phase": ("true", lambda x: x["enhancer"].noisy_phase, True),
    "bound": ("false", lambda x: x["enhancer"].bound, False),
    "latent_noise": (0.7, lambda x: x["speech"].latent_noise, 0.7),
    "latent_norm": ("false", lambda x: x["speech"].latent_norm, False),
    "final_norm": (
        "true",
        lambda x: [
            ends_in_norm(stack)
            for stack in (x["speech"].amplitude, x["enhancer"].decoder)
        ],
        [True, True],
    ),
    # training
    "loss_weights": (
        "{remix: 0.7}",
        lambda x: [x["loss_weights"][name] for name in ("remix", "anchor")],
        [0.7, 1.0],
    ),
    "modulation": ("global", lambda x: modulation(x).granularity, "global"),
    "main_loss": ("latent", lambda x: modulation(x).main, "latent"),
    "lr": (0.02, learning_rates, [0.02] * 4),
    "weight_decay": (0.3, of_optimizer("weight_decay"), 0.3),
    "betas": ("[0.7, 0.8]", of_optimizer("betas"), [0.7, 0.8]),
    "lr_hold": (0.2, schedules("hold"), [0.2, 0.2]),
    "number_of_epochs": (3, stage_lengths(""), [3, 3]),
    "speech_epochs": (4, stage_lengths("speech_"), [4, 4]),
    "stop_after": (2, patience, [2, 2]),
}


both = built_both(RECIPE, "small", OPTIONS)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_is_that_of_what_is_built(option, both):
    assert_made(OPTIONS[option], *both)


# of the supervised peers
MASK_OPTIONS = {
    "mask": ("complex", lambda x: x["enhancer"].mask, "complex"),
    "fft_sizes": (
        "[256, 64]",
        lambda x: [
            [*x["enhancer"].stft.fft_sizes],
            x["losses"]["multi_resolution"].keywords["fft_sizes"],
        ],
        [[256, 64]] * 2,
    ),
    "hop": (32, lambda x: x["enhancer"].hop, 32),
    "compression": (
        0.3,
        lambda x: [
            x["enhancer"].stft.compression,
            x["losses"]["multi_resolution"].keywords["compression"],
        ],
        [0.3, 0.3],
    ),
    "mixture_channels": ("[12, 9]", lambda x: widths(x["enhancer"].encoder), [12, 9]),
    "kernel": (9, lambda x: kernel(x["enhancer"].encoder), 9),
}


both_masks = built_both(RECIPE, "irm", MASK_OPTIONS)


@pytest.mark.parametrize("option", MASK_OPTIONS)
def test_an_option_of_a_mask_is_that_of_what_is_built(option, both_masks):
    assert_made(MASK_OPTIONS[option], *both_masks)


def test_masks_learn_from_pairs(both_masks):
    assert [of_corpus("paired")(built) for built in both_masks] == [True, True]
