import pytest
import torch
from speechbrain.lobes.models.dual_path import Dual_Path_Model
from speechbrain.lobes.models.transformer.Transformer import PositionalEncoding
from torch import nn

from speechbrain_fusion.nnet.chunks import (
    count_chunks,
    cut_chunks,
    join_chunks,
    normalize,
    positions,
)
from speechbrain_fusion.nnet.padding import valid_steps

LENGTHS = [1, 3, 5, 9, 10, 11, 15, 25, 40, 47]


@pytest.mark.parametrize("frames", LENGTHS)
def test_chunks_are_upstreams(frames):
    upstream, x = Dual_Path_Model(4, 4, None, None, 0, K=10), torch.randn(2, 4, frames)
    expected, gap = upstream._Segmentation(x, 10)
    chunks = cut_chunks(x, 10)
    torch.testing.assert_close(chunks, expected.permute(0, 3, 2, 1))
    assert chunks.shape[1] == count_chunks(frames, 10)
    torch.testing.assert_close(
        join_chunks(chunks, frames), upstream._over_add(expected, gap)
    )


@pytest.mark.parametrize("frames", LENGTHS)
def test_a_padded_signal_begins_with_the_chunks_it_has_alone(frames):
    x = torch.randn(1, 3, frames)
    padded = torch.nn.functional.pad(x, (0, 33))
    own = int(count_chunks(torch.tensor(frames), 10))
    torch.testing.assert_close(cut_chunks(padded, 10)[:, :own], cut_chunks(x, 10))


@pytest.mark.parametrize("frames", LENGTHS)
def test_what_follows_an_items_chunks_is_not_heard_in_its_frames(frames):
    chunks = cut_chunks(torch.randn(1, 3, 60), 10)
    expected = join_chunks(chunks, 60)[..., :frames]
    chunks = chunks.clone()
    chunks[:, count_chunks(frames, 10) :] = torch.nan
    torch.testing.assert_close(join_chunks(chunks, 60)[..., :frames], expected)


def test_positions_are_upstreams_and_go_on_where_its_table_ends():
    expected = PositionalEncoding(16)(torch.zeros(1, 2500, 16))[0]
    torch.testing.assert_close(positions(2500, 16), expected)
    beyond = positions(6000, 16)
    torch.testing.assert_close(beyond[:2500], expected)
    assert beyond.unique(dim=0).shape == (6000, 16)
    # each pair of channels turns by the same angle between any two steps
    cosine = (beyond[5000] * beyond[5007]).sum()
    torch.testing.assert_close(
        cosine, (beyond[100] * beyond[107]).sum(), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("shape", [(2, 7, 3), (2, 4, 7, 3)])
def test_the_norm_is_a_group_norm_of_an_items_own_steps(shape):
    norm = nn.GroupNorm(1, 3).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = 5 + torch.randn(shape, dtype=torch.float64)
    expected = norm(x.movedim(-1, 1)).movedim(1, -1)
    torch.testing.assert_close(normalize(norm, x, None), expected)
    steps = torch.tensor([shape[1], 2])
    y = normalize(norm, x, valid_steps(steps, shape[1]))
    torch.testing.assert_close(y[:1], expected[:1])
    alone = norm(x[1:, :2].movedim(-1, 1)).movedim(1, -1)
    torch.testing.assert_close(y[1:, :2], alone)


@pytest.mark.parametrize("valid", [None, torch.ones(1, 400, dtype=torch.bool)])
def test_the_norm_is_computed_in_single_precision_in_autocast(valid):
    norm, x = nn.GroupNorm(1, 64), (3 + 0.1 * torch.randn(1, 400, 64)).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y = normalize(norm, x, valid)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y, normalize(norm, x.float(), valid).bfloat16())
