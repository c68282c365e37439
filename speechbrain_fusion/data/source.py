"""Stretches of recordings, read where they are needed and never silent."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechbrain_fusion.data.audio import SHORTER, AudioError, fit, read, resample
from speechbrain_fusion.data.manifest import Entry

# A stretch whose mean power is below this (-80 dBFS) counts as a pause.
PAUSE = 1e-8
TRIES = 20
# Of speech the mean power is above this share of the squared peak.
SPEECH = 1e-4


@dataclass(frozen=True)
class Source:
    """A stretch of a recording that comes from one direction.

    Attributes
    ----------
    entry : dict
        The recording, a line of a manifest.
    start : float
        Where the stretch begins, in seconds.
    azimuth : float
        Where it comes from in degrees, 90 being left.
    """

    entry: Entry
    start: float
    azimuth: float


def read_stretch(source: Source, samples: int, rate: int, loop: bool) -> np.ndarray:
    """Read a stretch of a recording; if it is a pause, look further on.

    Of an entry that is a part of its file (first, samples) nothing else is read.

    Arguments
    ---------
    source : Source
        The recording and the wanted place.
    samples : int
        Length at the wanted rate.
    rate : int
        The wanted rate in Hz.
    loop : bool
        Whether a recording begins again at its end, as what interferes does, or not.

    Returns
    -------
    np.ndarray
        float32 [samples].

    Raises
    ------
    AudioError
        If the recording is silent, shorter than it was or unreadable, naming it.
    """
    path, file_rate = source.entry["file"], source.entry["rate"]
    begin = source.entry.get("first", 0)
    total, frames = source.entry["samples"], math.ceil(samples * file_rate / rate)
    if not loop:
        frames = min(frames, total)
    span = total if loop else total - frames + 1

    def stretch(start: int) -> np.ndarray:
        signal = _read_looped(path, begin, start % span, frames, total)
        return fit(resample(signal, file_rate, rate), samples)

    first = round(source.start * file_rate)
    for attempt in range(TRIES):
        # the drawn place first, then evenly on through the recording
        signal = stretch(first + attempt * span // TRIES)
        if sounds(signal):
            return signal
    # soft all along or sounding in few places: around the peak, which was prepared
    peak = int(np.abs(read(path, begin, total)[0][0]).argmax())
    signal = stretch(min(max(peak - frames // 2, 0), span - 1))
    if not np.square(signal).mean() > 0:
        raise AudioError(f"{path}: silent, expected audio")
    return signal


def _read_looped(
    path: str, begin: int, start: int, frames: int, total: int
) -> np.ndarray:
    """Read frames of a file's part from a place on, beginning again at its end."""
    parts, missing = [], frames
    while missing > 0:
        asked = min(missing, total - start)
        part = read_prepared(path, begin + start, asked)
        parts.append(part)
        missing, start = missing - part.size, 0
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def read_prepared(path: Path | str, start: int, samples: int) -> np.ndarray:
    """Read a part of a file's first channel that was there when it was prepared.

    Arguments
    ---------
    path : Path or str
        The file.
    start, samples : int
        First sample and number of samples, at the file's rate.

    Returns
    -------
    np.ndarray
        float32 [samples].

    Raises
    ------
    AudioError
        If the file has become shorter or unreadable, naming it.
    """
    part = read(path, start, samples)[0][0]
    if part.size < samples:
        raise AudioError(f"{path}: {SHORTER}")
    return part


def sounds(signal: np.ndarray) -> bool:
    """Tell sound from a pause, by the mean power over all channels.

    Example
    -------
    >>> sounds(np.full(100, 0.01)), sounds(np.zeros(100))
    (True, False)
    """
    return bool(np.square(signal).mean() > PAUSE)


def cut_speech(
    place: float,
    span: int,
    cut: Callable[[int], np.ndarray],
    whole: Callable[[], np.ndarray],
) -> tuple[np.ndarray, int]:
    """Cut a stretch in which the talker does not pause.

    Arguments
    ---------
    place : float
        Where to begin, from 0 to 1; where the talker pauses, evenly further on.
    span : int
        How many first samples there are to choose from.
    cut : callable
        Maps a first sample to the stretch.
    whole : callable
        Gives the whole recording, [time].

    Returns
    -------
    stretch : np.ndarray
        The first in which there is sound, or else, of a soft recording, the loudest
        one tried, of one that is silent but for a few places that of its peak.
    start : int
        Its first sample.

    Example
    -------
    >>> speech = np.repeat([0.0, 0.1], 500)
    >>> at = lambda start: speech[start : start + 100]
    >>> cut_speech(0.0, 901, at, lambda: speech)[1]
    405
    """
    tried = []
    for attempt in range(TRIES):
        start = int((place + attempt / TRIES) % 1 * span)
        stretch = cut(start)
        if sounds(stretch):
            return stretch, start
        tried.append((float(np.square(stretch).mean()), start))
    power, start = max(tried)
    recording = np.abs(whole())
    peak = int(recording.argmax())
    if power < SPEECH * float(recording[peak]) ** 2:
        start = min(max(peak - stretch.size // 2, 0), span - 1)
    return cut(start), start
