"""What a recording may be: sample rates and numbers of channels."""

import operator
from typing import Any

# Hz. Beyond, a header is broken rather than its recording unusual.
LOWEST, HIGHEST = 1000, 768_000
# Ambisonics of order seven.
MOST_CHANNELS = 64
# Bytes that a WAV's header states for a length that is not known: so many or more.
NO_LENGTH = 0x7FFF0000


def check_rate(rate: Any) -> int:
    """Return a sample rate as int.

    Arguments
    ---------
    rate : int or float
        In Hz.

    Returns
    -------
    int
        The same.

    Raises
    ------
    ValueError
        If it is no whole number from 1 kHz to 768 kHz.

    Example
    -------
    >>> check_rate(16000.0)
    16000
    """
    try:
        whole = operator.index(int(rate) if isinstance(rate, float) else rate)
    except (TypeError, ValueError, OverflowError):
        whole = 0
    if isinstance(rate, bool) or whole != rate or not LOWEST <= whole <= HIGHEST:
        raise ValueError(
            f"rate: expected a whole number of {LOWEST} to {HIGHEST} Hz, got {rate!r}"
        )
    return whole
