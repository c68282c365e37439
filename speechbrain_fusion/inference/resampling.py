"""Sample rates of signals that come in blocks: soxr, with exact lengths and no delay.

libsoxr's filters have a linear phase, and it takes their delay away itself: what comes
out begins where the signal begins, and all channels are delayed alike.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import soxr

from speechbrain_fusion.inference.limits import check_rate


def resampled_length(length: int, source: int, target: int) -> int:
    """Count the samples that a signal has at another rate, rounded up.

    Example
    -------
    >>> resampled_length(441, 44100, 16000), resampled_length(442, 44100, 16000)
    (160, 161)
    """
    return -(-length * target // source)


class Resampler:
    """Change the sample rate of a signal block by block.

    Arguments
    ---------
    source, target : int
        Rates in Hz.
    channels : int
        Channels of the signal.

    Raises
    ------
    ValueError
        If a rate is not from 1 kHz to 768 kHz.

    Example
    -------
    >>> resampler = Resampler(44100, 16000, channels=2)
    >>> blocks = [resampler.push(np.zeros((2, 1000))) for _ in range(5)]
    >>> np.concatenate([*blocks, resampler.flush()], -1).shape
    (2, 1815)
    """

    def __init__(self, source: int, target: int, channels: int) -> None:
        self.source, self.target = check_rate(source), check_rate(target)
        self.channels = channels
        self.taken = self.given = 0
        self._stream = None
        if source != target:
            self._stream = soxr.ResampleStream(source, target, channels, "float32")

    def push(self, block: np.ndarray) -> np.ndarray:
        """Take samples, [channels, time], and give those that are ready, float32."""
        self.taken += block.shape[-1]
        out = np.asarray(block, np.float32)
        if self._stream is not None and block.size:
            out = self._stream.resample_chunk(np.ascontiguousarray(out.T)).T
        self.given += out.shape[-1]
        return out

    def flush(self, length: int | None = None) -> np.ndarray:
        """Give the rest.

        Arguments
        ---------
        length : int, optional
            How many samples there are to be in all, by default as many as belong to
            those that were taken (see `resampled_length`), and no fewer than were
            given. On a way back it is what there was before the way there.

        Returns
        -------
        np.ndarray
            float32, shape [channels, time].
        """
        if length is None:
            length = resampled_length(self.taken, self.source, self.target)
        missing = max(0, length - self.given)
        if self._stream is None:
            return np.zeros((self.channels, missing), np.float32)
        # enough for a last sample that is rounded up
        silence = np.zeros((2 + self.source // self.target, self.channels), "f4")
        rest = self._stream.resample_chunk(silence, last=True).T
        short = max(0, missing - rest.shape[-1])
        return np.pad(rest, ((0, 0), (0, short)))[:, :missing]


def resample_blocks(
    blocks: Iterable[np.ndarray],
    source: int,
    target: int,
    length: Callable[[], int] | None = None,
) -> Iterator[np.ndarray]:
    """Change the sample rate of a signal that comes in blocks.

    Arguments
    ---------
    blocks : iterable of np.ndarray
        Shape [channels, time] each.
    source, target : int
        Rates in Hz.
    length : callable, optional
        Asked at the end for the number of samples in all.

    Yields
    ------
    np.ndarray
        float32, shape [channels, time]; together `resampled_length` samples.

    Raises
    ------
    ValueError
        If a rate is not from 1 kHz to 768 kHz.

    Example
    -------
    >>> blocks = (np.zeros((2, size)) for size in (100, 1, 340))
    >>> sum(block.shape[-1] for block in resample_blocks(blocks, 44100, 16000))
    160
    """
    resampler = None
    for block in blocks:
        if resampler is None:
            resampler = Resampler(source, target, len(block))
        out = resampler.push(block)
        if out.size:
            yield out
    if resampler is not None:
        rest = resampler.flush(None if length is None else length())
        if rest.size:
            yield rest


def resample(
    signal: np.ndarray, source: int, target: int, length: int | None = None
) -> np.ndarray:
    """Change the sample rate of a whole signal, as `resample_blocks` does.

    Arguments
    ---------
    signal : np.ndarray
        Shape [channels, time].
    source, target : int
        Rates in Hz.
    length : int, optional
        Samples to return, by default `resampled_length`.

    Returns
    -------
    np.ndarray
        float32, shape [channels, time].

    Raises
    ------
    ValueError
        If a rate is not from 1 kHz to 768 kHz.

    Example
    -------
    >>> there = resample(np.ones((2, 441)), 44100, 16000)
    >>> there.shape, resample(there, 16000, 44100, 441).shape
    ((2, 160), (2, 441))
    """
    if source == target and length in (None, signal.shape[-1]):
        return np.asarray(signal, np.float32)
    resampler = Resampler(source, target, len(signal))
    whole = np.concatenate([resampler.push(signal), resampler.flush(length)], -1)
    return whole[:, :length]
