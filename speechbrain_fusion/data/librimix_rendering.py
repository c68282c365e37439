"""LibriMix's mixtures made in memory, from what its metadata say of them.

The steps are those of the published generator, in its precision, so that a mixture is
what its file would hold: sources at 16 kHz times their gains, `resample_poly` to 8 kHz,
cut to the shortest or padded to the longest, summed, each signal stored with 16 bit.

Source: Cosentino et al., "LibriMix: An Open-Source Dataset for Generalizable Speech
Separation", arXiv 2005.11262, and its metadata.
"""

from collections.abc import Sequence

import numpy as np
import scipy.signal

from speechbrain_fusion.data.audio import AudioError, fit, read, resample
from speechbrain_fusion.data.manifest import Entry
from speechbrain_fusion.data.mixtures import Mixtures

RATE = 16000
"""Rate of LibriSpeech and WHAM's noise in Hz."""

OVERLAP = RATE // 2 + 1
"""Samples in which the copies of an extended noise overlap."""


def render(
    sources: Sequence[np.ndarray],
    gains: Sequence[float],
    noise: np.ndarray,
    noise_gain: float,
    rate: int,
    mode: str,
) -> np.ndarray:
    """Make a mixture of talkers and a noise.

    Arguments
    ---------
    sources : sequence of np.ndarray
        The talkers at 16 kHz, float32 [time], of any lengths.
    gains : sequence of float
        Their gains.
    noise : np.ndarray
        The noise at 16 kHz, float32 [time]; extended if it is too short.
    noise_gain : float
        Its gain.
    rate : int
        8000 or 16000 Hz.
    mode : str
        "min": as long as the shortest talker, "max": as the longest.

    Returns
    -------
    np.ndarray
        Mixture, mixture without noise and each talker, as 16-bit files hold them,
        float32 [2 + talkers, time].

    Raises
    ------
    ValueError
        If the noise is too short to be extended.

    Example
    -------
    >>> one = np.full(16000, 0.1, "float32")
    >>> render([one, one[:8000]], [1.0, 2.0], one, 0.5, 8000, "min").shape
    (4, 4000)
    """
    longest = max(source.size for source in sources)
    noise = extend_noise(noise[:longest], longest)
    signals = [
        scipy.signal.resample_poly(signal * float(gain), rate, RATE)
        for signal, gain in zip([*sources, noise], [*gains, noise_gain], strict=True)
    ]
    sizes = [signal.size for signal in signals]
    samples = min(sizes) if mode == "min" else max(sizes)
    fitted = [fit(signal, samples) for signal in signals]
    clean = _sum(fitted[:-1])
    return np.stack(
        [as_16_bit(x) for x in (_sum([clean, fitted[-1]]), clean, *fitted[:-1])]
    )


def extend_noise(noise: np.ndarray, samples: int) -> np.ndarray:
    """Repeat a noise until it is long enough, its copies joined by a cross-fade.

    Arguments
    ---------
    noise : np.ndarray
        At 16 kHz, [time].
    samples : int
        The wanted length.

    Returns
    -------
    np.ndarray
        The noise itself where it is long enough, else float64 [samples]. Ends and
        beginnings overlap by the halves of a Hann window of one second.

    Raises
    ------
    ValueError
        If the noise is not longer than the overlap.

    Example
    -------
    >>> extend_noise(np.ones(12000), 16000).min().round(6)
    np.float64(1.0)
    """
    if noise.size >= samples:
        return noise
    if noise.size <= OVERLAP:
        raise ValueError(f"{noise.size} samples of noise, expected above {OVERLAP}")
    rising = np.hanning(RATE + 1)[:OVERLAP]
    extended = noise
    while extended.size < samples:
        joint = extended[-OVERLAP:] * rising[::-1] + noise[:OVERLAP] * rising
        extended = np.concatenate([extended[:-OVERLAP], joint, noise[OVERLAP:]])
    return extended[:samples]


def as_16_bit(signal: np.ndarray) -> np.ndarray:
    """Round a signal as libsndfile does that writes it to a 16-bit file.

    Arguments
    ---------
    signal : np.ndarray
        Any shape.

    Returns
    -------
    np.ndarray
        float32: multiples of 2**-15, rounded down, from -1 to 1 - 2**-15.

    Example
    -------
    >>> (as_16_bit(np.array([2.0, -2.0, 1.9 / 2**15])) * 2**15).tolist()
    [32767.0, -32768.0, 1.0]
    """
    # to 32 bit, of which the upper half is kept
    steps = np.floor(np.rint(signal.astype(np.float64) * 2.0**31) / 2.0**16)
    return (np.clip(steps, -(2**15), 2**15 - 1) / 2**15).astype(np.float32)


def _sum(signals: Sequence[np.ndarray]) -> np.ndarray:
    """Add up one by one in float32."""
    total = np.zeros(signals[0].size, np.float32)
    for signal in signals:
        total += signal
    return total


class RenderedMixtures(Mixtures):
    """Mixtures rendered when they are taken; see `Mixtures` for how they are."""

    # the last one, of which several places may be tried
    _rendered: tuple[Entry, np.ndarray] | None = None

    def load(self, entry: Entry, start: int, samples: int) -> np.ndarray:
        """Render a mixture and cut it; see `Mixtures.load`."""
        if self._rendered is None or self._rendered[0] is not entry:
            self._rendered = entry, self._render(entry)
        return self._rendered[1][:, start : start + samples].copy()

    def _render(self, entry: Entry) -> np.ndarray:
        mixture = render_entry(entry, self.rate)
        if mixture.shape[-1] != entry["samples"]:
            files = ", ".join(entry["sources"])
            raise AudioError(f"{files}: other lengths than when they were prepared")
        return mixture


def render_entry(entry: Entry, rate: int) -> np.ndarray:
    """Read what a manifest says of a mixture, and render it.

    Arguments
    ---------
    entry : dict
        sources and noise (paths of files), gains, noise_gain, speed (of the noise) and
        mode.
    rate : int
        8000 or 16000 Hz.

    Returns
    -------
    np.ndarray
        What `render` returns.

    Raises
    ------
    AudioError
        If a file is unreadable or too short, naming it.
    """
    sources = [read(path)[0][0] for path in entry["sources"]]
    longest = max(source.size for source in sources)
    noise = read_noise(entry["noise"], entry["speed"], longest)
    try:
        return render(
            sources, entry["gains"], noise, entry["noise_gain"], rate, entry["mode"]
        )
    except ValueError as error:
        raise AudioError(f"{entry['noise']}: {error}") from error


def read_noise(path: str, speed: int, samples: int) -> np.ndarray:
    """Read the first channel of a noise from its start, at another speed.

    LibriMix's augmented noises were made by sox, whose filter is another one. Ten
    recorded noises made here differ from sox's by -30 to -73 dB, most where there is
    much just below 8 kHz, and at 8 kHz by -56 to -78 dB.

    Arguments
    ---------
    path : str
        A file at 16 kHz.
    speed : int
        In percent; 100 leaves the noise as it is.
    samples : int
        The wanted length.

    Returns
    -------
    np.ndarray
        float32, [samples] or, where the file has less, shorter.

    Raises
    ------
    AudioError
        If the file cannot be read, naming it.

    Example
    -------
    >>> import soundfile
    >>> path = getfixture("tmp_path") / "noise.wav"
    >>> soundfile.write(path, np.ones(8000), 16000)
    >>> read_noise(str(path), 80, 16000).shape
    (10000,)
    """
    if speed == 100:
        return read(path, 0, samples)[0][0]
    return resample(read(path)[0][0], speed, 100)[:samples]
