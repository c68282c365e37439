"""Many files through a system: short ones together, long ones one by one.

A file that fails does not keep the others from being processed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from torch import Tensor
from tqdm import tqdm

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.inference.audio_files import (
    Tick,
    as_batch,
    check_channels,
    count_channels,
    count_talkers,
    process_file,
    write_files,
)
from speechbrain_fusion.inference.audio_reading import AudioReader
from speechbrain_fusion.inference.batches import group_by_length, process_padded
from speechbrain_fusion.inference.long_audio import CHUNK, together
from speechbrain_fusion.inference.resampling import resample
from speechbrain_fusion.inference.targets import check_target, talker_files
from speechbrain_fusion.models.system import System

Result = TypeVar("Result")


class Failure(NamedTuple):
    """A file that was not processed, and why.

    Attributes
    ----------
    path : Path
        The file.
    message : str
        Why, in one line.
    """

    path: Path
    message: str


class Job(NamedTuple):
    """A file to be processed.

    Attributes
    ----------
    source, target : Path
        What is read, and the name of what is written.
    seconds : float
        As its header says; infinite if it does not.
    items : int
        What it takes of a batch.
    """

    source: Path
    target: Path
    seconds: float
    items: int


def process_files(
    system: System,
    rate: int,
    sources: Sequence[Path | str],
    targets: Sequence[Path | str],
    *,
    force: bool = False,
    channel: int | None = None,
    subtype: str | None = None,
    progress: bool = False,
    batch: float | None = None,
    **options: Any,
) -> list[Failure]:
    """Process many files.

    Arguments
    ---------
    system : System
        In evaluation mode.
    rate : int
        Its sample rate in Hz.
    sources, targets : sequence of Path or str
        As many targets as sources; see `process_file`.
    force : bool
        Whether existing files may be replaced. A file that is read never is, and none
        is written twice.
    channel : int, optional
        The one channel to process, from 0.
    subtype : str, optional
        Encoding to write.
    progress : bool
        Show how many seconds of audio are done.
    batch : float, optional
        Seconds of audio that are processed at once, padding included: by default a
        chunk, or more on an accelerator. Files that are no longer than half of it, nor
        than a chunk, share it with others of like length.
    **options
        `chunk` and `overlap`, for `process_file`.

    Returns
    -------
    list of Failure
        The files that were not processed, in order, and why; the others were.

    Raises
    ------
    ValueError
        If there are not as many targets as sources.

    Example
    -------
    >>> import soundfile
    >>> from speechbrain_fusion.models import BinauralTasNet
    >>> system = BinauralTasNet(N=16, L=8, B=8, H=8, S=12, P=5, causal=False).eval()
    >>> folder = getfixture("tmp_path")
    >>> soundfile.write(folder / "a.wav", np.random.randn(9000, 2) / 8, 8000)
    >>> soundfile.write(folder / "b.wav", np.random.randn(9000) / 8, 8000)
    >>> sources = [folder / name for name in ("a.wav", "b.wav")]
    >>> targets = [folder / "out" / path.name for path in sources]
    >>> for path, message in process_files(system, 8000, sources, targets):
    ...     print(path.name, message.split(": ")[-1])
    b.wav 1 channel, expected 2
    """
    if len(sources) != len(targets):
        raise ValueError(f"{len(sources)} files, {len(targets)} names for the output")
    pairs = [(Path(a), Path(b)) for a, b in zip(sources, targets, strict=True)]
    work = _Work(system, rate, force, channel, subtype, options)
    jobs = work.inspect(pairs)
    total = sum(job.seconds for job in jobs if np.isfinite(job.seconds))
    with tqdm(total=round(total, 2), unit="s", disable=not progress) as bar:
        for group in work.groups(jobs, batch):
            work.process(group, bar.update)
    order = {source: number for number, (source, _) in enumerate(pairs)}
    return sorted(work.failures, key=lambda failure: order[failure.path])


@dataclass
class _Work:
    """Files on their way through a system, and what failed."""

    system: System
    rate: int
    force: bool
    channel: int | None
    subtype: str | None
    options: dict[str, Any]
    failures: list[Failure] = field(default_factory=list)
    written: set[Path] = field(default_factory=set)

    def inspect(self, pairs: Sequence[tuple[Path, Path]]) -> list[Job]:
        """Look into all files before the first is processed."""
        taken = {_real(source): source for source, _ in pairs}
        jobs = [
            self._attempt(source, self._job, source, target, taken)
            for source, target in pairs
        ]
        return [job for job in jobs if job is not None]

    def _attempt(
        self, source: Path, act: Callable[..., Result], *arguments: Any
    ) -> Result | None:
        try:
            return act(*arguments)
        except (ValueError, OSError, RuntimeError) as error:
            self.failures.append(Failure(source, str(error)))
            return None

    def _job(self, source: Path, target: Path, taken: dict[Path, Path]) -> Job:
        with AudioReader(source, self.channel) as reader:
            check_channels(self.system, reader)
        for path in talker_files(target, count_talkers(self.system)):
            check_target(path, self.force, source)
            other = taken.setdefault(_real(path), source)
            if other != source or _real(path) in self.written:
                raise AudioError(
                    f"{path}: expected a name that nothing of {other} has either"
                )
            self.written.add(_real(path))
        items = reader.channels if self.system.inputs == 1 else 1
        return Job(source, target, reader.seconds or np.inf, items)

    def groups(self, jobs: Sequence[Job], batch: float | None) -> Iterator[list[Job]]:
        """Put short files together, as many as a batch of so many seconds takes."""
        chunk = self.options.get("chunk", CHUNK)
        room = together(self.system) * chunk if batch is None else batch
        seconds, items = [job.seconds for job in jobs], [job.items for job in jobs]
        for places in group_by_length(seconds, items, min(chunk, room / 2), room):
            yield [jobs[place] for place in places]

    def process(self, jobs: Sequence[Job], tick: Tick) -> None:
        """Process a file, or a few at once."""
        if len(jobs) > 1:
            read = [self._attempt(job.source, self._read, job) for job in jobs]
            self._process_batch([item for item in read if item is not None], tick)
            return
        for job in jobs:
            self._attempt(job.source, self._process_alone, job, tick)

    def _process_alone(self, job: Job, tick: Tick) -> None:
        process_file(
            self.system,
            self.rate,
            job.source,
            job.target,
            force=self.force,
            channel=self.channel,
            subtype=self.subtype,
            tick=tick,
            **self.options,
        )

    def _read(self, job: Job) -> "_Read":
        with AudioReader(job.source, self.channel) as reader:
            signal = np.concatenate([*reader.blocks()], -1)
        signal = resample(signal, reader.rate, self.rate)
        return _Read(job, reader, as_batch(self.system, signal))

    def _process_batch(self, read: Sequence["_Read"], tick: Tick) -> None:
        if not read:
            return
        try:
            outputs = process_padded(self.system, [item.signals for item in read])
        except RuntimeError:
            # too much at once, perhaps
            for item in read:
                self._attempt(item.job.source, self._process_alone, item.job, tick)
            return
        for item, output in zip(read, outputs, strict=True):
            self._attempt(item.job.source, self._write, item, output, tick)

    def _write(self, item: "_Read", output: Tensor, tick: Tick) -> None:
        reader = item.reader
        signals = output.flatten(0, 1).numpy()
        signals = resample(signals, self.rate, reader.rate, reader.count)
        targets = talker_files(item.job.target, count_talkers(self.system))
        channels = count_channels(self.system, reader)
        write_files([signals], targets, reader, channels, self.subtype, tick)


class _Read(NamedTuple):
    """A file that was read: [batch, inputs, time] at the system's rate."""

    job: Job
    reader: AudioReader
    signals: Tensor


def _real(path: Path) -> Path:
    """Return the name of a file, by which two paths to it are one."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path.absolute()
