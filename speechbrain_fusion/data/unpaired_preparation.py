"""Speech, noises and rooms become manifests of sets that are proved to be disjoint."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from speechbrain.utils.logger import get_logger

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.daps import find_daps
from speechbrain_fusion.data.disjoint import (
    SIDES,
    check_disjoint,
    count_text,
    prove_disjoint,
    split_sides,
)
from speechbrain_fusion.data.folders import Folder
from speechbrain_fusion.data.inspection import inspect_each, refuse_unusable
from speechbrain_fusion.data.manifest import (
    Entry,
    Manifest,
    keep_manifests,
    read_manifest,
)
from speechbrain_fusion.data.noise_parts import prove_apart_in_time, refuse_silent
from speechbrain_fusion.data.noisex import RATE as MAT_RATE
from speechbrain_fusion.data.noisex import find_noisex, side_noises
from speechbrain_fusion.data.recordings import NoiseSplit
from speechbrain_fusion.data.rooms import inspect_rooms, response_files, response_room
from speechbrain_fusion.data.speech_sets import (
    MANIFESTS,
    SpeechPlan,
    plan_daps,
    plan_own,
)

logger = get_logger(__name__)

STAMP = "daps_noisex.json"
# Of what an entry holds: manifests of another version are built again.
VERSION = 2
SETS = {"noisy": "train", "valid": "valid", "test": "test"}
"""The sets of noisy speech, and the side of their noises and rooms."""


def prepare_unpaired(
    data_folder: Folder,
    noise_folder: Folder,
    recordings: Folder,
    rooms_folder: Folder,
    save_folder: Path | str,
    rate: int,
    segment: float,
    versions: Sequence[str] | None = None,
    disjoint: Collection[str] = ("speaker", "noise", "room"),
    shares: Mapping[str, float] | None = None,
    utterances: Mapping[str, int] | None = None,
    noise_split: NoiseSplit | None = None,
    window: int = 1024,
    mat_rate: int = MAT_RATE,
    jobs: int = -1,
) -> dict[str, Path]:
    """Check all files and write their manifests, unless they are up to date.

    What is in the sets is logged, and that they are disjoint is proved from the very
    entries that are written and, of manifests that are kept, read.

    Arguments
    ---------
    data_folder, noise_folder, recordings, rooms_folder, save_folder, rate, segment
        See `unpaired_speech`.
    versions, disjoint, shares, utterances, noise_split, window, mat_rate
        See `unpaired_speech`.
    jobs : int
        Threads that read, -1 for one per core.

    Returns
    -------
    dict of str to Path
        To the manifests: those of MANIFESTS, "noise_train", "noise_valid", ... and,
        with a folder of them, "rooms_train", ...

    Raises
    ------
    AudioError
        For missing or unusable files (all are listed), or sets that cannot be as
        disjoint as they must. No manifest is written then.
    OSError
        If a manifest cannot be written, naming it. Those of before stay.
    """
    check_disjoint(disjoint)
    save_folder, apart = Path(save_folder), "noise" in disjoint
    needed = dict.fromkeys(MANIFESTS, segment) | {"speech_test": window / rate}
    caps = _whole(utterances or {})
    if recordings is not None:
        _refuse_scripts(disjoint, versions, shares)
        speech = plan_own(Path(recordings, "speech"), caps, needed)
        # own talkers are split by folder, whatever is asked for
        disjoint = {*disjoint, "speaker"}
    else:
        found, roomy = find_daps(str(data_folder), versions), rooms_folder is not None
        speech = plan_daps(found, versions, disjoint, shares, caps, roomy, needed)
    folder = noise_folder or Path(str(recordings), "noise")
    converted = save_folder / "noise_wav"
    noises = find_noisex(folder, converted, noise_split, apart, mat_rate)
    rooms = _split_rooms(rooms_folder, disjoint)
    files = sorted({*speech.files, *_all(noises), *_all(rooms)})
    options = {
        **{"version": VERSION, "rate": rate, "segment": segment, "window": window},
        **{"speech": speech.options, "noises": noises, "rooms": rooms},
        **{"disjoint": sorted(disjoint), "utterances": utterances},
    }

    def build() -> dict[str, Manifest]:
        described = _describe(speech, noises, rooms_folder, rate, segment, jobs)
        contents = speech.finish(described)
        contents |= _beside(noises, rooms, described, apart, (converted, folder))
        prove_manifests(contents, disjoint)
        return contents

    names = _names("noise", "rooms") if rooms else _names("noise")
    manifests = keep_manifests(save_folder / STAMP, names, files, options, build)
    _prove_kept(manifests, disjoint)
    return manifests


def _prove_kept(manifests: Mapping[str, Path], disjoint: Collection[str]) -> None:
    """Read manifests again, for one that is kept may have been changed."""
    kept = {name: read_manifest(path) for name, path in manifests.items()}
    prove_manifests(kept, disjoint)
    logger.info(describe_sets(kept))


def _names(*kinds: str) -> list[str]:
    """Name the manifests of speech, and those of some kinds of each side."""
    return [*MANIFESTS, *(f"{kind}_{side}" for kind in kinds for side in SIDES)]


def _all(sides: Mapping[str, Sequence[Path]]) -> list[Path]:
    return [path for paths in sides.values() for path in paths]


def prove_manifests(
    contents: Mapping[str, Manifest], disjoint: Collection[str]
) -> None:
    """Refuse manifests that have in common what they must not (`prove_disjoint`).

    Arguments
    ---------
    contents : mapping of str to dict
        The manifests by name.
    disjoint : collection of str
        Of DISJOINT. Noises that may be shared must be so in time.

    Raises
    ------
    AudioError
        Naming all that is in two sets or, as an utterance, in both halves of
        validation.

    Example
    -------
    >>> said = {"a": {"utterance": "f1_script1"}}
    >>> prove_manifests({"clean_valid": said, "speech_valid": said}, [])
    Traceback (most recent call last):
    ...
    speechbrain_fusion.data.audio.AudioError: 1 in two sets, expected in one:
      utterance f1_script1: in clean_valid and in speech_valid
    """
    prove_disjoint(sets_of(contents), disjoint)
    halves = ("clean_valid", "speech_valid")
    prove_disjoint({name: contents.get(name, {}).values() for name in halves}, [])
    noises = {side: contents.get(f"noise_{side}", {}).values() for side in SIDES}
    prove_apart_in_time(noises)


def sets_of(
    contents: Mapping[str, Manifest], kinds: Sequence[str] = ("speech", "clean")
) -> dict[str, list[Entry]]:
    """Gather all that each of the four sets hears, as `prove_disjoint` takes it.

    Arguments
    ---------
    contents : mapping of str to dict
        The manifests by name.
    kinds : sequence of str
        What to gather of validation: noisy speech, clean speech or both.

    Returns
    -------
    dict of str to list of dict
        For "clean", "noisy", "valid" and "test".

    Example
    -------
    >>> rooms = {"b": {"room": "hall"}}
    >>> sets_of({"clean_train": {"a": {"talker": "anna"}}, "rooms_test": rooms})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'clean': [{'talker': 'anna'}], 'noisy': [], 'valid': [],
     'test': [{'response': 'hall'}]}
    """
    names = {"clean": ["clean_train"]}
    for part, side in SETS.items():
        heard = kinds if part == "valid" else ["speech"]
        names[part] = [f"{kind}_{side}" for kind in (*heard, "noise", "rooms")]
    return {
        part: [x for name in each for x in _heard(name, contents.get(name, {}))]
        for part, each in names.items()
    }


def _heard(name: str, manifest: Manifest) -> list[Entry]:
    """List entries; the room of a response is none in which speech was recorded."""
    if not name.startswith("rooms_"):
        return [*manifest.values()]
    return [
        {"response" if key == "room" else key: value for key, value in entry.items()}
        for entry in manifest.values()
    ]


def describe_sets(contents: Mapping[str, Manifest]) -> str:
    """Count what is in each set (`count_text`).

    Arguments
    ---------
    contents : mapping of str to dict
        The manifests by name.

    Returns
    -------
    str
        A line for each of the four sets, and one for the clean half of validation; the
        other one is of its mixtures.
    """
    halves = {"valid, clean": [*contents["clean_valid"].values()]}
    return count_text(sets_of(contents, ["speech"]) | halves)


def _whole(caps: Mapping[str, int]) -> Mapping[str, int]:
    """Refuse numbers of recordings that cannot be, before anything is written."""
    for name, cap in caps.items():
        if not isinstance(cap, int) or cap < 1:
            raise ValueError(f"utterances: expected whole numbers, got {cap} of {name}")
    return caps


def _refuse_scripts(
    disjoint: Collection[str],
    versions: Sequence[str] | None,
    shares: Mapping[str, float] | None,
) -> None:
    if "script" in disjoint or versions is not None or shares is not None:
        raise ValueError(
            "disjoint, versions, shares: own recordings have no scripts and no "
            "versions, and folders say which set they are of, got "
            f"{[*disjoint]}, {versions} and {shares}"
        )


def _split_rooms(folder: Folder, disjoint: Collection[str]) -> dict[str, list[Path]]:
    """List the impulse responses of each side."""
    if folder is None:
        return {}
    rooms: dict[str, list[Path]] = {}
    for path in response_files(folder):
        rooms.setdefault(response_room(path, Path(folder)), []).append(path)
    sizes = {room: len(paths) for room, paths in rooms.items()}
    sides = {side: [*rooms] for side in SIDES}
    # the last one names what is to be left out of disjoint
    for kind in [x for x in ("response", "room") if x in disjoint][-1:]:
        sides = split_sides(sizes, kind)
    return {
        side: [path for room in named for path in rooms[room]]
        for side, named in sides.items()
    }


def _beside(
    noises: Mapping[str, Sequence[Path]],
    rooms: Mapping[str, Sequence[Path]],
    described: Mapping[Path, Entry],
    apart: bool,
    folders: Sequence[Path | str],
) -> dict[str, Manifest]:
    """Make the manifests of noises and rooms."""
    parts = side_noises(noises, described, apart, folders=folders)
    if not apart:
        # of a noise that was read as a whole each part must sound
        refuse_silent(parts)
    made = {f"noise_{side}": part for side, part in parts.items()}
    for side, paths in rooms.items():
        made[f"rooms_{side}"] = {str(path): described[path] for path in paths}
    return made


def _describe(
    speech: SpeechPlan,
    noises: Mapping[str, Sequence[Path]],
    rooms_folder: Folder,
    rate: int,
    segment: float,
    jobs: int,
) -> dict[Path, Entry]:
    """Inspect all files, or list all that cannot be used."""
    found: dict[Path, Entry | AudioError] = {}
    heard = sorted({*_all(noises)})
    for paths, channels in ((speech.files, speech.channels), (heard, 1)):
        inspected = inspect_each(paths, rate, channels, jobs)
        found |= dict(zip(paths, inspected, strict=True))
    if rooms_folder is not None:
        found |= inspect_rooms(rooms_folder, rate, segment, jobs)
    refuse_unusable(x for x in found.values() if isinstance(x, AudioError))
    return {path: x for path, x in found.items() if not isinstance(x, AudioError)}
