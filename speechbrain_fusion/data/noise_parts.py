"""Noises split by name and by time, so that nothing is heard in two splits.

Noises named for validation or test are "unseen": all of them belongs to that split. Of
every other, a "seen" noise, the first part trains, the next validates, and the last
tests.

    seen.wav     | train .............. | valid .. | test .. |
    unseen.wav   | test ................................... |
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from speechbrain_fusion.data.audio import AudioError, read
from speechbrain_fusion.data.inspection import SILENCE, refuse_all, refuse_empty
from speechbrain_fusion.data.manifest import Entry, Manifest
from speechbrain_fusion.data.recordings import (
    SPLITS,
    NoiseSplit,
    names_given,
    recording_name,
    split_noise,
)

SHARES = (0.6, 0.2, 0.2)
SEEN, UNSEEN = "seen", "unseen"


def find_noises(
    folder: Path | str, noise_split: NoiseSplit | None = None
) -> dict[str, list[Path]]:
    """List the noises by the split to which they belong as a whole.

    Arguments
    ---------
    folder : Path or str
        Noises, or folders ``train``, ``valid`` and ``test`` of them.
    noise_split : mapping of str to list of str, optional
        Names of the unseen noises of "valid" and "test", of files without suffix. By
        default every fifth recording and the next one.

    Returns
    -------
    dict of str to list of Path
        "train" (the seen ones), "valid" and "test".

    Raises
    ------
    AudioError
        If there is no such folder, no noise to train, a name is wrong or, without
        names, a split has none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise AudioError(f"{folder}: no such folder, expected noises")
    names = names_given(noise_split)
    found = split_noise(folder, names)
    # names may leave a split without a noise of its own
    if names is None or not found["train"]:
        expected = "*.{wav,flac,ogg}, five files at least, or noise_split"
        refuse_empty(found, folder, "noise", expected)
    return found


def noise_manifests(
    files: Mapping[str, Sequence[Path]],
    described: Mapping[Path, Entry],
    shares: Sequence[float] = SHARES,
    folder: Path | str = ".",
) -> dict[str, Manifest]:
    """Say which stretch of which noise belongs to which split.

    Arguments
    ---------
    files : mapping of str to sequence of Path
        What `find_noises` found.
    described : mapping of Path to dict
        What `inspect` says of each.
    shares : sequence of float
        Parts of a seen noise that train, validate and test.
    folder : Path or str
        Where they were looked for, which names channels (`recording_name`).

    Returns
    -------
    dict of str to dict
        For each split its noises: with the keys first (the first sample of the
        stretch), samples and seconds of the stretch, name and kind ("seen", "unseen").

    Raises
    ------
    AudioError
        If a noise is too short to be shared out.
    ValueError
        If the shares are not three positive numbers that sum to 1 or less.

    Example
    -------
    >>> hum = {"file": "hum.wav", "rate": 8000, "samples": 1000, "seconds": 0.125}
    >>> files = {"train": [Path("hum.wav")], "valid": [], "test": []}
    >>> made = noise_manifests(files, {Path("hum.wav"): hum})
    >>> [(x["first"], x["samples"]) for split in made.values() for x in split.values()]
    [(0, 600), (600, 200), (800, 200)]
    """
    if len(shares) != 3 or min(shares) <= 0 or sum(shares) > 1 + 1e-9:
        raise ValueError(
            f"shares: expected three positive ones of at most 1 in all, got {shares}"
        )
    manifests: dict[str, Manifest] = {split: {} for split in SPLITS}
    for path in files["train"]:
        entry = {**described[path], "name": recording_name(path, Path(folder))}
        ends = [round(x * entry["samples"]) for x in itertools.accumulate(shares)]
        for split, first, end in zip(SPLITS, [0, *ends], ends, strict=False):
            if first == end:
                raise AudioError(
                    f"{path}: {entry['samples']} samples, too short for {split}'s share"
                )
            manifests[split][str(path)] = _stretch(entry, first, end, SEEN)
    for split in ("valid", "test"):
        for path in files[split]:
            entry = {**described[path], "name": recording_name(path, Path(folder))}
            whole = _stretch(entry, 0, entry["samples"], UNSEEN)
            manifests[split][str(path)] = whole
    return manifests


def refuse_silent(manifests: Mapping[str, Manifest]) -> None:
    """Name the noises of which a split's stretch is silent.

    Arguments
    ---------
    manifests : mapping of str to dict
        What `noise_manifests` made.

    Raises
    ------
    AudioError
        A line for each.

    Example
    -------
    >>> import soundfile
    >>> path, signal = getfixture("tmp_path") / "knock.wav", np.zeros(1000)
    >>> signal[0] = 0.5
    >>> soundfile.write(path, signal, 8000)
    >>> knock = {"file": str(path), "rate": 8000, "samples": 1000, "seconds": 0.125}
    >>> files = {"train": [path], "valid": [], "test": []}
    >>> made = noise_manifests(files, {path: knock})
    >>> try:
    ...     refuse_silent(made)
    ... except AudioError as error:
    ...     print(len(str(error).splitlines()), "lines")
    3 lines
    """
    silent = []
    for split, entries in manifests.items():
        for entry in entries.values():
            signal, rate = read(entry["file"], entry["first"], entry["samples"])
            if np.abs(signal[:1]).max() < SILENCE:
                ends = [entry["first"], entry["first"] + entry["samples"]]
                place = " to ".join(f"{sample / rate:.2f}" for sample in ends)
                silent.append(
                    f"{entry['file']}: silent from {place} s, its part for {split}"
                )
    refuse_all(silent, "parts are silent")


def prove_apart_in_time(noises: Mapping[str, Iterable[Entry]]) -> None:
    """Refuse noises of which a stretch is on two sides.

    Arguments
    ---------
    noises : mapping of str to iterable of dict
        For each side its noises, whole files or stretches (first, samples).

    Raises
    ------
    AudioError
        Naming every file, the first sample of both stretches, and both sides.

    Example
    -------
    >>> hum = {"file": "hum.wav", "first": 0, "samples": 60}
    >>> prove_apart_in_time({"train": [hum], "test": [{**hum, "first": 60}]})
    """
    stretches: dict[str, list[tuple[int, int, str]]] = {}
    for side, entries in noises.items():
        for entry in entries:
            first = entry.get("first", 0)
            stretch = (first, first + entry["samples"], side)
            stretches.setdefault(entry["file"], []).append(stretch)
    leaks = [
        f"{file}: from sample {one[0]} in {one[2]}, from {other[0]} in {other[2]}"
        for file, known in stretches.items()
        for one, other in itertools.combinations(known, 2)
        if one[2] != other[2] and max(one[0], other[0]) < min(one[1], other[1])
    ]
    refuse_all(leaks, "stretches of noise on two sides")


def _stretch(entry: Entry, first: int, end: int, kind: str) -> Entry:
    samples = end - first
    seconds = round(samples / entry["rate"], 4)
    place = {"first": first, "samples": samples, "seconds": seconds}
    return {**entry, **place, "kind": kind}
