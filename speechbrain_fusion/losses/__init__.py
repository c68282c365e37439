"""Losses: pure functions of (reference, estimate, lengths)."""

from speechbrain_fusion.losses.interaural import ild_loss, ipd_loss
from speechbrain_fusion.losses.latent import latent_loss
from speechbrain_fusion.losses.mbstoi import MBSTOILoss
from speechbrain_fusion.losses.pit import (
    best_permutation,
    pairwise_si_sdr_loss,
    pit_si_sdr_loss,
    reorder,
)
from speechbrain_fusion.losses.signal import si_sdr_loss, snr_loss
from speechbrain_fusion.losses.spectral import complex_loss, magnitude_loss

__all__ = [
    "MBSTOILoss",
    "best_permutation",
    "complex_loss",
    "ild_loss",
    "ipd_loss",
    "latent_loss",
    "magnitude_loss",
    "pairwise_si_sdr_loss",
    "pit_si_sdr_loss",
    "reorder",
    "si_sdr_loss",
    "snr_loss",
]
