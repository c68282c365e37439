"""Files that are either whole or not there."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def written_whole(path: Path | str, mode: str = "w") -> Iterator[IO]:
    """Open a file that appears under its name only once it is written and closed.

    Arguments
    ---------
    path : Path or str
        The file; its folder is made if need be. What it held before stays until
        the new content is complete.
    mode : str
        "w" or "wb".

    Yields
    ------
    IO
        An open temporary file beside the wanted one.

    Raises
    ------
    OSError
        If it cannot be written (a full disk, say), naming the file.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> with written_whole(folder / "a.txt") as file:
    ...     _ = file.write("whole")
    >>> (folder / "a.txt").read_text()
    'whole'
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        encoding = None if "b" in mode else "utf-8"
        with tempfile.NamedTemporaryFile(
            mode, encoding=encoding, dir=path.parent, prefix=".", delete=False
        ) as file:
            temporary = file.name
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = f"not written: {error.strerror or error}"
            raise OSError(error.errno, reason, str(path)) from error
        raise


def _umask() -> int:
    """Return the process's file mode mask."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
