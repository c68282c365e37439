"""Audio files of a corpus: found, read through and described, or refused with a reason.

All unusable files are listed in one error, before anything is written.
"""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import joblib
import numpy as np
from tqdm import tqdm

from speechbrain_fusion.data.audio import SUFFIXES, AudioError, read
from speechbrain_fusion.data.manifest import Entry

# Seconds that a recording has at least: a few samples are no sound to learn from.
SHORTEST = 0.001
# Below this peak a file counts as silent: half a step of 16-bit audio.
SILENCE = 0.5 / 2**15


def audio_files(folder: Path, suffixes: Collection[str] = SUFFIXES) -> list[Path]:
    """List a folder's audio files, at any depth, also behind links, in order.

    Hidden ones and what is in hidden folders do not count: macOS keeps notes on
    "a.wav" in "._a.wav".

    Arguments
    ---------
    folder : Path
        Where they are.
    suffixes : collection of str
        How their names may end, in any case.

    Returns
    -------
    list of Path
        Sorted.

    Raises
    ------
    AudioError
        If the folder is missing, naming it.

    Example
    -------
    >>> from speechbrain_fusion.data.demo import demo_speech_folder
    >>> len(audio_files(demo_speech_folder() / "test"))
    20
    """
    if not folder.is_dir():
        raise AudioError(f"{folder}: no such folder, expected one with audio files")
    # not rglob, which passes over linked folders
    paths = []
    for root, folders, names in os.walk(folder, followlinks=True):
        # hidden ones hold what was thrown away and notes of systems
        folders[:] = [
            name
            for name in folders
            if not (name.startswith(".") or _leads_back(Path(root, name)))
        ]
        paths += [Path(root, name) for name in names if not name.startswith(".")]
    return sorted(path for path in paths if path.suffix.lower() in suffixes)


def _leads_back(folder: Path) -> bool:
    """Say whether a link leads to a folder that holds it, be it through others."""
    if not folder.is_symlink():
        return False
    target = folder.resolve()
    return any(above.resolve().is_relative_to(target) for above in folder.parents)


def inspect(path: Path, lowest_rate: int, channels: int | None = 1) -> Entry:
    """Read a file through and describe it, or say why it cannot be used.

    Arguments
    ---------
    path : Path
        An audio file.
    lowest_rate : int
        The rate in Hz it must at least have.
    channels : int or None
        The number of channels it must have; None for any, of which the first counts.

    Returns
    -------
    dict
        file, rate in Hz, samples and seconds.

    Raises
    ------
    AudioError
        Naming the file and what was expected.

    Example
    -------
    >>> from speechbrain_fusion.data.demo import demo_speech_folder
    >>> path = audio_files(demo_speech_folder())[0]
    >>> inspect(path, lowest_rate=8000)["rate"]
    16000
    """
    signal, rate = read(path)
    if channels is None:
        signal = signal[:1]
    elif signal.shape[0] != channels:
        raise AudioError(f"{path}: {signal.shape[0]} channels, expected {channels}")
    if rate < lowest_rate:
        raise AudioError(f"{path}: rate {rate} Hz, expected at least {lowest_rate} Hz")
    if signal.size == 0:
        raise AudioError(f"{path}: empty, expected audio")
    if signal.shape[1] < SHORTEST * rate:
        raise AudioError(
            f"{path}: {signal.shape[1]} samples, expected {1000 * SHORTEST:g} ms at "
            "least"
        )
    if not np.isfinite(signal).all():
        raise AudioError(f"{path}: holds NaN or infinite samples")
    if np.abs(signal).max() < SILENCE:
        raise AudioError(f"{path}: silent, expected audio")
    samples = signal.shape[1]
    return {
        "file": str(path),
        "rate": rate,
        "samples": samples,
        "seconds": round(samples / rate, 4),
    }


def inspect_each(
    paths: Iterable[Path], lowest_rate: int, channels: int | None = 1, jobs: int = -1
) -> list[Entry | AudioError]:
    """Inspect many files in parallel, with a progress bar.

    Takes `inspect`'s arguments, and the number of threads (-1: one per core).

    Returns
    -------
    list of dict or AudioError
        For each file what `inspect` returns or raises.

    Example
    -------
    >>> [type(found) for found in inspect_each([Path("nowhere.wav")], 8000)]
    [<class 'speechbrain_fusion.data.audio.AudioError'>]
    """

    def attempt(path: Path) -> Entry | AudioError:
        try:
            return inspect(path, lowest_rate, channels)
        except AudioError as error:
            return error

    tasks = [joblib.delayed(attempt)(path) for path in paths]
    found = joblib.Parallel(n_jobs=jobs, prefer="threads", return_as="generator")(tasks)
    # a handful of files needs no bar
    return list(tqdm(found, total=len(tasks), desc="reading", disable=len(tasks) < 50))


def inspect_all(
    paths: Iterable[Path], lowest_rate: int, channels: int = 1, jobs: int = -1
) -> list[Entry]:
    """Inspect many files in parallel, with a progress bar.

    Takes `inspect`'s arguments, and the number of threads (-1: one per core).

    Raises
    ------
    AudioError
        One error that lists every unusable file.
    """
    results = inspect_each(paths, lowest_rate, channels, jobs)
    refuse_unusable(result for result in results if isinstance(result, AudioError))
    return [result for result in results if not isinstance(result, AudioError)]


def refuse_unusable(errors: Iterable[AudioError]) -> None:
    """List all errors in one, if there are any.

    Raises
    ------
    AudioError
        With a line for each.

    Example
    -------
    >>> refuse_unusable([])
    """
    refuse_all(sorted(str(error) for error in errors), "unusable files")


def refuse_all(problems: Sequence[str], what: str, where: str = "") -> None:
    """List all problems in one error, if there are any.

    Arguments
    ---------
    problems : sequence of str
        A line for each.
    what : str
        What they are.
    where : str, optional
        The manifest they are in.

    Raises
    ------
    AudioError
        With their number and all of them.

    Example
    -------
    >>> refuse_all([], "unusable files")
    """
    if problems:
        head = f"{where}: " if where else ""
        lines = "\n  ".join(problems)
        raise AudioError(f"{head}{len(problems)} {what}:\n  {lines}")


def refuse_empty(
    found: Mapping[str, Collection], folder: Path | str, what: str, expected: str = ""
) -> None:
    """Name all splits for which nothing was found.

    Arguments
    ---------
    found : mapping of str to collection
        What was found, by split.
    folder : Path or str
        Where.
    what : str
        What should be there, in the singular.
    expected : str, optional
        What a folder that has it looks like.

    Raises
    ------
    AudioError
        If a split is empty.

    Example
    -------
    >>> refuse_empty({"train": ["a.wav"]}, "noise", "noise")
    """
    if empty := [name for name, each in found.items() if not each]:
        hint = f"; expected {expected}" if expected else ""
        raise AudioError(f"{folder}: no {what} for {', '.join(empty)}{hint}")
