"""LLR, WSS and segmental SNR: measures of frames of 30 ms, behind the composite ones.

Computed for all frames and items at once, in float64.

Sources: Loizou, "Speech Enhancement: Theory and Practice", CRC Press, 2nd edition,
2013, chapter 11, and its code; Klatt, "Prediction of perceived phonetic distance from
critical-band spectra", ICASSP 1982 (WSS).
"""

import functools
import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from speechbrain_fusion.losses.signal import align
from speechbrain_fusion.metrics.signal import SILENCE

FRAME = 0.03
# The largest of an item's LLRs and WSSs, outliers, are left out of the mean.
KEPT = 0.95
SEGMENTAL_BOUNDS = (-10.0, 35.0)
TINY = 1e-10
# Frames whose spectra are computed at once on a CPU.
BLOCK = 256
# Klatt's critical bands, centres and bandwidths in Hz.
CENTRES = (
    *(50.0, 120.0, 190.0, 260.0, 330.0, 400.0, 470.0, 540.0, 617.372, 703.378),
    *(798.717, 904.128, 1020.38, 1148.30, 1288.72, 1442.54, 1610.70, 1794.16),
    *(1993.93, 2211.08, 2446.71, 2701.97, 2978.04, 3276.17, 3597.63),
)
BANDWIDTHS = (
    *(70.0, 70.0, 70.0, 70.0, 70.0, 70.0, 70.0, 77.3724, 86.0056, 95.3398),
    *(105.411, 116.256, 127.914, 140.423, 153.823, 168.154, 183.457, 199.776),
    *(217.153, 235.631, 255.255, 276.072, 298.126, 321.465, 346.136),
)


class Analysis(NamedTuple):
    """What LLR and WSS know of both signals, each [batch, ..., frames, values]."""

    levels: list[Tensor]
    correlations: list[Tensor]
    own: Tensor


def frame_measures(
    reference: Tensor, estimate: Tensor, rate: int, lengths: Tensor | None = None
) -> dict[str, Tensor]:
    """Compute "llr", "wss" and "segsnr" together, from one spectrum of each frame.

    Takes `llr`'s arguments and raises what it raises.

    Example
    -------
    >>> noise = torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))
    >>> measures = frame_measures(noise, 0.5 * noise, 8000)
    >>> {name: round(value.item(), 2) for name, value in measures.items()}
    {'llr': 0.0, 'wss': 0.0, 'segsnr': 35.0}
    """
    analysis = _analyze(reference, estimate, rate, lengths)
    return {
        "llr": _llr(analysis),
        "wss": _wss(analysis),
        "segsnr": segmental_snr(reference, estimate, rate, lengths),
    }


def llr(
    reference: Tensor, estimate: Tensor, rate: int, lengths: Tensor | None = None
) -> Tensor:
    """Log-likelihood ratio: how badly the estimate's linear prediction fits.

    Arguments
    ---------
    reference : torch.Tensor
        The target, shape [batch, time] or [batch, ears, time].
    estimate : torch.Tensor
        Same shape.
    rate : int
        Sample rate in Hz.
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1], shape [batch]; None for all of it.

    Returns
    -------
    torch.Tensor
        Mean over the 95 % of frames with the smallest, float64, shape [batch] or
        [batch, ears]; 0 is best. NaN where a signal is silent or has no frame. A frame
        that only the estimate mutes costs what no prediction at all costs.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Example
    -------
    >>> noise = torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))
    >>> llr(noise, noise + 0.3 * noise.roll(1), 8000) > 0.03
    tensor([True])
    """
    return _llr(_analyze(reference, estimate, rate, lengths))


def _llr(analysis: Analysis) -> Tensor:
    clean, other = analysis.correlations
    _, least = _predict(clean)
    predictor, _ = _predict(other)
    order = clean.shape[-1]
    # the predictor's own correlation, of lags 0, 1 and -1, 2 and -2, ...
    products = [
        (predictor[..., : order - lag] * predictor[..., lag:]).sum(-1)
        for lag in range(order)
    ]
    twice = torch.full((order,), 2.0, dtype=clean.dtype, device=clean.device)
    twice[0] = 1.0
    error = (torch.stack(products, -1) * clean * twice).sum(-1)
    # never below 1 but by rounding; of a silent frame of the reference nothing is lost
    ratio = (error / least).clamp(min=1).log().nan_to_num()
    return _mean_of_best(ratio, analysis.own)


def wss(
    reference: Tensor, estimate: Tensor, rate: int, lengths: Tensor | None = None
) -> Tensor:
    """Weighted spectral slope distance over 25 critical bands.

    Takes `llr`'s arguments and raises what it raises.

    Returns
    -------
    torch.Tensor
        Mean over the 95 % of frames with the smallest, float64, shape [batch] or
        [batch, ears]; 0 is best. NaN where a signal is silent or has no frame.

    Example
    -------
    >>> noise = torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))
    >>> wss(noise, 0.5 * noise, 8000).round(decimals=6)
    tensor([0.], dtype=torch.float64)
    """
    return _wss(_analyze(reference, estimate, rate, lengths))


def _wss(analysis: Analysis) -> Tensor:
    levels = analysis.levels
    slopes = [level.diff(dim=-1) for level in levels]
    pairs = zip(levels, slopes, strict=True)
    weights = torch.stack([_slope_weights(*pair) for pair in pairs]).sum(0)
    distance = (weights * (slopes[0] - slopes[1]).square()).sum(-1) / weights.sum(-1)
    return _mean_of_best(distance, analysis.own)


def segmental_snr(
    reference: Tensor, estimate: Tensor, rate: int, lengths: Tensor | None = None
) -> Tensor:
    """Segmental SNR, frames limited to -10..35 dB, of signals brought to one peak.

    Takes `llr`'s arguments and raises what it raises.

    Returns
    -------
    torch.Tensor
        In dB, float64, shape [batch] or [batch, ears]. NaN where a signal is silent or
        has no frame.

    Example
    -------
    >>> noise = torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))
    >>> segmental_snr(noise, 0.5 * noise, 8000)
    tensor([35.], dtype=torch.float64)
    """
    clean, other, own = _prepare(reference, estimate, rate, lengths, level=True)
    energy, noise = (_energies(x, rate) for x in (clean, clean - other))
    values = 10 * torch.log10(energy / (noise + TINY) + TINY)
    return _mean_of_best(values.clamp(*SEGMENTAL_BOUNDS), own, kept=1.0)


def _prepare(
    reference: Tensor,
    estimate: Tensor,
    rate: int,
    lengths: Tensor | None,
    level: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return both in float64, of a frame at least, and count each item's own frames.

    A pair of which one is silent or not finite has none.
    """
    pair = align(reference.double(), estimate.double(), lengths, zero_mean=level)
    clean, other, count = pair
    powers = [x.square().sum(-1) / count.clamp(min=1) for x in (clean, other)]
    heard = torch.stack([x.isfinite() & (x > SILENCE) for x in powers]).all(0)
    size, step = _frame(rate)
    missing = max(0, size - clean.shape[-1])
    clean, other = (F.pad(x, (0, missing)) for x in (clean, other))
    if level:
        peaks = [x.abs().amax(-1, keepdim=True) for x in (clean, other)]
        other = other * (peaks[0] / peaks[1])
    # the last whole frame is not used, as in Loizou's code
    own = (count / step - size / step).long().clamp(min=0) * heard
    return clean, other, own


def _frame(rate: int) -> tuple[int, int]:
    """Tell the samples of a frame, and between two."""
    size = round(FRAME * rate)
    return size, size // 4


def _window(size: int, like: Tensor) -> Tensor:
    window = torch.hann_window(size + 2, False, dtype=like.dtype, device=like.device)
    return window[1:-1]


def _energies(signal: Tensor, rate: int) -> Tensor:
    """Measure the energy of each windowed frame, [..., frames], without cutting any.

    Of pieces as long as a step, each weighted as each of the parts of a window.
    """
    size, step = _frame(rate)
    frames, parts = (signal.shape[-1] - size) // step + 1, -(-size // step)
    weights = F.pad(_window(size, signal).square(), (0, parts * step - size))
    missing = (frames + parts - 1) * step - signal.shape[-1]
    pieces = F.pad(signal, (0, missing)).square().unflatten(-1, (-1, step))
    shares = pieces @ weights.view(parts, step).mT
    return torch.stack(
        [shares[..., part : part + frames, part] for part in range(parts)]
    ).sum(0)


def _analyze(
    reference: Tensor, estimate: Tensor, rate: int, lengths: Tensor | None
) -> Analysis:
    """Measure band levels in dB and autocorrelations of all frames."""
    clean, other, own = _prepare(reference, estimate, rate, lengths)
    measured = [_measure(x, rate) for x in (clean, other)]
    bands = len(CENTRES)
    levels = [10 * x[..., :bands].clamp(min=TINY).log10() for x in measured]
    return Analysis(levels, [x[..., bands:] for x in measured], own)


def _measure(signal: Tensor, rate: int) -> Tensor:
    """Measure powers in bands, then correlations, [..., frames, bands and lags].

    Both are sums over each frame's power spectrum. Frames are cut a block at a time, as
    many as stay in the processor's cache.
    """
    size, step = _frame(rate)
    window = _window(size, signal)
    length = 2 ** math.ceil(math.log2(2 * size))
    weights = _spectral_weights(rate, length).to(signal.device)
    frames = signal.unfold(-1, size, step)
    block = max(1, BLOCK // max(1, frames[..., 0, 0].numel()))
    if signal.device.type != "cpu":
        block = frames.shape[-2]
    measured = []
    for part in frames.split(block, dim=-2):
        spectrum = torch.view_as_real(torch.fft.rfft(part * window, length))
        measured.append(spectrum.flatten(-2).square_() @ weights)
    return torch.cat(measured, -2)


def _mean_of_best(values: Tensor, own: Tensor, kept: float = KEPT) -> Tensor:
    """Average the smallest of each item's own frames, [batch, ..., frames]."""
    place = torch.arange(values.shape[-1], device=values.device)
    ordered = values.masked_fill(place >= own[..., None], math.inf).sort(-1).values
    count = (kept * own + 0.5).floor()
    total = ordered.masked_fill(place >= count[..., None], 0.0).sum(-1)
    return total / count


def _predict(correlation: Tensor) -> tuple[Tensor, Tensor]:
    """Find the prediction's coefficients 1, a_1 .. a_p and error (Levinson-Durbin)."""
    error = correlation[..., :1]
    coefficients = torch.ones_like(error)
    for order in range(1, correlation.shape[-1]):
        reflection = -(coefficients * correlation[..., 1 : order + 1].flip(-1)).sum(
            -1, keepdim=True
        )
        # a silent frame predicts nothing
        reflection = torch.where(error > 0, reflection / error, 0.0)
        longer = F.pad(coefficients, (0, 1))
        coefficients = longer + reflection * longer.flip(-1)
        error = error * (1 - reflection.square())
    return coefficients, error.squeeze(-1)


def _band_filters(rate: int, bins: int) -> Tensor:
    """Make the critical bands' filters, Gaussian down to -30 dB, [bins, bands]."""
    per_bin = rate / 2 / bins
    centres = (torch.tensor(CENTRES, dtype=torch.float64) / per_bin).floor()
    widths = torch.tensor(BANDWIDTHS, dtype=torch.float64) / per_bin
    place = torch.arange(bins, dtype=torch.float64)[:, None]
    filters = (-11 * ((place - centres) / widths).square()).exp() * widths[0] / widths
    return filters * (filters > math.exp(-30 / (2 * 2.303)))


@functools.lru_cache(maxsize=4)
@torch.inference_mode(False)
def _spectral_weights(rate: int, length: int) -> Tensor:
    """Make what turns squared spectra into bands and correlations, [2 * bins, both].

    Real and imaginary parts, in turns, have equal weights.
    """
    order = 10 if rate < 10000 else 16
    bins = length // 2
    place = torch.arange(bins + 1, dtype=torch.float64)[:, None]
    lags = torch.arange(order + 1, dtype=torch.float64)
    inverse = (2 * torch.pi / length * place * lags).cos() * 2 / length
    inverse[[0, bins]] /= 2
    bands = F.pad(_band_filters(rate, bins), (0, 0, 0, 1))
    return torch.cat([bands, inverse], 1).repeat_interleave(2, 0)


def _slope_weights(level: Tensor, slope: Tensor) -> Tensor:
    """Weigh each band by how near it is to the highest and to the nearest peak."""
    bands = slope.shape[-1]
    place = torch.arange(bands, device=slope.device).expand_as(slope)
    rising = slope > 0
    # where the slope next stops rising, and where it rose last
    ahead = torch.where(rising, bands, place).flip(-1).cummin(-1).values.flip(-1)
    behind = torch.where(rising, place, -1).cummax(-1).values
    # the band before the top where it rises, as in Loizou's code
    nearest = level.gather(-1, torch.where(rising, ahead - 1, behind + 1))
    below = level[..., :-1]
    highest = level.amax(-1, keepdim=True)
    return 20 / (20 + highest - below) / (1 + nearest - below)
