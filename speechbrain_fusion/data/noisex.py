"""NOISEX-92 and other folders of noises, with MATLAB's files among them.

    <noise_folder>/[<train|valid|test>/][<wav|mat>/]*.{wav,flac,ogg,mat}
    <noise_folder>/[<train|valid|test>/]<recording>/*.{wav,flac,ogg,mat}

NOISEX-92 is around as ``.wav`` at 19.98 kHz and as ``.mat`` (version 5) of a vector
named after its file, without a rate. ``.mat`` are converted once, into float WAV of
peak PEAK. A noise is known by its place below such folders, without suffix and case:
where it is there in both forms, the sound file is taken. What is in a folder of its own
(DEMAND's DKITCHEN/ch01.wav to ch16.wav) are channels of one recording, on one side.

Source: Varga & Steeneken, "Assessment for automatic speech recognition: II. NOISEX-92",
Speech Communication 12(3), 1993.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import soundfile

from speechbrain_fusion.data.audio import PEAK, AudioError
from speechbrain_fusion.data.disjoint import split_sides
from speechbrain_fusion.data.folders import write_folder
from speechbrain_fusion.data.inspection import (
    audio_files,
    refuse_empty,
    refuse_unusable,
)
from speechbrain_fusion.data.manifest import Entry, Manifest, fingerprint
from speechbrain_fusion.data.noise_parts import SHARES, noise_manifests
from speechbrain_fusion.data.recordings import (
    SPLITS,
    NoiseSplit,
    names_given,
    split_by_name,
)

RATE = 19980
"""Of NOISEX-92, in Hz."""

FORMS = ("wav", "flac", "ogg", "mat")
"""Folders that say nothing but what the files in them are."""

MARKER = ".from-mat"


def find_noisex(
    folder: Path | str,
    converted: Path | str,
    noise_split: NoiseSplit | None = None,
    disjoint: bool = True,
    rate: int = RATE,
) -> dict[str, list[Path]]:
    """List the noises by the side to which they belong as a whole.

    The names given decide, else folders ``train``, ``valid`` and ``test``; without
    either recordings are shared out 3:1:1 or, if noises need not be disjoint, all are
    "train".

    Arguments
    ---------
    folder : Path or str
        Laid out as this module says.
    converted : Path or str
        Gets what is made of ``.mat`` files, if there are any.
    noise_split : mapping of str to list of str, optional
        Names of the noises of "valid" and "test": of files without suffix, of channels
        that of their folder.
    disjoint : bool
        Whether a noise must not be on two sides, not even other seconds of it.
    rate : int
        Sample rate of ``.mat`` files in Hz.

    Returns
    -------
    dict of str to list of Path
        "train", "valid" and "test".

    Raises
    ------
    AudioError
        For a missing folder, a ``.mat`` that is not as expected (all are listed), a
        wrong name, or a side without noise.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> for name in ("babble", "car", "pink"):
    ...     soundfile.write(folder / f"{name}.wav", np.ones(400), RATE)
    >>> found = find_noisex(folder, folder / "wav")
    >>> [path.name for paths in found.values() for path in paths]
    ['babble.wav', 'car.wav', 'pink.wav']
    """
    places = noise_files(folder, converted, rate)
    if (names := names_given(noise_split)) is not None:
        found = _split_named(places, names, Path(folder))
    elif any((Path(folder) / side).is_dir() for side in SPLITS):
        found = {s: [p for x, p in places.items() if x.parts[0] == s] for s in SPLITS}
    elif disjoint:
        found = _share_out(places)
    else:
        found = {"train": [*places.values()], "valid": [], "test": []}
    needed = {side: found[side] for side in (SPLITS if disjoint else ("train",))}
    expected = "names for it in noise_split" if names else "*.{wav,flac,ogg,mat}"
    refuse_empty(needed, folder, "noise", expected)
    return found


def noise_name(place: Path) -> Path:
    """Name a noise: its place less the folders of sides and forms, and its case.

    Example
    -------
    >>> noise_name(Path("train/wav/Babble")), noise_name(Path("DKITCHEN/ch01"))
    (PosixPath('babble'), PosixPath('dkitchen/ch01'))
    """
    *above, name = (part.casefold() for part in place.parts)
    if above and above[0] in SPLITS:
        above = above[1:]
    return Path(*(part for part in above if part not in FORMS), name)


def _recordings(places: Mapping[Path, Path]) -> dict[str, list[Path]]:
    """Gather what must be on one side: a file, or the channels in a folder."""
    found: dict[str, list[Path]] = {}
    for place, path in places.items():
        name = noise_name(place)
        channel = len(name.parts) > 1
        found.setdefault(str(name.parent if channel else name), []).append(path)
    return found


def _share_out(places: Mapping[Path, Path]) -> dict[str, list[Path]]:
    """Share out recordings as a whole."""
    files = _recordings(places)
    sides = split_sides({name: len(paths) for name, paths in files.items()}, "noise")
    return {
        side: [path for name in named for path in files[name]]
        for side, named in sides.items()
    }


def _split_named(
    places: Mapping[Path, Path], noise_split: NoiseSplit, folder: Path
) -> dict[str, list[Path]]:
    """Put recordings on the sides for which they are named."""
    files = _recordings(places)
    known = {Path(f"{name}.wav"): paths for name, paths in files.items()}
    folded = {side: [x.casefold() for x in each] for side, each in noise_split.items()}
    sides = split_by_name([*known], folded, folder)
    return {
        side: [path for name in named for path in known[name]]
        for side, named in sides.items()
    }


def noise_files(
    folder: Path | str, converted: Path | str, rate: int = RATE
) -> dict[Path, Path]:
    """List a folder's noises, ``.mat`` as what they were converted to.

    Arguments
    ---------
    folder, converted, rate
        See `find_noisex`.

    Returns
    -------
    dict of Path to Path
        To each file by its place in the folder, without suffix. Of several files of a
        name (`noise_name`) in a side's folder the first is taken, a sound file first.

    Raises
    ------
    AudioError
        If there is no such folder, or a ``.mat`` is not as expected (all are listed).

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> scipy.io.savemat(folder / "babble.mat", {"babble": np.ones((400, 1))})
    >>> noise_files(folder, folder / "wav")[Path("babble")].name
    'babble.wav'
    """
    folder, converted = Path(folder), Path(converted)
    known: set[tuple[str, Path]] = set()
    sounds = _first_of_each(audio_files(folder), folder, known)
    mats = _first_of_each(audio_files(folder, (".mat",)), folder, known)
    if mats:
        content = fingerprint(mats.values(), {"rate": rate, "peak": PEAK})
        write_folder(
            converted, MARKER, content, lambda new: _convert_all(mats, new, rate)
        )
    found = sounds | {place: converted / f"{place}.wav" for place in mats}
    return dict(sorted(found.items()))


def _first_of_each(
    paths: Sequence[Path], folder: Path, known: set[tuple[str, Path]]
) -> dict[Path, Path]:
    """Take the first file of each noise that is not yet known on its side."""
    taken: dict[Path, Path] = {}
    for path in paths:
        place = path.relative_to(folder).with_suffix("")
        side = place.parts[0] if place.parts[0] in SPLITS else ""
        if (side, noise_name(place)) not in known:
            known.add((side, noise_name(place)))
            taken[place] = path
    return taken


def side_noises(
    found: Mapping[str, Sequence[Path]],
    described: Mapping[Path, Entry],
    disjoint: bool,
    shares: Sequence[float] = SHARES,
    folders: Sequence[Path | str] = (),
) -> dict[str, Manifest]:
    """Say which stretch of which noise is on which side.

    Arguments
    ---------
    found : mapping of str to sequence of Path
        What `find_noisex` found.
    described : mapping of Path to dict
        What `inspect` says of each.
    disjoint : bool
        Whether noises are on one side as a whole; else those that train are shared out
        in time (`noise_manifests`).
    shares : sequence of float
        Parts of a shared noise that train, validate and test.
    folders : sequence of Path or str
        Those of `find_noisex`, below which noises have their names; by default a noise
        is named after its file.

    Returns
    -------
    dict of str to dict
        For each side its noises; "noise" is what they are known by (`noise_name`).

    Example
    -------
    >>> hum = {"file": "hum.wav", "rate": 8000, "samples": 1000, "seconds": 0.125}
    >>> found = {"train": [Path("hum.wav")], "valid": [], "test": []}
    >>> made = side_noises(found, {Path("hum.wav"): hum}, disjoint=False)
    >>> [x["samples"] for side in made.values() for x in side.values()]
    [600, 200, 200]
    """
    if disjoint:
        made = {side: {str(x): described[x] for x in found[side]} for side in found}
    else:
        made = noise_manifests(found, described, shares)
    return {
        side: {key: {**x, **_names(Path(key), folders)} for key, x in entries.items()}
        for side, entries in made.items()
    }


def _names(path: Path, folders: Sequence[Path | str]) -> dict[str, str]:
    """Name a noise for people, and for the proof that sides are disjoint."""
    places = [path.relative_to(x) for x in folders if path.is_relative_to(x)]
    place = (places or [Path(path.name)])[0].with_suffix("")
    noise = noise_name(place)
    name = "_".join(place.parts[-len(noise.parts) :])
    return {"name": name, "noise": noise.as_posix()}


def read_mat(path: Path | str) -> np.ndarray:
    """Read the vector that is named after its file.

    Arguments
    ---------
    path : Path or str
        A ``.mat`` of MATLAB's version 5 (or 4).

    Returns
    -------
    np.ndarray
        float32 [time], of peak PEAK.

    Raises
    ------
    AudioError
        If it cannot be read, lacks the variable (those found are named), or that is no
        vector of real numbers.

    Example
    -------
    >>> path = getfixture("tmp_path") / "volvo.mat"
    >>> scipy.io.savemat(path, {"volvo": np.array([[1, -4, 2]])})
    >>> read_mat(path)
    array([ 0.2475, -0.99  ,  0.495 ], dtype=float32)
    """
    path = Path(path)
    try:
        content = scipy.io.loadmat(path)
    # loadmat raises whatever a broken byte leads to
    except Exception as error:
        raise AudioError(
            f"{path}: not readable, expected a .mat of version 5 with {path.stem} "
            f"({error})"
        ) from error
    names = [name for name in content if not name.startswith("__")]
    if path.stem not in names:
        raise AudioError(
            f"{path}: no variable {path.stem}, found {', '.join(names) or 'none'}"
        )
    return _vector(path, content[path.stem])


def _vector(path: Path, value: Any) -> np.ndarray:
    vector = np.asarray(value)
    if (
        vector.size < 2
        or vector.size != max(vector.shape)
        or vector.dtype.kind not in "iuf"
    ):
        raise AudioError(
            f"{path}: variable {path.stem} is {vector.dtype} {list(vector.shape)}, "
            "expected a vector of real numbers"
        )
    signal = vector.ravel().astype(np.float64)
    peak = np.abs(signal).max()
    if not np.isfinite(peak) or peak == 0:
        raise AudioError(f"{path}: variable {path.stem} is silent or not finite")
    return (signal * (PEAK / peak)).astype(np.float32)


def _convert_all(mats: Mapping[Path, Path], folder: Path, rate: int) -> None:
    """Write each as a WAV file, or list all that cannot be."""
    errors = []
    for place, path in mats.items():
        try:
            signal = read_mat(path)
        except AudioError as error:
            errors.append(error)
            continue
        target = folder / f"{place}.wav"
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(target, signal, rate, subtype="FLOAT")
    refuse_unusable(errors)
