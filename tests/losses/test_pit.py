import itertools
import math

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from speechbrain.nnet.losses import PitWrapper, cal_si_snr, get_si_snr_with_pitwrapper

from speechbrain_fusion.losses.pit import (
    best_permutation,
    mean_over_ranks,
    pairwise_si_sdr_loss,
    pit_si_sdr_loss,
    reorder,
    sum_above,
)
from speechbrain_fusion.losses.signal import FLOOR, si_sdr_loss, snr_loss
from tests.losses.signals import noise as talk
from tests.ranks import run_ranks


def separated(batch, talkers, time, noise=0.5, **options):
    """References, and noisy estimates of them in another order."""
    reference = talk(batch, talkers, time, **options)
    shuffled = reference.roll(1, dims=1)
    return reference, shuffled + noise * talk(
        batch, talkers, time, seed=1, dtype=reference.dtype
    )


@pytest.mark.parametrize("zero_mean", [True, False])
@pytest.mark.parametrize("level", [(1.0, 1.0), (1e-3, 1e2), (1e2, 1e-5)])
def test_every_pair_scores_as_the_loss_of_two_signals(zero_mean, level):
    reference, estimate = separated(3, 2, 500, dtype=torch.float64)
    reference, estimate = level[0] * (reference + 0.1), level[1] * (estimate - 0.2)
    lengths = torch.tensor([1.0, 0.5, 0.73])
    pairs = pairwise_si_sdr_loss(reference, estimate, lengths, zero_mean)
    for i, j in itertools.product(range(2), repeat=2):
        two = reference[:, i], estimate[:, j], lengths
        expected = si_sdr_loss(*two, reduction="none", zero_mean=zero_mean)
        torch.testing.assert_close(pairs[:, i, j], expected)


@pytest.mark.parametrize("zero_mean", [True, False])
def test_a_part_of_the_snr_is_added_to_every_pair(zero_mean):
    reference, estimate = separated(3, 2, 500, dtype=torch.float64)
    estimate = 0.3 * estimate - 0.2
    lengths = torch.tensor([1.0, 0.5, 0.73])
    without, with_snr = (
        pairwise_si_sdr_loss(reference, estimate, lengths, zero_mean, weight)
        for weight in (0.0, 0.25)
    )
    for i, j in itertools.product(range(2), repeat=2):
        two = reference[:, i], estimate[:, j], lengths
        expected = without[:, i, j] + 0.25 * snr_loss(*two, reduction="none")
        torch.testing.assert_close(with_snr[:, i, j], expected)


def test_the_snr_fixes_the_level():
    reference, estimate = separated(2, 2, 500, dtype=torch.float64)
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    slopes = []
    for weight in (0.0, 0.1):
        loss = pit_si_sdr_loss(reference, scale * estimate, snr_weight=weight)
        slopes.append(torch.autograd.grad(loss, scale)[0].item())
    assert slopes[0] == pytest.approx(0.0, abs=1e-6)
    assert slopes[1] > 0.1


def test_an_offset_far_above_a_signal_is_taken_out():
    reference, estimate = separated(2, 2, 500, dtype=torch.float64)
    moved = 1e-5 * estimate + 0.3
    torch.testing.assert_close(
        pairwise_si_sdr_loss(reference, moved),
        pairwise_si_sdr_loss(reference, 1e-5 * estimate),
        atol=1e-4,
        rtol=0,
    )


@pytest.mark.parametrize("talkers", [1, 2, 3, 4])
@pytest.mark.parametrize("noise", [10.0, 0.5, 1e-2])
def test_it_equals_upstreams_wrapper(talkers, noise):
    reference, estimate = separated(3, talkers, 800, noise)
    ours = pit_si_sdr_loss(reference, estimate, reduction="none")
    upstream = get_si_snr_with_pitwrapper(reference.mT, estimate.mT)
    torch.testing.assert_close(ours, upstream, atol=2e-3, rtol=0)
    torch.testing.assert_close(pit_si_sdr_loss(reference, estimate), ours.mean())


def test_gradient_equals_upstreams():
    reference, estimate = separated(3, 3, 800)
    estimate.requires_grad_()
    losses = (
        pit_si_sdr_loss(reference, estimate),
        get_si_snr_with_pitwrapper(reference.mT, estimate.mT).mean(),
    )
    ours, upstream = (torch.autograd.grad(loss, estimate)[0] for loss in losses)
    torch.testing.assert_close(ours, upstream, atol=1e-7, rtol=1e-4)


def test_permutation_is_the_inverse_of_upstreams():
    reference, estimate = separated(1, 3, 400)
    _, (upstream,) = PitWrapper(cal_si_snr)(reference.mT, estimate.mT)
    ours = best_permutation(pairwise_si_sdr_loss(reference, estimate))
    assert ours[0].argsort().tolist() == list(upstream)


@pytest.mark.parametrize("talkers", [2, 3, 5])
def test_order_of_the_estimates_does_not_matter(talkers):
    reference, estimate = separated(2, talkers, 300)
    values = pit_si_sdr_loss(reference, estimate, reduction="none")
    torch.testing.assert_close(
        pit_si_sdr_loss(reference, estimate.flip(1), reduction="none"), values
    )
    torch.testing.assert_close(
        pit_si_sdr_loss(reference.flip(1), estimate, reduction="none"), values
    )


@pytest.mark.parametrize("talkers", [2, 3, 4])
def test_reordered_estimates_score_the_loss_in_place(talkers):
    reference, estimate = separated(3, talkers, 300)
    costs = pairwise_si_sdr_loss(reference, estimate)
    estimate = reorder(estimate, best_permutation(costs))
    torch.testing.assert_close(
        si_sdr_loss(reference, estimate), pit_si_sdr_loss(reference, estimate)
    )
    # noise of a power of 0.25; another talker would leave about 2.25
    assert ((estimate - reference).square().mean(-1) < 0.5).all()


@pytest.mark.parametrize("talkers", [1, 2, 3, 4, 6])
def test_permutations_are_those_of_the_hungarian_algorithm(talkers):
    costs = talk(20, talkers, talkers)
    for item, permutation in zip(costs, best_permutation(costs), strict=True):
        assert permutation.tolist() == list(linear_sum_assignment(item.numpy())[1])


@pytest.mark.parametrize(("talkers", "zero_mean"), [(2, True), (2, False), (4, True)])
def test_gradients_are_right(talkers, zero_mean):
    pair = separated(2, talkers, 8, dtype=torch.float64)
    lengths = torch.tensor([1.0, 0.75])

    def loss(reference, estimate):
        return pit_si_sdr_loss(reference, estimate, lengths, zero_mean=zero_mean)

    assert torch.autograd.gradcheck(loss, [x.requires_grad_() for x in pair])
    assert torch.autograd.gradgradcheck(loss, pair)


@pytest.mark.parametrize("snr", [40.0, 80.0])
def test_a_close_estimate_keeps_its_gradient_in_float32(snr):
    reference = talk(1, 2, 4000)
    estimate = reference + 10 ** (-snr / 20) * talk(1, 2, 4000, seed=1)
    exact = estimate.double().requires_grad_()
    (expected,) = torch.autograd.grad(pit_si_sdr_loss(reference.double(), exact), exact)
    estimate.requires_grad_()
    (gradient,) = torch.autograd.grad(pit_si_sdr_loss(reference, estimate), estimate)
    assert (gradient - expected).norm() < 1e-2 * expected.norm()


def test_padding_changes_neither_value_nor_gradient():
    reference, estimate = separated(2, 2, 400)
    reference[1, :, 300:], estimate[1, :, 300:] = math.nan, math.inf
    lengths = torch.tensor([1.0, 0.75])
    estimate.requires_grad_()
    values = pit_si_sdr_loss(reference, estimate, lengths, reduction="none")
    (gradient,) = torch.autograd.grad(values.sum(), estimate)
    alone = estimate[1:, :, :300].detach().requires_grad_()
    value = pit_si_sdr_loss(reference[1:, :, :300], alone)
    (expected,) = torch.autograd.grad(value, alone)
    torch.testing.assert_close(values[1], value)
    torch.testing.assert_close(gradient[1:, :, :300], expected)
    assert (gradient[1, :, 300:] == 0).all()


def test_a_silent_talker_gets_the_quietest_estimate_and_pushes_it_down():
    reference, estimate = talk(1, 2, 500), talk(1, 2, 500, seed=1)
    reference[:, 0], estimate[:, 1] = 0.0, 1e-3 * estimate[:, 1]
    costs = pairwise_si_sdr_loss(reference, estimate.requires_grad_())
    assert best_permutation(costs).tolist() == [[1, 0]]
    value = pit_si_sdr_loss(reference, estimate)
    (gradient,) = torch.autograd.grad(value, estimate)
    assert gradient.isfinite().all()
    assert (gradient * estimate)[:, 1].sum() > 0
    halved = pit_si_sdr_loss(reference, estimate * torch.tensor([[[1.0], [0.5]]]))
    # half of the mean of two talkers
    assert (value - halved).item() == pytest.approx(10 * math.log10(2), abs=1e-3)


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1e3])
def test_silent_loud_and_perfect_estimates_are_finite(scale):
    reference = talk(1, 3, 500)
    for target in (reference, scale * reference, 0 * reference):
        estimate = (scale * reference).flip(1).requires_grad_()
        value = pit_si_sdr_loss(target, estimate)
        value.backward()
        assert value.isfinite()
        assert estimate.grad.isfinite().all()
    assert pit_si_sdr_loss(reference, reference) < -80


def test_silence_for_silence_costs_nothing():
    silence = torch.zeros(2, 2, 100)
    assert pit_si_sdr_loss(silence, silence).abs() < 1e-4
    assert pit_si_sdr_loss(talk(1, 2, 100), silence[:1]) > -10 * math.log10(FLOOR) - 1


def test_items_better_than_the_threshold_are_left_out():
    reference, noise = talk(3, 2, 1000), talk(3, 2, 1000, seed=1)
    estimate = reference + torch.tensor([1e-3, 0.3, 1.0]).view(3, 1, 1) * noise
    estimate.requires_grad_()
    values = pit_si_sdr_loss(reference, estimate, reduction="none", threshold=-30.0)
    assert values[0] < -30 < values[1]
    kept = pit_si_sdr_loss(reference, estimate, threshold=-30.0)
    torch.testing.assert_close(kept, values[1:].mean())
    (gradient,) = torch.autograd.grad(kept, estimate)
    assert (gradient[0] == 0).all()
    assert (gradient[1:] != 0).any()


@pytest.mark.parametrize(("snr", "solved"), [(28.0, False), (31.0, True)])
def test_the_snr_does_not_move_the_threshold(snr, solved):
    reference = talk(1, 2, 4000)
    estimate = reference + 10 ** (-snr / 20) * talk(1, 2, 4000, seed=1)
    for weight in (0.0, 0.1, 1.0):
        loss = pit_si_sdr_loss(reference, estimate, threshold=-30.0, snr_weight=weight)
        assert bool(loss == 0) is solved


def test_when_all_is_solved_the_loss_and_its_gradient_are_zero():
    reference = talk(2, 2, 1000)
    estimate = (reference + 1e-3 * talk(2, 2, 1000, seed=1)).requires_grad_()
    value = pit_si_sdr_loss(reference, estimate, threshold=-30.0)
    value.backward()
    assert value == 0
    assert (estimate.grad == 0).all()


def test_a_loss_that_is_not_finite_is_not_taken_for_solved():
    total, count = sum_above(torch.tensor([math.nan, -40.0]), -30.0)
    assert total.isnan()
    assert count == 1


RANKS = """
import torch
from speechbrain_fusion.losses.pit import mean_over_ranks, sum_above
torch.distributed.init_process_group("gloo")
values = torch.tensor([[-1.0, -2.0, -40.0], [-50.0, -60.0, -6.0]])
own = values[torch.distributed.get_rank()]
value = mean_over_ranks(*sum_above(own, -30.0))
torch.distributed.all_reduce(value)
assert value / 2 == -3.0, value
"""


@pytest.mark.slow
def test_ranks_that_keep_unequally_many_items_count_them_together(tmp_path):
    run_ranks(RANKS, tmp_path)


UNEQUAL = """
import torch
from speechbrain_fusion.losses import pit_si_sdr_loss
torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
generator = torch.Generator().manual_seed(rank)
pair = torch.randn(2, (3, 1)[rank], 2, 400, generator=generator)
value = pit_si_sdr_loss(*pair, threshold=-30.0)
torch.testing.assert_close(value, pit_si_sdr_loss(*pair))
"""


@pytest.mark.slow
def test_ranks_with_batches_of_unequal_size_count_alike(tmp_path):
    # as they do in every other loss: their gradients are averaged
    run_ranks(UNEQUAL, tmp_path)


@pytest.mark.parametrize("talkers", [2, 4])
def test_an_estimate_that_is_not_finite_is_seen_in_the_loss(talkers):
    reference, estimate = talk(2, talkers, 100), talk(2, talkers, 100, seed=1)
    estimate[0, 0, 0] = math.nan
    values = pit_si_sdr_loss(reference, estimate, reduction="none")
    assert values.isnan().tolist() == [True, False]


def test_one_process_divides_by_its_own_count():
    assert mean_over_ranks(torch.tensor(-15.0), torch.tensor(3)) == -5
    assert mean_over_ranks(torch.tensor(0.0), torch.tensor(0)) == 0


def test_autocast_and_half_precision_are_computed_in_single():
    reference, estimate = separated(2, 2, 300)
    expected = pit_si_sdr_loss(reference.bfloat16().float(), estimate)
    with torch.autocast("cpu", torch.bfloat16):
        value = pit_si_sdr_loss(reference.bfloat16(), estimate)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, expected)
    assert pit_si_sdr_loss(reference.double(), estimate).dtype == torch.float64


def test_wrong_arguments_are_named():
    signals = torch.zeros(2, 2, 9)
    with pytest.raises(ValueError, match="differ in shape"):
        pit_si_sdr_loss(signals, signals[:, :1])
    with pytest.raises(ValueError, match=r"expected \[batch, talkers, time\]"):
        pit_si_sdr_loss(signals[0], signals[0])
    with pytest.raises(ValueError, match="lengths"):
        pit_si_sdr_loss(signals, signals, torch.ones(3))
    with pytest.raises(ValueError, match=r"mean.*none.*sum"):
        pit_si_sdr_loss(signals, signals, reduction="sum")
