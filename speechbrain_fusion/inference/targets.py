"""Names that are written: one file, or one for each talker; nothing is overwritten."""

import os
from pathlib import Path

from speechbrain_fusion.data.audio import AudioError


def talker_files(target: Path, talkers: int) -> list[Path]:
    """List the files that a name stands for.

    Arguments
    ---------
    target : Path
        As it was given.
    talkers : int
        Of a separation, each of which has a file: NAME_1, NAME_2 and so on; 0 for one
        file, NAME.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    AudioError
        If it is no name of a file.

    Example
    -------
    >>> [path.name for path in talker_files(Path("out/a.wav"), 2)]
    ['a_1.wav', 'a_2.wav']
    """
    if not target.name:
        raise AudioError(f"{target}: expected the name of a file")
    if not talkers:
        return [target]
    numbers = range(1, talkers + 1)
    return [target.with_name(f"{target.stem}_{n}{target.suffix}") for n in numbers]


def check_target(target: Path, force: bool, source: Path | None = None) -> None:
    """Refuse to write onto the input, a folder or device, or what is there already.

    Arguments
    ---------
    target : Path
        The file to write.
    force : bool
        Whether it may exist.
    source : Path, optional
        The file that is read meanwhile.

    Raises
    ------
    AudioError
        Naming the target.

    Example
    -------
    >>> check_target(getfixture("tmp_path"), force=True)
    Traceback (most recent call last):
    ...
    speechbrain_fusion.data.audio.AudioError: ...: a folder, expected the name of a file
    """
    try:
        there = os.path.lexists(target)
        # not of a link to nowhere
        if target.exists():
            _check_existing(target, source)
    except OSError as error:
        raise AudioError(f"{target}: {error.strerror or error}") from error
    if there and not force:
        raise AudioError(f"{target}: exists, expected a new name or force=True")


def _check_existing(target: Path, source: Path | None) -> None:
    if target.is_dir():
        raise AudioError(f"{target}: a folder, expected the name of a file")
    if source is not None and target.samefile(source):
        raise AudioError(f"{target}: the input itself, expected another name")
    if not target.is_file():
        raise AudioError(f"{target}: not a regular file, expected a new name")
