"""One level for all signals: power, padding, silence."""

import pytest
import torch

from speechbrain_fusion.nnet.level import mean_power, to_unit_power


@pytest.mark.parametrize("level", [1e-5, 1.0, 1e3])
def test_every_item_is_brought_to_unit_power(level):
    signal = level * torch.randn(2, 500)
    unit, gain = to_unit_power(signal, None)
    torch.testing.assert_close(mean_power(unit, None), torch.ones(2, 1))
    torch.testing.assert_close(unit, gain * signal)


def test_padding_does_not_count():
    signal, count = torch.randn(2, 500), torch.tensor([500, 123])
    signal[1, 123:] = torch.nan
    unit, gain = to_unit_power(signal, count)
    alone = to_unit_power(signal[1:, :123], None)
    torch.testing.assert_close(unit[1:, :123], alone[0])
    torch.testing.assert_close(gain[1:], alone[1])
    assert (unit[1, 123:] == 0).all()


@pytest.mark.parametrize("level", [0.0, 1e-8])
def test_silence_stays_as_it_is_with_a_finite_gradient(level):
    signal = torch.full((1, 100), level, requires_grad=True)
    unit, gain = to_unit_power(signal, None)
    unit.sum().backward()
    assert torch.equal(unit, signal)
    assert gain == 1
    assert signal.grad.isfinite().all()


def test_half_precision_is_measured_in_single():
    signal = (1 + 0.1 * torch.randn(1, 40_000)).bfloat16()
    unit, _ = to_unit_power(signal, None)
    assert unit.dtype == torch.float32
    torch.testing.assert_close(mean_power(unit, None), torch.ones(1, 1))
