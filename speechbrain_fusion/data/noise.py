"""Synthetic noises: pure functions of a length, a rate and a random generator.

Every kind returns float32 samples at an RMS of LEVEL, or less where the peaks would
otherwise clip. Spectra are shaped by one FFT over the whole signal, so that noise is
stationary to its very ends; it is meant for seconds or minutes, not for streams.
"""

from collections.abc import Callable, Sequence

import numpy as np
import scipy.fft
import scipy.signal

from speechbrain_fusion.data.audio import PEAK
from speechbrain_fusion.nnet.options import choose

LEVEL = 0.05
"""RMS of every noise, relative to full scale (-26 dB)."""

LOWEST = 20.0
"""Pink noise is flat under this frequency in Hz, where its power would be infinite."""

HARMONICS = 40
"""The most harmonics an engine has; fewer where they would pass half the rate."""

Speech = Sequence[np.ndarray]


def _normalise(signal: np.ndarray) -> np.ndarray:
    signal = _unit(signal)
    highest = max(np.abs(signal).max(), PEAK / LEVEL)
    return (signal * (PEAK / highest)).astype(np.float32)


def _unit(signal: np.ndarray) -> np.ndarray:
    """Scale to an RMS of 1; silence stays silence."""
    return signal / max(np.sqrt(np.mean(signal**2)), np.finfo(np.float32).tiny)


def _shaped(
    samples: int,
    rate: int,
    generator: np.random.Generator,
    gain: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Filter white noise by a gain over frequency in Hz."""
    size = scipy.fft.next_fast_len(samples, real=True)
    spectrum = scipy.fft.rfft(generator.standard_normal(size))
    spectrum *= gain(scipy.fft.rfftfreq(size, 1 / rate))
    return scipy.fft.irfft(spectrum, size)[:samples]


def white(samples: int, rate: int, generator: np.random.Generator) -> np.ndarray:
    """Make white Gaussian noise.

    Arguments
    ---------
    samples : int
        Length.
    rate : int
        In Hz; white noise does not depend on it.
    generator : np.random.Generator
        Source of randomness.

    Returns
    -------
    np.ndarray
        float32, shape [samples].

    Example
    -------
    >>> white(16000, 16000, np.random.default_rng(0)).shape
    (16000,)
    """
    return _normalise(generator.standard_normal(samples))


def pink(samples: int, rate: int, generator: np.random.Generator) -> np.ndarray:
    """Make Gaussian noise whose power falls by 3 dB per octave above LOWEST.

    Arguments
    ---------
    samples : int
        Length.
    rate : int
        In Hz.
    generator : np.random.Generator
        Source of randomness.

    Returns
    -------
    np.ndarray
        float32, shape [samples].

    Example
    -------
    >>> pink(16000, 16000, np.random.default_rng(0)).shape
    (16000,)
    """
    return _normalise(
        _shaped(samples, rate, generator, lambda f: np.maximum(f, LOWEST) ** -0.5)
    )


def speech_shaped(
    samples: int, rate: int, generator: np.random.Generator, speech: Speech
) -> np.ndarray:
    """Make Gaussian noise with the long-term spectrum of speech.

    Arguments
    ---------
    samples : int
        Length.
    rate : int
        In Hz, also of the speech.
    generator : np.random.Generator
        Source of randomness.
    speech : sequence of np.ndarray
        Utterances, each of shape [time].

    Returns
    -------
    np.ndarray
        float32, shape [samples].

    Raises
    ------
    ValueError
        If there is no speech.

    Example
    -------
    >>> generator = np.random.default_rng(0)
    >>> speech = [generator.standard_normal(16000)]
    >>> speech_shaped(16000, 16000, generator, speech).shape
    (16000,)
    """
    # Windows of 250 ms: short ones leak power to below the lowest pitch.
    grid, power = scipy.signal.welch(
        _joined(speech), rate, nperseg=rate // 4, detrend=False
    )
    amplitude = np.sqrt(power)
    return _normalise(
        _shaped(samples, rate, generator, lambda f: np.interp(f, grid, amplitude))
    )


def _joined(speech: Speech | None) -> np.ndarray:
    joined = np.concatenate([np.zeros(0), *(speech or ())])
    if not joined.any():
        raise ValueError("speech: expected utterances, got none or silent ones")
    return joined


def babble(
    samples: int,
    rate: int,
    generator: np.random.Generator,
    speech: Speech,
    talkers: int = 6,
) -> np.ndarray:
    """Make the sum of talkers of equal power, each saying utterances at random.

    Arguments
    ---------
    samples : int
        Length.
    rate : int
        In Hz, of the speech; babble does not depend on it.
    generator : np.random.Generator
        Source of randomness.
    speech : sequence of np.ndarray
        Utterances, each of shape [time].
    talkers : int
        How many speak at once.

    Returns
    -------
    np.ndarray
        float32, shape [samples].

    Raises
    ------
    ValueError
        If there is no speech, or no talker.

    Example
    -------
    >>> generator = np.random.default_rng(0)
    >>> speech = [generator.standard_normal(4000) for _ in range(3)]
    >>> babble(16000, 16000, generator, speech, talkers=2).shape
    (16000,)
    """
    if talkers < 1:
        raise ValueError(f"talkers: expected at least 1, got {talkers}")
    _joined(speech)
    voices = [_voice(samples, generator, speech) for _ in range(talkers)]
    return _normalise(np.stack(voices).sum(axis=0))


def _voice(samples: int, generator: np.random.Generator, speech: Speech) -> np.ndarray:
    """Say the utterances in random order, from a random moment, again and again."""
    order = generator.permutation(len(speech))
    turn = np.concatenate([speech[index] for index in order])
    return _unit(np.resize(np.roll(turn, generator.integers(turn.size)), samples))


def modulated(
    samples: int,
    rate: int,
    generator: np.random.Generator,
    speech: Speech | None = None,
    frequency: float = 4.0,
    depth: float = 0.9,
) -> np.ndarray:
    """Make noise whose amplitude follows a sine.

    Arguments
    ---------
    samples : int
        Length.
    rate : int
        In Hz, also of the speech.
    generator : np.random.Generator
        Source of randomness.
    speech : sequence of np.ndarray, optional
        Utterances: the carrier is noise of their long-term spectrum, else pink noise.
    frequency : float
        Of the modulation, in Hz.
    depth : float
        Of the modulation: 0 for none, 1 for down to silence.

    Returns
    -------
    np.ndarray
        float32, shape [samples].

    Raises
    ------
    ValueError
        If the depth is not in 0..1.

    Example
    -------
    >>> modulated(16000, 16000, np.random.default_rng(0), frequency=8.0).shape
    (16000,)
    """
    if not 0 <= depth <= 1:
        raise ValueError(f"depth: expected 0..1, got {depth}")
    angle = 2 * np.pi * (frequency / rate * np.arange(samples) + generator.random())
    carrier = (
        pink(samples, rate, generator)
        if speech is None
        else speech_shaped(samples, rate, generator, speech)
    )
    return _normalise(carrier * (1 + depth * np.sin(angle)))


def engine(
    samples: int,
    rate: int,
    generator: np.random.Generator,
    fundamental: float = 60.0,
    drift: float = 0.02,
    broadband: float = 0.1,
) -> np.ndarray:
    """Make an engine's hum: harmonics of a slowly drifting tone, and some pink noise.

    Arguments
    ---------
    samples : int
        Length.
    rate : int
        In Hz.
    generator : np.random.Generator
        Source of randomness.
    fundamental : float
        Its mean frequency in Hz.
    drift : float
        Largest deviation of the fundamental, relative to its mean.
    broadband : float
        Share of the pink noise in the power, 0..1.

    Returns
    -------
    np.ndarray
        float32, shape [samples].

    Raises
    ------
    ValueError
        If the fundamental is not between 0 and half the rate, or the share not in 0..1.

    Example
    -------
    >>> engine(16000, 16000, np.random.default_rng(0), fundamental=80.0).shape
    (16000,)
    """
    highest = fundamental * (1 + drift)
    if not 0 < highest < rate / 2 or not 0 <= broadband <= 1:
        raise ValueError(
            f"fundamental, broadband: expected 0..{rate / 2:g} Hz and 0..1, "
            f"got {fundamental:g} Hz (drift {drift:g}) and {broadband:g}"
        )
    speed = fundamental * (1 + drift * _wander(samples, rate, generator))
    rotation = np.exp(2j * np.pi * np.cumsum(speed) / rate)
    # All harmonics at once: the tone is a polynomial in the rotating phasor.
    order = np.arange(1, 1 + min(HARMONICS, int((rate / 2 - 1) // highest)))
    weights = np.exp(2j * np.pi * generator.random(order.size)) / order
    tone = np.polynomial.polynomial.polyval(rotation, np.append(0, weights)).real
    hiss = _unit(pink(samples, rate, generator))
    return _normalise(np.sqrt(1 - broadband) * _unit(tone) + np.sqrt(broadband) * hiss)


def _wander(samples: int, rate: int, generator: np.random.Generator) -> np.ndarray:
    """Drift within -1..1: the mean of three sines of 0.05 to 0.3 Hz."""
    rates, phases = generator.uniform(0.05, 0.3, (3, 1)), generator.random((3, 1))
    turns = rates * (np.arange(samples) / rate) + phases
    return np.sin(2 * np.pi * turns).mean(axis=0)


KINDS: dict[str, Callable[..., np.ndarray]] = {
    "white": white,
    "pink": pink,
    "speech_shaped": speech_shaped,
    "babble": babble,
    "modulated": modulated,
    "engine": engine,
}
"""Every kind of noise by its name."""

_FROM_SPEECH = {"speech_shaped", "babble", "modulated"}


def synthetic_noise(
    kind: str,
    samples: int,
    rate: int,
    generator: np.random.Generator,
    speech: Speech | None = None,
    **options: float,
) -> np.ndarray:
    """Make a noise of a kind given by name.

    Arguments
    ---------
    kind : str
        One of KINDS.
    samples : int
        Length.
    rate : int
        In Hz, also of the speech.
    generator : np.random.Generator
        Source of randomness.
    speech : sequence of np.ndarray, optional
        Utterances, each of shape [time], for the kinds that are made from speech.
    **options : float
        Further arguments of that kind.

    Returns
    -------
    np.ndarray
        float32, shape [samples].

    Raises
    ------
    ValueError
        If the kind is unknown or lacks the speech that it needs.

    Example
    -------
    >>> generator = np.random.default_rng(0)
    >>> synthetic_noise("engine", 16000, 16000, generator, fundamental=50.0).shape
    (16000,)
    """
    make = choose("kind", kind, KINDS)
    source = {"speech": speech} if kind in _FROM_SPEECH else {}
    return make(samples, rate, generator, **source, **options)
