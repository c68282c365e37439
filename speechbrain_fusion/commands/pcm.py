"""Samples as bytes: raw PCM, and WAV as it comes through a pipe.

A program that writes a WAV into a pipe cannot go back to state its length: ffmpeg
leaves 0xFFFFFFFF, others 0 or about 2**31. Such a file goes on to the end of the pipe.

Source of the layout: IBM and Microsoft, "Multimedia Programming Interface and Data
Specifications 1.0", 1991; EBU Tech 3306 (RF64).
"""

import struct
from typing import IO, NamedTuple

import numpy as np

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.inference.limits import NO_LENGTH

# Bytes, NumPy's type and the value of full scale, by name; a width of 3 has no type.
ENCODINGS = {
    "s16le": (2, "<i2", 2.0**15),
    "s24le": (3, "<i4", 2.0**23),
    "s32le": (4, "<i4", 2.0**31),
    "f32le": (4, "<f4", 1.0),
}
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
UNKNOWN = 0xFFFFFFFF
LONGEST_FORMAT = 1024
READ_AT_ONCE = 65536


class SampleFormat(NamedTuple):
    """Rate in Hz, channels and encoding (a key of `ENCODINGS`) of a byte stream."""

    rate: int
    channels: int
    encoding: str

    @property
    def frame(self) -> int:
        """Bytes of one sample of all channels."""
        return self.channels * ENCODINGS[self.encoding][0]

    def decode(self, data: bytes) -> np.ndarray:
        r"""Turn bytes into float32 samples of full scale 1, shape [channels, time].

        Example
        -------
        >>> SampleFormat(16000, 2, "s16le").decode(b"\0\x40\0\xc0")
        array([[ 0.5],
               [-0.5]], dtype=float32)
        """
        width, kind, scale = ENCODINGS[self.encoding]
        if width == 3:
            high = np.zeros((len(data) // 3, 4), np.uint8)
            high[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            values = high.view("<i4").squeeze(1) >> 8
        else:
            values = np.frombuffer(data, kind)
        if kind != "<f4":
            values = (values / scale).astype(np.float32)
        return np.ascontiguousarray(values.reshape(-1, self.channels).T)

    def encode(self, signal: np.ndarray) -> bytes:
        r"""Turn samples [channels, time] into bytes; integers are rounded and limited.

        Example
        -------
        >>> SampleFormat(16000, 1, "s16le").encode(np.array([[0.5, 7.0]]))
        b'\x00@\xff\x7f'
        """
        width, kind, scale = ENCODINGS[self.encoding]
        if kind == "<f4":
            return signal.T.astype("<f4").tobytes()
        whole = np.rint(signal.T.astype(np.float64) * scale)
        values = whole.clip(-scale, scale - 1).astype("<i4")
        if width == 3:
            return values.reshape(-1, 1).view(np.uint8)[:, :3].tobytes()
        return values.astype(kind).tobytes()


def exactly(source: IO[bytes], count: int, what: str) -> bytes:
    """Read so many bytes.

    Raises
    ------
    AudioError
        If the source ends before, naming what was expected.
    """
    data = source.read(count)
    if len(data) < count:
        raise AudioError(f"stdin: it ends within {what}")
    return data


def read_wav_header(
    source: IO[bytes], begun: bytes = b""
) -> tuple[SampleFormat, int | None]:
    """Read a WAV's header, up to its first sample.

    Arguments
    ---------
    source : IO[bytes]
        What comes; it need not be seekable.
    begun : bytes
        What was read of it already, at most 12 bytes.

    Returns
    -------
    samples : SampleFormat
        What follows.
    size : int or None
        How many bytes of it; None if the header does not say.

    Raises
    ------
    AudioError
        If it is no WAV, or holds samples of another encoding.

    Example
    -------
    >>> import io
    >>> header = wav_header(SampleFormat(16000, 2, "f32le"), None)
    >>> read_wav_header(io.BytesIO(header))
    (SampleFormat(rate=16000, channels=2, encoding='f32le'), None)
    """
    head = begun + exactly(source, 12 - len(begun), "the header of a WAV")
    if head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
        raise AudioError("stdin: not a WAV (RIFF, WAVE)")
    samples, large = None, 0
    while True:
        name, size = struct.unpack("<4sI", exactly(source, 8, "the header of a WAV"))
        if name == b"data":
            break
        body = _chunk(source, name, size)
        if name == b"fmt ":
            samples = _sample_format(body)
        elif name == b"ds64" and len(body) >= 16:
            large = int.from_bytes(body[8:16], "little")
    if samples is None:
        raise AudioError("stdin: a WAV without a chunk 'fmt ' before its samples")
    if large and size == UNKNOWN:
        return samples, large
    return samples, size if 0 < size < NO_LENGTH else None


def _chunk(source: IO[bytes], name: bytes, size: int) -> bytes:
    """Read a chunk of the header; of one that is not needed only pass over it."""
    padded = size + size % 2
    if name in (b"fmt ", b"ds64"):
        if size > LONGEST_FORMAT:
            raise AudioError(f"stdin: a WAV with {size} bytes in {name.decode()!r}")
        return exactly(source, padded, "the header of a WAV")[:size]
    while padded:
        padded -= len(exactly(source, min(padded, READ_AT_ONCE), "a chunk of a WAV"))
    return b""


def _sample_format(body: bytes) -> SampleFormat:
    """Read the chunk 'fmt '."""
    if len(body) < 16:
        raise AudioError(f"stdin: a WAV with only {len(body)} bytes in 'fmt '")
    kind, channels, rate, _, frame, bits = struct.unpack("<HHIIHH", body[:16])
    if kind == EXTENSIBLE and len(body) >= 26:
        kind = int.from_bytes(body[24:26], "little")
    encodings = {(PCM, 16): "s16le", (PCM, 24): "s24le", (PCM, 32): "s32le"}
    encoding = (encodings | {(FLOAT, 32): "f32le"}).get((kind, bits))
    if encoding is None:
        raise AudioError(
            f"stdin: a WAV of format {kind} with {bits} bits, expected PCM of 16, 24 "
            "or 32 bits or float of 32"
        )
    if not channels or not rate or frame != channels * bits // 8:
        raise AudioError(
            f"stdin: a WAV of {channels} channels at {rate} Hz, {frame} bytes a sample"
        )
    return SampleFormat(rate, channels, encoding)


def wav_header(samples: SampleFormat, size: int | None) -> bytes:
    r"""Write a WAV's header, with the number of its bytes or, for None, without.

    Example
    -------
    >>> wav_header(SampleFormat(16000, 1, "s16le"), 4)[:8]
    b'RIFF(\x00\x00\x00'
    """
    width = ENCODINGS[samples.encoding][0]
    kind = FLOAT if samples.encoding == "f32le" else PCM
    rate, channels = samples.rate, samples.channels
    body = struct.pack(
        *("<HHIIHH", kind, channels, rate, rate * samples.frame, samples.frame),
        8 * width,
    )
    known = size is not None and size < NO_LENGTH
    whole, data = (size + 36, size) if size is not None and known else (UNKNOWN,) * 2
    return struct.pack("<4sI4s4sI", b"RIFF", whole, b"WAVE", b"fmt ", 16) + (
        body + struct.pack("<4sI", b"data", data)
    )
