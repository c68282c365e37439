"""Integrated loudness: how loud a recording is where it sounds.

ITU-R BS.1770-4 by torchaudio: a shelf and a high-pass, blocks of 400 ms, and the mean
power of those blocks that are not much softer than the others. Equal to pyloudnorm, the
meter behind LibriMix's levels, but for the last, incomplete block.

Source: ITU-R BS.1770-4, "Algorithms to measure audio programme loudness and true-peak
audio level", 2015.
"""

import math

import numpy as np
import torch
import torchaudio

from speechbrain_fusion.data.audio import AudioError

# In seconds: one block of the meter.
BLOCK = 0.4
# The peak from which a signal is turned down before it is filtered.
HEADROOM = 0.25
PEAK = 0.9
"""Peak of what would otherwise clip, as in LibriMix."""


def loudness(signal: np.ndarray, rate: int) -> float:
    """Measure the integrated loudness of a mono signal.

    Arguments
    ---------
    signal : np.ndarray
        Samples, shape [time]; one shorter than 0.4 s is measured as if repeated.
    rate : int
        In Hz.

    Returns
    -------
    float
        In LUFS: -inf where all is softer than -70 LUFS.

    Example
    -------
    >>> tone = np.sin(2 * np.pi * 997 * np.arange(48000) / 48000)
    >>> abs(loudness(tone, 48000) + 3.01) < 0.1
    True
    """
    shortest = math.ceil(BLOCK * rate)
    if signal.size < shortest:
        signal = np.resize(signal, shortest)
    # torchaudio's filters clip at full scale
    scale = min(1.0, HEADROOM / max(np.abs(signal).max(), HEADROOM))
    scaled = torch.from_numpy(scale * signal.astype(np.float64))[None]
    level = torchaudio.functional.loudness(scaled, rate).item()
    return -math.inf if math.isnan(level) else level - 20 * math.log10(scale)


def to_loudness(
    signal: np.ndarray, rate: int, wanted: float, name: str = "signal"
) -> np.ndarray:
    """Scale a mono signal to a loudness or, where it would clip, to a peak of 0.9.

    Arguments
    ---------
    signal : np.ndarray
        float32 [time].
    rate : int
        In Hz.
    wanted : float
        In LUFS.
    name : str
        What the error calls it.

    Returns
    -------
    np.ndarray
        float32 [time].

    Raises
    ------
    AudioError
        If there is nothing to hear. Below -70 LUFS, where the meter ends, a signal is
        measured as if it were louder.

    Example
    -------
    >>> noise = np.random.default_rng(0).standard_normal(16000).astype("float32")
    >>> round(loudness(to_loudness(noise, 16000, -30.0), 16000), 2)
    -30.0
    """
    level, peak = loudness(signal, rate), np.abs(signal).max()
    if level == -math.inf and peak > 0:
        louder = HEADROOM / peak
        level = loudness(louder * signal, rate) - 20 * math.log10(louder)
    if level == -math.inf:
        raise AudioError(f"{name}: silent, expected something to hear")
    gain = 10 ** ((wanted - level) / 20)
    return signal * np.float32(gain if gain * peak < 1 else PEAK / peak)
