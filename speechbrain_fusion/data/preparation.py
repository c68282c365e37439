"""Lists of mixtures become manifests: every file checked, or every bad one named."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from speechbrain.utils.logger import get_logger

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.inspection import inspect_each, refuse_unusable
from speechbrain_fusion.data.manifest import Entry, Manifest, keep_manifests

logger = get_logger(__name__)

Found = Mapping[str, Entry | AudioError]
Complete = Callable[[str, Entry, Mapping[str, Entry]], Entry]
# Of what an entry holds: manifests of another version are built again.
VERSION = 2


def prepare_mixtures(
    splits: Mapping[str, Manifest],
    save_folder: Path,
    files: Iterable[Path],
    inspect_files: Callable[[], Found],
    complete: Complete,
    options: Mapping[str, Any],
) -> dict[str, Path]:
    """Write manifests of mixtures, unless they are up to date.

    Arguments
    ---------
    splits : mapping of str to dict
        The mixtures of each split.
    save_folder : Path
        Gets ``mixtures_<split>.json``.
    files : iterable of Path
        The files that they are made of.
    inspect_files : callable
        () -> what each file is or what is wrong with it; called where needed.
    complete : callable
        (name, entry, usable files) -> the entry of the manifest; raises AudioError.
    options : mapping of str to object
        What the manifests depend on beyond files and mixtures.

    Returns
    -------
    dict of str to Path
        The manifests.

    Raises
    ------
    AudioError
        With a line for everything that is unusable. Nothing is written then.
    OSError
        If a manifest cannot be written, naming it. Those of before stay.
    """
    names = {f"mixtures_{split}": split for split in splits}

    def build() -> dict[str, Manifest]:
        contents = _completed(splits, inspect_files(), complete)
        return {name: contents[split] for name, split in names.items()}

    options = {"version": VERSION, **options, "splits": splits}
    stamp = save_folder / "mixtures.json"
    manifests = keep_manifests(stamp, names, files, options, build)
    for split, mixtures in splits.items():
        logger.info(f"{split}: {len(mixtures)} mixtures")
    return {split: manifests[name] for name, split in names.items()}


def _completed(
    splits: Mapping[str, Manifest], found: Found, complete: Complete
) -> dict[str, Manifest]:
    """Complete all mixtures, or list all that is unusable."""
    errors = [each for each in found.values() if isinstance(each, AudioError)]
    usable = {k: v for k, v in found.items() if not isinstance(v, AudioError)}
    completed: dict[str, Manifest] = {split: {} for split in splits}
    for split, mixtures in splits.items():
        for name, entry in mixtures.items():
            try:
                completed[split][name] = complete(name, entry, usable)
            except AudioError as error:
                errors.append(error)
    refuse_unusable(errors)
    return completed


def inspect_at(
    paths: Iterable[Path], rate: int, mono: bool = True, jobs: int = -1
) -> dict[str, Entry | AudioError]:
    """Describe files that must have a rate, or say what is wrong with them.

    Arguments
    ---------
    paths : iterable of Path
        Audio files, each counted once.
    rate : int
        The rate in Hz that they must have.
    mono : bool
        Whether they must have one channel; else the first counts.
    jobs : int
        Threads that read, -1 for one per core.

    Returns
    -------
    dict of str to dict or AudioError
        By path.

    Example
    -------
    >>> [str(error) for error in inspect_at([Path("nowhere.wav")], 8000).values()]
    ['nowhere.wav: missing']
    """
    found = inspect_present(paths, rate, 1 if mono else None, jobs)
    return {path: _at_rate(path, entry, rate) for path, entry in found.items()}


def inspect_present(
    paths: Iterable[Path],
    lowest_rate: int,
    channels: int | None = 1,
    jobs: int = -1,
    missing: str = "missing",
) -> dict[str, Entry | AudioError]:
    """Describe files, some of which may be missing, or say what is wrong with them.

    Arguments
    ---------
    paths : iterable of Path
        Audio files, each counted once.
    lowest_rate, channels, jobs
        See `inspect_each`.
    missing : str
        What is wrong with a file that is not there.

    Returns
    -------
    dict of str to dict or AudioError
        By path.

    Example
    -------
    >>> [str(error) for error in inspect_present([Path("a.wav")], 8000).values()]
    ['a.wav: missing']
    """
    unique = [*dict.fromkeys(paths)]
    present = [path for path in unique if path.exists()]
    described = inspect_each(present, lowest_rate, channels, jobs)
    found = {str(path): AudioError(f"{path}: {missing}") for path in unique}
    return found | dict(zip(map(str, present), described, strict=True))


def _at_rate(path: str, entry: Entry | AudioError, rate: int) -> Entry | AudioError:
    if isinstance(entry, AudioError) or entry["rate"] == rate:
        return entry
    return AudioError(f"{path}: rate {entry['rate']} Hz, expected {rate} Hz")


def refuse_twice(talkers: list[str], name: str) -> None:
    """Refuse a mixture in which a talker is heard twice.

    Raises
    ------
    AudioError
        Naming the mixture and the talker.

    Example
    -------
    >>> refuse_twice(["1", "2"], "1-1-1_2-1-1")
    """
    double = sorted({talker for talker in talkers if talkers.count(talker) > 1})
    if double:
        raise AudioError(
            f"{name}: talker {', '.join(double)} twice, expected different talkers"
        )
