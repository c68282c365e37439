"""Recordings written block by block, and under their name only once they are whole.

The container follows the name, or is that of the recording that was read. The encoding
is the recording's own where the container can hold it and libsndfile writes it without
harm, else the nearest. A sample beyond full scale is
clipped, with an `AudioWarning` that says how high the peak was; FLOAT and DOUBLE keep
it. Integers are rounded, so that what is only copied comes out as it was.
"""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.files import written_whole
from speechbrain_fusion.inference.audio_reading import (
    AudioReader,
    AudioWarning,
    reason_of,
)

# What a name's suffix may stand for; the first is made of anything else.
CONTAINERS: dict[str, tuple[str, ...]] = {
    ".wav": ("WAV", "WAVEX", "RF64"),
    ".flac": ("FLAC",),
    ".ogg": ("OGG",),
    ".oga": ("OGG",),
    ".opus": ("OGG",),
    ".mp3": ("MP3",),
    ".aiff": ("AIFF",),
    ".aif": ("AIFF",),
    ".aifc": ("AIFF",),
    ".w64": ("W64",),
    ".rf64": ("RF64",),
    ".caf": ("CAF",),
    ".au": ("AU",),
    ".snd": ("AU",),
    ".nist": ("NIST",),
    ".sph": ("NIST",),
    ".voc": ("VOC",),
}
BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
BITS["ALAC_16"] = 16
FLOATS = {"FLOAT": 32, "DOUBLE": 64}
# Encodings that keep the length, and at full scale the signal. Others, of telephones of
# old, do not, nor does libsndfile's ALAC of more than 16 bits.
KEPT = {*BITS, *FLOATS, "ULAW", "ALAW", "VORBIS", "OPUS", "MPEG_LAYER_III"}
# Where libsndfile takes a byte that fills up for a sample.
ODD = {(c, s) for c in ("AIFF", "VOC") for s in ("PCM_S8", "ULAW", "ALAW")}
ODD.add(("AIFF", "PCM_U8"))
# What comes next to an encoding that a container has not.
NEXT = {"FLOAT": "PCM_24", "DOUBLE": "PCM_24", "PCM_32": "PCM_24"}
NEXT |= {"ALAC_20": "PCM_24", "ALAC_24": "PCM_24", "ALAC_32": "PCM_32"}
# Containers whose sizes have 32 bits.
SMALL = {"WAV", "WAVEX", "AIFF", "AU"}
LARGEST = 2**32 - 2**16
# Samples that are encoded at once: libvorbis puts all of them on the stack.
BLOCK = 4096


class Layout(NamedTuple):
    """How a recording is written.

    Attributes
    ----------
    container, subtype : str
        As libsndfile calls them: "WAV", "PCM_16".
    rate, channels : int
        Rate in Hz, number of channels.
    """

    container: str
    subtype: str
    rate: int
    channels: int


def choose_layout(
    reader: AudioReader,
    channels: int,
    target: Path | None = None,
    subtype: str | None = None,
) -> Layout:
    """Say how to write what becomes of a recording.

    Arguments
    ---------
    reader : AudioReader
        The recording.
    channels : int
        How many are to be written.
    target : Path, optional
        Its suffix stands for a container; without one, it is the recording's own.
    subtype : str, optional
        A wanted encoding; by default the recording's own, or the nearest one.

    Returns
    -------
    Layout
        One that libsndfile can write.

    Raises
    ------
    AudioError
        If there is none, naming the target.

    Example
    -------
    >>> import io
    >>> data = io.BytesIO()
    >>> soundfile.write(data, np.zeros(1), 8000, "PCM_24", format="WAV")
    >>> choose_layout(AudioReader(data.getvalue()), 1, Path("a.flac"))
    Layout(container='FLAC', subtype='PCM_24', rate=8000, channels=1)
    """
    name, container = target or reader.name, reader.container
    if target is not None and target.suffix:
        known = CONTAINERS.get(target.suffix.lower())
        if known is None:
            raise AudioError(f"{name}: expected a name ending in {[*CONTAINERS]}")
        container = container if container in known else known[0]
    if subtype is None:
        return Layout(container, _nearest(reader, container), reader.rate, channels)
    possible = [own for own in sorted(KEPT) if _possible(container, own)]
    if subtype.upper() not in possible:
        raise AudioError(f"{name}: expected a subtype of {possible}, got {subtype!r}")
    return Layout(container, subtype.upper(), reader.rate, channels)


def _nearest(reader: AudioReader, container: str) -> str:
    """Return a container's encoding that is nearest to a recording's."""
    own = reader.subtype
    uncoded = own in BITS or own in FLOATS
    candidates = [own] if uncoded or container == reader.container else []
    for subtype in [*candidates, NEXT.get(own, "PCM_16")]:
        if _possible(container, subtype):
            return subtype
    return soundfile.default_subtype(container) or "PCM_16"


def _possible(container: str, subtype: str) -> bool:
    """Say whether libsndfile can write an encoding, and does so without harm."""
    if subtype not in KEPT or (container, subtype) in ODD:
        return False
    try:
        return soundfile.check_format(container, subtype)
    except ValueError:
        return False


class AudioWriter:
    """A recording that is being written.

    Arguments
    ---------
    file : int or BinaryIO
        Descriptor or binary file, open for writing.
    name : str
        What messages call it.
    layout : Layout
        How to write it.

    Raises
    ------
    AudioError
        If libsndfile cannot write it so.

    Example
    -------
    >>> import io
    >>> file = io.BytesIO()
    >>> with AudioWriter(file, "a.wav", Layout("WAV", "PCM_16", 8000, 2)) as writer:
    ...     writer.write(np.zeros((2, 100)))
    >>> soundfile.read(io.BytesIO(file.getvalue()))[0].shape
    (100, 2)
    """

    def __init__(self, file: int | BinaryIO, name: str, layout: Layout) -> None:
        self.name, self.layout, self.count, self.peak = name, layout, 0, 0.0
        try:
            self._file = soundfile.SoundFile(
                file,
                "w",
                layout.rate,
                layout.channels,
                layout.subtype,
                format=layout.container,
                closefd=False,
            )
        except (soundfile.SoundFileError, ValueError, TypeError) as error:
            raise AudioError(
                f"{name}: not possible as {layout.container} {layout.subtype} with "
                f"{layout.channels} channels at {layout.rate} Hz ({reason_of(error)})"
            ) from error

    def __enter__(self) -> "AudioWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._file.close()
        except soundfile.SoundFileError as failure:
            if kind is None:
                raise self._failed(failure) from failure
        if kind is None and self.peak > 1 and self.layout.subtype not in FLOATS:
            over = 20 * np.log10(self.peak)
            text = f"{self.name}: clipped, its peak of {self.peak:.4g} is {over:.2g} dB"
            hint = "over full scale; FLOAT would keep it"
            warnings.warn(f"{text} {hint}", AudioWarning, stacklevel=2)

    def write(self, block: np.ndarray) -> None:
        """Write samples, shape [channels, time].

        Raises
        ------
        AudioError
            If a sample is not finite, the container cannot hold as many, or they cannot
            be written.
        """
        if not np.isfinite(block).all():
            raise AudioError(
                f"{self.name}: what the system makes of the recording is not finite"
            )
        self.count += block.shape[-1]
        self._check_size()
        self.peak = max(self.peak, float(np.abs(block).max(initial=0.0)))
        encoded = np.ascontiguousarray(self._encode(block.T))
        for start in range(0, len(encoded), BLOCK):
            self._put(encoded[start : start + BLOCK])

    def _encode(self, samples: np.ndarray) -> np.ndarray:
        """Round to the encoding's integers, in the upper bits of 32."""
        subtype = self.layout.subtype
        if subtype in FLOATS:
            return samples
        bits = BITS.get(subtype)
        if bits is None:
            return samples.clip(-1, 1)
        full = 2 ** (bits - 1)
        integers = np.rint(samples.astype(np.float64) * full).clip(-full, full - 1)
        return integers.astype(np.int32) << (32 - bits)

    def _put(self, encoded: np.ndarray) -> None:
        try:
            self._file.write(encoded)
        except (soundfile.SoundFileError, AssertionError) as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> AudioError:
        # soundfile asserts that all was written, without a word
        reason = reason_of(error) or "in part only: is the disk full?"
        return AudioError(f"{self.name}: not written ({reason})")

    def _check_size(self) -> None:
        layout = self.layout
        bits = (BITS | FLOATS).get(layout.subtype, 0)
        if layout.container not in SMALL:
            return
        if self.count * layout.channels * bits // 8 > LARGEST:
            raise AudioError(
                f"{self.name}: over 4 GiB, which {layout.container} cannot hold: "
                "expected a name ending in .w64, .rf64, .caf or .flac"
            )


@contextlib.contextmanager
def written_audio(target: Path, layout: Layout) -> Iterator[AudioWriter]:
    """Open a recording that appears under its name only once it is whole.

    Arguments
    ---------
    target : Path
        The file.
    layout : Layout
        How to write it.

    Yields
    ------
    AudioWriter
        Writes into a temporary file beside it.

    Raises
    ------
    AudioError
        If it cannot be written, naming it.

    Example
    -------
    >>> target = getfixture("tmp_path") / "a.wav"
    >>> with written_audio(target, Layout("WAV", "PCM_16", 8000, 2)) as writer:
    ...     writer.write(np.zeros((2, 100)))
    >>> soundfile.info(str(target)).frames
    100
    """
    try:
        with (
            written_whole(target, "wb") as file,
            AudioWriter(file.fileno(), str(target), layout) as writer,
        ):
            yield writer
    except OSError as error:
        raise AudioError(f"{target}: {error.strerror or error}") from error
