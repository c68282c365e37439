"""Which files go in, and where what comes out is written."""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from speechbrain_fusion.commands.ending import UsageError
from speechbrain_fusion.data.inspection import audio_files
from speechbrain_fusion.inference.targets import talker_files


class Found(NamedTuple):
    """A file to process, and its name within the input it was found in."""

    path: Path
    name: Path


class Job(NamedTuple):
    """A file to read and one to write."""

    source: Path
    target: Path


class Plan(NamedTuple):
    """What is to be done, and a line for every input that cannot be."""

    jobs: list[Job]
    failures: list[str]


def refuse_existing(path: Path, force: bool) -> None:
    """Refuse to overwrite a file, unless forced; folders and devices in any case.

    Raises
    ------
    UsageError
        Naming it.
    """
    if path.is_dir():
        raise UsageError(f"{path}: is a folder, expected a file to write")
    if path.exists() and not path.is_file():
        # a device or a pipe would be replaced by a file
        raise UsageError(f"{path}: is no regular file, expected a file to write")
    if os.path.lexists(path) and not force:
        raise UsageError(f"{path}: exists; --force overwrites it")


def find_inputs(
    inputs: Sequence[str], output: Path | None = None
) -> tuple[list[Found], list[str]]:
    """Find the files that inputs name: files, folders and globs.

    Arguments
    ---------
    inputs : sequence of str
        As they stand in the command line.
    output : Path, optional
        A folder that is passed over, within an input, say.

    Returns
    -------
    found : list of Found
        In the order of the inputs, each once. The names of a folder's files are
        relative to it, of a glob's to what stands before its first wildcard.
    failures : list of str
        A line for each input without files.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> for name in ("a/b.wav", "a/c/d.flac"):
    ...     (folder / name).parent.mkdir(exist_ok=True)
    ...     (folder / name).touch()
    >>> found, failures = find_inputs([f"{folder}/a", f"{folder}/e"])
    >>> [each.name.as_posix() for each in found]
    ['b.wav', 'c/d.flac']
    >>> failures[0].endswith("/e: no such file or folder")
    True
    """
    found: dict[Found, None] = {}
    failures = []
    for text in inputs:
        try:
            files = list(_find(text, output))
        except OSError as error:
            failures.append(f"{text}: {error.strerror or error}")
            continue
        found |= dict.fromkeys(files)
        if not files:
            failures.append(f"{text}: {_why_none(text)}")
    return list(found), failures


def _find(text: str, output: Path | None) -> Iterator[Found]:
    path = Path(text)
    if path.is_dir():
        yield from _within(path, path, output)
    elif os.path.lexists(path):
        yield Found(path, Path(path.name))
    elif glob.has_magic(text):
        base = Path(*_fixed(path))
        for match in sorted(map(Path, glob.glob(text, recursive=True))):
            if match.is_dir() or _is_within(match, output):
                continue
            yield Found(match, match.relative_to(base))


def _within(folder: Path, base: Path, output: Path | None) -> Iterator[Found]:
    """List a folder's audio files; hidden ones and those of the output do not count."""
    if _is_within(folder, output):
        output = None  # the folder is the output, or within it
    for path in audio_files(folder):
        name = path.relative_to(base)
        hidden = any(part.startswith(".") for part in name.parts)
        if hidden or _is_within(path, output):
            continue
        yield Found(path, name)


def _is_within(path: Path, folder: Path | None) -> bool:
    return folder is not None and path.resolve().is_relative_to(folder.resolve())


def _fixed(path: Path) -> Iterator[str]:
    """Give the parts of a pattern before its first wildcard."""
    for part in path.parts[:-1]:
        if glob.has_magic(part):
            return
        yield part


def _why_none(text: str) -> str:
    if Path(text).is_dir():
        return "no audio files in it"
    if glob.has_magic(text):
        return "no file matches"
    return "no such file or folder"


def plan(inputs: Sequence[str], output: str, force: bool, talkers: int = 0) -> Plan:
    """Say what is read and written for a command line.

    Arguments
    ---------
    inputs : sequence of str
        Files, folders and globs.
    output : str
        A file for one input file, if it is no folder and has a suffix; otherwise a
        folder.
    force : bool
        Whether files may be overwritten; an input never is.
    talkers : int
        How many files come of each input: NAME_1, NAME_2 and so on; 0 for one, NAME.

    Returns
    -------
    Plan
        Files that exist already are among its failures, and so are missing inputs.

    Raises
    ------
    UsageError
        If the output cannot be one, or two inputs would be written to one file.
    """
    path = Path(output)
    single = _is_single(inputs, output)
    if path.exists() and not path.is_dir() and not single:
        raise UsageError(
            f"{path}: is a file, expected a folder, or for one input file a name with "
            "a suffix"
        )
    found, failures = find_inputs(inputs, None if single else path)
    jobs = [Job(each.path, path if single else path / each.name) for each in found]
    _refuse_clashes(jobs, talkers)
    free = []
    for job in jobs:
        if problem := _problem(job, force, talkers):
            failures.append(problem)
        else:
            free.append(job)
    return Plan(free, failures)


def _is_single(inputs: Sequence[str], output: str) -> bool:
    """Say whether the output is one file."""
    file = len(inputs) == 1 and Path(inputs[0]).is_file()
    folder = output.endswith(os.sep) or Path(output).is_dir()
    return file and not folder and Path(output).suffix != ""


def _refuse_clashes(jobs: Iterable[Job], talkers: int) -> None:
    jobs = list(jobs)
    sources = {job.source.resolve(): job.source for job in jobs}
    origins: dict[Path, Path] = {}
    for job in jobs:
        for target in talker_files(job.target, talkers):
            real = target.resolve()
            if real in sources:
                raise UsageError(f"{target}: would overwrite the input {sources[real]}")
            other = origins.setdefault(real, job.source)
            if other != job.source:
                raise UsageError(f"{other} and {job.source} would both become {target}")


def _problem(job: Job, force: bool, talkers: int) -> str:
    """Say why an input cannot be processed, "" if it can."""
    if not job.source.is_file():
        return f"{job.source}: not a regular file"
    for target in talker_files(job.target, talkers):
        if target.is_dir():
            return f"{job.source}: not processed, {target} is a folder"
        if os.path.lexists(target) and not force:
            return f"{job.source}: not processed, {target} exists (see --force)"
    return ""
