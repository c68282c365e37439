"""The files of a model: in a folder or a repository of the hub, small texts read."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from speechbrain.utils.fetching import (
    FetchConfig,
    FetchFrom,
    FetchSource,
    LocalStrategy,
    fetch,
)

from speechbrain_fusion.messages import in_a_line

HYPERPARAMS, WEIGHTS, CONFIG = "hyperparams.yaml", "model.ckpt", "config.json"
CARD = "README.md"
# the model that comes with the package
SHIPPED = Path(__file__).parents[1] / "pretrained" / "binaural"
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
MAX_BYTES = 65536


class ModelFiles(NamedTuple):
    """The files of one model, in one folder.

    Attributes
    ----------
    config, hyperparams, weights : Path
        config.json, hyperparams.yaml and model.ckpt.
    """

    config: Path
    hyperparams: Path
    weights: Path


def find_files(
    source: Any,
    hparams_file: str = HYPERPARAMS,
    savedir: Path | str | None = None,
    local_strategy: LocalStrategy = LocalStrategy.SYMLINK,
    fetch_config: FetchConfig | None = None,
) -> ModelFiles:
    """Find the files of a model, or fetch them.

    Links are followed (the hub's cache is made of them), but to regular files alone.

    Arguments
    ---------
    source : str, Path, FetchSource or None
        A folder; or, if there is none of the name, a repository of the hub,
        "user/name"; None for the model that comes with the package.
    hparams_file : str
        Name of the YAML.
    savedir : Path or str, optional
        Where they are to be linked or copied, by `local_strategy`; None leaves nothing
        anywhere but in the hub's cache.
    local_strategy, fetch_config
        SpeechBrain's, see `speechbrain.utils.fetching.fetch`.

    Returns
    -------
    ModelFiles
        Absolute paths.

    Raises
    ------
    ValueError
        If there is no such model, or a file of it is missing.

    Example
    -------
    >>> [path.name for path in find_files(None)]
    ['config.json', 'hyperparams.yaml', 'model.ckpt']
    """
    names = CONFIG, hparams_file, WEIGHTS
    where = _locate(SHIPPED if source is None else source)
    if isinstance(where, Path):
        _check_folder(where, names)
    if isinstance(where, Path) and savedir is None:
        return ModelFiles(*(where / name for name in names))
    options = {"savedir": savedir, "local_strategy": local_strategy}
    options["fetch_config"] = fetch_config or FetchConfig()
    found = ModelFiles(*(_fetch(name, where, options) for name in names))
    _check_folder(found.weights.parent, [path.name for path in found])
    return found


def _locate(source: Any) -> Path | FetchSource:
    """Tell a folder from a repository."""
    if isinstance(source, FetchSource):
        local = source[0] == FetchFrom.LOCAL
        return Path(source[1]).absolute() if local else source
    path = Path(source)
    try:
        if path.is_dir():
            return path.absolute()
        exists = path.exists()
    except (OSError, ValueError):
        exists = True
    if exists or not isinstance(source, str) or not REPOSITORY.fullmatch(source):
        raise ValueError(
            f"{source!s:.200}: no such folder, expected one with {CONFIG}, "
            f"{HYPERPARAMS} and {WEIGHTS}, or the name of a repository, user/name"
        )
    return FetchSource(FetchFrom.HUGGING_FACE, source)


def _check_folder(folder: Path, names: Iterable[str]) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if not missing:
        return
    inner = folder / "model"
    hint = f": did you mean {inner}?" if (inner / CONFIG).is_file() else ""
    raise ValueError(f"{folder}: no model, there is no {', '.join(missing)}{hint}")


def _fetch(name: str, source: Any, options: dict[str, Any]) -> Path:
    """Fetch one file, or say that it cannot be had."""
    try:
        return Path(fetch(name, source, **options)).absolute()
    except Exception as error:
        raise ValueError(
            f"{source[1]}: no folder here, and {name} cannot be had from the hub "
            f"({in_a_line(error)})"
        ) from error


def read_text(path: Path) -> str:
    """Read a small text file, or say why it is none.

    Arguments
    ---------
    path : Path
        The file.

    Returns
    -------
    str
        What it holds, with line feeds for whatever ends its lines.

    Raises
    ------
    ValueError
        If it cannot be read, is too large or no text, naming it.

    Example
    -------
    >>> path = getfixture("tmp_path") / "config.json"
    >>> _ = path.write_bytes(bytes(100_000))
    >>> read_text(path)
    Traceback (most recent call last):
    ...
    ValueError: ...config.json: too large, expected 65536 bytes at most
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) > MAX_BYTES:
        raise ValueError(f"{path}: too large, expected {MAX_BYTES} bytes at most")
    try:
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file ({error})") from error
