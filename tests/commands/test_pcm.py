"""Bytes and samples: exact both ways, and any header that programs write."""

import io
import shutil
import struct
import subprocess

import numpy as np
import pytest
import soundfile

from speechbrain_fusion.commands.pcm import (
    ENCODINGS,
    SampleFormat,
    read_wav_header,
    wav_header,
)
from speechbrain_fusion.data.audio import AudioError

SUBTYPES = {"s16le": "PCM_16", "s24le": "PCM_24", "s32le": "PCM_32", "f32le": "FLOAT"}
STEREO = SampleFormat(16000, 2, "s16le")


def riff(*chunks: tuple[bytes, bytes | int], begin: bytes = b"RIFF") -> bytes:
    """Put a WAV together; a number stands for a chunk's size alone."""
    data = begin + struct.pack("<I", 0xFFFFFFFF) + b"WAVE"
    for name, body in chunks:
        size = body if isinstance(body, int) else len(body)
        data += name + struct.pack("<I", size)
        if not isinstance(body, int):
            data += body + b"\0" * (len(body) % 2)
    return data


def fmt(kind: int = 1, channels: int = 2, bits: int = 16, rate: int = 16000) -> bytes:
    frame = channels * bits // 8
    return struct.pack("<HHIIHH", kind, channels, rate, rate * frame, frame, bits)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_samples_are_those_that_libsndfile_reads(encoding, channels):
    rng = np.random.default_rng(0)
    signal = rng.uniform(-1, 1, (100, channels))
    file = io.BytesIO()
    soundfile.write(file, signal, 16000, SUBTYPES[encoding], format="WAV")
    read, _ = soundfile.read(
        io.BytesIO(file.getvalue()), dtype="float32", always_2d=True
    )
    source = io.BytesIO(file.getvalue())
    samples, size = read_wav_header(source)
    assert samples == SampleFormat(16000, channels, encoding)
    assert size == 100 * samples.frame
    np.testing.assert_array_equal(samples.decode(source.read(size)), read.T)


@pytest.mark.parametrize("encoding", ["s16le", "s24le", "f32le"])
def test_every_value_comes_back(encoding):
    rng = np.random.default_rng(1)
    samples = SampleFormat(8000, 2, encoding)
    whole = rng.integers(0, 256, 4000 * samples.frame, np.uint8).tobytes()
    if encoding == "f32le":
        whole = rng.standard_normal(8000).astype("<f4").tobytes()
    assert samples.encode(samples.decode(whole)) == whole


@pytest.mark.parametrize("encoding", ["s16le", "s24le", "s32le"])
def test_what_is_too_loud_is_limited(encoding):
    samples = SampleFormat(8000, 1, encoding)
    loud = samples.decode(samples.encode(np.array([[1.5, -1.5, 0.25]])))
    np.testing.assert_allclose(loud, [[1.0, -1.0, 0.25]], atol=2**-14)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("known", [True, False])
def test_what_is_written_is_read_by_libsndfile(encoding, known):
    samples = SampleFormat(44100, 2, encoding)
    signal = np.random.default_rng(2).uniform(-0.9, 0.9, (2, 50)).astype("f4")
    data = samples.encode(signal)
    wav = wav_header(samples, len(data) if known else None) + data
    read, rate = soundfile.read(io.BytesIO(wav), dtype="float32")
    assert rate == 44100
    np.testing.assert_allclose(read.T, signal, atol=2**-15)


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x80000000, 0xFFFFFFFF])
def test_lengths_that_are_none_are_told_apart(size):
    assert read_wav_header(io.BytesIO(riff((b"fmt ", fmt()), (b"data", size)))) == (
        STEREO,
        None,
    )


def test_other_chunks_are_passed_over():
    extended = fmt(0xFFFE) + struct.pack("<HHI", 22, 16, 3) + b"\1\0" + bytes(14)
    chunks = (b"LIST", b"odd"), (b"fmt ", extended), (b"fact", bytes(4)), (b"data", 8)
    assert read_wav_header(io.BytesIO(riff(*chunks))) == (STEREO, 8)


def test_a_large_length_stands_apart():
    ds64 = struct.pack("<QQQI", 2**33 + 72, 2**33, 2**31, 0)
    chunks = (b"ds64", ds64), (b"fmt ", fmt()), (b"data", 0xFFFFFFFF)
    data = riff(*chunks, begin=b"RF64")
    assert read_wav_header(io.BytesIO(data)) == (STEREO, 2**33)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "ends within the header"),
        (b"OggS" + bytes(20), "not a WAV"),
        (riff((b"data", 8)), "without a chunk 'fmt '"),
        (riff((b"fmt ", b"short")), "only 5 bytes"),
        (riff((b"fmt ", 2000)), "2000 bytes in 'fmt '"),
        (riff((b"LIST", 2**32 - 1)), "ends within a chunk"),
        (riff((b"fmt ", fmt(bits=8)), (b"data", 8)), "format 1 with 8 bits"),
        (riff((b"fmt ", fmt(kind=7, bits=8)), (b"data", 8)), "format 7 with 8 bits"),
        (riff((b"fmt ", fmt(channels=0)), (b"data", 8)), "0 channels"),
        (riff((b"fmt ", fmt(rate=0)), (b"data", 8)), "at 0 Hz"),
    ],
)
def test_what_is_no_usable_wav_is_told(data, told):
    with pytest.raises(AudioError, match=told):
        read_wav_header(io.BytesIO(data))


def test_any_bytes_are_read_or_refused():
    rng = np.random.default_rng(3)
    good = riff((b"fmt ", fmt()), (b"data", 8)) + bytes(8)
    for _ in range(300):
        data = np.frombuffer(good, np.uint8).copy()
        places = rng.integers(0, len(data), rng.integers(1, 6))
        data[places] = rng.integers(0, 256, len(places))
        try:
            samples, _ = read_wav_header(io.BytesIO(data.tobytes()))
        except AudioError:
            continue
        assert samples.frame > 0


@pytest.mark.slow
def test_sox_reads_and_writes_it(tmp_path):
    sox = shutil.which("sox")
    if sox is None:
        pytest.skip("no sox")
    signal = np.random.default_rng(4).uniform(-0.9, 0.9, (2, 800)).astype("f4")
    data = wav_header(STEREO, None) + STEREO.encode(signal)
    # through a pipe and back: sox can state no length either
    command = [sox, "-t", "wav", "-", "-t", "raw", "-"]
    back = subprocess.run(command, input=data, capture_output=True, check=True)
    assert back.stdout == STEREO.encode(signal)
    command = [*(sox, "-t", "raw", "-r", "16000", "-c", "2", "-b", "16"), "-e"]
    command += ["signed", "-", "-t", "wav", "-"]
    piped = subprocess.run(
        command, input=STEREO.encode(signal), capture_output=True, check=True
    )
    source = io.BytesIO(piped.stdout)
    samples, size = read_wav_header(source)
    assert samples == STEREO
    assert source.read(size or -1) == STEREO.encode(signal)
