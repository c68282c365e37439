"""LibriMix: mixtures of two or three talkers and a noise, as it is published.

    <data_folder>/Libri2Mix/wav8k/min/<part>/<kind>/<mixture_ID>.wav
    <data_folder>/Libri2Mix/wav8k/min/metadata/mixture_<part>_mix_both.csv
    <data_folder>/Libri2Mix/wav8k/min/metadata/metrics_<part>_mix_both.csv

The same for Libri3Mix, wav16k and max. Parts are train-360, train-100, dev and test;
kinds mix_both (all talkers and the noise), s1, s2, s3 and, where it is there, mix_clean
(all talkers; otherwise their sum). mix_single and noise are not needed, and neither are
the tables: where they are there, they say which mixtures there must be and what SNR
these have. The paths in them are of the machine that wrote them; file names count.

Source: Cosentino et al., "LibriMix: An Open-Source Dataset for Generalizable Speech
Separation", arXiv 2005.11262.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from speechbrain.utils.distributed import run_on_main

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.librimix_layout import (
    CLEAN,
    MIXTURE,
    find_folder,
    find_mixtures,
    part_of,
)
from speechbrain_fusion.data.librimix_writing import write_demo_librimix
from speechbrain_fusion.data.manifest import Entry
from speechbrain_fusion.data.mixtures import Mixtures
from speechbrain_fusion.data.preparation import (
    inspect_at,
    prepare_mixtures,
    refuse_twice,
)
from speechbrain_fusion.data.source import read_prepared


class LibriMixtures(Mixtures):
    """Mixtures and their sources in files; see `Mixtures` for how they are taken."""

    def load(self, entry: Entry, start: int, samples: int) -> np.ndarray:
        """Read a part of a mixture's files; see `Mixtures.load`."""
        files = entry["files"]
        parts = {k: read_prepared(x, start, samples) for k, x in files.items()}
        mixture, clean = parts.pop(MIXTURE), parts.pop(CLEAN, None)
        sources = np.stack([*parts.values()])
        return np.stack([mixture, sources.sum(0) if clean is None else clean, *sources])


def librimix_mixtures(
    data_folder: Path | str | None,
    save_folder: Path | str,
    rate: int,
    talkers: int,
    mode: str,
    segment: float | None,
    counts: Mapping[str, int | None],
    seeds: Mapping[str, int],
    train_set: str = "train-360",
    demo_folder: Path | str = "results/demo_librimix",
    speeds: Sequence[int] = (100,),
) -> dict[str, LibriMixtures]:
    """Check LibriMix once and read it in training.

    Arguments
    ---------
    data_folder : Path, str or None
        The folder that holds ``Libri2Mix``, or ``Libri2Mix`` itself, laid out as this
        module says; None for a small LibriMix made of the embedded demo corpus.
    save_folder : Path or str
        Where the manifests go.
    rate : int
        8000 or 16000 Hz.
    talkers : int
        2 or 3.
    mode : str
        "min" or "max".
    segment : float or None
        Seconds of a training example, None for whole mixtures; validation and test
        have whole mixtures.
    counts : mapping of str to int or None
        Mixtures of an epoch of "train", "valid" and "test"; None for all. Splits that
        are not named are not needed.
    seeds : mapping of str to int
        By split; whole mixtures are not drawn, so that only that of "train" matters.
    train_set : str
        "train-360" or "train-100".
    demo_folder : Path or str
        Where the demo is written if there is no data folder.
    speeds : sequence of int
        In percent, of which each talker gets one in training.

    Returns
    -------
    dict of str to LibriMixtures
        For each split of `counts`.

    Raises
    ------
    AudioError
        What `prepare_librimix` refuses.
    ValueError
        What `Mixtures` or `mixtures_folder` refuse.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> counts, seeds = {"train": 4, "test": None}, {"train": 1, "test": 1}
    >>> few = {"train": 2, "valid": 1, "test": 1}
    >>> tree = write_demo_librimix(folder / "small", counts=few)
    >>> made = librimix_mixtures(tree, folder, 8000, 2, "min", 1.0, counts, seeds)
    >>> {k: tuple(v.shape) for k, v in made["train"][(1, 0)].signals.items()}
    {'mixture': (1, 8000), 'clean': (1, 8000), 'target': (2, 8000)}
    """
    folder = demo_folder if data_folder is None else data_folder
    if data_folder is None:
        run_on_main(write_demo_librimix, [folder, rate, talkers, mode, train_set])
    parts = {split: part_of(split, train_set) for split in counts}
    arguments = [folder, save_folder, rate, talkers, mode, parts]
    manifests = run_on_main(prepare_librimix, arguments)
    return LibriMixtures.by_split(
        manifests, rate, segment, counts, seeds, speeds=speeds
    )


def prepare_librimix(
    data_folder: Path | str,
    save_folder: Path | str,
    rate: int,
    talkers: int,
    mode: str,
    parts: Mapping[str, str],
    jobs: int = -1,
) -> dict[str, Path]:
    """Check all mixtures and write their manifests, unless they are up to date.

    Arguments
    ---------
    data_folder : Path or str
        Laid out as this module says.
    save_folder : Path or str
        Where the manifests go.
    rate, talkers, mode
        See `librimix_mixtures`.
    parts : mapping of str to str
        The parts of the splits.
    jobs : int
        Threads that read, -1 for one per core.

    Returns
    -------
    dict of str to Path
        The splits' manifests.

    Raises
    ------
    AudioError
        For another tree, a missing part or source, a broken table or unusable files
        (all are listed): unreadable, silent, of another rate, not as long as their
        mixture, or with a talker twice. Nothing is written then.
    OSError
        If a manifest cannot be written, naming it. Those of before stay.
    """
    folder = find_folder(Path(data_folder), rate, talkers, mode)
    splits = {k: find_mixtures(folder, part, talkers) for k, part in parts.items()}
    files = [
        Path(file)
        for mixtures in splits.values()
        for entry in mixtures.values()
        for file in entry["files"].values()
    ]
    return prepare_mixtures(
        splits,
        Path(save_folder),
        files,
        lambda: inspect_at(files, rate, jobs=jobs),
        _complete,
        {"rate": rate},
    )


def _complete(name: str, entry: Entry, usable: Mapping[str, Entry]) -> Entry:
    """Add the length that all files of a mixture have."""
    mixture = entry["files"][MIXTURE]
    refuse_twice(entry["talkers"], mixture)
    sizes = {
        file: usable[file]["samples"]
        for file in entry["files"].values()
        if file in usable
    }
    wanted = sizes.get(mixture)
    for file, size in sizes.items():
        if wanted is not None and size != wanted:
            raise AudioError(f"{file}: {size} samples, its mixture has {wanted}")
    return {**entry, "samples": wanted}
