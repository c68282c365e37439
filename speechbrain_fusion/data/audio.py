"""Audio files and sample rates: one place where a file is read and checked.

Reading is by libsndfile (soundfile), resampling by torchaudio's windowed sinc.
"""

import functools
from pathlib import Path

import numpy as np
import soundfile
import torch
import torchaudio

SUFFIXES = (".wav", ".flac", ".ogg")
# In samples; libsndfile gives 2**63 - 1 for a length that it does not know.
LONGEST = 2**62
PEAK = 0.99
"""No sample of what is mixed or made up is larger than this."""


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
        with soundfile.SoundFile(str(path)) as file:
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


def fit(signal: np.ndarray, samples: int) -> np.ndarray:
    """Cut a signal [time] or zero-pad it at its end to a number of samples.

    Example
    -------
    >>> fit(np.array([1.0, 2.0]), 3), fit(np.array([1.0, 2.0]), 1)
    (array([1., 2., 0.]), array([1.]))
    """
    return np.pad(signal[:samples], (0, max(samples - signal.size, 0)))
