"""Files that are either whole or not there."""

import contextlib
import os
import secrets
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
        # names of files in it may be bytes that are no text
        text = ("utf-8", "backslashreplace") if "b" not in mode else (None, None)
        name = path.parent / f".{secrets.token_hex(8)}"
        with open(name, mode.replace("w", "x"), -1, *text) as file:
            temporary = name
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = f"not written: {error.strerror or error}"
            raise OSError(error.errno, reason, str(path)) from error
        raise
