"""A folder of one's own recordings, made ready for training.

    <data_folder>/speech/<train|valid|test>/<talker>/*.{wav,flac,ogg}
    <data_folder>/noise/*.{wav,flac,ogg}          or noise/<train|valid|test>/*
    <data_folder>/hrir/*.{npz,sofa}

Any rate from the wanted one up, one channel. Talkers are split by folder: without
`speech/test` the talkers of `speech/valid` are the test talkers and every tenth talker
of `speech/train` is kept for validation; of a talker in two splits a warning tells.
Noises are split by recording, a file or the channels of one (see `recording`): by
folder, by the `noise_split` given, or, without either, every fifth one for validation
and the next one for test.
"""

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from speechbrain.utils.logger import get_logger

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.inspection import audio_files, inspect_all, refuse_empty
from speechbrain_fusion.data.manifest import Entry, Manifest, keep_manifests

logger = get_logger(__name__)

SPLITS = ("train", "valid", "test")
STAMP = "manifests.json"
LAYOUT = (
    "speech/<train|valid|test>/<talker>/*.{wav,flac,ogg} and noise/* (five files at "
    "least, or noise_split)"
)
# Of what an entry holds: manifests of another version are built again.
VERSION = 2
# Names of simultaneous channels
CHANNEL = re.compile(r"ch\d+", re.IGNORECASE)
# Of noises that are not split by folder or name, one after the other
TURNS = ("train", "train", "train", "valid", "test")
Files = dict[str, list[Path]]
NoiseSplit = Mapping[str, Sequence[str]]


def names_given(noise_split: NoiseSplit | None) -> NoiseSplit | None:
    """Return which noises validate and test, by name, or None if none is named.

    Example
    -------
    >>> names_given({"valid": [], "test": []}) is None
    True
    """
    for split, names in (noise_split or {}).items():
        if isinstance(names, str) or not isinstance(names, Sequence):
            raise AudioError(
                f"noise_split: expected a list of names for {split}, got {names!r}"
            )
    return noise_split if noise_split and any(noise_split.values()) else None


def prepare_recordings(
    data_folder: Path | str,
    save_folder: Path | str,
    rate: int,
    segment: float,
    noise_split: NoiseSplit | None = None,
    jobs: int = -1,
) -> dict[str, Path]:
    """Check all recordings and write their manifests, unless they are up to date.

    Arguments
    ---------
    data_folder : Path or str
        The recordings, laid out as this module says.
    save_folder : Path or str
        Where the manifests go.
    rate : int
        Sample rate of the training in Hz: no file may have a lower one.
    segment : float
        Seconds that training takes from a recording: at least one must be as long.
    noise_split : mapping of str to list of str, optional
        Names (see `recording_name`) of the noises of "valid" and "test"; the others
        train. Without any name it is as if not given.
    jobs : int
        Threads that read, -1 for one per core.

    Returns
    -------
    dict of str to Path
        "speech_train", "noise_train", ... to their manifests.

    Raises
    ------
    AudioError
        For a missing folder, an empty split, unusable files (all are listed), speech
        outside a talker's folder or a segment longer than every recording. Nothing is
        written then.
    OSError
        If a manifest cannot be written (a full disk, say), naming it. Those of before
        stay.
    """
    data_folder, save_folder = Path(data_folder), Path(save_folder)
    noise_split = names_given(noise_split)
    files = {
        f"speech_{split}": paths
        for split, paths in split_speech(data_folder / "speech").items()
    } | {
        f"noise_{split}": paths
        for split, paths in split_noise(data_folder / "noise", noise_split).items()
    }
    refuse_empty(files, data_folder, "audio file", LAYOUT)
    sources = sorted(path for paths in files.values() for path in paths)
    options = {"version": VERSION, "rate": rate, "segment": segment, "files": files}

    def build() -> dict[str, Manifest]:
        entries = inspect_all(sources, rate, jobs=jobs)
        described = dict(zip(sources, entries, strict=True))
        contents = {
            name: _manifest(paths, described, data_folder)
            for name, paths in files.items()
        }
        _check_segment(contents["speech_train"], segment, data_folder)
        return contents

    manifests = keep_manifests(save_folder / STAMP, files, sources, options, build)
    for name in files:
        logger.info(f"{name}: {len(files[name])} files")
    return manifests


def split_speech(folder: Path) -> Files:
    """Assign the files of `speech/` to splits by talker.

    Example
    -------
    >>> from speechbrain_fusion.data.demo import demo_speech_folder
    >>> splits = split_speech(demo_speech_folder())
    >>> {split: len(paths) for split, paths in splits.items()}
    {'train': 80, 'valid': 20, 'test': 20}
    """
    found = {
        split: audio_files(folder / split)
        for split in SPLITS
        if split != "test" or (folder / split).is_dir()
    }
    if "test" not in found:
        train = found["train"]
        held_out = set(sorted({talker(path, folder) for path in train})[::10])
        found["test"] = found["valid"]
        found["valid"] = [p for p in train if talker(p, folder) in held_out]
        found["train"] = [p for p in train if talker(p, folder) not in held_out]
    _warn_of_known_voices(found, folder)
    return found


def _warn_of_known_voices(found: Files, folder: Path) -> None:
    """Name talkers of two splits: systems for a known talker may want that."""
    places = [x.relative_to(folder).parts for paths in found.values() for x in paths]
    # what is in no talker's folder is refused elsewhere
    splits = Counter(name for _, name in {x[:2] for x in places if len(x) > 2})
    if known := sorted(name for name, count in splits.items() if count > 1):
        logger.warning(
            f"{folder}: {len(known)} talkers are in two splits or more, as {known[0]}: "
            "what is measured is not of unknown voices"
        )


def talker(path: Path, folder: Path) -> str:
    """Name the talker of a recording: the first folder below its split.

    Raises
    ------
    AudioError
        If the recording is in no such folder.

    Example
    -------
    >>> talker(Path("speech/train/anna/chapter/1.wav"), Path("speech"))
    'anna'
    """
    parts = path.relative_to(folder).parts
    if len(parts) < 3:
        raise AudioError(f"{path}: expected in a talker's folder, <split>/<talker>/")
    return parts[1]


def split_noise(folder: Path, noise_split: NoiseSplit | None = None) -> Files:
    """Assign the files of `noise/` to splits, recordings (see `recording`) as a whole.

    Raises
    ------
    AudioError
        If a noise that `noise_split` names does not exist or is in two splits, or if
        some splits have a folder and others do not.
    """
    # any, not all: files of noise/test must not train because noise/valid is missing
    if noise_split is None and any((folder / split).is_dir() for split in SPLITS):
        return {split: audio_files(folder / split) for split in SPLITS}
    paths = audio_files(folder)
    if noise_split is None:
        places = [*dict.fromkeys(recording(path, folder) for path in paths)]
        turn = dict(zip(places, itertools.cycle(TURNS), strict=False))
        return {
            split: [path for path in paths if turn[recording(path, folder)] == split]
            for split in SPLITS
        }
    return split_by_name(paths, noise_split, folder)


def recording(path: Path, folder: Path) -> Path:
    """Return a noise's file or, of the channels of one recording, their folder.

    Channels are heard at the same time: no two splits may have them. They are in a
    folder of their own as DEMAND's, ``ch01`` and so on.

    Example
    -------
    >>> noises = Path("noise")
    >>> [str(recording(noises / x, noises)) for x in ("hum.wav", "PARK/ch07.wav")]
    ['noise/hum.wav', 'noise/PARK']
    """
    channel = CHANNEL.fullmatch(path.stem) and path.parent not in (folder, Path("."))
    return path.parent if channel else path


def recording_name(path: Path, folder: Path) -> str:
    """Name a noise: its file without suffix or, of channels, their folder.

    Example
    -------
    >>> recording_name(Path("noise/PARK/ch07.wav"), Path("noise"))
    'PARK'
    """
    place = recording(path, folder)
    return path.stem if place == path else place.name


def split_by_name(
    paths: Sequence[Path], noise_split: NoiseSplit, folder: Path
) -> Files:
    """Assign noises to splits by the names of those that validate and test.

    Raises
    ------
    AudioError
        If a noise that `noise_split` names does not exist or is in two splits.

    Example
    -------
    >>> noises = [Path("a.wav"), Path("b.wav")]
    >>> split = split_by_name(noises, {"test": ["b"]}, Path("."))
    >>> [path.name for path in split["train"]]
    ['a.wav']
    """
    names = {path: recording_name(path, folder) for path in paths}
    _check_noise_split(noise_split, {*names.values()}, folder)
    named = {stem: split for split, stems in noise_split.items() for stem in stems}
    return {
        split: [path for path in paths if named.get(names[path], "train") == split]
        for split in SPLITS
    }


def _check_noise_split(noise_split: NoiseSplit, known: set[str], folder: Path) -> None:
    """Refuse splits that do not exist, unknown noises and noises in two splits."""
    if not set(noise_split) <= set(SPLITS):
        raise AudioError(
            f"noise_split: expected keys of {SPLITS}, got {[*noise_split]}"
        )
    stems = Counter(stem for names in noise_split.values() for stem in names)
    missing = sorted(set(stems) - known)
    if missing:
        raise AudioError(
            f"noise_split: no such noise in {folder}: {missing}, "
            f"expected some of {sorted(known)}"
        )
    double = sorted(stem for stem, count in stems.items() if count > 1)
    if double:
        raise AudioError(f"noise_split: in two splits at once: {double}")


def _manifest(
    paths: list[Path], described: Mapping[Path, Entry], root: Path
) -> Manifest:
    """Key the files by their place below the root."""
    speech, noise = root / "speech", root / "noise"
    return {
        str(path.relative_to(root)): {
            **described[path],
            **(
                {"name": path.stem, "talker": talker(path, speech)}
                if path.is_relative_to(speech)
                else {"name": recording_name(path, noise)}
            ),
        }
        for path in paths
    }


def _check_segment(manifest: Manifest, segment: float, root: Path) -> None:
    longest = max(entry["seconds"] for entry in manifest.values())
    if segment > longest:
        raise AudioError(
            f"segment: {segment} s is longer than every recording in "
            f"{root / 'speech' / 'train'} (the longest has {longest} s)"
        )
