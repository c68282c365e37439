"""MBSTOI, the modified binaural short-time objective intelligibility, differentiable.

Andersen, de Haan, Tan, Jensen: "Refinement and validation of the binaural short time
objective intelligibility measure for spatially diverse conditions", Speech
Communication 102, 2018, on top of STOI's frames, bands and segments (Taal, Hendriks,
Heusdens, Jensen, IEEE TASLP 19, 2011). At 10 kHz, of every segment of 30 frames in each
of 15 third octaves the clean and the processed envelope are correlated, twice:

1. behind an equalisation-cancellation stage: the ears, moved against each other by a
   delay tau and a level gamma, are subtracted; of a grid of 100 x 40 pairs (tau, gamma)
   the one with the largest ratio of clean to processed envelope energy is taken. The
   products of envelopes are means over the listener's jitter in both, eqs. 5 to 8;
2. in the better ear, that of the larger ratio. It is used where its ratio exceeds the
   stage's.

How it is fast: for a third octave of centre w, any of the stage's envelope products is
a weighted sum of nine functions of (tau, gamma), the same for all segments, and the
weights follow from the 4 x 4 products over the segment of left power, right power and
the real and imaginary part of the ears' cross-spectrum. So the search is two matrix
products and a division. It needs no gradient: the point found is constant almost
everywhere, and the correlation is computed again at that point, with one.

Where this follows the common Python port (pyclarity) rather than the paper: the last
segment of an item never uses the better ear, and third octaves are whole FFT bins.
"""

import functools
import math

import numpy as np
import torch
from torch import Tensor, nn

from speechbrain_fusion.losses.signal import check_pair
from speechbrain_fusion.nnet.padding import valid_samples
from speechbrain_fusion.nnet.precision import single_pair
from speechbrain_fusion.nnet.shapes import check_axes

RATE = 10000  # Hz
FRAME, HOP, FFT = 256, 128, 512
BANDS, LOWEST_CENTRE = 15, 150.0  # third octaves, Hz
SEGMENT = 30  # frames
DYNAMIC_RANGE = 40.0  # dB
DELAYS, LONGEST_DELAY = 100, 1e-3  # s
LEVELS, LARGEST_LEVEL = 40, 20.0  # dB
DELAY_JITTER, DELAY_SLOPE = 65e-6, 1.6e-3  # s, eq. 6
LEVEL_JITTER, LEVEL_SLOPE, LEVEL_POWER = 1.5, 13.0, 1.6  # dB, dB, eq. 5
SILENCE = 1e-10  # rms, -200 dB re full scale
POINTS_AT_ONCE = {"cpu": 2**21, "cuda": 2**24}  # of the search, bounds its memory


@functools.cache
def _third_octaves() -> tuple[np.ndarray, np.ndarray]:
    """Return the angular centre frequencies and the bins of each band."""
    frequencies = np.linspace(0, RATE / 2, FFT // 2 + 1)
    centres = LOWEST_CENTRE * 2 ** (np.arange(BANDS) / 3)
    low, high = (
        np.abs(frequencies - edge[:, None]).argmin(-1, keepdims=True)
        for edge in (centres * 2 ** (-1 / 6), centres * 2 ** (1 / 6))
    )
    bins = np.arange(len(frequencies))
    return 2 * np.pi * centres, ((bins >= low) & (bins < high)).astype(float)


@functools.cache
def _basis() -> np.ndarray:
    """Tabulate the nine functions of level and delay: [bands, 9, levels x delays]."""
    level = np.linspace(-LARGEST_LEVEL, LARGEST_LEVEL, LEVELS)[:, None]
    delay = np.linspace(-LONGEST_DELAY, LONGEST_DELAY, DELAYS)
    centre = _third_octaves()[0][:, None, None]
    spread = 1 + (np.abs(level) / LEVEL_SLOPE) ** LEVEL_POWER
    # nepers squared and radians squared, of both ears together
    level_variance = 2 * (np.log(10) * LEVEL_JITTER / 20 * spread) ** 2
    delay_spread = DELAY_JITTER * (1 + np.abs(delay) / DELAY_SLOPE)
    phase_variance = 2 * (centre * delay_spread) ** 2
    gain, angle = 10 ** (level / 20), centre * delay
    power = np.exp(2 * level_variance)
    cross = np.exp((level_variance - phase_variance) / 2)
    double = np.exp(-2 * phase_variance)
    functions = (
        gain**2 * power,
        gain**-2 * power,
        np.ones(1),
        gain * cross * np.cos(angle),
        gain * cross * np.sin(angle),
        cross / gain * np.cos(angle),
        cross / gain * np.sin(angle),
        double * np.cos(2 * angle),
        double * np.sin(2 * angle),
    )
    shape = (BANDS, LEVELS, DELAYS)
    table = np.stack([np.broadcast_to(x, shape) for x in functions], 1)
    return table.reshape(BANDS, len(functions), -1)


@functools.cache
def _weighting() -> np.ndarray:
    """Take products of (left, right, real, imaginary) to the functions' weights."""
    left, right, real, imaginary = range(4)
    terms = (
        {(left, left): 1},
        {(right, right): 1},
        {(left, right): 1, (right, left): 1, (real, real): 2, (imaginary,) * 2: 2},
        {(left, real): -2, (real, left): -2},
        {(left, imaginary): -2, (imaginary, left): -2},
        {(right, real): -2, (real, right): -2},
        {(right, imaginary): -2, (imaginary, right): -2},
        {(real, real): 2, (imaginary, imaginary): -2},
        {(real, imaginary): 2, (imaginary, real): 2},
    )
    matrix = np.zeros((4, 4, len(terms)))
    for column, term in enumerate(terms):
        for (row, other), factor in term.items():
            matrix[row, other, column] = factor
    return matrix.reshape(16, -1)


def _constant(table: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(table).to(like)


def _resample(signal: Tensor, rate: int) -> Tensor:
    """Resample to 10 kHz by the spectrum, which takes the signal as periodic."""
    if rate == RATE:
        return signal
    samples = signal.shape[-1]
    wanted = int(samples * (RATE / rate) + 1)
    spectrum = torch.fft.rfft(signal)[..., : wanted // 2 + 1]
    shorter = min(samples, wanted)
    if shorter % 2 == 0 and samples != wanted:
        # the bin at half the lower rate stands for two, or is shared by two
        spectrum = torch.cat(
            [
                spectrum[..., : shorter // 2],
                spectrum[..., shorter // 2 :] * (2.0 if wanted < samples else 0.5),
            ],
            -1,
        )
    return torch.fft.irfft(spectrum, n=wanted) * (wanted / samples)


def _levelled(pair: Tensor) -> Tensor:
    """Bring clean and processed signals to an rms of one; gains do not matter."""
    rms = pair.detach().square().mean((1, 2), keepdim=True).sqrt()
    return torch.where(rms <= SILENCE, 0.0, pair / rms.clamp(min=SILENCE))


def _window(like: Tensor) -> Tensor:
    return _constant(np.hanning(FRAME + 2)[1:-1], like)


def _speech_frames(pair: Tensor) -> Tensor:
    """Frames where either clean ear is within 40 dB of its loudest frame."""
    frames = pair[..., :-1].unfold(-1, FRAME, HOP) * _window(pair)
    norm = frames[0].detach().norm(dim=-1)
    # so that all frames of an ear that holds nothing are kept
    lifted = norm + np.finfo(float).eps
    quiet = lifted <= 10 ** (-DYNAMIC_RANGE / 20) * lifted.amax(-1, keepdim=True)
    speech = ~quiet.all(0) & norm.any()
    return frames.index_select(2, speech.nonzero().squeeze(-1))


def _overlap(frames: Tensor) -> Tensor:
    """Join the windowed frames that are left and cut whole frames again."""
    first, second = frames.split(HOP, -1)
    blocks = first + nn.functional.pad(second[..., :-1, :], (0, 0, 1, 0))
    return torch.cat([blocks[..., :-1, :], blocks[..., 1:, :]], -1)


def _features(frames: Tensor) -> Tensor:
    """Left and right power and cross-spectrum of bands: [2, 4, frames, bands]."""
    spectrum = torch.fft.rfft(frames * _window(frames), n=FFT)
    powers = spectrum.real.square() + spectrum.imag.square()
    left, right = spectrum.unbind(1)
    cross = torch.view_as_real(left * right.conj()).movedim(-1, 1)
    return torch.cat([powers, cross], 1) @ _constant(_third_octaves()[1].T, powers)


def _segments(pair: Tensor, rate: int) -> Tensor:
    """Segments of one item about their means: [2, bands, segments, 4, frames].

    `pair` holds clean and processed, [2, ears, time]. There is no segment where the
    clean signal is silent or too short.
    """
    shortest = math.ceil((FRAME + 1) * rate / RATE)
    pair = nn.functional.pad(pair, (0, max(0, shortest - pair.shape[-1])))
    frames = _speech_frames(_levelled(_resample(pair, rate)))
    if frames.shape[2] <= SEGMENT:
        return frames[:, :, :0].reshape(2, BANDS, 0, 4, SEGMENT)
    segments = _features(_overlap(frames)).unfold(2, SEGMENT, 1)
    return (segments - segments.mean(-1, keepdim=True)).permute(0, 3, 2, 1, 4)


def _weights(segments: Tensor) -> Tensor:
    """Weights of the clean energy, the common and the processed one.

    Shape [3, bands, segments, 9]. The processed energies carry what rounding leaves of
    a signal, so that silence gives no division by zero.
    """
    x, y = segments
    products = torch.stack([x @ x.mT, x @ y.mT, y @ y.mT])
    weights = products.flatten(-2) @ _constant(_weighting(), products)
    lift = weights.new_zeros(3, 1, 1, weights.shape[-1])
    lift[2, ..., :3] = _floor(weights)
    return weights + lift


def _floor(energies: Tensor) -> float:
    return torch.finfo(energies.dtype).eps ** 3


@torch.no_grad()
def _search(weights: Tensor, basis: Tensor) -> Tensor:
    """Find each segment's grid point of largest ratio: [bands, segments]."""
    points = POINTS_AT_ONCE.get(weights.device.type, POINTS_AT_ONCE["cpu"])
    rows = max(1, points // (BANDS * basis.shape[-1]))
    clean, processed = (weights[i].split(rows, 1) for i in (0, 2))
    ratios = (
        (x @ basis).div_(y @ basis).unflatten(-1, (LEVELS, DELAYS))
        for x, y in zip(clean, processed, strict=True)
    )
    return torch.cat([_argmax(ratio) for ratio in ratios], 1)


def _argmax(ratio: Tensor) -> Tensor:
    """Index the maximum over both last axes: amax is much faster than argmax."""
    level = ratio.amax(-1).argmax(-1)
    delays = ratio.take_along_dim(level[..., None, None], -2).squeeze(-2)
    return level * ratio.shape[-1] + delays.argmax(-1)


def _correlations(weights: Tensor, counts: list[int]) -> Tensor:
    """Correlate clean and processed envelopes: [bands, segments of all items]."""
    basis = _constant(_basis(), weights)
    point = _search(weights, basis).unsqueeze(-1)
    functions = basis.mT.gather(1, point.expand(-1, -1, basis.shape[1]))
    cancelled = (weights * functions).sum(-1)
    ways = torch.stack([cancelled, weights[..., 1], weights[..., 0]])
    ratio = (ways[:, 0] / ways[:, 2]).detach()
    last = np.cumsum([count for count in counts if count]) - 1
    ratio[1:, :, last] = -math.inf
    chosen = ratio.argmax(0).expand(1, 3, -1, -1)
    clean, common, processed = ways.gather(0, chosen)[0]
    # two roots, as the product of two floors leaves float32's range
    x, y = (energy.clamp(min=_floor(weights)).rsqrt() for energy in (clean, processed))
    return common * x * y


def mbstoi_correlations(
    reference: Tensor, estimate: Tensor, rate: int, lengths: Tensor | None = None
) -> tuple[Tensor, ...]:
    """Correlate the envelopes of clean and processed speech; MBSTOI is the mean.

    Arguments
    ---------
    reference : torch.Tensor
        Clean speech at the left and right ear, shape [batch, 2, time].
    estimate : torch.Tensor
        Processed speech, same shape.
    rate : int
        Sample rate in Hz.
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1], shape [batch]; None for all of it.

    Returns
    -------
    tuple of torch.Tensor
        One per item, shape [bands, segments], in the signals' precision, float32 at
        least. No segments where the reference is silent or has less than 31 frames
        (0.41 s) of speech; zeros where the estimate is silent.

    Raises
    ------
    ValueError
        If the shapes do not fit or there are not two ears.

    Example
    -------
    >>> noise = torch.randn(1, 2, 8000, generator=torch.Generator().manual_seed(0))
    >>> (item,) = mbstoi_correlations(noise, 0.1 * noise, 16000)
    >>> item.shape, item.mean().round(decimals=3)
    (torch.Size([15, 8]), tensor(1.))
    """
    check_pair(reference, estimate, lengths)
    check_axes(reference, batch=None, ears=2, time=None)
    samples = valid_samples(reference, lengths).tolist()
    with torch.autocast(reference.device.type, enabled=False):
        pairs = torch.stack(single_pair(reference, estimate), 1)
        items = [
            _segments(pair[..., :count], rate)
            for pair, count in zip(pairs, samples, strict=True)
        ]
        counts = [item.shape[2] for item in items]
        return _correlations(_weights(torch.cat(items, 2)), counts).split(counts, 1)


class MBSTOILoss(nn.Module):
    """One minus the MBSTOI of an estimate, averaged over the batch.

    Items without a score, as the reference is silent or has less than 31 frames
    (0.41 s) of speech, count zero and have no gradient. A silent estimate costs one,
    with no gradient either: a little of `snr_loss` beside this loss leads out of there.
    MBSTOI ignores gains, so that some loss beside it has to fix the level anyway.

    Arguments
    ---------
    rate : int
        Sample rate in Hz.

    Notes
    -----
    Andersen, de Haan, Tan, Jensen: "Refinement and validation of the binaural short
    time objective intelligibility measure for spatially diverse conditions", Speech
    Communication 102, 2018.

    Example
    -------
    >>> noise = torch.randn(2, 2, 8000, generator=torch.Generator().manual_seed(0))
    >>> MBSTOILoss(16000)(noise, noise).abs().round(decimals=3)
    tensor(0.)
    """

    def __init__(self, rate: int) -> None:
        super().__init__()
        self.rate = rate

    def forward(
        self, reference: Tensor, estimate: Tensor, lengths: Tensor | None = None
    ) -> Tensor:
        """Return the loss.

        Arguments
        ---------
        reference : torch.Tensor
            Clean speech at the left and right ear, shape [batch, 2, time].
        estimate : torch.Tensor
            Same shape.
        lengths : torch.Tensor, optional
            Relative lengths in (0, 1], shape [batch]; None for all of it.

        Returns
        -------
        torch.Tensor
            A scalar, float32 or better.

        Raises
        ------
        ValueError
            If the shapes do not fit or there are not two ears.
        """
        items = mbstoi_correlations(reference, estimate, self.rate, lengths)
        # the sum of no correlations is a zero that still has a graph
        costs = [1 - item.mean() if item.numel() else item.sum() for item in items]
        return torch.stack(costs).mean()
