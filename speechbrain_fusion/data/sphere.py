"""Responses of a rigid spherical head at its two ears, in closed form.

The series of Duda and Martens, "Range dependence of the response of a spherical
head model", JASA 104(5), 1998. Spherical Hankel functions enter as ratios of
neighbouring orders only: they overflow, their ratios do not, at any order.
Limits: no torso, no pinna, hence no elevation cue and front-back symmetric ears
where they sit at 90 degrees.
"""

import math

import numpy as np
import scipy.special
from numpy.typing import ArrayLike

from speechbrain_fusion.data.head import HeadResponses, positive_rate

SPEED_OF_SOUND = 343.0
# The passband ends here, in parts of the Nyquist frequency; a softer edge rings less.
PASSBAND = 0.85
# Samples that the band edge rings before and after the sound.
RINGING = 20
# Where the series ends: a term this small against a free field of one.
PRECISION = 1e-13


def _check(radius: float, distance: float) -> None:
    if not 0 < radius < math.inf:
        raise ValueError(f"radius is {radius} m; expected a positive length")
    # Closer than this the series takes thousands of terms.
    if not distance >= 1.01 * radius:
        raise ValueError(
            f"distance is {distance} m; expected at least 1.01 radii "
            f"({1.01 * radius:g} m) from the centre"
        )


def _modes(wavenumber: np.ndarray, range_ratio: float) -> np.ndarray:
    """Weights of the Legendre polynomials, [orders, bins], for ka and r / a."""
    far = wavenumber * range_ratio
    # h[m + 1] / h[m], second kind, at the sphere and at the source; upwards is stable.
    here, there = 1 / wavenumber + 1j, 1 / far + 1j
    modes: list[np.ndarray] = []
    weight, order = np.exp(1j * wavenumber), 0
    while not modes or order <= wavenumber.max() or np.abs(modes[-1]).max() > PRECISION:
        modes.append((2 * order + 1) * weight / (wavenumber * here - order))
        order, weight = order + 1, weight * there / here
        here = (2 * order + 1) / wavenumber - 1 / here
        there = (2 * order + 1) / far - 1 / there
    return np.stack(modes)


def sphere_transfer(
    incidence_degrees: ArrayLike,
    frequency: ArrayLike,
    radius: float = 0.0875,
    distance: float = math.inf,
) -> np.ndarray:
    """Pressure on a rigid sphere over the free field's pressure at its centre.

    Arguments
    ---------
    incidence_degrees : ArrayLike
        Angles between source and point on the sphere, shape [angles], degrees.
    frequency : ArrayLike
        Not negative, shape [bins], Hz.
    radius : float
        Of the sphere, in metres.
    distance : float
        From the centre to the source in metres; infinite for a plane wave.

    Returns
    -------
    np.ndarray
        complex128, shape [angles, bins]; a delay has negative phase.

    Raises
    ------
    ValueError
        If a frequency is negative, or the source is in the sphere or touches it.

    Source
    ------
    Duda and Martens, JASA 104(5), 1998, equations 1 to 4, complex conjugate.

    Example
    -------
    >>> np.abs(sphere_transfer([0, 180], [0.0])).round(6).tolist()
    [[1.0], [1.0]]
    """
    _check(radius, distance)
    frequency = np.atleast_1d(np.asarray(frequency, dtype=float))
    if not (np.isfinite(frequency) & (frequency >= 0)).all():
        raise ValueError("frequency: expected finite values of at least 0 Hz")
    # At 0 Hz the terms are 0 / 0; their limit is reached well before 1e-9.
    wavenumber = np.maximum(2 * np.pi * frequency * radius / SPEED_OF_SOUND, 1e-9)
    modes = _modes(wavenumber, distance / radius)
    cosine = np.cos(np.deg2rad(np.atleast_1d(incidence_degrees)))
    orders = np.arange(len(modes))
    return scipy.special.eval_legendre(orders, cosine[:, None]) @ modes


def _lowpass(frequency: np.ndarray, rate: int) -> np.ndarray:
    """Zero-phase gain, half a cosine from the passband's end to Nyquist."""
    edge = np.clip((2 * frequency / rate - PASSBAND) / (1 - PASSBAND), 0, 1)
    return (1 + np.cos(np.pi * edge)) / 2


def _impulse_responses(
    incidence_degrees: np.ndarray,
    rate: int,
    radius: float,
    distance: float,
    duration: float,
) -> np.ndarray:
    """Real float32 [angles, taps], later by a third of their duration."""
    _check(radius, distance)
    # Sound reaches the near side before the centre; its ringing comes first.
    least = 3 * (radius / SPEED_OF_SOUND + RINGING / rate)
    if not least <= duration < math.inf:
        raise ValueError(f"duration is {duration} s; expected at least {least:.4f} s")
    taps = math.ceil(duration * rate)
    # Eight times as long, so that nothing wraps around into the part that stays.
    frequency = np.fft.rfftfreq(8 * taps, 1 / rate)
    shift = np.exp(-2j * np.pi * frequency * (taps // 3) / rate)
    spectrum = sphere_transfer(incidence_degrees, frequency, radius, distance)
    responses = np.fft.irfft(spectrum * shift * _lowpass(frequency, rate))
    return responses[:, :taps].astype(np.float32)


def rigid_sphere(
    rate: int,
    azimuths: ArrayLike = tuple(range(0, 360, 5)),
    radius: float = 0.0875,
    ear_angle: float = 100.0,
    distance: float = math.inf,
    duration: float = 0.012,
) -> HeadResponses:
    """Compute the responses of a rigid sphere with two points for ears.

    Arguments
    ---------
    rate : int
        In Hz.
    azimuths : ArrayLike
        Degrees counter-clockwise, shape [directions], in any order.
    radius : float
        Of the sphere, in metres.
    ear_angle : float
        Azimuth of the left ear in degrees; the right ear is at its negative.
    distance : float
        From the centre to the sources in metres; infinite for plane waves.
    duration : float
        Of the responses in seconds; sound is at the centre after a third of it.

    Returns
    -------
    HeadResponses
        Sorted by azimuth; the gain is 1 where the head is not in the way.

    Raises
    ------
    ValueError
        If an argument is out of range, or an azimuth is there twice.

    Source
    ------
    Duda and Martens, "Range dependence of the response of a spherical head model",
    JASA 104(5), 1998; 0.0875 m and 100 degrees are theirs.

    Example
    -------
    >>> rigid_sphere(16000, [0, 30, -30]).azimuth.tolist()
    [0.0, 30.0, 330.0]
    """
    rate = positive_rate(rate)
    degrees = np.atleast_1d(np.asarray(azimuths, dtype=float))
    ears = [
        _impulse_responses(degrees - ear, rate, radius, distance, duration)
        for ear in (ear_angle, -ear_angle)
    ]
    return HeadResponses.from_directions(degrees, np.stack(ears, 1), rate, "sphere")
