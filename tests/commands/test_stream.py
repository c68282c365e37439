"""A stream gives what the model gives, in the format in which it came."""

import io
import shutil
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
import torch

from speechbrain_fusion.commands.ending import tell_error, tell_warning
from speechbrain_fusion.commands.pcm import (
    ENCODINGS,
    SampleFormat,
    read_wav_header,
    wav_header,
)
from speechbrain_fusion.inference.load import load
from tests.commands.conftest import RATE
from tests.commands.shell import run

# seconds until something that does not come is given up, on a busy machine too
PATIENCE = 600


def noise(samples, channels=2):
    rng = np.random.default_rng(0)
    return (0.1 * rng.standard_normal((channels, samples))).astype("f4")


def expected(folder, data, samples):
    model = load(folder)
    call = getattr(model, model.system.task)
    return call(torch.from_numpy(samples.decode(data).copy()), RATE).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("block", ["20", "2", "7.3", "1000"])
def test_aligned_it_is_what_enhance_gives(models, encoding, block):
    samples = SampleFormat(RATE, 2, encoding)
    data = samples.encode(noise(2345))
    arguments = ["--model", models.binaural, "--format", encoding, "--block", block]
    ran = run("stream", "--align", *arguments, stdin=data)
    assert (ran.code, ran.err) == (0, "")
    assert len(ran.out) == len(data)
    whole = expected(models.binaural, data, samples)
    tolerance = 2**-15 if encoding == "s16le" else 1e-5
    np.testing.assert_allclose(samples.decode(ran.out), whole, atol=tolerance)


@pytest.mark.slow
def test_otherwise_it_is_late_by_the_latency(models):
    samples = SampleFormat(RATE, 2, "f32le")
    data = samples.encode(noise(500))
    arguments = ["--model", models.binaural, "--format", "f32le"]
    late, aligned = (
        samples.decode(run("stream", *arguments, *more, stdin=data).out)
        for more in ([], ["--align"])
    )
    assert late.shape == aligned.shape == (2, 500)
    assert not late[:, :32].any()
    np.testing.assert_allclose(late[:, 32:], aligned[:, :-32], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 320, 321])
def test_as_many_samples_come_as_go(models, count):
    samples = SampleFormat(RATE, 2, "s16le")
    data = samples.encode(noise(count))
    for more in ([], ["--align"]):
        ran = run("stream", "--model", models.binaural, *more, stdin=data)
        assert (ran.code, len(ran.out)) == (0, len(data))


@pytest.mark.slow
def test_a_model_of_one_takes_each_channel_on_its_own(models):
    samples = SampleFormat(RATE, 3, "f32le")
    data = samples.encode(noise(700, 3))
    arguments = ["--format", "f32le", "--channels", "3", "--model", models.causal]
    ran = run("stream", "--align", *arguments, stdin=data)
    whole = expected(models.causal, data, samples)
    np.testing.assert_allclose(samples.decode(ran.out), whole, atol=1e-5)


@pytest.mark.slow
def test_talkers_become_channels(models):
    samples = SampleFormat(RATE, 1, "f32le")
    data = samples.encode(noise(700, 1))
    arguments = ["--format", "f32le", "--model", models.causal_separator]
    ran = run("stream", "--align", *arguments, stdin=data)
    talkers = samples._replace(channels=2).decode(ran.out)
    whole = expected(models.causal_separator, data, samples)
    np.testing.assert_allclose(talkers, whole, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("size", ["known", 0, 0x7FFFF000, 0xFFFFFFFF])
def test_a_wav_gives_a_wav(models, size):
    samples = SampleFormat(RATE, 2, "s16le")
    data = samples.encode(noise(600))
    header = wav_header(samples, len(data))
    if size != "known":
        header = header[:-4] + struct.pack("<I", size)
    ran = run("stream", "--align", "--model", models.binaural, stdin=header + data)
    assert (ran.code, ran.err) == (0, "")
    read, rate = soundfile.read(io.BytesIO(ran.out), dtype="float32")
    assert (read.shape, rate) == ((600, 2), RATE)
    found, length = read_wav_header(io.BytesIO(ran.out))
    assert (found, length) == (samples, len(data) if size == "known" else None)
    whole = expected(models.binaural, data, samples)
    np.testing.assert_allclose(read.T, whole, atol=2**-15)


@pytest.mark.slow
def test_a_wav_of_talkers_states_their_length(models):
    file = io.BytesIO()
    soundfile.write(file, noise(400, 1).T, RATE, "PCM_24", format="WAV")
    arguments = ["--align", "--model", models.causal_separator]
    ran = run("stream", *arguments, stdin=file.getvalue())
    info = soundfile.info(io.BytesIO(ran.out))
    assert (info.frames, info.channels, info.subtype) == (400, 2, "PCM_24")


def test_what_stands_behind_the_samples_of_a_wav_is_no_sound(models):
    samples = SampleFormat(RATE, 2, "s16le")
    data = samples.encode(noise(100))
    wav = wav_header(samples, len(data)) + data + b"LIST\x04\0\0\0abcd"
    ran = run("stream", "--model", models.binaural, stdin=wav)
    assert len(ran.out) == 44 + len(data)


@pytest.mark.parametrize(("encoding", "told"), [("s16le", True), ("f32le", False)])
def test_what_is_clipped_is_told(models, tmp_path, encoding, told):
    folder = shutil.copytree(models.binaural, tmp_path / "loud")
    state = torch.load(folder / "model.ckpt", weights_only=True)
    state["filterbank.decoder.weight"] *= 20
    torch.save(state, folder / "model.ckpt")
    data = SampleFormat(RATE, 2, encoding).encode(noise(640))
    ran = run("stream", "--model", folder, "--format", encoding, stdin=data)
    assert ran.code == 0
    assert ("stdout: clipped, its peak was" in ran.err) == told


@pytest.mark.slow
@pytest.mark.parametrize("odd", [1, 2, 3])
def test_an_end_within_a_sample_is_told(models, odd):
    data = SampleFormat(RATE, 2, "s16le").encode(noise(330))
    ran = run("stream", "--model", models.binaural, stdin=data + bytes(odd))
    assert (ran.code, len(ran.out)) == (0, len(data))
    assert f"ends within a sample, {odd} bytes left out" in ran.err


def test_a_cut_wav_is_told(models):
    samples = SampleFormat(RATE, 2, "s16le")
    wav = wav_header(samples, 400) + samples.encode(noise(60))
    ran = run("stream", "--model", models.binaural, stdin=wav)
    assert (ran.code, len(ran.out)) == (0, 44 + 240)
    assert "ends 160 bytes before its header says" in ran.err


@pytest.mark.slow
def test_samples_that_are_no_numbers_become_silence_and_are_told(models):
    samples = SampleFormat(RATE, 2, "f32le")
    signal = noise(640)
    signal[0, 10], signal[1, 400:402] = np.nan, (np.inf, -3e38)
    data = samples.encode(signal)
    arguments = ["--format", "f32le", "--model", models.binaural]
    ran = run("stream", *arguments, stdin=data)
    assert ran.code == 0
    assert "3 samples are no sound" in ran.err
    assert np.isfinite(samples.decode(ran.out)).all()
    signal[~(np.abs(signal) < 1)] = 0
    same = run("stream", *arguments, stdin=samples.encode(signal))
    assert same.out == ran.out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("offline", [], "causal"),
        ("binaural", ["--rate", "8000"], "8000 Hz, expected the model's 16000 Hz"),
        ("binaural", ["--channels", "1"], "1 channels, expected 2"),
        ("causal", ["--channels", "65"], "65 channels, expected at most 64"),
    ],
)
def test_what_the_model_cannot_take_is_told(models, name, arguments, told):
    ran = run("stream", "--model", getattr(models, name), *arguments, stdin=bytes(99))
    assert (ran.code, ran.out) == (2, b"")
    assert told in ran.errors[0]


def test_a_wav_of_another_rate_is_told(models):
    wav = wav_header(SampleFormat(44100, 2, "s16le"), 4) + bytes(4)
    ran = run("stream", "--model", models.binaural, stdin=wav)
    assert ran.code == 2
    assert "44100 Hz, expected the model's 16000 Hz" in ran.errors[0]


@pytest.mark.slow
@pytest.mark.parametrize("container", ["FLAC", "OGG", "MP3", "AIFF", "CAF", "AU"])
def test_what_is_compressed_is_not_taken_for_samples(models, container):
    """It would be noise, and a loud one."""
    file = io.BytesIO()
    soundfile.write(file, noise(3200).T, RATE, format=container)
    # an MP3 without a tag begins as any sample may
    data = b"ID3\x04" * (container == "MP3") + file.getvalue()
    ran = run("stream", "--model", models.binaural, stdin=data)
    assert (ran.code, ran.out) == (2, b"")
    assert f"stdin begins as {container} does, expected a WAV or raw" in ran.errors[0]
    ran = run("stream", "--model", models.binaural, "--format", "s16le", stdin=data)
    assert ran.code == 0


def test_what_is_no_wav_is_told(models):
    ran = run("stream", "--model", models.binaural, "--format", "wav", stdin=bytes(99))
    assert (ran.code, ran.out) == (1, b"")
    assert "not a WAV" in ran.errors[0]


class Closed(io.RawIOBase):
    """A pipe whose reader goes away after some bytes."""

    def __init__(self, room: int) -> None:
        self.room = room

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self.room -= len(data)
        if self.room < 0:
            raise BrokenPipeError
        return len(data)


def test_it_ends_quietly_when_the_reader_goes(models):
    data = SampleFormat(RATE, 2, "s16le").encode(noise(3200))
    ran = run("stream", "--model", models.binaural, stdin=data, out=Closed(3000))
    assert (ran.code, ran.err) == (141, "")


def read_in_time(process, size):
    """Read so many bytes; a command that holds them back is ended, not waited for."""
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(process.stdout.read, size)
        try:
            return found.result(timeout=PATIENCE)
        except TimeoutError:
            process.kill()
            raise


@pytest.mark.slow
@pytest.mark.parametrize("milliseconds", ["2", "20"])
def test_a_block_comes_out_before_the_next_goes_in(models, milliseconds):
    samples = SampleFormat(RATE, 2, "s16le")
    block = samples.encode(noise(RATE * int(milliseconds) // 1000))
    command = [sys.executable, "-m", "speechbrain_fusion.cli", "stream", "--quiet"]
    command += ["--format", "s16le", "--model", str(models.binaural)]
    command += ["--block", milliseconds]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    for _ in range(3):
        process.stdin.write(block)
        process.stdin.flush()
        assert len(read_in_time(process, len(block))) == len(block)
    # who reads has gone: the next blocks have nowhere to go
    process.stdout.close()
    process.stdin.write(block)
    process.stdin.flush()
    assert process.wait(timeout=PATIENCE) == 141
    assert process.stderr.read() == b""
    process.stdin.close()
    process.stderr.close()


@pytest.mark.slow
def test_a_whole_wav_comes_out_before_the_pipe_is_closed(models):
    samples = SampleFormat(RATE, 2, "s16le")
    data = samples.encode(noise(1000))
    command = [sys.executable, "-m", "speechbrain_fusion.cli", "stream", "--align"]
    command += ["--quiet", "--model", str(models.binaural)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.write(wav_header(samples, len(data)) + data)
    process.stdin.flush()
    try:
        assert len(read_in_time(process, 44 + len(data))) == 44 + len(data)
    finally:
        process.stdin.close()
    assert process.wait(timeout=PATIENCE) == 0
    process.stdout.close()


def test_without_stderr_nothing_is_told_among_the_sound(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    tell_warning("stdin: ends within a sample")
    tell_error("stdin: none")
    monkeypatch.undo()
    assert capsys.readouterr().out == ""
