"""Which recordings are clean speech, noisy speech, validation and test.

Four sets without a common utterance become five manifests without one: `clean_train`
(the clean set), `speech_train` (the noisy set), `clean_valid` and `speech_valid` (half
of the validation set each) and `speech_test`. So the clean speech of a mixture that is
not tested is in no manifest but as the `clean_file` of the noisy one.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from speechbrain.utils.logger import get_logger

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.clips import is_short
from speechbrain_fusion.data.daps import (
    CLEAN,
    STUDIO,
    Recordings,
    noisy_versions,
    room_of,
)
from speechbrain_fusion.data.disjoint import (
    SIDES,
    Utterance,
    cap_utterances,
    split_sides,
    split_utterances,
)
from speechbrain_fusion.data.inspection import refuse_empty, refuse_unusable
from speechbrain_fusion.data.manifest import Entry, Manifest
from speechbrain_fusion.data.recordings import split_speech, talker

logger = get_logger(__name__)

MANIFESTS = {
    "clean_train": ("clean", CLEAN),
    "clean_valid": ("valid_clean", CLEAN),
    "speech_train": ("noisy", "train"),
    "speech_valid": ("valid_noisy", "valid"),
    "speech_test": ("test", "test"),
}
"""The manifests of speech: the set of each, and the side of its versions."""

Described = Mapping[Path, Entry]
Item = TypeVar("Item")


@dataclass(frozen=True)
class SpeechPlan:
    """The files of the sets, and how their descriptions become manifests.

    Arguments
    ---------
    files : list of Path
        All of them.
    channels : int or None
        How many each has; None for any, of which the first counts.
    options : object
        What the manifests follow from, beside the files.
    finish : callable
        Maps what `inspect` says of each file to the manifests by name.
    """

    files: list[Path]
    channels: int | None
    options: Any
    finish: Callable[[Described], dict[str, Manifest]]


def halve_validation(
    sets: Mapping[str, Sequence[Item]], voice: Callable[[Item], str]
) -> dict[str, Sequence[Item]]:
    """Deal the validation set in turn to a clean half and a noisy half.

    A speaker's first is clean, that of the next speaker noisy and so on: where all read
    the same scripts, a script is in both halves.

    Arguments
    ---------
    sets : mapping of str to sequence
        The four sets, each in the order of speakers.
    voice : callable
        Names the speaker of a member.

    Returns
    -------
    dict of str to sequence
        The sets, with "valid_clean" and "valid_noisy" in place of "valid".

    Raises
    ------
    AudioError
        If there is but one utterance.

    Example
    -------
    >>> halve_validation({"valid": ["a1", "a2", "b1", "b2"]}, lambda said: said[0])
    {'valid_clean': ['a1', 'b2'], 'valid_noisy': ['a2', 'b1']}
    """
    if len(sets["valid"]) < 2:
        raise AudioError(
            "valid: 1 utterance, expected two at least: what is heard in noise must "
            "not be clean speech, too (shares, utterances)"
        )
    halves: tuple[list[Item], list[Item]] = [], []
    speakers: dict[str, int] = {}
    for said in sets["valid"]:
        turn = speakers.setdefault(voice(said), len(speakers))
        halves[turn % 2].append(said)
        speakers[voice(said)] += 1
    names = dict(zip(("valid_clean", "valid_noisy"), halves, strict=True))
    return {name: x for name, x in sets.items() if name != "valid"} | names


def plan_daps(
    found: Recordings,
    versions: Sequence[str] | None,
    disjoint: Collection[str],
    shares: Mapping[str, float] | None,
    caps: Mapping[str, int],
    responses: bool,
    needed: Mapping[str, float],
) -> SpeechPlan:
    """Choose the utterances and versions of each set.

    Arguments
    ---------
    found : dict of Utterance to dict of str to Path
        What `find_daps` found.
    versions : sequence of str or None
        See `noisy_versions`.
    disjoint, shares
        See `split_utterances`; "room" makes versions of a room belong to one side.
    caps : mapping of str to int
        See `cap_utterances`.
    responses : bool
        Whether impulse responses are given: then what was recorded in the studio is
        in no room, and on every side.
    needed : mapping of str to float
        Seconds that a recording must have, by manifest.

    Returns
    -------
    SpeechPlan
        `finish` raises AudioError with a line for each recording that is too short or
        has another rate than its clean version.

    Raises
    ------
    AudioError
        If there are too few speakers, scripts or rooms, or validation has but one
        utterance.
    ValueError
        For caps and shares that cannot be.

    Example
    -------
    >>> found = {
    ...     Utterance(f"f{n}", script): {"clean": Path(f"f{n}_{script}_clean.wav")}
    ...     for n in range(1, 5)
    ...     for script in ("script1", "script2")
    ... }
    >>> needed = dict.fromkeys(MANIFESTS, 2.0)
    >>> plan = plan_daps(found, None, ["speaker"], None, {}, False, needed)
    >>> [*plan.options["clean_valid"]], [*plan.options["speech_valid"]]
    (['f3_script1_clean.wav'], ['f3_script2_clean.wav'])
    """
    taken = cap_utterances(split_utterances(found, disjoint, shares), caps)
    sets = halve_validation(taken, lambda said: said.speaker)
    sides = split_versions(noisy_versions(found, versions), disjoint, responses)
    # the rooms are those of noisy speech: clean speech is the same on every side
    dry = (STUDIO,) if responses else ()
    roomless = {CLEAN: (STUDIO,), **dict.fromkeys(SIDES, dry)}
    planned = {
        name: {
            str(found[said][version]): _recording(
                found[said], said, version, roomless[side]
            )
            for version in (sides | {CLEAN: [CLEAN]})[side]
            for said in sets[part]
        }
        for name, (part, side) in MANIFESTS.items()
    }
    files = {
        Path(entry[key])
        for entries in planned.values()
        for entry in entries.values()
        for key in ("file", "clean_file")
        if key in entry
    }

    def finish(described: Described) -> dict[str, Manifest]:
        return _finish_daps(planned, described, needed)

    return SpeechPlan(sorted(files), None, planned, finish)


def split_versions(
    versions: Sequence[str], disjoint: Collection[str], responses: bool
) -> dict[str, list[str]]:
    """Choose the versions of each side.

    Arguments
    ---------
    versions : sequence of str
        All that are noisy material.
    disjoint, responses
        See `plan_daps`.

    Returns
    -------
    dict of str to list of str
        "train", "valid" and "test".

    Raises
    ------
    AudioError
        If rooms must be disjoint and are fewer than sides.

    Example
    -------
    >>> versions = ["produced", "ipad_office1", "iphone_bedroom1"]
    >>> split_versions(versions, ["room"], responses=False)
    {'train': ['produced'], 'valid': ['ipad_office1'], 'test': ['iphone_bedroom1']}
    """
    rooms = [room_of(version) for version in versions]
    free = {STUDIO} if responses else set()
    sizes = {room: rooms.count(room) for room in rooms if room not in free}
    if "room" not in disjoint or not sizes:
        return {side: [*versions] for side in SIDES}
    sides = split_sides(sizes, "room")
    return {
        side: [x for x in versions if room_of(x) in free.union(own)]
        for side, own in sides.items()
    }


def _recording(
    files: Mapping[str, Path], said: Utterance, version: str, roomless: Collection[str]
) -> Entry:
    """Say all but what the file says."""
    path, room = files[version], room_of(version)
    entry = {"file": str(path), "name": path.stem, "version": version}
    entry |= {"talker": said.speaker, "script": said.script}
    entry |= {"utterance": "_".join(said)}
    if version != CLEAN:
        entry["clean_file"] = str(files[CLEAN])
    return entry if room in roomless else {**entry, "room": room}


def _finish_daps(
    planned: Mapping[str, Manifest], described: Described, needed: Mapping[str, float]
) -> dict[str, Manifest]:
    """Add what files say, or list all that are too short or do not go together."""
    finished = {
        name: {key: _described(entry, described) for key, entry in entries.items()}
        for name, entries in planned.items()
    }
    # a set, as a clean recording may be in two manifests
    problems = {
        problem
        for name, entries in finished.items()
        for entry in entries.values()
        for problem in _problems(entry, described, needed[name])
    }
    refuse_unusable(map(AudioError, problems))
    return finished


def _described(entry: Entry, described: Described) -> Entry:
    """Add what the file says; as much is there as its clean version has, too."""
    own = described[Path(entry["file"])]
    clean = described[Path(entry.get("clean_file") or entry["file"])]
    shorter = min(own, clean, key=lambda each: each["samples"])
    length = {key: shorter[key] for key in ("samples", "seconds")}
    return {**entry, "rate": own["rate"], **length}


def _problems(entry: Entry, described: Described, needed: float) -> Iterator[str]:
    clean = described[Path(entry.get("clean_file") or entry["file"])]
    if entry["rate"] != clean["rate"]:
        yield (
            f"{entry['file']}: rate {entry['rate']} Hz, expected that of its clean "
            f"version, {clean['rate']} Hz"
        )
    if is_short(entry, needed):
        yield (
            f"{entry['file']}: {entry['seconds']} s, expected {needed} s at least "
            "(segment or, of test recordings, the largest window)"
        )


def plan_own(
    folder: Path | str, caps: Mapping[str, int], needed: Mapping[str, float]
) -> SpeechPlan:
    """Choose the recordings of each set from own talkers, split by folder.

    The talkers of training are clean and noisy speech in turn. What is too short is
    left out.

    Arguments
    ---------
    folder : Path or str
        ``<train|valid|test>/<talker>/*`` (`split_speech`).
    caps : mapping of str to int
        See `cap_utterances`.
    needed : mapping of str to float
        Seconds that a recording must have, by manifest.

    Returns
    -------
    SpeechPlan
        `finish` raises AudioError if a set has no recording that is long enough, or
        validation but one.

    Raises
    ------
    AudioError
        If there is no such folder, or no recording or talker for a set.

    Example
    -------
    >>> from speechbrain_fusion.data.demo import demo_speech_folder
    >>> plan = plan_own(demo_speech_folder(), {}, dict.fromkeys(MANIFESTS, 2.0))
    >>> {name: len(paths) for name, paths in plan.options.items()}
    {'clean': 40, 'noisy': 40, 'valid': 20, 'test': 20}
    """
    folder = Path(folder)
    found = split_speech(folder)
    talkers = sorted({talker(path, folder) for path in found["train"]})
    clean = {*talkers[::2]}
    sets = {
        "clean": [path for path in found["train"] if talker(path, folder) in clean],
        "noisy": [path for path in found["train"] if talker(path, folder) not in clean],
        "valid": found["valid"],
        "test": found["test"],
    }
    layout = "<train|valid|test>/<talker>/*, and two talkers in train"
    refuse_empty(sets, folder, "recording", f"{layout}: one is clean, one noisy")

    def finish(described: Described) -> dict[str, Manifest]:
        return _finish_own(sets, folder, described, caps, needed)

    files = sorted({path for paths in sets.values() for path in paths})
    return SpeechPlan(files, 1, sets, finish)


def _finish_own(
    sets: Mapping[str, Sequence[Path]],
    folder: Path,
    described: Described,
    caps: Mapping[str, int],
    needed: Mapping[str, float],
) -> dict[str, Manifest]:
    """Leave out what is too short, take so many of the others."""
    # both halves of validation need as much
    seconds = {
        part.split("_")[0]: needed[name] for name, (part, _) in MANIFESTS.items()
    }
    long = {
        name: [path for path in paths if not is_short(described[path], seconds[name])]
        for name, paths in sets.items()
    }
    for name, paths in long.items():
        if not paths:
            raise AudioError(
                f"{folder}: no recording for {name} is as long as {seconds[name]} s"
            )
        if left := len(sets[name]) - len(paths):
            logger.info(f"{name}: {left} recordings under {seconds[name]} s left out")
    capped = cap_utterances(long, caps)
    taken = halve_validation(capped, lambda path: talker(path, folder))
    return {
        name: {str(path): _own(path, folder, described[path]) for path in taken[part]}
        for name, (part, _) in MANIFESTS.items()
    }


def _own(path: Path, folder: Path, described: Entry) -> Entry:
    voice = talker(path, folder)
    place = path.relative_to(folder).with_suffix("").parts[1:]
    names = {"name": f"{voice}_{path.stem}", "talker": voice}
    return {**described, **names, "utterance": "/".join(place)}
