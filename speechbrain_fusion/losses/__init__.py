"""Losses: pure functions of (reference, estimate, lengths)."""

from speechbrain_fusion.losses.signal import si_sdr_loss, snr_loss

__all__ = ["si_sdr_loss", "snr_loss"]
