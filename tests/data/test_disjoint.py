"""Sets have nothing in common but what they may, and none could be larger."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.disjoint import (
    COUNTED,
    DISJOINT,
    SHARES,
    SIDES,
    Utterance,
    cap_utterances,
    check_disjoint,
    count_text,
    mixed_voices,
    prove_disjoint,
    split_sides,
    split_utterances,
)
from speechbrain_fusion.data.sharing import exact_shares
from tests.data.daps_tree import SCRIPTS, SPEAKERS

DAPS = [Utterance(speaker, script) for speaker in SPEAKERS for script in SCRIPTS]
EXACT = exact_shares(SHARES, SHARES)


def entries_of(sets):
    return {
        name: [
            {"utterance": "_".join(x), "talker": x.speaker, "script": x.script}
            for x in members
        ]
        for name, members in sets.items()
    }


@pytest.mark.parametrize(
    ("disjoint", "counts"),
    [
        ([], [30, 30, 10, 30]),
        (["noise", "room"], [30, 30, 10, 30]),
        (["speaker"], [30, 30, 10, 30]),
        (["script"], [40, 20, 20, 20]),
        (["speaker", "script"], [6, 6, 2, 12]),
        ([*DISJOINT], [6, 6, 2, 12]),
    ],
)
def test_daps_has_these_largest_sets(disjoint, counts):
    sets = split_utterances(DAPS, disjoint)
    assert [len(members) for members in sets.values()] == counts
    prove_disjoint(entries_of(sets), disjoint)


@given(
    speakers=st.integers(4, 12),
    scripts=st.integers(4, 7),
    disjoint=st.sets(st.sampled_from(["speaker", "script"])),
)
def test_no_utterance_is_in_two_sets_and_none_is_empty(speakers, scripts, disjoint):
    said = [
        Utterance(f"{'fm'[a % 2]}{a}", f"script{b}")
        for a in range(speakers)
        for b in range(scripts)
    ]
    sets = split_utterances(reversed(said), disjoint)
    members = [x for each in sets.values() for x in each]
    assert len(members) == len({*members}) <= len(said)
    assert {*members} <= {*said}
    assert min(len(each) for each in sets.values()) >= 1
    prove_disjoint(entries_of(sets), disjoint)
    if disjoint != {"speaker", "script"}:
        assert {*members} == {*said}


@pytest.mark.slow
@given(st.lists(st.integers(1, 3), min_size=3, max_size=6))
def test_no_other_sides_have_a_larger_smallest_one(sizes):
    rooms = {f"room{number}": size for number, size in enumerate(sizes)}
    shares = exact_shares(SIDES, SIDES)

    def smallest(sides):
        return min(sum(rooms[x] for x in sides[s]) / shares[s] for s in shares)

    found = split_sides(rooms, "room")
    assert sorted(x for side in found.values() for x in side) == sorted(rooms)
    plans = itertools.product(shares, repeat=len(rooms))
    assert smallest(found) == max(
        smallest(
            {s: [r for r, x in zip(rooms, p, strict=True) if x == s] for s in shares}
        )
        for p in plans
    )


def test_many_speakers_of_one_script_are_shared_out_at_once():
    said = [Utterance(f"s{number}", "text") for number in range(300)]
    sets = split_utterances(said, ["speaker"])
    assert [len(members) for members in sets.values()] == [90, 90, 30, 90]
    with pytest.raises(AudioError, match=r"1 scripts, expected 4 at least"):
        split_utterances(said, ["speaker", "script"])
    every = [Utterance(f"s{a}", f"text{b}") for a in range(300) for b in range(40)]
    prove_disjoint(entries_of(split_utterances(every, DISJOINT)), ["speaker", "script"])


def test_women_and_men_are_in_every_set_in_proportion():
    for speakers in (SPEAKERS, SPEAKERS[:5] + SPEAKERS[10:]):
        women = sum(name.startswith("f") for name in speakers) / len(speakers)
        said = [Utterance(speaker, "script1") for speaker in speakers]
        for members in split_utterances(said, ["speaker"]).values():
            found = sum(x.speaker.startswith("f") for x in members)
            assert abs(found - women * len(members)) <= 1


def test_dealt_utterances_give_each_set_all_speakers_and_scripts():
    for name, members in split_utterances(DAPS, []).items():
        assert {x.script for x in members} == {*SCRIPTS}
        assert len({x.speaker for x in members}) >= min(15, len(members)), name


def test_shares_are_an_option():
    sets = split_utterances(DAPS, ["speaker"], {**SHARES, "clean": 1, "valid": 1.5})
    voices = [len({x.speaker for x in members}) for members in sets.values()]
    assert voices == [2, 8, 2, 8]
    for wrong in (
        {"clean": 1},
        {**SHARES, "test": 0},
        {**SHARES, "test": float("inf")},
    ):
        with pytest.raises(ValueError, match="shares: expected a positive number for"):
            split_utterances(DAPS, [], wrong)


def test_too_few_speakers_are_counted():
    said = [Utterance(speaker, "script1") for speaker in "abc"]
    with pytest.raises(AudioError, match=r"3 speakers, expected 4 .* clean, noisy"):
        split_utterances(said, ["speaker"])


@pytest.mark.parametrize("wrong", [["talker"], "speaker", ["speaker", "text"]])
def test_unknown_kinds_are_refused(wrong):
    with pytest.raises(ValueError, match=r"disjoint: expected a list of .*'script'"):
        check_disjoint(wrong)


def test_caps_are_spread_evenly_or_refused():
    sets = split_utterances(DAPS, ["speaker"])
    capped = cap_utterances(sets, {"clean": 6, "test": 10})
    assert [len(members) for members in capped.values()] == [6, 30, 10, 10]
    assert len({x.speaker for x in capped["clean"]}) == 6
    assert len({x.speaker for x in capped["test"]}) == 6
    with pytest.raises(
        ValueError, match=r"31 asked for noisy, it has 30 .*'valid': 10"
    ):
        cap_utterances(sets, {"noisy": 31})
    with pytest.raises(ValueError, match=r"0 asked for clean"):
        cap_utterances(sets, {"clean": 0})
    with pytest.raises(ValueError, match=r"utterances: expected some of .*\['train'\]"):
        cap_utterances(sets, {"train": 1})


def test_noises_and_rooms_are_shared_out_three_to_one_to_one():
    noises = {f"noise{number:02}": 1 for number in range(15)}
    sides = split_sides(noises, "noise")
    assert [len(side) for side in sides.values()] == [9, 3, 3]
    sizes = {**dict.fromkeys("abcdefgh", 1), "large": 5, "hall": 2}
    assert "large" in split_sides(sizes, "room")["train"]


def test_fewer_than_three_rooms_are_named():
    with pytest.raises(AudioError, match=r"2 rooms \(studio, office1\), expected 3 "):
        split_sides({"studio": 3, "office1": 1}, "room")


@pytest.mark.parametrize(
    ("kind", "key"), [(x, COUNTED[x]) for x in (*DISJOINT, "utterance")]
)
def test_a_leak_is_named_with_both_sets(kind, key):
    sets = {name: [{key: f"{key} of {name}"}, {}] for name in SHARES}
    prove_disjoint(sets, DISJOINT)
    sets["noisy"].append({key: "this one"})
    sets["test"].append({key: "this one"})
    message = rf"1 in two sets[^!]*{kind} this one: in noisy and in test"
    with pytest.raises(AudioError, match=message):
        prove_disjoint(sets, DISJOINT)
    # where rooms must be disjoint responses must, too
    others = {*DISJOINT} - {kind} - ({"room"} if kind == "response" else set())
    if kind != "utterance":
        prove_disjoint(sets, others)


def test_all_leaks_are_listed():
    sets = {name: [{"noise": "babble", "talker": "f1"}] for name in ("noisy", "test")}
    with pytest.raises(
        AudioError, match=r"2 in two sets[^!]*speaker f1[^!]*noise babble"
    ):
        prove_disjoint(sets, DISJOINT)


def test_counts_are_of_what_is_different():
    said = {"utterance": "a_1", "talker": "a", "script": "1", "version": "clean"}
    entries = [said, {**said, "version": "ipad_office1", "room": "office1"}]
    entries += [{"noise": "babble"}, {"noise": "pink"}, {"room": "hall"}]
    assert count_text({"noisy": entries, "valid": entries[:1]}).splitlines() == [
        "noisy: 2 recordings, 1 utterance, 1 speaker, 1 script, 2 versions, 2 rooms, "
        "2 noises",
        "valid: 1 recording, 1 utterance, 1 speaker, 1 script, 1 version",
    ]


def test_speakers_are_in_natural_order():
    assert mixed_voices(["m2", "f10", "f2", "m1"]) == ["f2", "m1", "f10", "m2"]


@pytest.mark.parametrize("cap", [2.5, "3", None, 0])
def test_caps_are_whole_numbers(cap):
    with pytest.raises(ValueError, match=r"utterances: .* asked for clean, it has 5"):
        cap_utterances({"clean": "abcde"}, {"clean": cap})
