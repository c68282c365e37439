"""LLR, WSS and segmental SNR of all frames at once beside a loop over frames.

    python benchmarks/composite.py [--batch 8] [--seconds 4] [--rate 16000]

The loop is what Python ports of Loizou's code do: for each frame one FFT, one product
with the band filters and one prediction by SciPy, all in NumPy. PESQ, which both take
from the same library, is left out. Prints milliseconds for an item, rounds interleaved.
"""

import functools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import scipy.linalg
import torch
from measure import (
    interleave,
    middle,
    options,
    parse,
    print_table,
    ratio,
    record,
    scaled,
)

from speechbrain_fusion.metrics import frame_measures, llr, segmental_snr, wss
from speechbrain_fusion.metrics.frame_measures import BANDWIDTHS, CENTRES

HEADER = ("part", "ours, ms", "loop, ms", "ratio (range)", "largest difference")
FUNCTIONS = {"llr": llr, "wss": wss, "segsnr": segmental_snr}
Array = np.ndarray


def main() -> None:
    """Measure and print a table."""
    parser = options(__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rate", type=int, default=16000)
    arguments = parse(parser)
    generator = torch.Generator().manual_seed(0)
    shape = 2, arguments.batch, round(arguments.seconds * arguments.rate)
    clean, noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    signals = clean, clean + 0.5 * noise
    timing = arguments.rounds, "cpu", arguments.clock
    print_table(HEADER, compare(*signals, arguments.rate, timing))


def compare(
    clean: torch.Tensor, noisy: torch.Tensor, rate: int, timing: tuple[int, str, str]
) -> Iterator[tuple[object, ...]]:
    """Yield a row for each part, and one for all, which share what they can."""
    loops = {"llr": loop_llr, "wss": loop_wss, "segsnr": loop_segmental_snr}
    pairs = [(x.numpy(), y.numpy()) for x, y in zip(clean, noisy, strict=True)]

    def loop(names: Sequence[str]) -> dict[str, Array]:
        return {n: np.array([loops[n](*pair, rate) for pair in pairs]) for n in names}

    def ours(names: Sequence[str]) -> dict[str, torch.Tensor]:
        if len(names) > 1:
            return frame_measures(clean, noisy, rate)
        return {n: FUNCTIONS[n](clean, noisy, rate) for n in names}

    for names in (*([name] for name in loops), list(loops)):
        ways = {way.__name__: functools.partial(way, names) for way in (ours, loop)}
        seconds = interleave(ways, *timing)
        times = {way: scaled(x, 1e3 / len(clean)) for way, x in seconds.items()}
        here, there, title = ours(names), loop(names), " and ".join(names)
        largest = max(np.abs(here[n].numpy() - there[n]).max() for n in names)
        speed = ratio(seconds["loop"], seconds["ours"])
        record(
            "Frame measures, an item",
            title,
            times["ours"],
            "ms",
            "NumPy",
            times["loop"],
        )
        medians = [f"{middle(values):.2f}" for values in times.values()]
        yield title, *medians, speed, f"{largest:.1e}"


# -- the loop --------------------------------------------------------------------------


def frames_of(clean: Array, other: Array, rate: int) -> Iterator[tuple[Array, Array]]:
    """Yield windowed frames of 30 ms, a quarter of that apart."""
    size = round(0.03 * rate)
    step = size // 4
    window = np.hanning(size + 2)[1:-1]
    for place in range(int(clean.size / step - size / step)):
        part = slice(place * step, place * step + size)
        yield clean[part] * window, other[part] * window


def best(values: list[float]) -> float:
    """Average the smallest 95 %."""
    return float(np.mean(sorted(values)[: round(0.95 * len(values))]))


def loop_llr(clean: Array, other: Array, rate: int) -> float:
    """Compute the log-likelihood ratio of one item."""
    order, values = 10 if rate < 10000 else 16, []
    for pair in frames_of(clean, other, rate):
        lags = [autocorrelate(frame, order) for frame in pair]
        fits = [np.append(1, -scipy.linalg.solve_toeplitz(x[:-1], x[1:])) for x in lags]
        matrix = scipy.linalg.toeplitz(lags[0])
        errors = [fit @ matrix @ fit for fit in fits]
        values.append(math.log(errors[1] / errors[0]))
    return best(values)


def autocorrelate(frame: Array, order: int) -> Array:
    """Correlate a frame with itself at lags up to `order`."""
    return np.array([frame[: frame.size - k] @ frame[k:] for k in range(order + 1)])


def loop_segmental_snr(clean: Array, other: Array, rate: int) -> float:
    """Compute the segmental SNR of one item in dB."""
    clean, other = clean - clean.mean(), other - other.mean()
    other = other * np.abs(clean).max() / np.abs(other).max()
    values = []
    for one, two in frames_of(clean, other, rate):
        quotient = (one @ one) / ((one - two) @ (one - two) + 1e-10)
        values.append(min(max(10 * math.log10(quotient + 1e-10), -10), 35))
    return float(np.mean(values))


def loop_wss(clean: Array, other: Array, rate: int) -> float:
    """Compute the weighted spectral slope distance of one item."""
    size = 2 ** math.ceil(math.log2(2 * round(0.03 * rate)))
    filters = band_filters(rate, size // 2)
    values = []
    for pair in frames_of(clean, other, rate):
        levels = []
        for frame in pair:
            power = np.abs(np.fft.rfft(frame, size)[: size // 2]) ** 2
            levels.append(10 * np.log10(np.maximum(power @ filters, 1e-10)))
        slopes = [np.diff(level) for level in levels]
        weight = weigh(levels[0], slopes[0]) + weigh(levels[1], slopes[1])
        values.append((weight @ (slopes[0] - slopes[1]) ** 2) / weight.sum())
    return best(values)


def band_filters(rate: int, bins: int) -> Array:
    """Make the critical bands' filters, [bins, bands]."""
    centres = np.floor(np.array(CENTRES) * 2 * bins / rate)
    widths = np.array(BANDWIDTHS) * 2 * bins / rate
    place = np.arange(bins)[:, None]
    filters = np.exp(-11 * ((place - centres) / widths) ** 2) * widths[0] / widths
    return filters * (filters > math.exp(-30 / (2 * 2.303)))


def weigh(level: Array, slope: Array) -> Array:
    """Weigh each band by how near it is to the highest and to the nearest peak."""
    nearest = []
    for band in range(slope.size):
        place = band
        if slope[band] > 0:
            while place < slope.size and slope[place] > 0:
                place += 1
            nearest.append(level[place - 1])
        else:
            while place >= 0 and slope[place] <= 0:
                place -= 1
            nearest.append(level[place + 1])
    below = level[:-1]
    return 20 / (20 + level.max() - below) / (1 + np.array(nearest) - below)


if __name__ == "__main__":
    main()
