"""CSIG, CBAK and COVL: ratings of speech, background and the whole, and their parts.

All are linear in PESQ and in three measures of frames of 30 ms: LLR, WSS and segmental
SNR, which are computed here for all frames and items at once, in float64.

The coefficients are those of the Matlab code that comes with Loizou's book; they are
what the literature reports. The article that it names (Hu & Loizou, 2008, table VII)
has others, and other predictors: its CSIG, for one, has no WSS. The code is for
narrowband PESQ; the literature takes wideband PESQ at 16 kHz, and so does this.

Sources: Loizou, "Speech Enhancement: Theory and Practice", CRC Press, 2nd edition,
2013, chapter 11, and its code; Hu & Loizou, "Evaluation of Objective Quality Measures
for Speech Enhancement", IEEE TASLP 16(1), 2008; Klatt, "Prediction of perceived
phonetic distance from critical-band spectra", ICASSP 1982 (WSS).
"""

import functools
import math

import torch
from torch import Tensor

from speechbrain_fusion.losses.signal import align
from speechbrain_fusion.metrics.perceptual import pesq
from speechbrain_fusion.metrics.signal import SILENCE

WEIGHTS = {
    "csig": {"": 3.093, "llr": -1.029, "pesq": 0.603, "wss": -0.009},
    "cbak": {"": 1.634, "pesq": 0.478, "wss": -0.007, "segsnr": 0.063},
    "covl": {"": 1.594, "pesq": 0.805, "llr": -0.512, "wss": -0.007},
}
RATINGS = (1.0, 5.0)
FRAME = 0.03
# The largest of an item's LLRs and WSSs, outliers, are left out of the mean.
KEPT = 0.95
SEGMENTAL_BOUNDS = (-10.0, 35.0)
TINY = 1e-10
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


def composite(
    reference: Tensor,
    estimate: Tensor,
    rate: int,
    lengths: Tensor | None = None,
    jobs: int | None = None,
) -> dict[str, Tensor]:
    """Predict how listeners rate signal, background and overall quality.

    Arguments
    ---------
    reference : torch.Tensor
        The target, shape [batch, time] or [batch, ears, time].
    estimate : torch.Tensor
        Same shape.
    rate : int
        Sample rate, 8000 or 16000 Hz.
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1], shape [batch]; None for all of it.
    jobs : int, optional
        Processes for PESQ; 1 stays in this one, None takes one per CPU.

    Returns
    -------
    dict of str to torch.Tensor
        "csig", "cbak" and "covl" (1 to 5), and their parts "llr", "wss", "segsnr" (dB)
        and "pesq" (MOS-LQO), each float64, shape [batch] or [batch, ears]; NaN where an
        item has no PESQ.

    Raises
    ------
    ValueError
        If the shapes do not fit or PESQ does not know the rate.

    Notes
    -----
    See this module for sources and for the choice of coefficients.

    Example
    -------
    >>> noise = torch.randn(1, 16000, generator=torch.Generator().manual_seed(0))
    >>> scores = composite(noise, noise, 16000, jobs=1)
    >>> {name: round(score.item(), 2) for name, score in scores.items()}
    ... # doctest: +NORMALIZE_WHITESPACE
    {'csig': 5.0, 'cbak': 5.0, 'covl': 5.0, 'llr': 0.0, 'wss': 0.0, 'segsnr': 35.0,
     'pesq': 4.64}
    """
    parts = {
        "llr": llr(reference, estimate, rate, lengths),
        "wss": wss(reference, estimate, rate, lengths),
        "segsnr": segmental_snr(reference, estimate, rate, lengths),
        "pesq": pesq(reference, estimate, rate, lengths, jobs),
    }
    parts["pesq"] = parts["pesq"].to(parts["llr"].device)
    return {name: _rating(weights, parts) for name, weights in WEIGHTS.items()} | parts


def _rating(weights: dict[str, float], parts: dict[str, Tensor]) -> Tensor:
    rating = torch.full_like(parts["pesq"], weights[""])
    for name, part in parts.items():
        rating = rating + weights.get(name, 0.0) * part
    return rating.clamp(*RATINGS)


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
        [batch, ears]; 0 is best. NaN where a signal is silent or has no frame.

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
    order = 10 if rate < 10000 else 16
    clean, other, own = _windowed(reference, estimate, rate, lengths)
    correlation = _autocorrelation(clean, order)
    lags = torch.arange(order + 1, device=clean.device)
    matrix = correlation[..., (lags[:, None] - lags).abs()]

    def error(predictor: Tensor) -> Tensor:
        return ((predictor.unsqueeze(-2) @ matrix).squeeze(-2) * predictor).sum(-1)

    errors = [
        error(_predictor(lags))
        for lags in (_autocorrelation(other, order), correlation)
    ]
    # a silent frame has no prediction, and no error
    ratio = (errors[0] / errors[1]).log().nan_to_num()
    return _mean_of_best(ratio, own)


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
    *frames, own = _windowed(reference, estimate, rate, lengths)
    levels = [_band_levels(x, rate) for x in frames]
    slopes = [level.diff(dim=-1) for level in levels]
    pairs = zip(levels, slopes, strict=True)
    weights = torch.stack([_slope_weights(*pair) for pair in pairs]).sum(0)
    distance = (weights * (slopes[0] - slopes[1]).square()).sum(-1) / weights.sum(-1)
    return _mean_of_best(distance, own)


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
    clean, other, own = _windowed(reference, estimate, rate, lengths, level=True)
    ratio = clean.square().sum(-1) / ((clean - other).square().sum(-1) + TINY)
    values = (10 * torch.log10(ratio + TINY)).clamp(*SEGMENTAL_BOUNDS)
    return _mean_of_best(values, own, kept=1.0)


def _windowed(
    reference: Tensor,
    estimate: Tensor,
    rate: int,
    lengths: Tensor | None,
    level: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Cut both into frames [batch, ..., frames, samples]; count each item's own.

    A pair of which one is silent or not finite has none.
    """
    pair = align(reference.double(), estimate.double(), lengths, zero_mean=level)
    clean, other, count = pair
    powers = [x.square().sum(-1) / count.clamp(min=1) for x in (clean, other)]
    heard = torch.stack([x.isfinite() & (x > SILENCE) for x in powers]).all(0)
    if level:
        peaks = [x.abs().amax(-1, keepdim=True) for x in (clean, other)]
        other = other * (peaks[0] / peaks[1])
    size = round(FRAME * rate)
    step = size // 4
    # the last whole frame is not used, as in Loizou's code
    own = (count / step - size / step).long().clamp(min=0) * heard
    missing = max(0, size - clean.shape[-1])
    window = torch.hann_window(size + 2, False, dtype=clean.dtype, device=clean.device)
    frames = [
        torch.nn.functional.pad(x, (0, missing)).unfold(-1, size, step) * window[1:-1]
        for x in (clean, other)
    ]
    return frames[0], frames[1], own


def _mean_of_best(values: Tensor, own: Tensor, kept: float = KEPT) -> Tensor:
    """Average the smallest of each item's own frames, [batch, ..., frames]."""
    place = torch.arange(values.shape[-1], device=values.device)
    ordered = values.masked_fill(place >= own[..., None], math.inf).sort(-1).values
    count = (kept * own).round()
    total = ordered.masked_fill(place >= count[..., None], 0.0).sum(-1)
    return total / count


def _autocorrelation(frames: Tensor, order: int) -> Tensor:
    """Correlate each frame with itself at lags up to `order`."""
    spectrum = torch.fft.rfft(frames, 2 * frames.shape[-1])
    return torch.fft.irfft(spectrum.abs().square())[..., : order + 1]


def _predictor(correlation: Tensor) -> Tensor:
    """Find the coefficients 1, a_1 .. a_p of the prediction error (Levinson-Durbin)."""
    error = correlation[..., :1]
    coefficients = torch.ones_like(error)
    for order in range(1, correlation.shape[-1]):
        reflection = -(coefficients * correlation[..., 1 : order + 1].flip(-1)).sum(
            -1, keepdim=True
        )
        reflection = reflection / error
        longer = torch.nn.functional.pad(coefficients, (0, 1))
        coefficients = longer + reflection * longer.flip(-1)
        error = error * (1 - reflection.square())
    return coefficients


@functools.lru_cache(maxsize=4)
def _band_filters(rate: int, bins: int) -> Tensor:
    """Make the critical bands' filters, Gaussian down to -30 dB, [bins, bands]."""
    per_bin = rate / 2 / bins
    centres = (torch.tensor(CENTRES, dtype=torch.float64) / per_bin).floor()
    widths = torch.tensor(BANDWIDTHS, dtype=torch.float64) / per_bin
    place = torch.arange(bins, dtype=torch.float64)[:, None]
    filters = (-11 * ((place - centres) / widths).square()).exp() * widths[0] / widths
    return filters * (filters > math.exp(-30 / (2 * 2.303)))


def _band_levels(frames: Tensor, rate: int) -> Tensor:
    """Measure the levels in the critical bands in dB, [..., bands]."""
    size = 2 ** math.ceil(math.log2(2 * frames.shape[-1]))
    power = torch.fft.rfft(frames, size).abs().square()[..., : size // 2]
    bands = power @ _band_filters(rate, size // 2).to(frames.device)
    return 10 * bands.clamp(min=TINY).log10()


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
