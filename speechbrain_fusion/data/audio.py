"""Audio files and sample rates: one place where a file is read and checked.

Reading is by libsndfile (soundfile), resampling by torchaudio's windowed sinc.
"""

import functools
import math
import os
from pathlib import Path

import numpy as np
import soundfile
import torch
import torchaudio

SUFFIXES = (".wav", ".flac", ".ogg")
# In samples; libsndfile gives 2**63 - 1 for a length that it does not know.
LONGEST = 2**62
# In samples of the lower rate: the resampler reaches 34 (32 zeros / 0.95) to each side.
MARGIN = 40
PEAK = 0.99
"""No sample of what is mixed or made up is larger than this."""

SHORTER = "shorter than when it was prepared"
"""What an error says of a file that has changed."""


class AudioError(ValueError):
    """A file that cannot be used; the message names it and what was expected."""


@functools.lru_cache(maxsize=16)
def _resampler(source: int, target: int) -> torchaudio.transforms.Resample:
    return torchaudio.transforms.Resample(
        source, target, lowpass_filter_width=32, rolloff=0.95
    )


def resample(signal: np.ndarray, source: int, target: int) -> np.ndarray:
    """Change the sample rate of a signal.

    Arguments
    ---------
    signal : np.ndarray
        Samples, shape [..., time].
    source : int
        The signal's rate in Hz.
    target : int
        The wanted rate in Hz.

    Returns
    -------
    np.ndarray
        float32, shape [..., ceil(time * target / source)].

    Example
    -------
    >>> resample(np.zeros((2, 441)), 44100, 16000).shape
    (2, 160)
    """
    signal = np.ascontiguousarray(signal, dtype=np.float32)
    if source == target:
        return signal
    return _resampler(source, target)(torch.from_numpy(signal)).numpy()


def read(path: Path | str, start: int = 0, frames: int = -1) -> tuple[np.ndarray, int]:
    """Read a file, or a part of it, at its own rate.

    Arguments
    ---------
    path : Path or str
        An audio file that libsndfile knows.
    start : int
        First sample.
    frames : int
        Number of samples, -1 for all that follow.

    Returns
    -------
    signal : np.ndarray
        float32, shape [channels, time].
    rate : int
        In Hz.

    Raises
    ------
    AudioError
        If the file cannot be read or ends before `start`, naming it.
    """
    try:
        # as bytes: a name may be none of text
        with soundfile.SoundFile(os.fsencode(path)) as file:
            if file.frames > LONGEST:
                raise AudioError(
                    f"{path}: its header states no length (a FLAC written into a "
                    "pipe?), expected one"
                )
            if start > file.frames:
                raise AudioError(
                    f"{path}: {file.frames} samples, expected at least {start}"
                )
            file.seek(start)
            samples = file.read(frames, dtype="float32", always_2d=True)
            return np.ascontiguousarray(samples.T), file.samplerate
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(f"{path}: not a readable audio file ({error})") from error


def read_resampled(
    path: Path | str, source: int, target: int, start: int, samples: int
) -> np.ndarray:
    """Read a part of a file as it is in the whole file at another rate.

    Arguments
    ---------
    path : Path or str
        An audio file.
    source : int
        Its rate in Hz.
    target : int
        The wanted rate in Hz, not above the file's.
    start : int
        First sample at the wanted rate.
    samples : int
        Number of samples at the wanted rate.

    Returns
    -------
    np.ndarray
        float32, shape [channels, samples].

    Raises
    ------
    AudioError
        If the file is unreadable or no longer what it was when it was prepared.

    Example
    -------
    >>> import soundfile
    >>> path = getfixture("tmp_path") / "noise.wav"
    >>> soundfile.write(path, np.full((44100, 2), 0.5), 44100)
    >>> read_resampled(path, 44100, 8000, start=1000, samples=10).round(3)[0, :3]
    array([0.5, 0.5, 0.5], dtype=float32)
    """
    shared = math.gcd(source, target)
    # from an instant that is a sample of both rates, so that nothing is shifted
    instant = max(start - MARGIN, 0) // (target // shared)
    first = instant * (source // shared)
    last = -(-(start + samples + MARGIN) * source // target)
    signal, rate = read(path, first, last - first)
    if rate != source:
        raise AudioError(f"{path}: {rate} Hz, it had {source} Hz when it was prepared")
    skipped = start - instant * (target // shared)
    part = resample(signal, source, target)[:, skipped : skipped + samples]
    if part.shape[-1] < samples:
        raise AudioError(f"{path}: {SHORTER}")
    return np.ascontiguousarray(part)


def fit(signal: np.ndarray, samples: int) -> np.ndarray:
    """Cut a signal [time] or zero-pad it at its end to a number of samples.

    Example
    -------
    >>> fit(np.array([1.0, 2.0]), 3), fit(np.array([1.0, 2.0]), 1)
    (array([1., 2., 0.]), array([1.]))
    """
    return np.pad(signal[:samples], (0, max(samples - signal.size, 0)))
