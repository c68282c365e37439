"""Losses: pure functions of (reference, estimate, ..., lengths), and MBSTOI."""

from speechbrain_fusion.losses.interaural import ild_loss, ipd_loss
from speechbrain_fusion.losses.latent import (
    latent_loss,
    latent_match_loss,
    latent_prior_loss,
    latent_spread_loss,
)
from speechbrain_fusion.losses.mbstoi import MBSTOILoss
from speechbrain_fusion.losses.pit import (
    best_permutation,
    pairwise_si_sdr_loss,
    pit_si_sdr_loss,
    reorder,
)
from speechbrain_fusion.losses.shared_latent import (
    anchor_loss,
    complex_cycle_loss,
    cycle_loss,
    mixture_loss,
    pure_noise_loss,
)
from speechbrain_fusion.losses.signal import si_sdr_loss, snr_loss
from speechbrain_fusion.losses.spectral import (
    complex_loss,
    magnitude_loss,
    multi_resolution_loss,
    phase_loss,
)

__all__ = [
    "MBSTOILoss",
    "anchor_loss",
    "best_permutation",
    "complex_cycle_loss",
    "complex_loss",
    "cycle_loss",
    "ild_loss",
    "ipd_loss",
    "latent_loss",
    "latent_match_loss",
    "latent_prior_loss",
    "latent_spread_loss",
    "magnitude_loss",
    "mixture_loss",
    "multi_resolution_loss",
    "pairwise_si_sdr_loss",
    "phase_loss",
    "pit_si_sdr_loss",
    "pure_noise_loss",
    "reorder",
    "si_sdr_loss",
    "snr_loss",
]
