"""No other way to share out makes the smallest set larger."""

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechbrain_fusion.data.disjoint import SHARES
from speechbrain_fusion.data.sharing import (
    apportion,
    apportion_products,
    deal,
    exact_shares,
)

EXACT = exact_shares(SHARES, SHARES)


def compositions(count, parts=4):
    for cuts in itertools.combinations(range(1, count), parts - 1):
        ends = zip((0, *cuts), (*cuts, count), strict=True)
        yield [end - first for first, end in ends]


def fill(sizes):
    return sorted(
        size / share for size, share in zip(sizes, EXACT.values(), strict=True)
    )


@given(st.integers(4, 16))
def test_no_other_way_to_share_out_speakers_is_more_even(count):
    found = [*apportion(count, EXACT).values()]
    assert sum(found) == count
    assert fill(found)[0] == max(fill(sizes)[0] for sizes in compositions(count))


@given(st.integers(4, 9), st.integers(4, 6))
def test_no_other_product_has_a_larger_smallest_set_or_then_more(speakers, scripts):
    def merit(voices, texts):
        sizes = [a * b for a, b in zip(voices, texts, strict=True)]
        return fill(sizes)[0], sum(sizes)

    plans = itertools.product(compositions(speakers), compositions(scripts))
    voices, texts = apportion_products(speakers, scripts, EXACT)
    assert sum(voices.values()) == speakers
    assert sum(texts.values()) == scripts
    found = merit(voices.values(), texts.values())
    assert found == max(merit(*plan) for plan in plans)


def test_of_many_scripts_and_speakers_the_sets_are_as_large_as_fractions_would_be():
    voices, texts = apportion_products(300, 200, EXACT)
    smallest = min(voices[x] * texts[x] / float(EXACT[x]) for x in EXACT)
    roots = sum(float(share) ** 0.5 for share in EXACT.values())
    assert smallest == pytest.approx(300 * 200 / roots**2, rel=0.02)


def test_large_items_count_for_what_they_are():
    shares = {"train": Fraction(1), "test": Fraction(1)}
    sets = deal("abcd", shares, {"a": 3, "b": 1, "c": 1, "d": 1})
    assert sets == {"train": ["a"], "test": ["b", "c", "d"]}


@pytest.mark.parametrize("share", [0, -1, float("nan"), float("inf")])
def test_shares_are_positive_numbers(share):
    with pytest.raises(ValueError, match="shares: expected a positive number for each"):
        exact_shares({"train": 1, "test": share}, ["train", "test"])
    with pytest.raises(ValueError, match="for each of train, test, got"):
        exact_shares({"train": 1}, ["train", "test"])
