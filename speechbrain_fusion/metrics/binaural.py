"""Interaural level and time differences, and the errors an enhancer makes in them.

A cell is one 20-32 ms Hann frame in one band of one ERB (Glasberg and Moore, Hearing
Research 47, 1990, eq. 4). The cues of a cell are

    ILD = 10 log10(E_left / E_right), energies summed over the band;
    ITD = the lag in +-1 ms where the band's interaural cross-correlation, the real part
          of its cross-spectrum's inverse DFT, is largest.

Both are positive for a source on the left: louder and earlier there. Above 500 Hz the
correlation of a band has several peaks within +-1 ms, all nearly as high: the one taken
lies within half a period of the lag where the sum over the frame's bands peaks, since a
true delay is the same in all bands ("straightness": Stern, Zeiberg, Trahiotis, JASA 84,
1988). Without that a source at the side shows errors of 100 us where there are 50.

An error is the mean absolute difference between the cues of the estimate and of the
reference over active cells: those where the reference's energy, both ears together, is
within 25 dB of its band's peak and within 60 dB of the item's.
Bands, lags and thresholds are ours; the aim is that of the ILD and IPD loss terms of
Tokala et al., "Binaural speech enhancement using deep complex convolutional transformer
networks", ICASSP 2024.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from speechbrain_fusion.losses.interaural import (
    AUDIBLE,
    HIGHEST_PHASE,
    Cells,
    active,
    analyse,
)
from speechbrain_fusion.losses.signal import check_pair

LONGEST_LAG = 1e-3  # s; a head makes 0.7 ms to 0.8 ms
LAG_STEP = 2e-5  # s; the peaks between are found by a parabola
ITEMS_AT_ONCE = 8


def _ild(cells: Cells) -> Tensor:
    floor = AUDIBLE * cells.energy.amax((1, 2, 3), keepdim=True)
    left, right = cells.energy.maximum(floor).unbind(1)
    level = 10 * torch.log10(left / right)
    return level.where(cells.audible.any(1), torch.nan)


def _correlation(cells: Cells, lags: Tensor) -> Tensor:
    """Cross-correlate the ears per band: [batch, bands, frames, lags]."""
    left, right = cells.spectrum.unbind(1)
    phase = -2 * math.pi * cells.frequencies.unsqueeze(-1) * lags
    steering = cells.bands.unsqueeze(-1) * torch.polar(torch.ones_like(phase), phase)
    return torch.einsum("nkt,bkl->nbtl", left * right.conj(), steering).real


def _near_common_lag(correlation: Tensor, lags: Tensor, centres: Tensor) -> Tensor:
    """Leave of each band's correlation the period around the frame's common lag."""
    common = lags[correlation.sum(1, keepdim=True).argmax(-1, keepdim=True)]
    half_period = 0.5 / centres.view(-1, 1, 1)
    return correlation.masked_fill((lags - common).abs() > half_period, -math.inf)


def _peak_offset(values: Tensor, index: Tensor) -> Tensor:
    """Place the vertex of the parabola through a peak and its neighbours, in steps."""
    before, peak, after = (values.gather(-1, index + step) for step in (-1, 0, 1))
    curvature = before - 2 * peak + after
    offset = 0.5 * (before - after) / curvature
    return offset.clamp(-1.0, 1.0).where(curvature < 0, 0.0)


def _itd(cells: Cells) -> Tensor:
    steps = round(LONGEST_LAG / LAG_STEP)
    grid = torch.arange(-steps, steps + 1, dtype=torch.float64)
    lags = LAG_STEP * grid.to(cells.bands.device)
    centres = cells.bands @ cells.frequencies / cells.bands.sum(-1)
    correlation = _correlation(cells, lags)
    near = _near_common_lag(correlation, lags, centres)
    index = near.argmax(-1, keepdim=True).clamp(1, 2 * steps - 1)
    delay = lags[index] + LAG_STEP * _peak_offset(correlation, index)
    return (1e6 * delay.squeeze(-1)).where(cells.audible.all(1), torch.nan)


def ild(signal: Tensor, rate: int, lengths: Tensor | None = None) -> Tensor:
    """Interaural level difference of every cell in dB, positive if left is louder.

    Arguments
    ---------
    signal : torch.Tensor
        Left and right ear, shape [batch, 2, time].
    rate : int
        Sample rate in Hz.
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1], shape [batch]; None for all of it.

    Returns
    -------
    torch.Tensor
        float64, shape [batch, bands, frames], bands from 200 Hz to rate / 2; NaN in
        cells that hold nothing or reach into the padding. An ear that holds nothing
        counts as 100 dB below the loudest cell.

    Raises
    ------
    ValueError
        If there are not two ears.

    Example
    -------
    >>> noise = torch.randn(1, 1, 4000, generator=torch.Generator().manual_seed(0))
    >>> ild(torch.cat([10 * noise, noise], 1), 16000).nanmean().round(decimals=3)
    tensor(20., dtype=torch.float64)
    """
    return _ild(analyse(signal.double(), rate, lengths, rate / 2))


def itd(signal: Tensor, rate: int, lengths: Tensor | None = None) -> Tensor:
    """Interaural time difference of every cell in us, positive if left is earlier.

    Arguments
    ---------
    signal : torch.Tensor
        Left and right ear, shape [batch, 2, time].
    rate : int
        Sample rate in Hz.
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1], shape [batch]; None for all of it.

    Returns
    -------
    torch.Tensor
        float64, shape [batch, bands, frames], bands from 200 Hz to 1500 Hz; NaN in
        cells that hold nothing in an ear or reach into the padding.

    Raises
    ------
    ValueError
        If there are not two ears.

    Example
    -------
    >>> noise = torch.randn(1, 1, 8000, generator=torch.Generator().manual_seed(0))
    >>> ears = torch.cat([noise, noise.roll(4, -1)], 1)
    >>> itd(ears, 16000).nanmean().round()
    tensor(250., dtype=torch.float64)
    """
    return _itd(analyse(signal.double(), rate, lengths, HIGHEST_PHASE))


def _cue_error(
    cue: Callable[[Cells], Tensor], reference: Cells, estimate: Cells
) -> Tensor:
    error = (cue(estimate) - cue(reference)).abs()
    mean = error.where(active(reference), torch.nan).nanmean((1, 2))
    both_ears = torch.ones_like(mean, dtype=torch.bool)
    for cells in (reference, estimate):
        both_ears &= cells.audible.flatten(2).any(-1).all(-1)
    return mean.where(both_ears, torch.nan)


def _errors(
    cue: Callable[[Cells], Tensor],
    highest: float,
    reference: Tensor,
    estimate: Tensor,
    rate: int,
    lengths: Tensor | None,
) -> Tensor:
    check_pair(reference, estimate, lengths)
    if lengths is None:
        lengths = torch.ones(len(reference), device=reference.device)
    chunks = zip(
        *(x.split(ITEMS_AT_ONCE) for x in (reference, estimate, lengths)), strict=True
    )
    errors = [
        _cue_error(cue, *(analyse(x.double(), rate, share, highest) for x in (s, y)))
        for s, y, share in chunks
    ]
    return torch.cat(errors)


def ild_error(
    reference: Tensor, estimate: Tensor, rate: int, lengths: Tensor | None = None
) -> Tensor:
    """Error of the interaural level difference in dB, over the target's active cells.

    Arguments
    ---------
    reference : torch.Tensor
        The target at the left and right ear, shape [batch, 2, time].
    estimate : torch.Tensor
        Same shape.
    rate : int
        Sample rate in Hz.
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1], shape [batch]; None for all of it.

    Returns
    -------
    torch.Tensor
        Mean absolute difference in dB, float64, shape [batch]. NaN where an ear is
        silent in either signal or no whole frame fits. Cells that the estimate
        emptied in both ears have no cue and do not count.

    Raises
    ------
    ValueError
        If the shapes do not fit or there are not two ears.

    Example
    -------
    >>> noise = torch.randn(1, 2, 8000, generator=torch.Generator().manual_seed(0))
    >>> louder_left = noise * torch.tensor([[2.0], [1.0]])
    >>> ild_error(noise, louder_left, 16000).round(decimals=2)
    tensor([6.0200], dtype=torch.float64)
    """
    return _errors(_ild, rate / 2, reference, estimate, rate, lengths)


def itd_error(
    reference: Tensor, estimate: Tensor, rate: int, lengths: Tensor | None = None
) -> Tensor:
    """Error of the interaural time difference in us, over the target's active cells.

    Arguments
    ---------
    reference : torch.Tensor
        The target at the left and right ear, shape [batch, 2, time].
    estimate : torch.Tensor
        Same shape.
    rate : int
        Sample rate in Hz.
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1], shape [batch]; None for all of it.

    Returns
    -------
    torch.Tensor
        Mean absolute difference in microseconds, float64, shape [batch]. NaN where an
        ear is silent in either signal or no whole frame fits. Cells that the estimate
        emptied in an ear have no cue and do not count.

    Raises
    ------
    ValueError
        If the shapes do not fit or there are not two ears.

    Example
    -------
    >>> noise = torch.randn(1, 1, 8000, generator=torch.Generator().manual_seed(0))
    >>> ahead, late = noise.expand(1, 2, -1), torch.cat([noise, noise.roll(2, -1)], 1)
    >>> itd_error(ahead, late, 16000).round()
    tensor([125.], dtype=torch.float64)
    """
    return _errors(_itd, HIGHEST_PHASE, reference, estimate, rate, lengths)
