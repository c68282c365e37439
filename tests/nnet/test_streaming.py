"""Layers in pieces, with a memory, give what they give of the whole."""

import pytest
import torch
import torch.nn.functional as F

from speechbrain_fusion.nnet import (
    CompressedSTFT,
    CumulativeNorm,
    DepthwiseConv,
    LearnedFilterbank,
    STFTFilterbank,
    TemporalConvNet,
)
from speechbrain_fusion.nnet.bin_conv import BinConv
from speechbrain_fusion.nnet.streaming import (
    Memory,
    along,
    current_memory,
    overlap,
    pad_past,
)
from tests.nnet.parameters import jittered


def in_pieces(layer, x, sizes, axis, early=0):
    """Call a layer with one piece after another; some first frames are no signal's."""
    parts, states = [], None
    for piece in x.split(sizes, axis):
        with torch.no_grad(), Memory(states) as memory:
            # frames are counted where signals are cut into them
            memory.begin(piece.new_zeros(len(x), piece.shape[axis]), 1, 1, early, len)
            parts.append(layer(piece))
        memory.check()
        states = memory.left
    return torch.cat(parts, axis)


def test_the_past_is_zeros_at_first_and_then_what_was_heard():
    x = torch.arange(1.0, 7.0).view(1, 6)
    assert pad_past(x, 2).tolist() == [[0, 0, 1, 2, 3, 4, 5, 6]]
    with Memory() as memory:
        assert pad_past(x[:, :1], 3).tolist() == [[0, 0, 0, 1]]
    with Memory(memory.left) as memory:
        assert pad_past(x[:, 1:3], 3).tolist() == [[0, 0, 1, 2, 3]]
    with Memory(memory.left):
        assert pad_past(x[:, 3:], 3).tolist() == [[1, 2, 3, 4, 5, 6]]


def test_frames_before_the_signal_are_heard_as_zeros():
    x = torch.ones(1, 4)
    with Memory() as memory:
        memory.begin(torch.zeros(1, 4), 3, 1, 2, len)
        assert memory.valid.tolist() == [[0, 0, 1, 1]]
        assert pad_past(x, 1).tolist() == [[0, 0, 0, 1, 1]]


def test_frames_behind_the_signal_are_none_of_its():
    with Memory(samples=torch.tensor([2, 3])) as memory:
        memory.begin(torch.zeros(2, 4), 2, 1, 1, lambda samples: samples - 1)
    assert memory.valid.tolist() == [[0, 1, 0, 0], [0, 1, 1, 0]]


def test_what_overlaps_goes_to_the_next_piece():
    y = torch.ones(1, 5)
    assert overlap(y, 2).tolist() == [[1, 1]]
    with Memory() as memory:
        assert overlap(y, 2).tolist() == [[1, 1]]
    with Memory(memory.left) as memory:
        assert overlap(y, 2).tolist() == [[2, 2]]
    with Memory(memory.left) as memory:
        # three samples are left over, and one of those before too
        assert overlap(y, 2).tolist() == [[3, 2]]


def test_memories_nest_and_end_with_errors():
    with Memory() as outer:
        with pytest.raises(RuntimeError), Memory():
            raise RuntimeError
        assert current_memory() is outer
    assert current_memory() is None


@pytest.mark.parametrize("sizes", [1, 2, 7, [3, 40, 1, 56], 100])
@pytest.mark.parametrize(("taps", "dilation"), [(1, 1), (3, 1), (3, 4), (64, 2)])
@pytest.mark.parametrize("method", ["auto", "direct", "fft"])
def test_depthwise_convolutions_in_pieces(taps, dilation, sizes, method):
    layer = DepthwiseConv(3, taps, dilation, causal=True, ears=2, method=method)
    x = torch.randn(2, 2, 3, 100)
    torch.testing.assert_close(in_pieces(layer, x, sizes, -1), layer(x).detach())


def test_long_pieces_of_long_kernels_go_by_fft():
    layer = DepthwiseConv(2, 128, causal=True)
    x = torch.randn(1, 1, 2, 6000)
    torch.testing.assert_close(in_pieces(layer, x, 3000, -1), layer(x).detach())


@pytest.mark.parametrize("transposed", [False, True])
def test_convolutions_of_bins_in_pieces(transposed):
    layer = BinConv(2, 3, (3, 5), 2, transposed)
    x = torch.randn(2, 2, 12, 21)

    def joined(piece):
        return layer.join(layer(piece), piece.shape[-1])

    found = in_pieces(joined, x, [1, 4, 7], 2)
    torch.testing.assert_close(found, joined(x).detach())


def analyse_and_synthesize(bank, x, valid):
    """Pass a signal [batch, ears, time] through a filterbank with a mask of ones."""
    if isinstance(bank, CompressedSTFT):
        flat = x.flatten(0, 1)
        return bank.synthesize(bank.analyze(flat), x.shape[-1]).view_as(x)
    latent, own = bank.analyze(x)
    mask = torch.ones_like(latent)
    if valid() is not None:
        mask = mask * along(valid(), latent.dim(), -1)
    return bank.synthesize(mask, own, x.shape[-1])


BANKS = {
    "learned": lambda: (LearnedFilterbank(6, 8), 8, 4),
    "stft": lambda: (STFTFilterbank(8), 16, 4),
    "stft without padding": lambda: (STFTFilterbank(8, pad=False), 16, 4),
    "compressed": lambda: (CompressedSTFT(16, 4, 0.5), 16, 4),
    "compressed, few overlaps": lambda: (CompressedSTFT(16, 8), 16, 8),
}


@pytest.mark.parametrize("name", BANKS)
@pytest.mark.parametrize("hops", [1, 3, 30])
def test_filterbanks_in_pieces_are_late_by_a_window_less_a_hop(name, hops):
    """Until then they are silent."""
    bank, window, hop = BANKS[name]()
    x, late = torch.randn(2, 1, 20 * hop), window - hop
    parts, states, samples = [], None, torch.full((2,), x.shape[-1])
    for piece in F.pad(x, (0, late)).split(hops * hop, -1):
        with torch.no_grad(), Memory(states, samples) as memory:
            parts.append(analyse_and_synthesize(bank, piece, lambda: memory.valid))
        states = memory.left
    found = torch.cat(parts, -1)
    assert (found[..., :late] == 0).all()
    expected = analyse_and_synthesize(bank, x, lambda: None).detach()
    torch.testing.assert_close(found[..., late:], expected)


def test_temporal_convolutions_in_pieces():
    layer = jittered(TemporalConvNet(5, 4, 6, 7, 3, blocks=3, repeats=2, ears=2))
    x = torch.randn(2, 2, 5, 60)
    found = in_pieces(layer, x, [1, 2, 30, 27], -1)
    torch.testing.assert_close(found, layer(x).detach())


@pytest.mark.parametrize("shape", [(2, 4, 60), (2, 4, 60, 3)])
def test_cumulative_norms_in_pieces(shape):
    layer, x = CumulativeNorm(4), 2 * torch.randn(shape) + 1
    torch.testing.assert_close(in_pieces(layer, x, [1, 9, 50], 2), layer(x).detach())


def test_cumulative_norms_begin_with_the_signal():
    """Frames of the stream before it count in no statistics."""
    layer, x = CumulativeNorm(4), torch.randn(2, 4, 10)
    wide = torch.cat([100 + torch.randn(2, 4, 3), x], -1)
    found = in_pieces(layer, wide, [2, 5, 6], 2, early=3)
    torch.testing.assert_close(found[..., 3:], layer(x).detach())


def test_cumulative_norms_stay_exact_for_an_hour():
    layer, x = CumulativeNorm(2), 0.1 * torch.randn(1, 2, 360_000) + 10
    expected = CumulativeNorm(2).double()(x.double()).float().detach()
    found = in_pieces(layer, x, 30_000, 2)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
