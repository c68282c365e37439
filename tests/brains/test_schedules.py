import itertools

import pytest
import torch

from speechbrain_fusion.brains import (
    Checkpointer,
    EarlyStoppingCounter,
    LinearDecay,
)


def rates(**options):
    decay = LinearDecay(lr=1.0, **options)
    return [decay.rate(epoch) for epoch in range(1, options["epochs"] + 1)]


def test_the_rate_is_held_and_then_falls_linearly_to_its_end():
    found = rates(epochs=10, hold=0.5, final=0.1)
    assert found[:5] == [1.0] * 5
    steps = [a - b for a, b in itertools.pairwise(found[4:])]
    assert steps == pytest.approx([0.18] * 5)
    assert found[-1] == pytest.approx(0.1)


@pytest.mark.parametrize("epochs", [0, 1, 2, 7])
def test_held_all_along_it_is_constant(epochs):
    assert rates(epochs=epochs, hold=1.0) == [1.0] * epochs


def test_it_falls_after_the_first_epoch_and_not_below_its_end():
    assert rates(epochs=3, hold=0.0, final=0.0) == [1.0, 0.5, 0.0]
    assert LinearDecay(1.0, 2, 0.0, 0.2).rate(9) == pytest.approx(0.2)


def test_it_tells_the_rate_of_the_epoch_and_of_the_next():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.7)
    decay = LinearDecay(lr=0.7, epochs=2, hold=0.5, final=0.5)
    assert decay([optimizer], 1, 3.0) == pytest.approx((0.7, 0.35))


def test_a_checkpoint_can_hold_it(tmp_path):
    decay = LinearDecay(lr=1.0, epochs=2)
    decay.save(tmp_path / "decay")
    decay.load(tmp_path / "decay", True)
    assert decay.rate(2) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        ({"epochs": 3, "hold": 1.5}, "hold, final: expected 0 to 1"),
        ({"epochs": 3, "final": -1.0}, "hold, final: expected 0 to 1"),
        ({"epochs": -1}, "epochs: expected at least 0, got -1"),
    ],
)
def test_bad_options_are_named(options, pattern):
    with pytest.raises(ValueError, match=pattern):
        LinearDecay(lr=1.0, **options)


# the third is the best; of the second kind all are positive, and as good
SCORES = [1.0, 2.0, 3.0, 2.5, 2.9, 1.0, 2.0, 1.0, 1.0, 1.0]
LEVEL = [4.0] * 10


def count(counter, scores, path, stop_after=99):
    """Go through epochs, saving the counter at each one's end."""
    for epoch in counter:
        counter.update_metric(scores[epoch - 1])
        counter.save(path)
        if epoch == stop_after:
            break
    return counter.current, counter.best_limit


def counter(patience=3, direction="max"):
    return EarlyStoppingCounter(10, patience, 0, direction)


@pytest.mark.parametrize(("scores", "end"), [(SCORES, (6, 3)), (LEVEL, (4, 1))])
@pytest.mark.parametrize("killed", [1, 2, 3, 4, 5])
def test_a_run_that_was_stopped_ends_where_it_would_have(scores, end, killed, tmp_path):
    """Also one that had ended by itself, and is begun again."""
    path = tmp_path / "counter"
    assert count(counter(), scores, path) == end
    assert count(counter(), scores, path, killed)[0] == min(killed, end[0])
    for _ in range(2):
        again = counter()
        again.load(path, end_of_epoch=True)
        assert count(again, scores, path) == end
        assert again.best_score == max(scores)


def test_within_an_epoch_it_is_gone_through_again(tmp_path):
    path, again = tmp_path / "counter", counter()
    count(counter(), SCORES, path, 5)
    again.load(path, end_of_epoch=False)
    assert next(again) == 5


def test_more_patience_goes_on(tmp_path):
    path, again = tmp_path / "counter", counter(patience=5)
    count(counter(), SCORES, path)
    again.load(path, end_of_epoch=True)
    assert count(again, SCORES, path) == (8, 3)


def test_less_may_be_better_and_negative(tmp_path):
    scores = [-1.0, -2.0, -2.0, -2.5, -2.5, -2.5, -2.5, -2.5]
    assert count(counter(direction="min"), scores, tmp_path / "x") == (7, 4)


def test_a_checkpoint_of_upstreams_counter_is_taken_up(tmp_path):
    (tmp_path / "counter").write_text("4")
    again = counter()
    again.load(tmp_path / "counter", end_of_epoch=True)
    assert (again.current, again.best_limit) == (4, 4)
    assert next(again) == 5


def test_it_is_part_of_a_checkpoint(tmp_path):
    first, again = counter(), counter()
    next(first)
    first.update_metric(2.0)
    Checkpointer(tmp_path, {"counter": first}).save_checkpoint()
    Checkpointer(tmp_path, {"counter": again}).recover_if_possible()
    assert (again.current, again.best_limit, again.best_score) == (1, 1, 2.0)
