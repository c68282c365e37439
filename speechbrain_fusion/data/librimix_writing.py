"""A small LibriMix made of any talkers and noises, to begin without the large one."""

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile
from tqdm import tqdm

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.batch import Example
from speechbrain_fusion.data.demo import write_demo_corpus
from speechbrain_fusion.data.dynamic_mixing import DynamicMixtures, Plan
from speechbrain_fusion.data.folders import write_folder
from speechbrain_fusion.data.inspection import audio_files
from speechbrain_fusion.data.librimix_layout import (
    CLEAN,
    MIXTURE,
    mixtures_folder,
    part_of,
    source_folders,
)
from speechbrain_fusion.data.manifest import fingerprint
from speechbrain_fusion.data.mixtures import speech_to_noise
from speechbrain_fusion.data.recordings import NoiseSplit, prepare_recordings

DEMO_COUNTS = {"train": 160, "valid": 24, "test": 48}
"""Mixtures of the demo."""

SEEDS = {"train": 0, "valid": 1, "test": 2}
NOISE = "noise"
# Raise it with every change of what write_librimix writes.
VERSION = "2"
MARKER = ".small-librimix"


def write_demo_librimix(
    folder: Path | str,
    rate: int = 8000,
    talkers: int = 2,
    mode: str = "min",
    train_set: str = "train-360",
    counts: Mapping[str, int] = DEMO_COUNTS,
) -> Path:
    """Write a small LibriMix of the embedded demo corpus, unless it is there.

    Takes `write_librimix`'s arguments.

    Returns
    -------
    Path
        The folder, with ``Libri2Mix/wav8k/min`` or what else was asked for.

    Raises
    ------
    FileExistsError, ValueError
        What `write_librimix` refuses.

    Example
    -------
    >>> few = {"train": 2, "valid": 1, "test": 1}
    >>> folder = write_demo_librimix(getfixture("tmp_path"), counts=few)
    >>> part = folder / "Libri2Mix/wav8k/min/train-360"
    >>> sorted(path.name for path in part.iterdir())
    ['mix_both', 'mix_clean', 'noise', 's1', 's2']
    """

    def write(new: Path) -> None:
        with TemporaryDirectory() as scratch:
            corpus = write_demo_corpus(Path(scratch, "corpus"))
            _write_parts(new, corpus, rate, talkers, mode, train_set, counts)

    version = f"{VERSION} demo {train_set} {dict(counts)}"
    write_folder(mixtures_folder(folder, rate, talkers, mode), MARKER, version, write)
    return Path(folder)


def write_librimix(
    folder: Path | str,
    data_folder: Path | str,
    counts: Mapping[str, int],
    rate: int = 8000,
    talkers: int = 2,
    mode: str = "min",
    train_set: str = "train-360",
    noise_split: NoiseSplit | None = None,
) -> Path:
    """Write a small LibriMix of one's own recordings, unless it is there.

    It is made anew where recordings were changed, came or went since.

    Arguments
    ---------
    folder : Path or str
        Gets ``Libri2Mix/wav8k/min`` or what else is asked for, with its tables. It
        appears all at once or not at all.
    data_folder : Path or str
        Talkers and noises, laid out as `prepare_recordings` says.
    counts : mapping of str to int
        Mixtures of "train", "valid" and "test", by talkers of that split.
    rate, talkers, mode
        See `mixtures_folder`.
    train_set : str
        Name of the part that trains.
    noise_split : mapping of str to list of str, optional
        Names of the noises of "valid" and "test"; see `prepare_recordings`.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    AudioError
        What `prepare_recordings` or `DynamicMixtures` refuse.
    FileExistsError
        If the mixtures' folder holds anything that was not written by this.
    ValueError
        What `mixtures_folder` refuses.
    """
    source = Path(data_folder).resolve()
    heard = [x for part in ("speech", "noise") for x in audio_files(source / part)]

    def write(new: Path) -> None:
        options = rate, talkers, mode, train_set, counts, noise_split
        _write_parts(new, source, *options)

    version = f"{VERSION} {source} {train_set} {dict(counts)}"
    version += f" {fingerprint(heard, {})}"
    version += f" {dict(noise_split)}" if noise_split else ""
    write_folder(mixtures_folder(folder, rate, talkers, mode), MARKER, version, write)
    return Path(folder)


def _write_parts(
    folder: Path,
    corpus: Path,
    rate: int,
    talkers: int,
    mode: str,
    train_set: str,
    counts: Mapping[str, int],
    noise_split: NoiseSplit | None = None,
) -> None:
    """Mix recordings and write the parts and their tables."""
    with TemporaryDirectory() as scratch:
        manifests = prepare_recordings(corpus, scratch, rate, 1 / rate, noise_split)
        try:
            sets = {
                split: DynamicMixtures(
                    manifests[f"speech_{split}"],
                    manifests[f"noise_{split}"],
                    rate,
                    size=count,
                    talkers=talkers,
                    mode=mode,
                    seed=SEEDS[split],
                    fixed=True,
                )
                for split, count in counts.items()
            }
        except AudioError as error:
            # the manifests it names are gone when this is read
            text = str(error)
            for name, path in manifests.items():
                text = text.replace(str(path), f"{corpus}: {name}")
            raise AudioError(text) from None
    for split, mixtures in sets.items():
        _write_part(folder, part_of(split, train_set), mixtures)


def _write_part(folder: Path, part: str, mixtures: DynamicMixtures) -> None:
    """Write the mixtures of a part and their tables."""
    named = {
        mixture_name(mixtures.plan(1, index), index): index
        for index in range(len(mixtures))
    }
    rows = [
        _write_mixture(folder / part, name, mixtures[(1, index)], mixtures.rate)
        for name, index in tqdm(named.items(), desc=f"mixing {part}")
    ]
    for kind in (MIXTURE, CLEAN):
        for table in ("mixture", "metrics"):
            path = folder / "metadata" / f"{table}_{part}_{kind}.csv"
            _write_table(path, [row[table, kind] for row in rows])


def mixture_name(plan: Plan, index: int) -> str:
    """Name a mixture after its talkers, as LibriMix does.

    Arguments
    ---------
    plan : Plan
        What is mixed.
    index : int
        Its place in the part, which makes the name its own.

    Returns
    -------
    str
        <talker>-<index>-<recording> of each talker, joined by "_", in which the
        talkers' and recordings' own "-" and "_" have become ".".

    Example
    -------
    >>> from speechbrain_fusion.data.dynamic_mixing import Part
    >>> voice = Part({"talker": "m_1", "name": "a-7"}, level=-30, speed=100, place=0)
    >>> mixture_name(Plan((voice,), voice), index=3)
    'm.1-00003-a.7'
    """
    return "_".join(
        f"{_plain(part.entry['talker'])}-{index:05d}-{_plain(part.entry['name'])}"
        for part in plan.talkers
    )


def _plain(name: str) -> str:
    return re.sub("[-_]", ".", name)


def _write_mixture(
    folder: Path, name: str, example: Example, rate: int
) -> dict[tuple[str, str], dict[str, object]]:
    """Write the files of a mixture and make its rows of the tables."""
    mixture, clean = (example.signals[kind][0].numpy() for kind in ("mixture", "clean"))
    sources = dict(
        zip(
            source_folders(len(example.signals["target"])),
            example.signals["target"].numpy(),
            strict=True,
        )
    )
    signals = {MIXTURE: mixture, CLEAN: clean, **sources, NOISE: mixture - clean}
    paths = {kind: folder / kind / f"{name}.wav" for kind in signals}
    for kind, path in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, signals[kind], rate, subtype="PCM_16")
    parts = {MIXTURE: [*sources, NOISE], CLEAN: [*sources]}
    return {
        (table, kind): row
        for kind, kinds in parts.items()
        for table, row in _rows(name, kind, kinds, signals).items()
    }


def _rows(
    name: str, mixture: str, parts: list[str], signals: Mapping[str, np.ndarray]
) -> dict[str, dict[str, object]]:
    """Make a mixture's row of each table: its files, and each part against the rest."""
    columns = {part: part.replace("s", "source_") for part in parts if part != NOISE}
    columns |= {NOISE: NOISE} if NOISE in parts else {}
    whole = signals[mixture]
    return {
        "mixture": {
            "mixture_ID": name,
            "mixture_path": f"{mixture}/{name}.wav",
            **{f"{columns[part]}_path": f"{part}/{name}.wav" for part in parts},
            "length": whole.size,
        },
        "metrics": {
            "mixture_ID": name,
            **{
                f"{columns[part]}_SNR": speech_to_noise(whole, signals[part])
                for part in parts
            },
        },
    }


def _write_table(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
