"""Stretches of recordings, read where they are needed and never silent."""

import math
from dataclasses import dataclass

import numpy as np

from speechbrain_fusion.data.audio import AudioError, read, resample
from speechbrain_fusion.data.manifest import Entry

# A stretch whose mean power is below this (-80 dBFS) counts as a pause.
PAUSE = 1e-8
TRIES = 20


@dataclass(frozen=True)
class Source:
    """A stretch of a recording that comes from one direction."""

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
        Whether a recording begins again at its end (noise) or not (speech).

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
        return _fit(resample(signal, file_rate, rate), samples)

    first = round(source.start * file_rate)
    for attempt in range(TRIES):
        # the drawn place first, then evenly on through the recording
        signal = stretch(first + attempt * span // TRIES)
        if np.square(signal).mean() > PAUSE:
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
        part = read(path, begin + start, asked)[0][0]
        if part.size < asked:
            raise AudioError(f"{path}: shorter than when it was prepared")
        parts.append(part)
        missing, start = missing - part.size, 0
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _fit(signal: np.ndarray, samples: int) -> np.ndarray:
    """Cut or zero-pad to a number of samples."""
    return np.pad(signal[:samples], (0, max(samples - signal.size, 0)))
