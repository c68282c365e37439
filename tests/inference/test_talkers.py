"""Each talker stays on one output, however long the others or all are silent."""

import pytest
import torch
from torch import Tensor

from speechbrain_fusion.inference.long_audio import (
    CHUNK,
    OVERLAP,
    STRETCH,
    process_array,
)
from speechbrain_fusion.inference.talkers import Talkers, assign, prominence
from tests.inference.stub_systems import Bands, conversation, in_bands

RATE = 1000


def separated(talkers: Tensor, system: Bands, noise: float = 0.0, **options) -> Tensor:
    """Separate the sum of talkers in long audio."""
    mixture = talkers.sum(0, keepdim=True)
    mixture = mixture + noise * torch.randn(mixture.shape)
    found = process_array(system, mixture, RATE, **options)
    assert found.shape == talkers.shape
    return found


def places(own: Tensor, found: Tensor, soft: float = 0.02) -> set[tuple[int, int]]:
    """Collect, over pieces of two seconds, which talker is found where.

    A piece in which a talker's RMS is no more than `soft` does not count for it.
    """
    pieces = zip(own.split(2 * RATE, -1), found.split(2 * RATE, -1), strict=True)
    return {
        (talker, int((out @ signal).argmax()))
        for piece, out in pieces
        for talker, signal in enumerate(piece)
        if signal.square().mean().sqrt() > soft
    }


def on_own_output(own: Tensor, found: Tensor, soft: float = 0.02) -> bool:
    """Say whether every talker is on one output throughout, another's on none."""
    seen = places(own, found, soft)
    return len(seen) == len(own) == len({output for _, output in seen})


@pytest.mark.parametrize("talkers", [2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("leak", "noise"), [(0.0, 0.0), (0.316, 0.0), (0.1, 0.02)])
def test_talkers_keep_their_outputs_for_ten_minutes(talkers, leak, noise):
    own = conversation(600, RATE, talkers, seed=talkers)
    # in background noise an estimate belongs to nobody
    system = Bands(talkers, leak, noise / 2, soft=1.3 * noise)
    assert on_own_output(own, separated(own, system, noise), 0.02 + noise)


@pytest.mark.slow
def test_what_is_separated_exactly_is_exact_throughout():
    own = conversation(600, RATE, seed=5)
    found = separated(own, Bands())
    order = assign([(own, found)])
    error = (found[order] - own).square().sum() / own.square().sum()
    # bands of a chunk are not those of the whole, at its ends alone
    assert error < 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("overlap", [0.25, CHUNK / 3])
def test_any_overlap_and_conversation_will_do(seed, overlap):
    own = conversation(180, RATE, 4, seed=10 + seed, longest=60.0)
    system = Bands(4, leak=0.2, noise=0.005, soft=0.013)
    found = separated(own, system, 0.01, overlap=overlap)
    assert on_own_output(own, found, 0.03)


def test_soft_talkers_keep_their_outputs_beside_a_loud_one():
    level = torch.tensor([[3.0], [0.3], [0.3]])
    own = conversation(300, RATE, 3, seed=3)
    assert on_own_output(own, separated(level * own, Bands(3, leak=0.03)))


def test_a_monologue_of_minutes_does_not_forget_who_is_silent():
    own = conversation(400, RATE, seed=7)
    own[1, 20 * RATE : 380 * RATE] = 0
    own[1, 385 * RATE :] = own[1, : 15 * RATE]
    own[0, 385 * RATE :] = 0
    assert on_own_output(own, separated(own, Bands(leak=0.1, noise=0.01), 0.02))


def test_noise_before_the_first_word_is_nobody():
    own = conversation(120, RATE, seed=8)
    own[:, : 30 * RATE] = 0
    own[1, : 50 * RATE] = 0
    own[0, 32 * RATE : 36 * RATE] = conversation(8, RATE, seed=9)[0, : 4 * RATE]
    assert on_own_output(own, separated(own, Bands(noise=0.01), 0.02))


def test_memory_is_heard_only_where_the_overlap_does_not_tell():
    shared = round(OVERLAP * CHUNK * RATE)
    chunk, step = round(CHUNK * RATE), round(CHUNK * RATE) - shared
    own, system = in_bands(torch.randn(1, 9 * step + chunk), 2)[0], Bands()
    separated(own, system)
    assert system.seconds == 10 * chunk
    # all of what two of them share
    own[1, 4 * step - RATE : 4 * step + shared + RATE] = 0
    again = Bands()
    assert on_own_output(own, separated(own, again))
    assert 10 * chunk < again.seconds <= 10 * chunk + 2 * round(STRETCH * RATE)


def test_whatever_is_remembered_is_bounded():
    talkers = Talkers(lambda mixture: torch.cat([mixture, 0.5 * mixture]), stretch=50)
    for start in range(0, 30_000, 300):
        talkers(start, torch.randn(1, 400), 100 if start else None)
        held = [stretch for stretch in talkers.memory if stretch is not None]
        assert len(held) <= 2
        assert all(stretch.mixture.shape[-1] == 50 for stretch in held)


def test_of_each_talker_the_latest_good_stretch_is_remembered():
    both = torch.randn(2, 400)
    both[1, 250:] = 0
    talkers = Talkers(lambda mixture: mixture, stretch=50, hop=10)
    talkers(1000, both, None)
    begins = [stretch.start for stretch in talkers.memory]
    assert begins[0] > 1300
    assert 1150 <= begins[1] <= 1250


def test_agreement_is_that_of_the_least_squares():
    torch.manual_seed(1)
    known = torch.randn(4, 300) * torch.tensor([[1.0], [0.1], [2.0], [0.5]])
    order = torch.tensor([2, 0, 3, 1])
    new = (known + 0.05 * torch.randn(4, 300))[order]
    assert torch.equal(order[assign([(known, new)])], torch.arange(4))


def test_leakage_is_less_prominent_than_a_soft_talker_alone():
    loud, soft = torch.randn(2, 8000)
    alone = prominence(torch.stack([0.03 * soft, 0.3 * soft]))[1]
    leaking = prominence(torch.stack([loud, 0.316 * loud]))[1]
    assert alone > 5 * leaking


def test_estimates_that_are_not_finite_do_not_stop_the_rest():
    order = assign([(torch.full((2, 10), torch.nan), torch.ones(2, 10))])
    assert sorted(order.tolist()) == [0, 1]


@pytest.mark.slow
def test_ten_minutes_at_8_kHz_with_noise(monkeypatch):
    monkeypatch.setattr("tests.inference.test_talkers.RATE", 8000)
    own = conversation(600, 8000, seed=11)
    system = Bands(leak=0.316, noise=0.005, soft=0.013, frame=2000)
    assert on_own_output(own, separated(own, system, 0.01), 0.03)
