"""Responses of a head, or of a head in a room, from directions around it."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from speechbrain_fusion.data.audio import resample

# A sound has arrived where its response comes this near to its peak (-20 dB).
ONSET = 0.1
# In degrees: files state angles with rounding errors, measured grids miss by less.
ANGLE_TOLERANCE = 0.5


def circular(degrees: np.ndarray) -> np.ndarray:
    """Wrap angles into [-180, 180).

    Example
    -------
    >>> float(circular(np.array(270.0)))
    -90.0
    """
    return (degrees + 180) % 360 - 180


def positive_rate(rate: float) -> int:
    """Check that a sample rate in Hz is positive and whole.

    Raises
    ------
    ValueError
        If it is not.
    """
    if not (math.isfinite(rate) and rate > 0 and rate == int(rate)):
        raise ValueError(f"rate is {rate} Hz; expected a positive whole number")
    return int(rate)


@dataclass(frozen=True, eq=False)
class HeadResponses:
    """Impulse responses from directions around a head to its two ears.

    Arguments
    ---------
    azimuth : np.ndarray
        Degrees counter-clockwise, 0 = front, 90 = left, shape [directions], in
        [0, 360) and ascending.
    responses : np.ndarray
        float32, shape [directions, 2 (left, right), taps].
    rate : int
        In Hz.
    name : str
        Of the set, for messages.

    Example
    -------
    >>> from speechbrain_fusion.data import rigid_sphere
    >>> head = rigid_sphere(8000)
    >>> head.at(-90).shape
    (2, 96)
    """

    azimuth: np.ndarray
    responses: np.ndarray
    rate: int
    name: str

    @classmethod
    def from_directions(
        cls, azimuth: ArrayLike, responses: np.ndarray, rate: float, name: str
    ) -> "HeadResponses":
        """Sort directions by azimuth.

        Arguments
        ---------
        azimuth : ArrayLike
            Degrees counter-clockwise, any turn, in any order, shape [directions].
        responses : np.ndarray
            Shape [directions, 2 (left, right), taps].
        rate : float
            In Hz, a whole number.
        name : str
            Of the set, for messages.

        Returns
        -------
        HeadResponses
            The directions in ascending order.

        Raises
        ------
        ValueError
            If the rate is not positive and whole, or an azimuth not finite or twice.

        Example
        -------
        >>> ones = np.ones((2, 2, 3))
        >>> HeadResponses.from_directions([0, -90], ones, 8000, "").azimuth.tolist()
        [0.0, 270.0]
        """
        # Rounded, as files hold angles in single precision and -1e-9 % 360 is not 0.
        degrees = np.round(np.atleast_1d(np.asarray(azimuth, dtype=float)), 4) % 360
        if not np.isfinite(degrees).all():
            raise ValueError("azimuth: expected finite degrees")
        order = np.argsort(degrees)
        degrees = degrees[order]
        twice = degrees[1:][np.diff(degrees) == 0]
        if len(twice):
            raise ValueError(
                f"azimuth {twice[0]:g} is there twice; expected each once, at one "
                "distance"
            )
        responses = responses[order].astype(np.float32)
        return cls(degrees, responses, positive_rate(rate), name)

    def onsets(self) -> np.ndarray:
        """Find where sound arrives: the first tap within 20 dB of the ear's peak.

        Returns
        -------
        np.ndarray
            Taps, shape [directions, 2 (left, right)].

        Example
        -------
        >>> from speechbrain_fusion.data import rigid_sphere
        >>> left, right = rigid_sphere(48000, [90]).onsets()[0]
        >>> bool(left < right)
        True
        """
        magnitude = np.abs(self.responses)
        return (magnitude >= ONSET * magnitude.max(-1, keepdims=True)).argmax(-1)

    def at(self, azimuth: float, tolerance: float = ANGLE_TOLERANCE) -> np.ndarray:
        """Pick the response from the direction nearest to an azimuth.

        Arguments
        ---------
        azimuth : float
            Degrees counter-clockwise, any turn.
        tolerance : float
            Largest distance on the circle, degrees.

        Returns
        -------
        np.ndarray
            float32, shape [2 (left, right), taps].

        Raises
        ------
        ValueError
            If no direction is near enough, listing those there are.

        Example
        -------
        >>> from speechbrain_fusion.data import rigid_sphere
        >>> head = rigid_sphere(8000)
        >>> bool((head.at(360) == head.at(0)).all())
        True
        """
        distance = np.abs(circular(self.azimuth - azimuth))
        nearest = distance.argmin()
        if not distance[nearest] <= tolerance:
            known = ", ".join(f"{degrees:g}" for degrees in self.azimuth)
            raise ValueError(
                f"{self.name}: no response within {tolerance:g} degrees of azimuth "
                f"{azimuth:g}; available: {known}"
            )
        return self.responses[nearest]

    def resampled(self, rate: int) -> "HeadResponses":
        """Change the sample rate and keep the gain of filtering with the responses.

        Arguments
        ---------
        rate : int
            The wanted rate in Hz.

        Returns
        -------
        HeadResponses
            The same directions at that rate.

        Raises
        ------
        ValueError
            If the rate is not a positive whole number.

        Example
        -------
        >>> from speechbrain_fusion.data import rigid_sphere
        >>> rigid_sphere(16000).resampled(8000).rate
        8000
        """
        target = positive_rate(rate)
        # A filter is a sum over taps: fewer of them must each weigh more.
        responses = resample(self.responses, self.rate, target) * (self.rate / target)
        return replace(self, responses=responses, rate=target)

    def direct(self, milliseconds: float = 2.5) -> "HeadResponses":
        """Keep the direct sound, from the start to shortly after the earlier ear's.

        Both ears of a direction are cut at one time, so their differences stay; the
        last fifth of the time after the onset is a half-cosine fade.

        Arguments
        ---------
        milliseconds : float
            From the onset at the earlier ear to silence.

        Returns
        -------
        HeadResponses
            The same directions, as many taps as the longest of them needs.

        Raises
        ------
        ValueError
            If the time is not positive.

        Example
        -------
        >>> from speechbrain_fusion.data import rigid_sphere
        >>> rigid_sphere(16000).direct(2.0).responses.shape[-1] < 192
        True
        """
        if not 0 < milliseconds < math.inf:
            raise ValueError(
                f"milliseconds is {milliseconds}; expected a positive time"
            )
        kept = milliseconds * self.rate / 1000
        end = self.onsets().min(axis=1)[:, None, None] + kept
        left_over = end - np.arange(self.responses.shape[-1])
        fade = np.clip(left_over / (kept / 5), 0, 1)
        cut = self.responses * (1 - np.cos(np.pi * fade)) / 2
        return replace(self, responses=cut[..., : math.ceil(end.max())].astype("f4"))
