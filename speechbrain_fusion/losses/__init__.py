"""Losses: pure functions of (reference, estimate, lengths)."""

from speechbrain_fusion.losses.interaural import ild_loss, ipd_loss
from speechbrain_fusion.losses.mbstoi import MBSTOILoss
from speechbrain_fusion.losses.signal import si_sdr_loss, snr_loss

__all__ = ["MBSTOILoss", "ild_loss", "ipd_loss", "si_sdr_loss", "snr_loss"]
