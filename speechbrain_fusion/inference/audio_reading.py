"""Recordings read block by block, whatever they are and however broken.

libsndfile knows a format by its content: an MP3 that is named .wav is read as an MP3.
It is never asked to seek, which would be slow or inexact in compressed formats.

A recording that is shorter than its header says, or that cannot be decoded to its end,
gives what is there, with an `AudioWarning`. Where libsndfile has no sign of it (Ogg,
NIST, VOC and MAT files), neither is there a warning. Anything else that is wrong is an
`AudioError` that names the file and says what was expected.
"""

import io
import os
import re
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import soundfile

from speechbrain_fusion.data.audio import LONGEST, AudioError
from speechbrain_fusion.inference.limits import (
    HIGHEST,
    LOWEST,
    MOST_CHANNELS,
    NO_LENGTH,
)

# Samples of a block, all channels together.
BLOCK = 16384
# libsndfile's log of sizes that a header states and a file has not.
MISSING = re.compile(
    r"\b(?:data|SSND|Data Size|riff|Riff size) *: *(\d+) \(should be (\d+)\)"
)


class AudioWarning(UserWarning):
    """Something about a file that does not keep it from being processed."""


class _Forward(soundfile.SoundFile):
    """A file that soundfile does not seek in, as it else does after every read."""

    def seekable(self) -> bool:
        return False


class _Bytes(io.BytesIO):
    """Bytes in which a broken header may ask for a place that there is not."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


class AudioReader:
    """An open recording.

    Arguments
    ---------
    source : Path or str or bytes
        A regular file, or the content of one.
    channel : int, optional
        The one channel to read, from 0; None for all.

    Attributes
    ----------
    name : str
        The file, as messages call it.
    rate, channels : int
        Rate in Hz, number of channels that are read.
    container, subtype : str
        As libsndfile calls them: "WAV", "PCM_16".
    frames : int or None
        Samples of each channel, as the header says; None if it does not.
    count : int
        Samples of each channel that were read so far.

    Raises
    ------
    AudioError
        If it is no recording, has no samples, a rate that is not from 1 kHz to 768 kHz,
        more than 64 channels, or not the wanted one.

    Example
    -------
    >>> data = io.BytesIO()
    >>> soundfile.write(data, np.zeros((20000, 2)), 8000, format="WAV")
    >>> with AudioReader(data.getvalue()) as reader:
    ...     sizes = [block.shape for block in reader.blocks()]
    >>> reader.rate, reader.subtype, sizes
    (8000, 'PCM_16', [(2, 8192), (2, 8192), (2, 3616)])
    """

    def __init__(self, source: Path | str | bytes, channel: int | None = None) -> None:
        self.name = "audio data" if isinstance(source, bytes) else str(source)
        self.channel, self.count = channel, 0
        self._file = self._open(source)
        try:
            self._check()
        except AudioError:
            self.close()
            raise
        file = self._file
        self.rate: int = file.samplerate
        self.channels: int = file.channels if channel is None else 1
        self.container, self.subtype = str(file.format), str(file.subtype)
        self.frames = file.frames if file.frames < LONGEST else None

    def _open(self, source: Path | str | bytes) -> Any:
        try:
            if not isinstance(source, bytes):
                return _Forward(_regular(source))
            if not source:
                raise AudioError(f"{self.name}: empty, expected an audio file")
            return _Forward(_Bytes(source))
        except AudioError:
            raise
        except soundfile.SoundFileError as error:
            reason = reason_of(error)
            message = f"{self.name}: not a readable audio file ({reason})"
            raise AudioError(message) from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            message = f"{self.name}: not readable ({reason}), expected an audio file"
            raise AudioError(message) from error

    def _check(self) -> None:
        file, expected = self._file, None
        if file.frames == 0:
            expected = "no samples, expected one or more"
        elif not LOWEST <= file.samplerate <= HIGHEST:
            expected = f"{file.samplerate} Hz, expected {LOWEST} to {HIGHEST} Hz"
        elif not 1 <= file.channels <= MOST_CHANNELS:
            expected = f"{file.channels} channels, expected 1 to {MOST_CHANNELS}"
        elif self.channel is not None and not 0 <= self.channel < file.channels:
            channels = channels_text(file.channels)
            expected = f"{channels}, expected one of number {self.channel} (from 0)"
        if expected:
            raise AudioError(f"{self.name}: {expected}")

    def __enter__(self) -> "AudioReader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def seconds(self) -> float | None:
        """How long the recording is, as its header says."""
        return None if self.frames is None else self.frames / self.rate

    def blocks(self) -> Iterator[np.ndarray]:
        """Read all samples, once.

        Yields
        ------
        np.ndarray
            float32, shape [channels, time].

        Raises
        ------
        AudioError
            If a sample is not finite, or there are none.
        """
        size = max(1, BLOCK // self._file.channels)
        while len(block := self._read(size)):
            if not np.isfinite(block).all():
                row = int(np.nonzero(~np.isfinite(block).all(1))[0][0])
                raise AudioError(
                    f"{self.name}: sample {self.count + row} is not a finite number, "
                    "expected all to be"
                )
            self.count += len(block)
            yield block.T if self.channel is None else block.T[[self.channel]]
        if not self.count:
            raise AudioError(f"{self.name}: no samples, expected one or more")
        self._check_length()

    def _read(self, size: int) -> np.ndarray:
        try:
            return self._file.read(size, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            reason = reason_of(error)
            if not self.count:
                raise AudioError(
                    f"{self.name}: not a readable audio file ({reason})"
                ) from error
            self._warn(f"broken after {self.count} samples ({reason})")
            # said already
            self.frames = None
            return np.empty((0, 1))

    def _check_length(self) -> None:
        """Warn if there is less than the header says."""
        if self.frames is not None and self.count < self.frames:
            self._warn(f"{self.count} samples where its header says {self.frames}")
        for said, held in MISSING.findall(self._file.extra_info):
            if int(held) < int(said) < NO_LENGTH:
                self._warn(f"{held} bytes where its header says {said}")
                return

    def _warn(self, message: str) -> None:
        text = f"{self.name}: {message}: what is there is processed"
        warnings.warn(text, AudioWarning, stacklevel=2)


def _regular(source: Path | str) -> int:
    """Open a regular file: a descriptor, so that its name does not matter."""
    path = Path(source)
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise AudioError(f"{path}: a folder, expected an audio file")
    if not stat.S_ISREG(mode):
        raise AudioError(f"{path}: not a regular file, expected an audio file")
    if not path.stat().st_size:
        raise AudioError(f"{path}: empty, expected an audio file")
    return os.open(path, os.O_RDONLY)


def channels_text(number: int) -> str:
    """Write a number of channels.

    Example
    -------
    >>> channels_text(1), channels_text(2)
    ('1 channel', '2 channels')
    """
    return f"{number} channel{'' if number == 1 else 's'}"


def reason_of(error: Exception) -> str:
    """Return libsndfile's words without the number of the file."""
    return str(getattr(error, "error_string", error)).strip().rstrip(".")
