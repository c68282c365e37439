"""Spectrograms as small PNG files, written without any imaging library."""

import struct
import zlib

import numpy as np

# From silence to the loudest: sRGB, of a lightness that never falls.
ANCHORS = (
    *("#0b0d1a", "#1d1f4d", "#4a2a78", "#82307f", "#bd3f6f"),
    *("#e8624f", "#f8964a", "#fccb6a", "#fdf4c4"),
)
LEVELS = 56
COLUMNS, ROWS = 640, 128


def palette(levels: int = LEVELS) -> np.ndarray:
    """Return the colours of a spectrogram, from silence to the loudest.

    Arguments
    ---------
    levels : int
        How many, at least 2.

    Returns
    -------
    np.ndarray
        sRGB, uint8 [levels, 3].

    Example
    -------
    >>> palette(3)[0].tolist()
    [11, 13, 26]
    """
    fixed = [[int(x[k : k + 2], 16) for k in (1, 3, 5)] for x in ANCHORS]
    places = np.linspace(0, len(ANCHORS) - 1, levels)
    known = np.arange(len(ANCHORS))
    channels = [np.interp(places, known, values) for values in np.array(fixed).T]
    return np.stack(channels, axis=1).round().astype(np.uint8)


def pooled(power: np.ndarray, rows: int = ROWS, columns: int = COLUMNS) -> np.ndarray:
    """Average cells of a spectrogram until it is small enough.

    Arguments
    ---------
    power : np.ndarray
        [bins, frames].
    rows, columns : int
        At most so many remain.

    Returns
    -------
    np.ndarray
        Of the same area; along an axis that is small enough nothing changes.

    Example
    -------
    >>> pooled(np.array([[1.0, 3.0, 5.0, 7.0]]), columns=2)
    array([[2., 6.]])
    """
    for axis, limit in enumerate((rows, columns)):
        size = power.shape[axis]
        if size > limit:
            edges = np.linspace(0, size, limit + 1).round().astype(int)
            sums = np.add.reduceat(power, edges[:-1], axis=axis)
            shape = (-1, 1) if axis == 0 else (1, -1)
            power = sums / np.diff(edges).reshape(shape)
    return power


def write_png(levels: np.ndarray, colours: np.ndarray) -> bytes:
    r"""Make a PNG of indices into a palette.

    Arguments
    ---------
    levels : np.ndarray
        Indices, uint8 [height, width], the first row at the top.
    colours : np.ndarray
        sRGB, uint8 [at most 256, 3].

    Returns
    -------
    bytes
        The file.

    Source: W3C, "Portable Network Graphics (PNG) Specification", sections 5 and 11.

    Example
    -------
    >>> picture = write_png(np.zeros((2, 3), np.uint8), palette(2))
    >>> picture[:4], struct.unpack(">II", picture[16:24])
    (b'\x89PNG', (3, 2))
    """
    height, width = levels.shape
    # depth 8, with a palette; every row begins with its filter, none
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    rows = np.pad(levels.astype(np.uint8), ((0, 0), (1, 0))).tobytes()
    chunks = {
        b"IHDR": header,
        b"PLTE": colours.astype(np.uint8).tobytes(),
        b"IDAT": zlib.compress(rows, 9),
        b"IEND": b"",
    }
    parts = [_chunk(name, content) for name, content in chunks.items()]
    return b"".join([b"\x89PNG\r\n\x1a\n", *parts])


def _chunk(name: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check
