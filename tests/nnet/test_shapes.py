"""What is given in another shape is refused, with both shapes in the error."""

import re

import pytest
import torch

from speechbrain_fusion.nnet.shapes import check_axes

AXES = {"batch": None, "ears": 2, "time": None}


@pytest.mark.parametrize("shape", [(1, 2, 0), (7, 2, 500)])
def test_axes_that_fit_pass(shape):
    check_axes(torch.zeros(shape), **AXES)


@pytest.mark.parametrize(
    "shape", [(), (2, 500), (1, 1, 500), (1, 3, 500), (1, 2, 5, 1)]
)
def test_others_are_named(shape):
    message = re.escape(f"expected [batch, 2 ears, time], got {shape}")
    with pytest.raises(ValueError, match=f"^{message}$"):
        check_axes(torch.zeros(shape), **AXES)
