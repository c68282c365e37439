import itertools

import pytest
import torch

from speechbrain_fusion.brains import LinearDecay


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
