"""Noisy mixtures of talkers, from whichever form of them is at hand."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch.utils.data import Dataset

from speechbrain_fusion.data.dynamic_mixing import DynamicMixtures
from speechbrain_fusion.data.folders import Folder
from speechbrain_fusion.data.librimix import librimix_mixtures
from speechbrain_fusion.data.librimix_layout import SUBSETS, part_of
from speechbrain_fusion.data.librimix_sources import rendered_librimix
from speechbrain_fusion.data.librispeech import dynamic_librispeech, dynamic_recordings
from speechbrain_fusion.data.options import check_counts
from speechbrain_fusion.data.recordings import NoiseSplit


def noisy_mixtures(
    data_folder: Folder,
    save_folder: Path | str,
    rate: int,
    talkers: int,
    mode: str,
    segment: float | None,
    counts: Mapping[str, int | None],
    seeds: Mapping[str, int],
    librispeech: Folder = None,
    wham: Folder = None,
    metadata: Folder = None,
    recordings: Folder = None,
    dynamic_mixing: bool = False,
    speeds: Sequence[int] = (95, 100, 105),
    noise_split: NoiseSplit | None = None,
    train_set: str = "train-360",
    demo_folder: Path | str = "results/demo_librimix",
) -> dict[str, Dataset]:
    """Prepare mixtures once and read or make them in training.

    Arguments
    ---------
    data_folder : Path, str or None
        LibriMix as published (`librimix_mixtures`).
    save_folder : Path or str
        Where the manifests go.
    rate, talkers, mode, segment, counts, seeds, train_set, demo_folder
        See `librimix_mixtures`.
    librispeech, wham, metadata : Path, str or None
        Instead of LibriMix, what it is made of (`rendered_librimix`).
    recordings : Path, str or None
        Instead of LibriMix, own talkers and noises, newly mixed in every epoch
        (`dynamic_recordings`). Without any folder the demo corpus is made a small
        LibriMix.
    dynamic_mixing : bool
        Train on new mixtures of `librispeech` and `wham` in every epoch
        (`dynamic_librispeech`).
    speeds : sequence of int
        Speeds of the talkers in training, in percent.
    noise_split : mapping of str to list of str, optional
        Which noises of `recordings` validate and test, by name.

    Returns
    -------
    dict of str to Dataset
        For each split of `counts`.

    Raises
    ------
    ValueError
        If two corpora are given, a folder that belongs to another is missing, or newly
        made mixtures are not counted.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> counts, seeds = {"test": 1}, {"test": 2}
    >>> noisy_mixtures(None, folder, 8000, 2, "min", 1.0, counts, seeds, folder)
    Traceback (most recent call last):
    ValueError: wham: expected a folder beside librispeech, got None
    """
    parts = {"librispeech": librispeech, "wham": wham, "metadata": metadata}
    _check(data_folder, parts, recordings, dynamic_mixing)
    check_counts(counts)
    mixing = functools.partial(
        DynamicMixtures, talkers=talkers, mode=mode, speeds=speeds
    )
    if recordings is not None:
        every = rate, segment, _numbers(counts), seeds, mixing, noise_split
        return {**dynamic_recordings(recordings, save_folder, *every)}
    anew = {k: n for k, n in counts.items() if dynamic_mixing and k == "train"}
    fixed = {k: n for k, n in counts.items() if k not in anew}
    made: dict[str, Dataset] = {}
    options = rate, talkers, mode, segment, fixed, seeds, train_set
    if fixed and librispeech and wham and metadata and data_folder is None:
        made |= rendered_librimix(
            librispeech, wham, metadata, save_folder, *options, speeds=speeds
        )
    elif fixed:
        made |= librimix_mixtures(
            data_folder, save_folder, *options, demo_folder, speeds=speeds
        )
    if anew and librispeech and wham:
        folder, numbers = Path(save_folder, "dynamic"), _numbers(anew)
        subsets = {"train": [SUBSETS[part_of("train", train_set)]]}
        made |= dynamic_librispeech(
            librispeech,
            wham,
            folder,
            rate,
            segment,
            numbers,
            seeds,
            subsets,
            mixtures=mixing,
        )
    return made


def _check(
    data_folder: Folder,
    parts: Mapping[str, Folder],
    recordings: Folder,
    dynamic_mixing: bool,
) -> None:
    """Refuse folders that do not go together."""
    whole = {"data_folder": data_folder, "recordings": recordings}
    for name, folder in {**whole, **parts}.items():
        if folder == "":
            raise ValueError(f"{name}: expected a folder or null, got ''")
    chosen = [name for name, folder in whole.items() if folder is not None]
    given = [name for name, folder in parts.items() if folder is not None]
    # beside LibriMix they are for new mixtures alone
    extra = given and not (dynamic_mixing and chosen == ["data_folder"])
    if len(chosen) + bool(extra) > 1 or (dynamic_mixing and recordings is not None):
        raise ValueError(
            "expected one corpus: data_folder, recordings (always mixed anew) or "
            "librispeech, wham and metadata; the latter also beside data_folder with "
            f"dynamic_mixing; got {[*chosen, *given]}"
        )
    needed = ["librispeech", "wham"] if dynamic_mixing else []
    for name in list(parts) if given and not chosen else needed:
        if parts[name] is None:
            beside = given[0] if given else "dynamic_mixing"
            raise ValueError(f"{name}: expected a folder beside {beside}, got None")


def _numbers(counts: Mapping[str, int | None]) -> dict[str, int]:
    """Return how many new mixtures are wanted: there is no such thing as all."""
    check_counts(counts, anew=True)
    return {name: count for name, count in counts.items() if count is not None}
