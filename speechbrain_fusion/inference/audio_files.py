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
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.inference.audio_reading import AudioReader
from speechbrain_fusion.inference.audio_writing import (
    AudioWriter,
    choose_layout,
    written_audio,
)
from speechbrain_fusion.inference.long_audio import CHUNK, process_long
from speechbrain_fusion.inference.resampling import resample_blocks
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
    targets = target_files(system, target)
    with AudioReader(source, channel) as reader:
        check_channels(system, reader)
        for path in targets:
            check_target(path, source, force)
        blocks = _processed(system, rate, reader, chunk, overlap)
        write_files(blocks, targets, reader, subtype, tick)
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
) -> bytes:
    """Process the content of a file by a system that enhances.

    Takes the arguments of `process_file`, and

    data : bytes
        What an audio file holds.

    Returns
    -------
    bytes
        What a file holds in the same container, of the same rate.

    Raises
    ------
    AudioError
        If anything is wrong with the content.
    ValueError
        If the system separates: see `separate_bytes`.

    Example
    -------
    >>> import soundfile
    >>> from speechbrain_fusion.models import BinauralTasNet
    >>> system = BinauralTasNet(N=16, L=8, B=8, H=8, S=12, P=5, causal=False).eval()
    >>> data = io.BytesIO()
    >>> soundfile.write(data, np.random.randn(9000, 2) / 8, 11025, format="FLAC")
    >>> out = process_bytes(system, 8000, data.getvalue())
    >>> soundfile.read(io.BytesIO(out))[0].shape
    (9000, 2)
    """
    if system.task == "separate":
        raise ValueError("expected a system that enhances, got one that separates")
    (out,) = _through_bytes(system, rate, data, channel, subtype, chunk, overlap)
    return out


def separate_bytes(
    system: System,
    rate: int,
    data: bytes,
    *,
    channel: int | None = None,
    subtype: str | None = None,
    chunk: float = CHUNK,
    overlap: float | None = None,
) -> list[bytes]:
    """Process the content of a file by a system that separates.

    Takes the arguments of `process_bytes` and raises the same.

    Returns
    -------
    list of bytes
        The content of a file for each talker.

    Example
    -------
    >>> import soundfile
    >>> from speechbrain_fusion.models import ConvTasNetMasker, UnifiedSeparator
    >>> maskers = [ConvTasNetMasker(8, masks, 6, 7, 9, 3, 2, 1) for masks in (1, 2)]
    >>> data = io.BytesIO()
    >>> soundfile.write(data, np.random.randn(9000) / 8, 11025, format="WAV")
    >>> system = UnifiedSeparator(*maskers, channels=8).eval()
    >>> len(separate_bytes(system, 8000, data.getvalue()))
    2
    """
    if system.task != "separate":
        raise ValueError("expected a system that separates, got one that enhances")
    return _through_bytes(system, rate, data, channel, subtype, chunk, overlap)


def _through_bytes(
    system: System,
    rate: int,
    data: bytes,
    channel: int | None,
    subtype: str | None,
    chunk: float,
    overlap: float | None,
) -> list[bytes]:
    with AudioReader(bytes(data), channel) as reader, contextlib.ExitStack() as stack:
        check_channels(system, reader)
        files = [io.BytesIO() for _ in range(count_files(system))]
        channels = count_channels(system, reader)
        layout = choose_layout(reader, channels, subtype=subtype)
        writers = [
            stack.enter_context(AudioWriter(file, reader.name, layout))
            for file in files
        ]
        blocks = _processed(system, rate, reader, chunk, overlap)
        _write(blocks, writers, None)
        stack.close()
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
    """Shape [channels, time] to [batch, inputs, time]: channels together, or not."""
    x = torch.from_numpy(np.ascontiguousarray(block))
    return x.unsqueeze(1 if system.inputs == 1 else 0)


def write_files(
    blocks: Iterable[np.ndarray],
    targets: Sequence[Path],
    reader: AudioReader,
    subtype: str | None,
    tick: Tick | None = None,
) -> None:
    """Write blocks [signals, time] to one file, or to one file for each signal."""
    with contextlib.ExitStack() as stack:
        first = None
        for block in blocks:
            if first is None:
                channels = len(block) // len(targets)
                first = [
                    choose_layout(reader, channels, path, subtype) for path in targets
                ]
                writers = [
                    stack.enter_context(written_audio(path, layout))
                    for path, layout in zip(targets, first, strict=True)
                ]
            _write([block], writers, tick)


def _write(
    blocks: Iterable[np.ndarray], writers: Sequence[AudioWriter], tick: Tick | None
) -> None:
    for block in blocks:
        for writer, part in zip(writers, np.split(block, len(writers)), strict=True):
            writer.write(part)
        if tick is not None:
            tick(block.shape[-1] / writers[0].layout.rate)


def count_files(system: System) -> int:
    """Count the files that become of one."""
    return system.outputs if system.task == "separate" else 1


def count_channels(system: System, reader: AudioReader) -> int:
    """Count the channels of each file that is written."""
    return reader.channels if system.inputs == 1 else system.outputs


def target_files(system: System, target: Path) -> list[Path]:
    """List the files that are written: the target, or one for each talker.

    Example
    -------
    >>> from speechbrain_fusion.models import ConvTasNetMasker, UnifiedSeparator
    >>> system = UnifiedSeparator(ConvTasNetMasker(), ConvTasNetMasker(masks=2))
    >>> [path.name for path in target_files(system, Path("a.wav"))]
    ['a_1.wav', 'a_2.wav']
    """
    if not target.name:
        raise AudioError(f"{target}: expected the name of a file")
    if system.task != "separate":
        return [target]
    stem, suffix = target.stem, target.suffix
    numbers = range(1, system.outputs + 1)
    return [target.with_name(f"{stem}_{number}{suffix}") for number in numbers]


def check_target(target: Path, source: Path, force: bool) -> None:
    """Refuse to write onto the input, a folder or device, or what is there already."""
    try:
        there = os.path.lexists(target)
        # not of a link to nowhere
        if target.exists():
            _check_existing(target, source)
    except OSError as error:
        raise AudioError(f"{target}: {error.strerror or error}") from error
    if there and not force:
        raise AudioError(f"{target}: exists, expected a new name or force=True")


def _check_existing(target: Path, source: Path) -> None:
    if target.is_dir():
        raise AudioError(f"{target}: a folder, expected the name of a file")
    if target.samefile(source):
        raise AudioError(f"{target}: the input itself, expected another name")
    if not target.is_file():
        raise AudioError(f"{target}: not a regular file, expected a new name")


def check_channels(system: System, reader: AudioReader) -> None:
    """Refuse a recording whose channels do not fit.

    Raises
    ------
    AudioError
        Naming the file, and how many channels there are and ought to be.
    """
    have = f"{reader.channels} channel" + "s" * (reader.channels != 1)
    if reader.channel is not None:
        have = f"channel {reader.channel} alone"
    if system.inputs > 1 and reader.channels != system.inputs:
        raise AudioError(f"{reader.name}: {have}, expected {system.inputs}")
    if system.task == "separate" and system.inputs == 1 and reader.channels > 1:
        raise AudioError(f"{reader.name}: {have}, expected 1: choose one by `channel`")
