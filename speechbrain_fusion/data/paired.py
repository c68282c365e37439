"""Speech that others have mixed: folders of noisy and of clean files of equal names.

    <data_folder>/<train|valid|test>/<noisy|clean>/**/*.{wav,flac,ogg}

or as VoiceBank+DEMAND is published, of whose training speakers some validate:

    <data_folder>/<noisy|clean>_trainset_28spk_wav/<speaker>_<number>.wav
    <data_folder>/<noisy|clean>_testset_wav/<speaker>_<number>.wav

One channel, any rate from the wanted one up.

Source: Valentini-Botinhao, "Noisy speech database for training speech enhancement
algorithms and TTS models", University of Edinburgh, 2017 (VoiceBank+DEMAND).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from speechbrain.utils.distributed import run_on_main

from speechbrain_fusion.data.audio import PEAK, AudioError
from speechbrain_fusion.data.batch import Example
from speechbrain_fusion.data.inspection import audio_files, refuse_empty
from speechbrain_fusion.data.manifest import Entry, Manifest
from speechbrain_fusion.data.options import check_bounds
from speechbrain_fusion.data.preparation import inspect_present, prepare_mixtures
from speechbrain_fusion.data.recordings import SPLITS
from speechbrain_fusion.data.rendered import RenderedScenes

KINDS = ("noisy", "clean")
VALID_SPEAKERS = ("p226", "p287")
"""Of VoiceBank's 28 training speakers, those that validate in SpeechBrain's recipes."""

Pairs = dict[str, tuple[Path, Path]]


class NoisyPairs(RenderedScenes):
    """Segments of pairs of files, turned up and down in training.

    Takes the arguments of `RenderedScenes`, and

    gain : sequence of float
        Bounds in dB of a gain of both signals, drawn for each: a causal network must
        do with any level.

    Raises
    ------
    ValueError
        Also if the bounds are not two finite numbers in order.

    Example
    -------
    >>> NoisyPairs("nowhere.json", 8000, gain=(10.0, -10.0))
    Traceback (most recent call last):
    ...
    ValueError: gain: expected two finite numbers in ascending order, got (10.0, -10.0)
    """

    def __init__(
        self, *args: Any, gain: Sequence[float] = (0.0, 0.0), **kwargs: Any
    ) -> None:
        check_bounds("gain", gain)
        super().__init__(*args, **kwargs)
        self.gain = gain

    def _made(self, epoch: int, index: int) -> Example:
        """Read a pair."""
        example = super()._made(epoch, index)
        if not any(self.gain):
            return example
        # a stream of its own beside that of the places
        rng = np.random.default_rng([self.seed, epoch, index, 1])
        factor = 10 ** (float(rng.uniform(self.gain[0], self.gain[1])) / 20)
        peak = float(example.signals["mixture"].abs().max())
        if peak:
            factor = min(factor, PEAK / peak)
        signals = {name: factor * x for name, x in example.signals.items()}
        return replace(example, signals=signals)


def paired_speech(
    data_folder: Path | str,
    save_folder: Path | str,
    rate: int,
    segment: float | None,
    counts: Mapping[str, int | None],
    seeds: Mapping[str, int],
    valid_speakers: Sequence[str] = VALID_SPEAKERS,
    gain: Sequence[float] = (0.0, 0.0),
) -> dict[str, NoisyPairs]:
    """Check pairs of files once and read them in training.

    Arguments
    ---------
    data_folder : Path or str
        Laid out as this module says.
    save_folder : Path or str
        Where the manifests go.
    rate : int
        Sample rate in Hz.
    segment : float or None
        Seconds of a training example, None for whole files, as validation and test
        have.
    counts : mapping of str to int or None
        Files of an epoch of "train", "valid" and "test"; None for all.
    seeds : mapping of str to int
        By split.
    valid_speakers : sequence of str
        Where no folder is for validation: what the names of its files begin with.
    gain : sequence of float
        See `NoisyPairs`; in training alone.

    Returns
    -------
    dict of str to NoisyPairs
        For each split of `counts`.

    Raises
    ------
    AudioError
        What `prepare_pairs` refuses.
    ValueError
        What `NoisyPairs` refuses.

    Example
    -------
    >>> import numpy as np, soundfile
    >>> folder = getfixture("tmp_path")
    >>> for split in ("train", "valid", "test"):
    ...     for kind in KINDS:
    ...         (folder / split / kind).mkdir(parents=True)
    ...         sound = 0.1 * np.random.default_rng(0).standard_normal(16000)
    ...         soundfile.write(folder / split / kind / "a.wav", sound, 16000)
    >>> counts, seeds = dict.fromkeys(SPLITS), dict.fromkeys(SPLITS, 0)
    >>> sets = paired_speech(folder, folder / "save", 8000, 0.5, counts, seeds)
    >>> sets["train"][(1, 0)].signals["mixture"].shape
    torch.Size([1, 4000])
    """
    arguments = [data_folder, save_folder, rate, [*counts], valid_speakers]
    manifests = run_on_main(prepare_pairs, arguments)
    return NoisyPairs.by_split(manifests, rate, segment, counts, seeds, gain=gain)


def prepare_pairs(
    data_folder: Path | str,
    save_folder: Path | str,
    rate: int,
    splits: Sequence[str] = SPLITS,
    valid_speakers: Sequence[str] = VALID_SPEAKERS,
    jobs: int = -1,
) -> dict[str, Path]:
    """Check all files and write manifests of pairs, unless they are up to date.

    Arguments
    ---------
    data_folder, save_folder, rate, valid_speakers
        See `paired_speech`.
    splits : sequence of str
        Those that are needed.
    jobs : int
        Threads that read, -1 for one per core.

    Returns
    -------
    dict of str to Path
        The splits' manifests.

    Raises
    ------
    AudioError
        For another layout, an empty split, a file without its partner, partners of
        different rate or length, or unusable files (all are listed). Nothing is
        written then.
    OSError
        If a manifest cannot be written, naming it. Those of before stay.
    """
    folder = Path(data_folder)
    found = _find(folder, valid_speakers)
    pairs = {split: found.get(split, {}) for split in splits}
    refuse_empty(pairs, folder, "pair of files")
    files = [x for named in pairs.values() for pair in named.values() for x in pair]
    entries: dict[str, Manifest] = {
        split: {
            name: {"file": str(noisy), "target": str(clean)}
            for name, (noisy, clean) in named.items()
        }
        for split, named in pairs.items()
    }

    return prepare_mixtures(
        entries,
        Path(save_folder),
        files,
        lambda: inspect_present(
            files, rate, jobs=jobs, missing="missing, expected a partner"
        ),
        _complete,
        {"rate": rate},
    )


def _find(folder: Path, valid_speakers: Sequence[str]) -> dict[str, Pairs]:
    """List the pairs of each split that is there."""
    if not folder.is_dir():
        raise AudioError(f"{folder}: no such folder, expected noisy and clean speech")
    given = {split: [folder / split / kind for kind in KINDS] for split in SPLITS}
    given = {k: v for k, v in given.items() if any(each.is_dir() for each in v)}
    if given:
        return {split: _pairs(*both) for split, both in given.items()}
    published = {
        part: [
            sorted(x for x in folder.glob(f"{kind}_{part}set*") if x.is_dir())
            for kind in KINDS
        ]
        for part in ("train", "test")
    }
    for part, both in published.items():
        if [len(each) for each in both] != [1, 1]:
            raise AudioError(
                f"{folder}: expected <train|valid|test>/<noisy|clean>, or one of each "
                f"of noisy_{part}set* and clean_{part}set*, got "
                f"{[x.name for found in both for x in found]}"
            )
    (train,), (test,) = (
        [_pairs(*(each[0] for each in both))] for both in published.values()
    )
    held_out = {
        name
        for name in train
        if name.startswith(tuple(f"{x}_" for x in valid_speakers))
    }
    return {
        "train": {k: v for k, v in train.items() if k not in held_out},
        "valid": {k: v for k, v in train.items() if k in held_out},
        "test": test,
    }


def _pairs(noisy: Path, clean: Path) -> Pairs:
    """Match files by their places, also those whose partner is missing."""
    both = [_by_place(folder) for folder in (noisy, clean)]
    pairs: Pairs = {}
    for place in sorted({**both[0], **both[1]}):
        one = both[0].get(place) or noisy / both[1][place].relative_to(clean)
        other = both[1].get(place) or clean / both[0][place].relative_to(noisy)
        name = "_".join(place.parts)
        if name in pairs:
            raise AudioError(f"{one}: its name, {name}, is also {pairs[name][0]}'s")
        pairs[name] = one, other
    return pairs


def _by_place(folder: Path) -> dict[Path, Path]:
    """Key the files of a folder by their places below it, without suffix."""
    found: dict[Path, Path] = {}
    for path in audio_files(folder):
        place = path.relative_to(folder).with_suffix("")
        if place in found:
            raise AudioError(f"{path}: expected one file of this name, {found[place]}")
        found[place] = path
    return found


def _complete(name: str, entry: Entry, usable: Mapping[str, Entry]) -> Entry:
    """Add what both files of a pair have in common."""
    noisy, clean = (usable.get(entry[kind]) for kind in ("file", "target"))
    if noisy is None or clean is None:
        return entry  # its files are refused
    for key, unit in (("rate", "Hz"), ("samples", "samples")):
        if noisy[key] != clean[key]:
            raise AudioError(
                f"{entry['file']}: {noisy[key]} {unit}, its clean file has {clean[key]}"
            )
    samples = noisy["samples"]
    place = {"rate": noisy["rate"], "samples": samples, "first": 0, "last": samples}
    return {**entry, **place, "talker": name.split("_")[0]}
