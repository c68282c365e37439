"""MBSTOI as it is reported: float64, per item."""

import torch
from torch import Tensor

from speechbrain_fusion.losses.mbstoi import mbstoi_correlations
from speechbrain_fusion.losses.signal import align
from speechbrain_fusion.metrics.signal import SILENCE


def mbstoi(
    clean: Tensor, processed: Tensor, rate: int, lengths: Tensor | None = None
) -> Tensor:
    """Score processed speech by the binaural measure of intelligibility MBSTOI.

    Batched and differentiable: how is said in `speechbrain_fusion.losses.mbstoi`.

    Arguments
    ---------
    clean : torch.Tensor
        The target at the left and right ear, shape [batch, 2, time].
    processed : torch.Tensor
        What the listener gets, same shape.
    rate : int
        Sample rate in Hz; both signals are resampled to 10 kHz by FFT.
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1], shape [batch]; None for all of it.

    Returns
    -------
    torch.Tensor
        About 0 (unintelligible) to 1, float64, shape [batch]. NaN where either signal
        is silent in both ears or less than 31 frames (0.41 s) of speech are left.

    Raises
    ------
    ValueError
        If the shapes do not fit or there are not two ears.

    Notes
    -----
    Andersen, de Haan, Tan, Jensen: "Refinement and validation of the binaural short
    time objective intelligibility measure for spatially diverse conditions", Speech
    Communication 102, 2018.

    Example
    -------
    >>> generator = torch.Generator().manual_seed(0)
    >>> speech, noise = torch.randn(2, 1, 2, 8000, generator=generator)
    >>> bool(mbstoi(speech, speech + noise, 8000) < mbstoi(speech, speech, 8000))
    True
    """
    clean, processed, count = align(clean.double(), processed.double(), lengths)
    items = mbstoi_correlations(clean, processed, rate, lengths)
    scores = torch.stack([item.mean() for item in items])
    power = processed.square().mean(1).sum(-1) / count.squeeze(-1)
    return scores.where(power > SILENCE, torch.nan)
