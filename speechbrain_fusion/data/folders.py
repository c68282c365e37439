"""Folders that are either whole or not there, and made anew by a newer version."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from speechbrain_fusion.data.files import written_whole

Folder = Path | str | None
"""One that need not be given."""


def write_folder(
    folder: Path | str, marker: str, version: str, write: Callable[[Path], object]
) -> Path:
    """Write a folder, unless it is there already.

    It appears all at once or not at all, also when several processes write it at the
    same time. One that another version wrote is replaced.

    Arguments
    ---------
    folder : Path or str
        May not exist yet, or may be empty.
    marker : str
        Name of the file in it that tells its version.
    version : str
        What the marker says.
    write : callable
        Gets a folder, not yet there, to be filled.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FileExistsError
        If the folder holds anything without a marker; it is left as it is.

    Example
    -------
    >>> folder = getfixture("tmp_path") / "corpus"
    >>> made = write_folder(folder, ".version", "1", lambda new: new.mkdir())
    >>> [path.name for path in made.iterdir()]
    ['.version']
    """
    folder = Path(folder)
    stamp = folder / marker
    if _says(stamp, version):
        return folder
    # in this order: another process may put a whole folder there in between
    if not _is_free(folder) and not stamp.is_file():
        raise FileExistsError(
            f"{folder}: expected no folder, an empty one or one with {marker}"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    # beside the folder, so that the renames stay within one file system
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as scratch:
        new = Path(scratch, "new")
        write(new)
        with written_whole(new / marker) as file:
            file.write(version)
        _put_in_place(new, folder, Path(scratch, "old"), stamp, version)
    return folder


def _is_free(folder: Path) -> bool:
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def _says(stamp: Path, version: str) -> bool:
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == version


def _put_in_place(
    new: Path, folder: Path, old: Path, stamp: Path, version: str
) -> None:
    """Rename the new folder, unless another process just did."""
    if stamp.is_file() and not _says(stamp, version):
        with contextlib.suppress(FileNotFoundError):
            os.rename(folder, old)
    try:
        os.rename(new, folder)
    except OSError:
        if not _says(stamp, version):
            raise
