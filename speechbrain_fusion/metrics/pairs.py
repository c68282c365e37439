"""Files to compare by their names: references, estimates, perhaps noisy ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.inspection import audio_files

ROLES = ("reference", "estimate", "noisy")
SHOWN = 3


class Pair(NamedTuple):
    """An item's name and its files.

    Attributes
    ----------
    name : str
        Its name in tables.
    reference, estimate : Path
        The clean signal and what was made of the noisy one.
    noisy : Path or None
        The noisy one, if it is to be scored too.
    """

    name: str
    reference: Path
    estimate: Path
    noisy: Path | None = None


def match_files(
    reference: Path | str, estimate: Path | str, noisy: Path | str | None = None
) -> tuple[list[Pair], list[str]]:
    """Pair files, or the files of folders that have the same relative name.

    Names are compared without their suffix: `a/1.flac` is the partner of `a/1.wav`.

    Arguments
    ---------
    reference : Path or str
        The target, or a folder of them.
    estimate : Path or str
        What is scored: a file or a folder, as the reference is.
    noisy : Path or str, optional
        The mixture as it came, to compare with.

    Returns
    -------
    pairs : list of Pair
        By name.
    missing : list of str
        A line for each file that lacks a partner.

    Raises
    ------
    AudioError
        If something is missing, files and folders are mixed, a folder has two files of
        one name, or no file has a partner.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> for name in ("clean/a.wav", "clean/b.wav", "enhanced/a.flac"):
    ...     (folder / name).parent.mkdir(exist_ok=True)
    ...     (folder / name).touch()
    >>> pairs, missing = match_files(folder / "clean", folder / "enhanced")
    >>> [pair.name for pair in pairs], [line.split(": ")[1] for line in missing]
    (['a'], ['no estimate of this name'])
    """
    given = {"reference": Path(reference), "estimate": Path(estimate)}
    given |= {} if noisy is None else {"noisy": Path(noisy)}
    for path in given.values():
        if not path.exists():
            raise AudioError(f"{path}: no such file or folder")
    if len({path.is_dir() for path in given.values()}) > 1:
        kinds = ", ".join(
            f"{path} ({'folder' if path.is_dir() else 'file'})"
            for path in given.values()
        )
        raise AudioError(f"expected all files or all folders, got {kinds}")
    if not given["reference"].is_dir():
        return [Pair(_printable(given["estimate"].stem), **given)], []
    return _match({role: _by_name(path) for role, path in given.items()}, given)


def _by_name(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in audio_files(folder):
        name = _printable(path.relative_to(folder).with_suffix("").as_posix())
        if name in found:
            raise AudioError(f"{path} and {found[name]}: two files of one name")
        found[name] = path
    return found


def _printable(name: str) -> str:
    """Write out the bytes of a name that is not valid UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode()


def _match(
    files: Mapping[str, Mapping[str, Path]], folders: Mapping[str, Path]
) -> tuple[list[Pair], list[str]]:
    names = set.intersection(*(set(found) for found in files.values()))
    missing = [
        f"{found[name]}: no {other} of this name"
        for found in files.values()
        for name in sorted(found.keys() - names)
        for other in ROLES
        if other in files and name not in files[other]
    ]
    if not names:
        paths = ", ".join(map(str, folders.values()))
        raise AudioError(f"{paths}: no audio files of the same name to compare")
    pairs = [
        Pair(name, **{role: found[name] for role, found in files.items()})
        for name in sorted(names)
    ]
    return pairs, missing
