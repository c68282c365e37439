"""A thread that exports changes nothing for the others."""

import threading

import pytest
import torch

from speechbrain_fusion.nnet.exporting import exporting, is_exporting, larger


def elsewhere(function):
    """Call a function in another thread."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def test_layers_are_exported_within_and_not_after():
    with exporting():
        with exporting():
            assert is_exporting()
        assert is_exporting()
    assert not is_exporting()
    with pytest.raises(RuntimeError), exporting():
        raise RuntimeError
    assert not is_exporting()


def test_other_threads_are_not_exporting():
    with exporting():
        assert not elsewhere(is_exporting)
        assert is_exporting()


@pytest.mark.parametrize(("first", "second"), [(3, 5), (5, 3), (4, 4)])
def test_the_larger_size_of_numbers_and_of_what_is_traced(first, second):
    assert larger(first, second) == max(first, second)
    traced = larger(torch.tensor(first), torch.tensor(second))
    assert int(traced) == max(first, second)
