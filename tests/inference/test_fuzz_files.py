"""Broken files of all kinds: a result or one clear error, never anything else."""

import io
import resource
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import soundfile

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.inference.audio_files import process_bytes, process_file
from tests.inference.stub_systems import Through

RATE = 8000
KINDS = [
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "FLOAT"),
    ("WAV", "IMA_ADPCM"),
    ("WAVEX", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
    ("AIFF", "PCM_16"),
    ("W64", "PCM_16"),
    ("RF64", "PCM_16"),
    ("CAF", "ALAC_16"),
    ("AU", "PCM_16"),
]
MAGIC = [
    *(
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"RIFX\0\0\0\x24WAVE",
        b"RF64\xff\xff\xff\xffWAVEds64",
    ),
    *(b"fLaC\0\0\0\x22", b"OggS\0\2", b"ID3\3\0\0\0\0\0\x0a", b"\xff\xfb\x90\x64"),
    *(b"FORM\0\0\0\x40AIFFCOMM", b"caff\0\1\0\0desc", b".snd\0\0\0\x18"),
    *(b"riff\x2e\x91\xcf\x11", b"NIST_1A\n   1024\n", b"Creative Voice File\x1a"),
    *(b"MATLAB 5.0 MAT-file", b"\x64\xa3", b"FORM\0\0\0\x408SVX", b"PVF1\n1 8000 16\n"),
]
# What a header may promise.
EXTREMES = [0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1]


def valid(container: str, subtype: str, random: np.random.Generator) -> bytes:
    """Make a short file of noise."""
    file = io.BytesIO()
    signal = 0.1 * random.standard_normal((random.integers(1, 3000), 2))
    soundfile.write(file, signal, RATE, subtype, format=container)
    return file.getvalue()


def promise(data: bytearray, random: np.random.Generator, within: int) -> None:
    """Put an extreme number somewhere, of two, four or eight bytes."""
    size = int(random.choice([2, 4, 8]))
    number = EXTREMES[random.integers(len(EXTREMES))] % 2 ** (8 * size)
    at = int(random.integers(0, max(1, within - size)))
    order = "little" if random.random() < 0.7 else "big"
    data[at : at + size] = number.to_bytes(size, order)


def spoil(data: bytes, random: np.random.Generator) -> bytes:
    """Change bytes, in the header above all; cut, repeat or insert some."""
    spoilt = bytearray(data)
    within = min(len(data), 100) if random.random() < 0.7 else len(data)
    way = random.integers(5)
    if way == 0:
        del spoilt[int(random.integers(len(spoilt))) :]
    elif way == 1:
        at = int(random.integers(within))
        spoilt[at:at] = random.bytes(int(random.integers(1, 20)))
    elif way == 2:
        promise(spoilt, random, within)
    for _ in range(int(random.integers(0, 12))):
        if spoilt:
            at = int(random.integers(min(within, len(spoilt))))
            spoilt[at] = int(random.integers(256))
    return bytes(spoilt)


def broken(count: int, seed: int) -> Iterator[bytes]:
    """Yield inputs: noise, noise behind a magic number, spoilt files."""
    random = np.random.default_rng(seed)
    for number in range(count):
        if number % 6 == 0:
            yield random.bytes(int(random.integers(0, 3000)))
        elif number % 6 == 1:
            magic = MAGIC[random.integers(len(MAGIC))]
            yield magic + random.bytes(int(random.integers(0, 1000)))
        else:
            kind = KINDS[random.integers(len(KINDS))]
            yield spoil(valid(*kind, random), random)


def memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def attempt(function: Callable[..., Any], *arguments: Any) -> tuple[Any, str]:
    """Return a result, or None and what the one error that is allowed says."""
    try:
        return function(*arguments), ""
    except AudioError as error:
        return None, str(error)


@pytest.mark.parametrize("seed", range(8))
def test_bytes_give_a_result_or_one_error(seed):
    results, before, system = 0, memory(), Through()
    for data in broken(125, seed):
        out, message = attempt(process_bytes, system, RATE, data)
        if out is None:
            assert message.startswith("audio data: ")
            assert len(message) < 500
        else:
            assert soundfile.info(io.BytesIO(*out)).frames > 0
            results += 1
    # all kinds of ends are met, in bounded memory
    assert 5 < results < 120
    assert max(shape[0] * shape[-1] for shape in system.calls) <= 6 * RATE
    assert memory() - before < 200


@pytest.mark.parametrize("seed", range(100, 104))
def test_files_give_a_result_or_one_error_and_nothing_half_written(seed, tmp_path):
    source, target = tmp_path / "in.wav", tmp_path / "out.wav"
    for data in broken(75, seed):
        source.write_bytes(data)
        out, message = attempt(process_file, Through(inputs=2), RATE, source, target)
        assert out == [target] or "in.wav" in message or "out.wav" in message
        assert len([*tmp_path.iterdir()]) == 1 + len(out or [])
        target.unlink(missing_ok=True)


@pytest.mark.parametrize("number", EXTREMES)
@pytest.mark.parametrize(
    "field", [(22, 2), (24, 4), (28, 4), (32, 2), (34, 2), (40, 4)]
)
def test_promises_of_a_wav_header_are_not_believed(number, field):
    """Channels, rate, bytes a second, bytes a frame, bits and bytes of samples."""
    data = bytearray(valid("WAV", "PCM_16", np.random.default_rng(0)))
    at, size = field
    data[at : at + size] = (number % 2 ** (8 * size)).to_bytes(size, "little")
    before = memory()
    out, message = attempt(process_bytes, Through(), RATE, bytes(data))
    assert out or "expected" in message or "not a readable" in message
    assert memory() - before < 100
