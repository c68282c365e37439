"""Manifests in SpeechBrain's JSON form: which files make up a split.

    {"train/t01/s1": {"file": "/.../s1.flac", "rate": 16000, "seconds": 3.2, ...}}

They are built once from files that were all read and checked, written whole, and built
again when a source or an option has changed.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from tqdm import tqdm

from speechbrain_fusion.data.audio import SUFFIXES, AudioError, read
from speechbrain_fusion.data.files import written_whole

Entry = dict[str, Any]
Manifest = dict[str, Entry]
# Below this peak a file counts as silent: half a step of 16-bit audio.
SILENCE = 0.5 / 2**15


def audio_files(folder: Path, suffixes: Collection[str] = SUFFIXES) -> list[Path]:
    """List a folder's audio files, at any depth, also behind links, in order.

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
        folders[:] = [x for x in folders if not _leads_back(Path(root, x))]
        paths += [Path(root, name) for name in names]
    return sorted(path for path in paths if path.suffix.lower() in suffixes)


def _leads_back(folder: Path) -> bool:
    """Say whether a link leads to a folder that holds it, in a circle."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(
        folder.resolve()
    )


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


def grouped(entries: Iterable[Entry], key: str) -> dict[str, list[Entry]]:
    """Group entries by what they say of a key, "" where they say nothing.

    Example
    -------
    >>> grouped([{"talker": "a", "name": "1"}, {"talker": "a", "name": "2"}], "talker")
    {'a': [{'talker': 'a', 'name': '1'}, {'talker': 'a', 'name': '2'}]}
    """
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.get(key, ""), []).append(entry)
    return groups


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


def fingerprint(paths: Iterable[Path], options: Mapping[str, Any]) -> str:
    """Digest what a manifest depends on: names, sizes and times of files, options.

    Example
    -------
    >>> fingerprint([], {"rate": 8000}) == fingerprint([], {"rate": 16000})
    False
    """
    # a link to nothing is left to the inspection, which lists it with the others
    stats = [
        (str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in paths if p.exists()
    ]
    content = json.dumps([stats, options], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


def write_manifest(path: Path | str, manifest: Manifest) -> None:
    """Write a manifest whole or not at all.

    Example
    -------
    >>> path = getfixture("tmp_path") / "noise.json"
    >>> write_manifest(path, {"a": {"file": "a.wav"}})
    >>> read_manifest(path)
    {'a': {'file': 'a.wav'}}
    """
    with written_whole(path) as file:
        json.dump(manifest, file, indent=1)


def up_to_date(stamp: Path, digest: str, manifests: Iterable[Path]) -> bool:
    """Whether manifests are all there and were built from the same.

    Arguments
    ---------
    stamp : Path
        The file that `write_manifests` wrote beside them.
    digest : str
        Today's `fingerprint`.
    manifests : iterable of Path
        The manifests.

    Returns
    -------
    bool
        False, too, if the stamp cannot be read.

    Example
    -------
    >>> up_to_date(Path("nowhere.json"), "a", [])
    False
    """
    if not all(path.is_file() for path in manifests):
        return False
    try:
        return json.loads(stamp.read_text())["fingerprint"] == digest
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write_manifests(
    contents: Mapping[Path, Manifest], stamp: Path, digest: str
) -> None:
    """Replace manifests and their stamp all together or, on a full disk, none.

    Arguments
    ---------
    contents : mapping of Path to dict
        The manifests of the files beside the stamp.
    stamp : Path
        Where the digest goes; its folder is made if need be.
    digest : str
        The `fingerprint` of what the manifests were built from.

    Raises
    ------
    OSError
        If a file cannot be written, naming it.

    Example
    -------
    >>> stamp = getfixture("tmp_path") / "stamp.json"
    >>> write_manifests({}, stamp, "a")
    >>> up_to_date(stamp, "a", [])
    True
    """
    folder = stamp.parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=folder) as beside:
        for path, manifest in contents.items():
            write_manifest(Path(beside, path.name), manifest)
        with written_whole(Path(beside, stamp.name)) as file:
            json.dump({"fingerprint": digest}, file)
        # first away and last there: it never stands beside others' manifests
        stamp.unlink(missing_ok=True)
        for path in [*contents, stamp]:
            os.replace(Path(beside, path.name), path)


def keep_manifests(
    stamp: Path,
    names: Iterable[str],
    files: Iterable[Path],
    options: Mapping[str, Any],
    build: Callable[[], Mapping[str, Manifest]],
) -> dict[str, Path]:
    """Build manifests unless they are there and nothing has changed since.

    Arguments
    ---------
    stamp : Path
        The file beside them that says what they were built from.
    names : iterable of str
        Of the manifests, which get the suffix ``.json``.
    files : iterable of Path
        What they are built from.
    options : mapping of str to object
        What else they depend on.
    build : callable
        () -> the manifests by name; called if need be.

    Returns
    -------
    dict of str to Path
        The manifests.

    Raises
    ------
    OSError
        If a file cannot be written, naming it. Those of before stay.

    Example
    -------
    >>> stamp = getfixture("tmp_path") / "stamp.json"
    >>> for _ in range(2):
    ...     kept = keep_manifests(stamp, "a", [], {}, lambda: print("new") or {"a": {}})
    new
    >>> kept["a"].name
    'a.json'
    """
    manifests = {name: stamp.parent / f"{name}.json" for name in names}
    digest = fingerprint(files, options)
    if not up_to_date(stamp, digest, manifests.values()):
        contents = {manifests[name]: each for name, each in build().items()}
        write_manifests(contents, stamp, digest)
    return manifests


def read_manifest(path: Path | str) -> Manifest:
    """Read a manifest.

    Raises
    ------
    AudioError
        If the file is missing, is no JSON or has no entry, naming it.
    """
    try:
        with open(path, encoding="utf-8") as file:
            manifest = json.load(file)
    except (OSError, ValueError) as error:
        raise AudioError(f"{path}: not a readable manifest ({error})") from error
    if not isinstance(manifest, dict):
        raise AudioError(f"{path}: no manifest, expected a JSON object of entries")
    if not manifest:
        raise AudioError(f"{path}: an empty manifest, expected at least one entry")
    return manifest
