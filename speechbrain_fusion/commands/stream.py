"""`speechbrain-fusion stream`: sound from stdin to stdout, block by block."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from typing import IO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from speechbrain_fusion.commands.ending import DONE, UsageError, tell_warning
from speechbrain_fusion.commands.models import load_model
from speechbrain_fusion.commands.pcm import (
    SampleFormat,
    read_wav_header,
    wav_header,
)
from speechbrain_fusion.inference.limits import MOST_CHANNELS
from speechbrain_fusion.inference.model import Model
from speechbrain_fusion.inference.streaming import Stream

# Full scale is 1. What is beyond, as NaN is, would stay in a model's state for good.
LOUDEST = 1e6
MOST_BEHIND = 2**20  # bytes of chunks behind the samples of a WAV
# How files begin that would be noise if they were taken for samples.
OTHERS = {b"fLaC": "FLAC", b"OggS": "OGG", b"FORM": "AIFF", b"caff": "CAF"}
OTHERS |= {b".snd": "AU", b"RIFX": "RIFX"}
OTHERS |= {b"ID3" + bytes([version]): "MP3" for version in (2, 3, 4)}


class Source(NamedTuple):
    """What comes in: samples, how many bytes if that is known, and what was read."""

    samples: SampleFormat
    wav: bool = False
    size: int | None = None
    begun: bytes = b""


def run(options: argparse.Namespace) -> int:
    """Process what comes in until it ends."""
    ends = (sys.stdin, sys.stdout)
    if any(end is None or end.isatty() for end in ends):
        raise UsageError(
            "expected pipes or files as stdin and stdout: "
            "... | speechbrain-fusion stream | ..."
        )
    torch.set_num_threads(1)  # a step is too short for more
    # the header first: what is wrong with it comes before a model is loaded
    begun, header = _begin(options.format, sys.stdin.buffer)
    model = load_model(options)
    samples = SampleFormat(
        options.rate or model.rate,
        options.channels or model.system.inputs,
        "s16le" if options.format == "auto" else options.format,
    )
    source = header or Source(samples, begun=begun)
    return process(source, model, options, sys.stdin.buffer, sys.stdout.buffer)


def _begin(name: str, stdin: IO[bytes]) -> tuple[bytes, Source | None]:
    """Read the header of a WAV, or the first bytes of what is none."""
    begun = stdin.read(4) if name == "auto" else b""
    if begun in OTHERS:
        raise UsageError(
            f"stdin begins as {OTHERS[begun]} does, expected a WAV or raw samples: "
            "decode it in the pipe, with sox or ffmpeg, say (or --format s16le)"
        )
    if name != "wav" and begun not in (b"RIFF", b"RF64"):
        return begun, None
    samples, size = read_wav_header(stdin, begun)
    return b"", Source(samples, True, size)


def process(
    source: Source,
    model: Model,
    options: argparse.Namespace,
    stdin: IO[bytes],
    stdout: IO[bytes],
) -> int:
    """Send a source through a model's stream; return the exit code.

    Raises
    ------
    UsageError
        If the model does not fit the source, naming what was expected.
    """
    stream, sent = open_stream(source.samples, model, options.block)
    if source.wav:
        frames = None if source.size is None else source.size // source.samples.frame
        stdout.write(wav_header(sent, None if frames is None else frames * sent.frame))
        stdout.flush()
    reader = BlockReader(source, options.block, model.system.inputs, model.device)
    peak = 0.0
    for block in outputs(stream, reader.signals(stdin), options.align):
        samples = block.flatten(0, 1).cpu().numpy()
        peak = max(peak, float(np.abs(samples).max(initial=0.0)))
        stdout.write(sent.encode(samples))
        stdout.flush()
    reader.drain(stdin)
    if not options.quiet:
        reader.warn()
        if peak > 1 and sent.encoding != "f32le":
            tell_warning(f"stdout: clipped, its peak was {peak:.4g}")
    return DONE


def open_stream(
    samples: SampleFormat, model: Model, block: float
) -> tuple[Stream, SampleFormat]:
    """Make a stream for samples of a format, and say in which its output is.

    A model of one input takes each channel on its own. Blocks are of as many ms.

    Raises
    ------
    UsageError
        If the model does not fit, naming what was expected.
    """
    inputs, rate, channels = model.system.inputs, samples.rate, samples.channels
    if rate != model.rate:
        raise UsageError(
            f"stdin has {rate} Hz, expected the model's {model.rate} Hz: resample in "
            "the pipe, with sox or ffmpeg, say"
        )
    if channels > MOST_CHANNELS or (inputs > 1 and channels != inputs):
        expected = inputs if inputs > 1 else f"at most {MOST_CHANNELS}"
        raise UsageError(f"stdin has {channels} channels, expected {expected}")
    streams = channels // inputs
    try:
        stream = model.stream(streams, block_size(block, rate))
    except ValueError as error:
        raise UsageError(str(error)) from error
    return stream, samples._replace(channels=streams * model.system.outputs)


def block_size(milliseconds: float, rate: int) -> int:
    """Return a block's length in samples, one at least.

    Example
    -------
    >>> block_size(20.0, 16000), block_size(0.01, 16000)
    (320, 1)
    """
    return max(1, round(milliseconds * rate / 1000))


def outputs(stream: Stream, signals: Iterable[Tensor], align: bool) -> Iterator[Tensor]:
    """Step through signals; with `align` leave out the latency, and add the rest.

    Yields
    ------
    torch.Tensor
        Shape [streams, outputs, time], together as long as the signals.
    """
    drop = stream.latency if align else 0
    for signal in signals:
        block = stream.step(signal)
        yield block[..., drop:]
        drop = max(0, drop - block.shape[-1])
    if align:
        yield stream.flush()[..., drop:]


class BlockReader:
    """Read a source block by block, and keep count of what was wrong with it.

    Arguments
    ---------
    source : Source
        What comes in.
    block : float
        Length of a block in ms.
    inputs : int
        Channels that a model takes.
    device : torch.device or str
        Where the blocks go.
    """

    def __init__(
        self, source: Source, block: float, inputs: int, device: torch.device | str
    ) -> None:
        self.source, self.inputs, self.device = source, inputs, device
        samples = source.samples
        self.block = samples.frame * block_size(block, samples.rate)
        self.left = source.size
        self.odd = self.wrong = 0

    def signals(self, stdin: IO[bytes]) -> Iterator[Tensor]:
        """Yield float32 blocks, shape [streams, inputs, time]."""
        frame = self.source.samples.frame
        for data in self._blocks(stdin):
            self.odd = len(data) % frame
            signal = self.source.samples.decode(data[: len(data) - self.odd])
            fine = np.abs(signal) < LOUDEST
            self.wrong += int(fine.size - np.count_nonzero(fine))
            blocks = np.where(fine, signal, np.float32(0))
            shaped = blocks.reshape(-1, self.inputs, blocks.shape[-1])
            if shaped.size:
                yield torch.from_numpy(shaped).to(self.device)

    def _blocks(self, stdin: IO[bytes]) -> Iterator[bytes]:
        data = self.source.begun
        data += stdin.read(max(0, self._wanted() - len(data)))
        while data:
            yield data
            if self.left is not None:
                self.left -= len(data)
            data = stdin.read(self._wanted())

    def _wanted(self) -> int:
        """Say how many bytes to wait for: of a WAV not more than it has."""
        return self.block if self.left is None else min(self.block, self.left)

    def drain(self, stdin: IO[bytes]) -> None:
        """Take what is behind a WAV's samples: its writer would end in an error."""
        if self.left == 0:
            stdin.read(MOST_BEHIND)

    def warn(self) -> None:
        """Say what was wrong."""
        if self.wrong:
            tell_warning(f"stdin: {self.wrong} samples are no sound, taken for silence")
        if self.odd:
            tell_warning(f"stdin: ends within a sample, {self.odd} bytes left out")
        if self.left:
            tell_warning(f"stdin: ends {self.left} bytes before its header says")
