"""Files through a system: any rate, length and format, in constant memory.

    file -> blocks -> the system's rate -> `process_long` -> the file's rate -> file

What comes out has the rate, the length and (see `audio_writing`) container and encoding
of what went in, sample for sample in step with it. A system of one input processes each
channel on its own; any other needs exactly its channels. A separator takes one channel
and gives a file for each talker: NAME_1.wav, NAME_2.wav.

Whatever is wrong with a file is an `AudioError` that names it, and then nothing is
written. No file is replaced unless that is wanted, and never the one that is read.
"""

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.inference.audio_reading import AudioReader, channels_text
from speechbrain_fusion.inference.audio_writing import (
    AudioWriter,
    choose_layout,
    written_audio,
)
from speechbrain_fusion.inference.long_audio import CHUNK, process_long
from speechbrain_fusion.inference.resampling import resample_blocks
from speechbrain_fusion.inference.targets import check_target, talker_files
from speechbrain_fusion.models.system import System

Tick = Callable[[float], object]


def process_file(
    system: System,
    rate: int,
    source: Path | str,
    target: Path | str,
    *,
    force: bool = False,
    channel: int | None = None,
    subtype: str | None = None,
    chunk: float = CHUNK,
    overlap: float | None = None,
    tick: Tick | None = None,
) -> list[Path]:
    """Process a file.

    Arguments
    ---------
    system : System
        In evaluation mode.
    rate : int
        Its sample rate in Hz.
    source : Path or str
        An audio file that libsndfile knows, of 1 kHz to 768 kHz.
    target : Path or str
        The file to write; its suffix says which container, none means the source's. A
        separator writes one for each talker, with a number behind the name.
    force : bool
        Whether an existing file may be replaced.
    channel : int, optional
        The one channel to process, from 0.
    subtype : str, optional
        Encoding to write, as libsndfile calls it ("PCM_24", "FLOAT"), by default the
        source's.
    chunk, overlap : float, optional
        Seconds, see `process_long`.
    tick : callable, optional
        Called with the seconds of each block once it is written.

    Returns
    -------
    list of Path
        What was written: one file, or one for each talker.

    Raises
    ------
    AudioError
        If anything is wrong with source or target; nothing is written then.

    Example
    -------
    >>> import soundfile
    >>> from speechbrain_fusion.models import BinauralTasNet
    >>> system = BinauralTasNet(N=16, L=8, B=8, H=8, S=12, P=5, causal=False).eval()
    >>> folder = getfixture("tmp_path")
    >>> soundfile.write(folder / "in.wav", np.random.randn(44100, 2) / 8, 44100)
    >>> [out.name for out in process_file(
    ...     system, 8000, folder / "in.wav", folder / "out.flac"
    ... )]
    ['out.flac']
    >>> soundfile.info(folder / "out.flac").frames
    44100
    """
    source, target = Path(source), Path(target)
    targets = talker_files(target, count_talkers(system))
    with AudioReader(source, channel) as reader:
        check_channels(system, reader)
        for path in targets:
            check_target(path, force, source)
        channels = count_channels(system, reader)
        blocks = _processed(system, rate, reader, chunk, overlap)
        write_files(blocks, targets, reader, channels, subtype, tick)
    return targets


def process_bytes(
    system: System,
    rate: int,
    data: bytes,
    *,
    channel: int | None = None,
    subtype: str | None = None,
    chunk: float = CHUNK,
    overlap: float | None = None,
) -> list[bytes]:
    """Process the content of a file.

    Takes the arguments of `process_file`, and

    data : bytes
        What an audio file holds.

    Returns
    -------
    list of bytes
        What a file holds in the same container, of the same rate: one, or one for each
        talker.

    Raises
    ------
    AudioError
        If anything is wrong with the content.

    Example
    -------
    >>> import soundfile
    >>> from speechbrain_fusion.models import BinauralTasNet
    >>> system = BinauralTasNet(N=16, L=8, B=8, H=8, S=12, P=5, causal=False).eval()
    >>> data = io.BytesIO()
    >>> soundfile.write(data, np.random.randn(9000, 2) / 8, 11025, format="FLAC")
    >>> (out,) = process_bytes(system, 8000, data.getvalue())
    >>> soundfile.read(io.BytesIO(out))[0].shape
    (9000, 2)
    """
    with AudioReader(bytes(data), channel) as reader:
        check_channels(system, reader)
        layout = choose_layout(reader, count_channels(system, reader), subtype=subtype)
        files = [io.BytesIO() for _ in range(count_talkers(system) or 1)]
        blocks = _processed(system, rate, reader, chunk, overlap)
        _write(blocks, [AudioWriter(file, reader.name, layout) for file in files], None)
    return [file.getvalue() for file in files]


def _processed(
    system: System, rate: int, reader: AudioReader, chunk: float, overlap: float | None
) -> Iterator[np.ndarray]:
    """Process a recording: [signals, time] at the recording's rate."""

    def inputs() -> Iterator[Tensor]:
        for block in resample_blocks(reader.blocks(), reader.rate, rate):
            yield as_batch(system, block)

    outputs = (
        y.flatten(0, -2).numpy()
        for y in process_long(system, inputs(), rate, chunk, overlap)
    )
    return resample_blocks(outputs, rate, reader.rate, lambda: reader.count)


def as_batch(system: System, block: np.ndarray) -> Tensor:
    """Shape [channels, time] to [batch, inputs, time]: channels together, or not.

    Example
    -------
    >>> from speechbrain_fusion.models import TwoBranchEnhancer
    >>> as_batch(TwoBranchEnhancer(units=2, groups=1), np.zeros((2, 9))).shape
    torch.Size([2, 1, 9])
    """
    x = torch.from_numpy(np.ascontiguousarray(block))
    return x.unsqueeze(1 if system.inputs == 1 else 0)


def write_files(
    blocks: Iterable[np.ndarray],
    targets: Sequence[Path],
    reader: AudioReader,
    channels: int,
    subtype: str | None,
    tick: Tick | None = None,
) -> None:
    """Write what becomes of a recording.

    Arguments
    ---------
    blocks : iterable of np.ndarray
        Shape [targets * channels, time] each.
    targets : sequence of Path
        The files, which are all written or none.
    reader : AudioReader
        The recording.
    channels : int
        Of each file.
    subtype : str, optional
        A wanted encoding, see `choose_layout`.
    tick : callable, optional
        Called with the seconds of each block once it is written.

    Raises
    ------
    AudioError
        If one cannot be written, naming it.
    """
    layouts = [choose_layout(reader, channels, path, subtype) for path in targets]
    _write(blocks, list(map(written_audio, targets, layouts)), tick)


def _write(
    blocks: Iterable[np.ndarray],
    files: Sequence[contextlib.AbstractContextManager[AudioWriter]],
    tick: Tick | None,
) -> None:
    """Write blocks to files, which are opened once there is a block."""
    writers: list[AudioWriter] = []
    with contextlib.ExitStack() as stack:
        for block in blocks:
            writers = writers or [stack.enter_context(file) for file in files]
            parts = np.split(block, len(writers))
            for writer, part in zip(writers, parts, strict=True):
                writer.write(part)
            if tick is not None:
                tick(block.shape[-1] / writers[0].layout.rate)


def count_talkers(system: System) -> int:
    """Count the talkers that have a file each, 0 of a system that enhances.

    Example
    -------
    >>> from speechbrain_fusion.models import ConvTasNetMasker, UnifiedSeparator
    >>> count_talkers(UnifiedSeparator(ConvTasNetMasker(), ConvTasNetMasker(masks=3)))
    3
    """
    return system.outputs if system.task == "separate" else 0


def count_channels(system: System, reader: AudioReader) -> int:
    """Count the channels of each file that is written."""
    if system.task == "separate":
        return 1
    return reader.channels if system.inputs == 1 else system.outputs


def check_channels(system: System, reader: AudioReader) -> None:
    """Refuse a recording whose channels do not fit.

    Raises
    ------
    AudioError
        Naming the file, and how many channels there are and ought to be.
    """
    have = channels_text(reader.channels)
    if reader.channel is not None:
        have = f"channel {reader.channel} alone"
    if system.inputs > 1 and reader.channels != system.inputs:
        raise AudioError(f"{reader.name}: {have}, expected {system.inputs}")
    if system.task == "separate" and system.inputs == 1 and reader.channels > 1:
        raise AudioError(f"{reader.name}: {have}, expected 1: choose one by `channel`")
