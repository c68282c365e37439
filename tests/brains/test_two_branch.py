"""What each loss of the two-branch network compares, padding and all."""

import pytest
import speechbrain as sb
import torch
from speechbrain.nnet.schedulers import ReduceLROnPlateau
from speechbrain.utils.epoch_loop import EpochCounter

from speechbrain_fusion.brains import TrainLog, TwoBranchBrain
from speechbrain_fusion.data import Batch, Example
from speechbrain_fusion.losses import complex_loss, magnitude_loss
from speechbrain_fusion.metrics import si_sdr
from speechbrain_fusion.models import TwoBranchEnhancer
from tests.brains.common import ON_CPU

SIZES = {"fft_size": 64, "hop": 32, "channels": 4, "experts": 3, "kernels": (5, 3, 3)}
SIZES |= {"units": 2, "groups": 1, "squeezed": 5}


def lopsided(target, estimate, lengths):
    """Tell target and estimate, and lengths in samples and in frames, apart."""
    return ((3 * target - estimate).square().sum((1, 2)) / lengths).mean()


LOSSES = {"magnitude": magnitude_loss, "complex": complex_loss, "lopsided": lopsided}


def make_brain(folder):
    hparams = {
        "seed": 5,
        "sample_rate": 8000,
        "output_folder": str(folder),
        "losses": LOSSES,
        "loss_weights": {"magnitude": 0.5, "complex": 2.0, "lopsided": 0.1},
        "gradient_modulation": {"main": "complex"},
        "references": None,
        "valid_metrics": {"si_sdr": si_sdr},
        "metrics": {"si_sdr": si_sdr},
        "select": "si_sdr",
        "epoch_counter": EpochCounter(1),
        "lr_annealing": ReduceLROnPlateau(dont_halve_until_epoch=0),
        "train_logger": TrainLog(folder / "train_log.txt"),
        "table_by": None,
        "examples": 0,
    }
    enhancer = TwoBranchEnhancer(**SIZES)
    return TwoBranchBrain({"enhancer": enhancer}, torch.optim.Adam, hparams, ON_CPU)


def make_batch(lengths):
    """Collate items of other levels, which the network brings to one."""
    items = []
    for number, length in enumerate(lengths):
        target, noise = 0.1**number * torch.randn(2, 1, length)
        signals = {"mixture": target + 0.5 * noise, "target": target}
        items.append(Example(f"item{number}", signals))
    return Batch.collate(items)


def mean_over_items(loss, stft, batch, lengths, estimate):
    """Compare each item's target, at its mixture's level, with its own frames alone."""
    values = []
    for number, length in enumerate(lengths):
        mixture, target = (batch[x][number, :, :length] for x in ("mixture", "target"))
        clean = stft.analyze(target / mixture.square().mean().sqrt())
        own = estimate[number : number + 1, ..., : clean.shape[2], :]
        values.append(loss(clean, own))
    return torch.stack(values).mean()


@pytest.mark.parametrize("lengths", [(400, 290, 145), (300, 300)], ids=str)
def test_spectra_are_compared_with_the_clean_one_and_signals_with_the_target(
    tmp_path, lengths
):
    brain, batch = make_brain(tmp_path), make_batch(lengths)
    made = brain.compute_forward(batch, sb.Stage.TRAIN)
    terms = brain.compute_objectives(made, batch, sb.Stage.TRAIN)
    given = brain.modules.enhancer.stft, batch, lengths
    pair, relative = (batch["target"], made.signal.unsqueeze(1)), torch.tensor(lengths)
    expected = {
        "magnitude": mean_over_items(magnitude_loss, *given, made.magnitude),
        "complex": mean_over_items(complex_loss, *given, made.spectrum),
        "lopsided": lopsided(*pair, relative / lengths[0]),
    }
    torch.testing.assert_close(terms, expected)


def test_validation_adds_the_losses_up_with_their_weights(tmp_path):
    brain, batch = make_brain(tmp_path), make_batch((400, 290, 145))
    made = brain.compute_forward(batch, sb.Stage.VALID)
    terms = brain.compute_terms(made, batch)
    total = brain.compute_objectives(made, batch, sb.Stage.VALID)
    weighted = 0.5 * terms["magnitude"] + 2 * terms["complex"] + 0.1 * terms["lopsided"]
    torch.testing.assert_close(total, weighted)
