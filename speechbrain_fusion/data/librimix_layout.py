"""Where LibriMix has its mixtures, and what its tables say of them.

See `speechbrain_fusion.data.librimix` for the layout.
"""

import csv
import math
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.manifest import Manifest
from speechbrain_fusion.nnet.options import check_option

MIXTURE, CLEAN = "mix_both", "mix_clean"
MODES = ("min", "max")
RATES = (8000, 16000)
Rows = list[dict[str, str]]
SUBSETS = {
    "train-360": "train-clean-360",
    "train-100": "train-clean-100",
    "dev": "dev-clean",
    "test": "test-clean",
}
"""LibriSpeech's name of each part of LibriMix."""


def part_of(split: str, train_set: str = "train-360") -> str:
    """Name LibriMix's part of a split.

    Raises
    ------
    ValueError
        If there is no such split or part.

    Example
    -------
    >>> part_of("valid")
    'dev'
    """
    parts = {"train": train_set, "valid": "dev", "test": "test"}
    check_option("split", split, parts)
    # dev and test are for evaluation
    check_option("train_set", train_set, [x for x in SUBSETS if x.startswith("train")])
    return parts[split]


def source_folders(talkers: int) -> list[str]:
    """Name the folders of the talkers.

    Example
    -------
    >>> source_folders(3)
    ['s1', 's2', 's3']
    """
    return [f"s{number}" for number in range(1, talkers + 1)]


def mixtures_folder(
    root: Path | str, rate: int, talkers: int, mode: str = "min"
) -> Path:
    """Say where the mixtures of a kind are.

    Arguments
    ---------
    root : Path or str
        The folder that holds ``Libri2Mix``.
    rate : int
        8000 or 16000 Hz.
    talkers : int
        Their number, 2 at least.
    mode : str
        "min" (as long as the shortest source) or "max" (as long as the longest).

    Returns
    -------
    Path
        It need not exist.

    Raises
    ------
    ValueError
        For a rate, a number of talkers or a mode that LibriMix does not know.

    Example
    -------
    >>> print(mixtures_folder("data", 8000, talkers=2).as_posix())
    data/Libri2Mix/wav8k/min
    """
    if rate not in RATES:
        raise ValueError(f"rate: expected one of {RATES}, got {rate}")
    check_mode(mode)
    if talkers < 2:
        raise ValueError(f"talkers: expected 2 at least, got {talkers}")
    return Path(root, f"Libri{talkers}Mix", f"wav{rate // 1000}k", mode)


def check_mode(mode: str) -> None:
    """Refuse a length that LibriMix does not know.

    Raises
    ------
    ValueError
        If it is neither "min" nor "max".

    Example
    -------
    >>> check_mode("min")
    """
    check_option("mode", mode, MODES)


def find_folder(data_folder: Path, rate: int, talkers: int, mode: str) -> Path:
    """Find the mixtures of a kind in the folder of LibriMix or the one above.

    Takes `mixtures_folder`'s arguments; `data_folder` may also be ``Libri2Mix``.

    Raises
    ------
    AudioError
        If they are not there, naming what was expected.
    """
    wanted = mixtures_folder(data_folder, rate, talkers, mode)
    name = f"Libri{talkers}Mix"
    root = data_folder.parent if data_folder.name == name else data_folder
    folder = mixtures_folder(root, rate, talkers, mode)
    if not folder.is_dir():
        raise AudioError(
            f"{folder}: no such folder, expected LibriMix's "
            f"{wanted.relative_to(data_folder).as_posix()} in {data_folder}"
        )
    return folder


def folder_of(folder: Path | str, name: str) -> Path:
    """Find a corpus: the folder itself or, by its name, one in it.

    Raises
    ------
    AudioError
        If there is no such folder.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> (folder / "LibriSpeech").mkdir()
    >>> folder_of(folder, "LibriSpeech").name
    'LibriSpeech'
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise AudioError(f"{folder}: no such folder, expected {name}")
    return folder / name if (folder / name).is_dir() else folder


def find_mixtures(folder: Path, part: str, talkers: int) -> Manifest:
    """List the mixtures of a part, by the published table or else by the files.

    Arguments
    ---------
    folder : Path
        What `find_folder` found.
    part : str
        "train-360", "train-100", "dev" or "test".
    talkers : int
        Their number.

    Returns
    -------
    dict of str to dict
        By mixture: files (by folder, which need not exist), talkers and, where
        known, snr in dB.

    Raises
    ------
    AudioError
        For a missing part, missing sources or one too many, a part without mixtures
        or a broken table.
    """
    kinds = _kinds(folder / part, talkers)
    table = folder / "metadata" / f"mixture_{part}_{MIXTURE}.csv"
    listed = _from_table(table, talkers) if table.is_file() else None
    found = listed or _from_files(folder / part, kinds)
    if not found:
        raise AudioError(f"{folder / part / MIXTURE}: no mixture, expected *.wav")
    noise_levels = _noise_levels(folder / "metadata" / f"metrics_{part}_{MIXTURE}.csv")
    return {
        mixture: {
            "files": {k: str(folder / part / k / names.get(k, mix)) for k in kinds},
            "talkers": talkers_of(mixture, talkers),
            # the table has the noise against the talkers
            **({"snr": -noise_levels[mixture]} if mixture in noise_levels else {}),
        }
        for mixture, names in found.items()
        for mix in [names[MIXTURE]]
    }


def _kinds(folder: Path, talkers: int) -> list[str]:
    """List the folders of signals that a part has, and refuse it without sources."""
    needed = [MIXTURE, *source_folders(talkers)]
    if not folder.is_dir():
        raise AudioError(f"{folder}: no such split, expected {', '.join(needed)} there")
    for kind in needed:
        if not (folder / kind).is_dir():
            raise AudioError(f"{folder / kind}: missing, expected beside {MIXTURE}")
    extra = folder / f"s{talkers + 1}"
    if extra.is_dir():
        raise AudioError(f"{extra}: one talker more than the expected {talkers}")
    return [*needed, *([CLEAN] if (folder / CLEAN).is_dir() else [])]


def _from_table(path: Path, talkers: int) -> dict[str, dict[str, str]]:
    """Read the files' names from a table, whose paths are of another machine."""
    columns = {MIXTURE: "mixture_path"} | {
        f"s{number}": f"source_{number}_path" for number in range(1, talkers + 1)
    }
    return {
        row["mixture_ID"]: {
            kind: PureWindowsPath(row[column]).name for kind, column in columns.items()
        }
        for row in read_table(path, [*columns.values()])
    }


def _from_files(folder: Path, kinds: Sequence[str]) -> dict[str, dict[str, str]]:
    """List the files' names, also of those that are missing in some folders."""
    paths = [path for kind in kinds for path in (folder / kind).glob("*.wav")]
    return {path.stem: {MIXTURE: path.name} for path in sorted(paths, key=_stem)}


def _stem(path: Path) -> str:
    return path.stem


def _noise_levels(path: Path) -> dict[str, float]:
    """Read the noise against all talkers in dB, where there is a table."""
    if not path.is_file():
        return {}
    rows = read_table(path, ["noise_SNR"])
    return {row["mixture_ID"]: number(row, "noise_SNR", path) for row in rows}


def number(row: dict[str, str], column: str, path: Path) -> float:
    """Read a number from a row of a table.

    Raises
    ------
    AudioError
        If it is none, naming table, mixture and column.

    Example
    -------
    >>> number({"mixture_ID": "1-1-1_2-1-1", "gain": "0.5"}, "gain", Path("a.csv"))
    0.5
    """
    try:
        return float(row[column])
    except ValueError as error:
        where = f"{path}: {row['mixture_ID']}, {column}"
        raise AudioError(f"{where}: expected a number, got {row[column]!r}") from error


def gain(row: dict[str, str], column: str, path: Path) -> float:
    """Read a gain from a row of a table; see `number`.

    Raises
    ------
    AudioError
        If it is not above zero and finite.

    Example
    -------
    >>> gain({"mixture_ID": "1-1-1_2-1-1", "gain": "0.5"}, "gain", Path("a.csv"))
    0.5
    """
    value = number(row, column, path)
    if not 0 < value < math.inf:
        where = f"{path}: {row['mixture_ID']}, {column}"
        raise AudioError(f"{where}: expected a gain above 0, got {row[column]!r}")
    return value


def read_table(path: Path, columns: Sequence[str]) -> Rows:
    """Read a table of LibriMix.

    Arguments
    ---------
    path : Path
        A CSV file.
    columns : sequence of str
        The columns that are needed beside mixture_ID.

    Returns
    -------
    list of dict
        The rows.

    Raises
    ------
    AudioError
        If it cannot be read, has no row, lacks a column or a value or has a mixture
        twice, naming it.

    Example
    -------
    >>> path = getfixture("tmp_path") / "table.csv"
    >>> _ = path.write_text("mixture_ID,length" + chr(10) + "a_b,5")
    >>> read_table(path, ["length"])
    [{'mixture_ID': 'a_b', 'length': '5'}]
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise AudioError(f"{path}: not a readable table ({error})") from error
    if not rows:
        raise AudioError(f"{path}: no row, expected a line for each mixture")
    lines: dict[str, int] = {}
    for line, row in enumerate(rows, start=2):
        missing = [each for each in ("mixture_ID", *columns) if not row.get(each)]
        if missing:
            raise AudioError(f"{path}: line {line}: expected {', '.join(missing)}")
        name = row["mixture_ID"]
        if lines.setdefault(name, line) != line:
            raise AudioError(f"{path}: line {line}: {name} as in line {lines[name]}")
    return rows


def talkers_of(mixture: str, talkers: int) -> list[str]:
    """Tell the talkers from the name of a mixture, or none if it is named otherwise.

    Example
    -------
    >>> talkers_of("4077-13754-0001_5142-33396-0065", 2)
    ['4077', '5142']
    """
    utterances = mixture.split("_")
    if len(utterances) != talkers or not all("-" in name for name in utterances):
        return []
    return [name.split("-")[0] for name in utterances]
