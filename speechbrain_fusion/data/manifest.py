"""Manifests in SpeechBrain's JSON form: which files make up a split.

    {"train/t01/s1": {"file": "/.../s1.flac", "rate": 16000, "seconds": 3.2, ...}}

They are built once from files that were all read and checked, written whole, and built
again when a source or an option has changed.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from speechbrain.utils.logger import get_logger

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.files import written_whole

logger = get_logger(__name__)

Entry = dict[str, Any]
Manifest = dict[str, Entry]


def grouped(
    entries: Iterable[Entry], key: str, otherwise: str | None = None
) -> dict[str, list[Entry]]:
    """Group entries by what they say of a key.

    Arguments
    ---------
    entries : iterable of dict
        Of a manifest.
    key : str
        What to group by.
    otherwise : str, optional
        The group of those that do not say; by default all must.

    Raises
    ------
    KeyError
        If one does not say, and must.

    Example
    -------
    >>> grouped([{"talker": "a", "name": "1"}, {"talker": "a", "name": "2"}], "talker")
    {'a': [{'talker': 'a', 'name': '1'}, {'talker': 'a', 'name': '2'}]}
    """
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        name = entry[key] if otherwise is None else entry.get(key, otherwise)
        groups.setdefault(name, []).append(entry)
    return groups


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
        for path in filter(Path.is_file, contents):
            _warn_of_others(path, contents[path])
        write_manifests(contents, stamp, digest)
    return manifests


def _warn_of_others(path: Path, manifest: Manifest) -> None:
    """Say that a manifest has other entries than before: a run may go on with it."""
    try:
        before = read_manifest(path)
    except AudioError:
        return
    if before != json.loads(json.dumps(manifest)):
        logger.warning(
            "%s: made anew with %d entries in place of %d, as recordings or options "
            "have changed: a training that goes on here goes on with other data",
            path,
            len(manifest),
            len(before),
        )


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
