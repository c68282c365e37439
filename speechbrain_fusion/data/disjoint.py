"""The largest sets of recordings that have nothing in common but what they may.

Four sets: clean speech, noisy speech, validation, test. An utterance, what a speaker
says of a script, is in one of them only, always: training data stay unpaired. Beyond
that, any of speaker, script, noise, room and response (the room of an impulse response)
may have to be disjoint. Noises and rooms have three sides: the clean set has none.

Of all ways to share out speakers and scripts, that one is taken whose smallest set is
the largest for its share, and of several the one with most utterances in all:

    speaker          | clean .... | noisy .... | valid | test ..... |   all scripts
    speaker, script  each set has its own speakers and its own scripts
    script           all speakers in each set
    (neither)        utterances are dealt out
"""

import itertools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple, TypeVar

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.inspection import refuse_all
from speechbrain_fusion.data.manifest import Entry
from speechbrain_fusion.data.sharing import (
    apportion,
    apportion_products,
    deal,
    exact_shares,
)

SHARES = {"clean": 6, "noisy": 6, "valid": 2, "test": 6}
"""Of the four sets, in speakers as DAPS has them."""

SIDES = {"train": 3, "valid": 1, "test": 1}
"""Shares of noises and rooms."""
DISJOINT = ("speaker", "script", "noise", "room", "response")
"""What may have to be disjoint (of responses their rooms)."""

COUNTED = {
    **{"utterance": "utterance", "speaker": "talker", "script": "script"},
    **{"version": "version", "room": "room", "response": "response", "noise": "noise"},
}
"""What is counted, and the key of an entry that says it."""

# Of so many all ways to share them out are compared.
MOST_ROOMS = 8

Item = TypeVar("Item")


class Utterance(NamedTuple):
    """What a speaker says of a script."""

    speaker: str
    script: str


def check_disjoint(disjoint: Collection[str]) -> None:
    """Refuse what cannot be disjoint.

    Raises
    ------
    ValueError
        If it is no list, or a name is unknown.

    Example
    -------
    >>> check_disjoint(["speaker", "noise"])
    """
    known = isinstance(disjoint, Collection) and {*disjoint} <= {*DISJOINT}
    if isinstance(disjoint, str) or not known:
        raise ValueError(f"disjoint: expected a list of {[*DISJOINT]}, got {disjoint}")


def split_utterances(
    utterances: Iterable[Utterance],
    disjoint: Collection[str],
    shares: Mapping[str, float] | None = None,
) -> dict[str, list[Utterance]]:
    """Make the largest sets of utterances.

    Arguments
    ---------
    utterances : iterable of Utterance
        All there are.
    disjoint : collection of str
        Of DISJOINT; speaker and script have an effect here.
    shares : mapping of str to float, optional
        Of the four sets; by default SHARES.

    Returns
    -------
    dict of str to list of Utterance
        For each set, in order. Women and men, if names begin with f and m, are spread
        evenly.

    Raises
    ------
    AudioError
        If there are too few speakers or scripts for every set to have its own.
    ValueError
        If the shares are not four positive numbers.

    Example
    -------
    >>> scripts = ("script1", "script2")
    >>> said = [Utterance(f"f{n}", script) for n in range(1, 11) for script in scripts]
    >>> sets = split_utterances(said, ["speaker"])
    >>> {name: sorted({x.speaker for x in members}) for name, members in sets.items()}
    ... # doctest: +NORMALIZE_WHITESPACE
    {'clean': ['f1', 'f2', 'f3'], 'noisy': ['f4', 'f5', 'f6'], 'valid': ['f7'],
     'test': ['f10', 'f8', 'f9']}
    """
    exact = exact_shares(shares or SHARES, SHARES)
    said = sorted({*utterances}, key=lambda x: (natural(x.speaker), natural(x.script)))
    speakers = mixed_voices({x.speaker for x in said})
    scripts = sorted({x.script for x in said}, key=natural)
    if "speaker" not in disjoint and "script" not in disjoint:
        return _in_order(said, deal(_diagonal(said, speakers, scripts), exact))
    parts = {"speaker": speakers, "script": scripts}
    for kind in sorted({*parts} & {*disjoint}):
        if len(parts[kind]) < len(exact):
            raise AudioError(
                f"{len(parts[kind])} {kind}s, expected {len(exact)} at least: a "
                f"{kind} must not be in two of {', '.join(exact)} (disjoint)"
            )
    voices, texts = (
        {name: {*each} for name, each in parts.items()}
        for parts in _largest(speakers, scripts, disjoint, exact)
    )
    return {
        name: [x for x in said if x.speaker in voices[name] and x.script in texts[name]]
        for name in exact
    }


def cap_utterances(
    sets: Mapping[str, Sequence[Item]], caps: Mapping[str, int]
) -> dict[str, list[Item]]:
    """Take only so many utterances of a set, evenly spaced.

    Arguments
    ---------
    sets : mapping of str to sequence
        What `split_utterances` made.
    caps : mapping of str to int
        How many to take, for some sets.

    Returns
    -------
    dict of str to list
        The sets.

    Raises
    ------
    ValueError
        For an unknown set, or if more are asked for than there are.

    Example
    -------
    >>> cap_utterances({"clean": "abcdef", "noisy": "xyz"}, {"clean": 3})
    {'clean': ['a', 'c', 'e'], 'noisy': ['x', 'y', 'z']}
    """
    if unknown := sorted({*caps} - {*sets}):
        raise ValueError(f"utterances: expected some of {[*sets]}, got {unknown}")
    had = {name: len(members) for name, members in sets.items()}
    wrong = [x for x, n in caps.items() if n not in range(1, had[x] + 1)]
    if wrong:
        raise ValueError(
            "utterances: "
            + "; ".join(f"{caps[x]} asked for {x}, it has {had[x]}" for x in wrong)
            + f" (the largest disjoint sets: {had})"
        )
    return {
        name: [
            members[place * len(members) // cap]
            for cap in [caps.get(name, len(members))]
            for place in range(cap)
        ]
        for name, members in sets.items()
    }


def split_sides(
    sizes: Mapping[str, int], kind: str, shares: Mapping[str, float] | None = None
) -> dict[str, list[str]]:
    """Share out rooms or noises, each to one side.

    The smallest side is as large as it can be for its share. More than MOST_ROOMS of
    different sizes are dealt out instead, those of most recordings first.

    Arguments
    ---------
    sizes : mapping of str to int
        For each its number of recordings.
    kind : str
        What they are, for the error.
    shares : mapping of str to float, optional
        Of the sides; by default SIDES.

    Returns
    -------
    dict of str to list of str
        For each side, in the order given.

    Raises
    ------
    AudioError
        If there are fewer than sides.

    Example
    -------
    >>> rooms = {"studio": 2, "balcony1": 2, "bedroom1": 2, "confroom2": 1}
    >>> rooms["office2"] = 1
    >>> split_sides(rooms, "room")  # doctest: +NORMALIZE_WHITESPACE
    {'train': ['studio', 'balcony1'], 'valid': ['bedroom1'],
     'test': ['confroom2', 'office2']}
    """
    exact = exact_shares(shares or SIDES, SIDES)
    if len(sizes) < len(exact):
        raise AudioError(
            f"{len(sizes)} {kind}s ({', '.join(sizes) or 'none'}), expected "
            f"{len(exact)} at least: a {kind} must not be in two of "
            f"{', '.join(exact)} (leave {kind} out of disjoint to share them)"
        )
    if len(sizes) > MOST_ROOMS or len({*sizes.values()}) == 1:
        fullest_first = sorted(sizes, key=lambda name: -sizes[name])
        return _in_order([*sizes], deal(fullest_first, exact, sizes))
    plans = itertools.product(exact, repeat=len(sizes))
    best = max(plans, key=lambda plan: _fullness(plan, [*sizes.values()], exact))
    return {
        side: [name for name, given in zip(sizes, best, strict=True) if given == side]
        for side in exact
    }


def mixed_voices(speakers: Iterable[str]) -> list[str]:
    """Order speakers such that any stretch has women and men in proportion.

    Example
    -------
    >>> mixed_voices(["f1", "f2", "f10", "m1", "m2", "m3"])
    ['f1', 'm1', 'f2', 'm2', 'f10', 'm3']
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(speakers, key=natural):
        groups.setdefault(name[:1].lower() if name[:1] in "fFmM" else "", []).append(
            name
        )
    places = {
        name: (Fraction(2 * place + 1, 2 * len(names)), group)
        for group, names in groups.items()
        for place, name in enumerate(names)
    }
    return sorted(places, key=places.__getitem__)


def natural(name: str) -> list[tuple[str, int]]:
    """Make a key by which f2 comes before f10.

    Example
    -------
    >>> sorted(["f10", "f2", "m1"], key=natural)
    ['f2', 'f10', 'm1']
    """
    parts = re.findall(r"(\D*)(\d*)", name)
    return [(text, int(number or -1)) for text, number in parts]


def prove_disjoint(
    sets: Mapping[str, Iterable[Entry]], disjoint: Collection[str]
) -> None:
    """Refuse sets that have in common what they must not, whatever they were made by.

    Arguments
    ---------
    sets : mapping of str to iterable of dict
        All entries of the manifests of each set: of speech (utterance, talker, script,
        room), noise (noise) and impulse responses (response).
    disjoint : collection of str
        Of DISJOINT; utterances always are, and responses where rooms are.

    Raises
    ------
    AudioError
        Naming all that is in two sets, and both.

    Example
    -------
    >>> sets = {"noisy": [{"noise": "babble"}], "test": [{"noise": "babble"}]}
    >>> prove_disjoint(sets, ["noise"])
    Traceback (most recent call last):
    ...
    speechbrain_fusion.data.audio.AudioError: 1 in two sets, expected in one:
      noise babble: in noisy and in test
    """
    proved = {"utterance", *disjoint, *(["response"] if "room" in disjoint else [])}
    kinds = {kind: key for kind, key in COUNTED.items() if kind in proved}
    named = {name: [*entries] for name, entries in sets.items()}
    leaks = []
    for kind, key in kinds.items():
        values = {name: _values(entries, key) for name, entries in named.items()}
        for one, other in itertools.combinations(values, 2):
            common = sorted(values[one] & values[other], key=natural)
            leaks += [f"{kind} {value}: in {one} and in {other}" for value in common]
    refuse_all(leaks, "in two sets, expected in one")


def count_text(sets: Mapping[str, Iterable[Entry]]) -> str:
    """Say what is in each set.

    Arguments
    ---------
    sets : mapping of str to iterable of dict
        As `prove_disjoint` takes them.

    Returns
    -------
    str
        A line for each.

    Example
    -------
    >>> said = {"utterance": "f1_script1", "talker": "f1", "script": "script1"}
    >>> count_text({"test": [said, said, {"noise": "babble"}]})
    'test: 2 recordings, 1 utterance, 1 speaker, 1 script, 1 noise'
    """
    lines = []
    for name, entries in sets.items():
        listed = [*entries]
        counts = {"recording": sum("utterance" in entry for entry in listed)}
        counts |= {kind: len(_values(listed, key)) for kind, key in COUNTED.items()}
        said = [f"{n} {kind}{'s' * (n != 1)}" for kind, n in counts.items() if n]
        lines.append(f"{name}: {', '.join(said)}")
    return "\n".join(lines)


def _values(entries: Iterable[Entry], key: str) -> set[str]:
    return {entry[key] for entry in entries if entry.get(key)}


def _in_order(
    items: Sequence[Item], sets: Mapping[str, Collection[Item]]
) -> dict[str, list[Item]]:
    kept = {name: {*members} for name, members in sets.items()}
    return {name: [x for x in items if x in members] for name, members in kept.items()}


def _diagonal(
    said: Sequence[Utterance], speakers: Sequence[str], scripts: Sequence[str]
) -> list[Utterance]:
    """Order utterances such that each script begins with another speaker.

    Dealt out in this order, every set gets all speakers and all scripts.
    """
    known, count = {*said}, len(speakers)
    return [
        Utterance(speakers[(place + turn) % count], script)
        for turn, script in enumerate(scripts)
        for place in range(count)
        if Utterance(speakers[(place + turn) % count], script) in known
    ]


def _fullness(
    plan: Sequence[str], sizes: Sequence[int], shares: Mapping[str, Fraction]
) -> list[Fraction]:
    """Say how large the sides are for their shares, from the smallest."""
    filled = dict.fromkeys(shares, 0)
    for side, size in zip(plan, sizes, strict=True):
        filled[side] += size
    return sorted(filled[side] / shares[side] for side in shares)


def _largest(
    speakers: Sequence[str],
    scripts: Sequence[str],
    disjoint: Collection[str],
    shares: Mapping[str, Fraction],
) -> tuple[dict[str, Sequence[str]], dict[str, Sequence[str]]]:
    """Choose the speakers and the scripts of each set."""
    voices, texts = dict.fromkeys(shares, speakers), dict.fromkeys(shares, scripts)
    if {"speaker", "script"} <= {*disjoint}:
        counts = apportion_products(len(speakers), len(scripts), shares)
        return _cut(speakers, counts[0]), _cut(scripts, counts[1])
    if "speaker" in disjoint:
        return _cut(speakers, apportion(len(speakers), shares)), texts
    return voices, _cut(scripts, apportion(len(scripts), shares))


def _cut(names: Sequence[str], counts: Mapping[str, int]) -> dict[str, Sequence[str]]:
    ends = [*itertools.accumulate(counts.values())]
    return {
        name: names[end - count : end]
        for (name, count), end in zip(counts.items(), ends, strict=True)
    }
