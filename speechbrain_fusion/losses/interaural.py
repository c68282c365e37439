"""Losses that keep the target's interaural level and phase differences.

A cell is one 20-32 ms Hann frame in one band of one ERB (Glasberg and Moore, Hearing
Research 47, 1990, eq. 4), from 200 Hz. Active are those where the reference's energy,
both ears together, is within 25 dB of its band's peak and within 60 dB of the item's.
The metrics of `speechbrain_fusion.metrics.binaural` look at the same cells.

What makes the losses smooth: each ear's energy in a cell carries a floor, 80 dB below
the loudest cell of its signal or -120 dB re full scale, whichever is more. Active cells
lie 20 dB above it or more, and a silent ear, where a level in dB and a phase are
singular, gives a finite value and gradient. Shapes are [batch, 2, time]; both losses
are computed in float32 (float64 for float64 inputs), inside autocast too.

Bands, thresholds and the phase's distance are ours; the aim is that of Tokala et al.,
"Binaural speech enhancement using deep complex convolutional transformer networks",
ICASSP 2024.
"""

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from speechbrain_fusion.losses.signal import FLOOR, align, check_pair
from speechbrain_fusion.nnet.precision import single
from speechbrain_fusion.nnet.shapes import check_axes

LOWEST = 200.0  # Hz
HIGHEST_PHASE = 1500.0  # Hz; the ear follows the fine structure to about here
ACTIVE_BAND = 25.0  # dB
ACTIVE_ITEM = 60.0  # dB
AUDIBLE = 1e-10  # of the loudest cell: cells below it in an ear hold nothing
SMOOTH = 1e-8  # of the loudest cell: the floor of the losses


class Cells(NamedTuple):
    """Time-frequency cells of a binaural signal.

    Arguments
    ---------
    spectrum : Tensor
        Complex short-time spectrum, shape [batch, ears, bins, frames].
    frequencies : Tensor
        Of the bins in Hz, shape [bins].
    bands : Tensor
        Ones where a bin belongs to a band, shape [bands, bins].
    energy : Tensor
        Shape [batch, ears, bands, frames], zero in frames with padding.
    audible : Tensor
        Where an ear holds something, bool, same shape.
    """

    spectrum: Tensor
    frequencies: Tensor
    bands: Tensor
    energy: Tensor
    audible: Tensor


@functools.cache
@torch.inference_mode(False)
def _bands(size: int, rate: int, highest: float) -> tuple[Tensor, Tensor]:
    frequencies = torch.arange(size // 2 + 1, dtype=torch.float64) * (rate / size)
    used = (frequencies >= LOWEST) & (frequencies <= highest)
    erb = (21.4 * torch.log10(1 + 0.00437 * frequencies[used])).floor()
    bands = (erb.unique().unsqueeze(-1) == erb).double()
    placed = torch.zeros(len(bands), len(frequencies), dtype=torch.float64)
    placed[:, used] = bands
    return frequencies, placed


def _spectrum(signal: Tensor, size: int) -> Tensor:
    """Transform half-overlapping frames, the first at the first sample."""
    signal = torch.nn.functional.pad(signal, (0, max(0, size - signal.shape[-1])))
    window = torch.hann_window(size, dtype=signal.dtype, device=signal.device)
    flat = torch.stft(
        signal.flatten(0, 1),
        size,
        size // 2,
        window=window,
        center=False,
        return_complex=True,
    )
    return flat.unflatten(0, signal.shape[:2])


def analyse(signal: Tensor, rate: int, lengths: Tensor | None, highest: float) -> Cells:
    """Cut a binaural signal into cells.

    Arguments
    ---------
    signal : torch.Tensor
        Left and right ear, shape [batch, 2, time].
    rate : int
        Sample rate in Hz.
    lengths : torch.Tensor or None
        Relative lengths in (0, 1], shape [batch]; None for all of it.
    highest : float
        Upper end of the bands in Hz.

    Returns
    -------
    Cells
        In float32, or float64 for a float64 signal.

    Raises
    ------
    ValueError
        If there are not two ears or the lengths do not fit.

    Example
    -------
    >>> analyse(torch.ones(1, 2, 1024), 16000, None, 8000).energy.shape
    torch.Size([1, 2, 28, 3])
    """
    check_axes(signal, batch=None, ears=2, time=None)
    size = 2 ** math.ceil(math.log2(0.02 * rate))
    signal, _, count = align(single(signal), single(signal), lengths)
    spectrum = _spectrum(signal, size)
    ends = torch.arange(spectrum.shape[-1], device=signal.device) * (size // 2) + size
    whole = (ends <= count.view(-1, 1))[:, None, None]
    frequencies, bands = (x.to(signal) for x in _bands(size, rate, highest))
    power = torch.view_as_real(spectrum).square().sum(-1)
    energy = bands @ power.where(whole, 0.0)
    peak = energy.amax((1, 2, 3), keepdim=True)
    return Cells(spectrum, frequencies, bands, energy, energy > AUDIBLE * peak)


def active(cells: Cells) -> Tensor:
    """Tell where a signal's energy, both ears together, is near its peaks.

    Arguments
    ---------
    cells : Cells
        Of the reference.

    Returns
    -------
    torch.Tensor
        bool, shape [batch, bands, frames]: within 25 dB of the band's peak and within
        60 dB of the item's. Nothing of a silent item is active.

    Example
    -------
    >>> active(analyse(torch.zeros(1, 2, 1024), 16000, None, 8000)).any()
    tensor(False)
    """
    energy = cells.energy.sum(1)
    band = energy >= energy.amax(-1, keepdim=True) * 10 ** (-ACTIVE_BAND / 10)
    item = energy >= energy.amax((1, 2), keepdim=True) * 10 ** (-ACTIVE_ITEM / 10)
    return band & item & (energy > 0)


def _floor(cells: Cells) -> Tensor:
    """Bound each cell's energy from below, [batch, 1, 1, 1]."""
    # a power of FLOOR has about FLOOR * bins in each bin of the spectrum
    silence = FLOOR * cells.spectrum.shape[2]
    return SMOOTH * cells.energy.amax((1, 2, 3), keepdim=True) + silence


def _level(cells: Cells) -> Tensor:
    """Return the level difference in dB, [batch, bands, frames]."""
    left, right = (10 * torch.log10(cells.energy + _floor(cells))).unbind(1)
    return left - right


def _phasor(cells: Cells) -> Tensor:
    """Return e^(j IPD) as real and imaginary part, [batch, bands, frames, 2].

    Shorter than 1, down to 0, where an ear or what both have in common is below the
    floor.
    """
    left, right = cells.spectrum.unbind(1)
    product = torch.view_as_real(left * right.conj())
    cross = torch.einsum("bk,nktc->nbtc", cells.bands, product)
    floor = _floor(cells).squeeze(1)
    damping = floor * (cells.energy.sum(1) + floor)
    return cross / (cross.square().sum(-1) + damping).sqrt().unsqueeze(-1)


def _item_mean(distance: Tensor, counted: Tensor) -> Tensor:
    """Average over the counted cells of each item, then over the items."""
    total = distance.where(counted, 0.0).sum((1, 2))
    return (total / counted.sum((1, 2)).clamp(min=1)).mean()


def _pair(
    reference: Tensor,
    estimate: Tensor,
    rate: int,
    lengths: Tensor | None,
    highest: float,
) -> list[Cells]:
    check_pair(reference, estimate, lengths)
    return [analyse(x, rate, lengths, highest) for x in (reference, estimate)]


def ild_loss(
    reference: Tensor, estimate: Tensor, rate: int, lengths: Tensor | None = None
) -> Tensor:
    """Mean absolute error of the interaural level difference in dB.

    Over the cells, up to rate / 2, where the reference is active. The ILD is
    10 log10((E_left + floor) / (E_right + floor)) of a cell's energies.

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
        In dB, a scalar: the mean over the items of each item's mean over its active
        cells, zero for an item that has none (silent, or shorter than a frame).

    Raises
    ------
    ValueError
        If the shapes do not fit or there are not two ears.

    Notes
    -----
    Source and definition of the cells: see the module.

    Example
    -------
    >>> noise = torch.randn(1, 2, 8000, generator=torch.Generator().manual_seed(0))
    >>> louder_left = noise * torch.tensor([[2.0], [1.0]])
    >>> ild_loss(noise, louder_left, 16000).round(decimals=2)
    tensor(6.0200)
    """
    with torch.autocast(reference.device.type, enabled=False):
        target, output = _pair(reference, estimate, rate, lengths, rate / 2)
        return _item_mean((_level(output) - _level(target)).abs(), active(target))


def ipd_loss(
    reference: Tensor, estimate: Tensor, rate: int, lengths: Tensor | None = None
) -> Tensor:
    """Circular distance of the interaural phase differences, from 0 to 1.

    |e^(j IPD of the estimate) - e^(j IPD of the reference)|^2 / 4, which is
    sin^2(difference / 2): 0 for equal phases, 1/2 on average for unrelated ones, 1 for
    opposite ones. Over the cells from 200 Hz to 1500 Hz where the reference is active
    and both its ears hold something. The IPD of a cell is the phase of its band's
    cross-spectrum. Where the estimate has no phase, an ear being silent, the distance
    is 1/4 and its gradient leads that ear to the reference's phase.

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
        Without unit, a scalar: the mean over the items of each item's mean over its
        active cells, zero for an item that has none.

    Raises
    ------
    ValueError
        If the shapes do not fit or there are not two ears.

    Notes
    -----
    Source and definition of the cells: see the module.

    Example
    -------
    >>> noise = torch.randn(1, 1, 8000, generator=torch.Generator().manual_seed(0))
    >>> both = noise.expand(1, 2, -1)
    >>> opposite = both * torch.tensor([[1.0], [-1.0]])
    >>> ipd_loss(both, opposite, 16000).round(decimals=4)
    tensor(1.)
    """
    with torch.autocast(reference.device.type, enabled=False):
        target, output = _pair(reference, estimate, rate, lengths, HIGHEST_PHASE)
        distance = (_phasor(output) - _phasor(target)).square().sum(-1) / 4
        return _item_mean(distance, active(target) & target.audible.all(1))
