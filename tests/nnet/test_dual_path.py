import pytest
import torch
from speechbrain.lobes.models.dual_path import (
    Dual_Path_Model,
    SBRNNBlock,
    SBTransformerBlock,
)

from speechbrain_fusion.nnet import dual_path
from speechbrain_fusion.nnet.dual_path import (
    DPRNNMasker,
    RecurrentPath,
    SepFormerMasker,
    TransformerPath,
)
from tests.nnet.memory import saved_bytes
from tests.nnet.parameters import jittered

MASKERS = ["dprnn", "sepformer"]


def make(kind, masks=2, blocks=2, **options):
    if kind == "dprnn":
        return DPRNNMasker(8, masks, blocks, hidden=6, chunk=10, **options)
    sizes = {"layers": 2, "heads": 2, "feedforward": 12, "dropout": 0.0}
    return SepFormerMasker(8, masks, blocks, chunk=10, **{**sizes, **options})


def upstream_of(kind):
    if kind == "dprnn":
        paths, linear = [SBRNNBlock(8, 6, 1) for _ in range(2)], True
    else:
        options = {"use_positional_encoding": True, "norm_before": True}
        paths = [SBTransformerBlock(2, 8, 2, 12, **options) for _ in range(2)]
        linear = False
    return Dual_Path_Model(
        8, 8, *paths, 2, K=10, linear_layer_after_inter_intra=linear
    ).eval()


def padded_pair(model, frames=(47, 23)):
    """An item alone, and beside a longer one."""
    long, short = (torch.rand(1, 8, n).to(next(model.parameters())) for n in frames)
    silence = short.new_zeros(1, 8, frames[0] - frames[1])
    batch = torch.cat([long, torch.cat([short, silence], 2)])
    return long, short, batch, torch.tensor(frames)


@pytest.mark.parametrize("kind", MASKERS)
@pytest.mark.parametrize("frames", [4, 25, 47])
def test_upstreams_weights_give_upstreams_masks(kind, frames):
    upstream, ours = jittered(upstream_of(kind)), make(kind).eval()
    weights = upstream.state_dict()
    tables = [name for name in weights if name.endswith("pos_enc.pe")]
    assert bool(tables) is (kind == "sepformer")
    for name in tables:
        weights.pop(name)
    ours.load_state_dict(weights)
    x = torch.rand(3, 8, frames)
    expected = upstream(x).transpose(0, 1)
    assert expected.abs().sum() > 0
    torch.testing.assert_close(ours(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", MASKERS)
@pytest.mark.parametrize("frames", [(47, 23), (60, 1), (26, 25), (41, 35)])
def test_an_item_of_a_padded_batch_gives_what_it_gives_alone(kind, frames):
    model = jittered(make(kind)).eval()
    long, short, batch, counts = padded_pair(model, frames)
    masks = model(batch, counts)
    assert masks.abs().sum() > 0
    torch.testing.assert_close(masks[:1], model(long), atol=1e-5, rtol=1e-5)
    alone = masks[1:, ..., : frames[1]]
    torch.testing.assert_close(alone, model(short), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", MASKERS)
def test_so_does_its_gradient(kind):
    model = jittered(make(kind)).double().train()
    _, short, batch, counts = padded_pair(model)
    batch[1, :, 23:] = 5.0  # what lies behind an item is not heard
    alone = model(short).square().sum()
    expected = torch.autograd.grad(alone, list(model.parameters()))
    beside = model(batch, counts)[1:, ..., :23].square().sum()
    ours = torch.autograd.grad(beside, list(model.parameters()))
    torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("kind", MASKERS)
def test_lengths_that_are_full_change_nothing(kind):
    model, x = make(kind).eval(), torch.rand(2, 8, 33)
    torch.testing.assert_close(model(x, torch.tensor([33, 33])), model(x))


@pytest.mark.parametrize("kind", MASKERS)
@pytest.mark.parametrize("masks", [1, 3])
def test_gradients_reach_all_parameters(kind, masks):
    model = make(kind, masks)
    model(torch.rand(2, 8, 47)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("kind", MASKERS)
@pytest.mark.parametrize("counts", [None, torch.tensor([47, 23])])
def test_checkpointing_gives_equal_masks_and_gradients(kind, counts):
    results, x = [], torch.rand(2, 8, 47)
    options = {} if kind == "dprnn" else {"dropout": 0.2}
    for checkpointing in (False, True):
        torch.manual_seed(1)
        model = make(kind, checkpointing=checkpointing, **options)
        masks = model(x, counts)
        grads = torch.autograd.grad(masks.square().sum(), list(model.parameters()))
        results.append((masks, grads))
    torch.testing.assert_close(results[1], results[0], atol=0, rtol=0)


def test_checkpointing_keeps_fewer_activations():
    x = torch.rand(2, 8, 47)
    plain, kept = (
        saved_bytes(make("sepformer", checkpointing=checkpointing), x)
        for checkpointing in (False, True)
    )
    assert kept < 0.4 * plain


@pytest.mark.parametrize("kind", MASKERS)
def test_bf16_stays_near_single_precision(kind):
    model, x = make(kind).eval(), torch.rand(2, 8, 47)
    with torch.autocast("cpu", torch.bfloat16):
        masks = model(x, torch.tensor([47, 23]))
    masks.float().square().sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    expected = model(x, torch.tensor([47, 23]))
    assert (masks.float() - expected).norm() < 0.1 * expected.norm()


@pytest.mark.parametrize("padded", [True, False])
def test_few_sequences_at_a_time_give_what_all_give(monkeypatch, padded):
    monkeypatch.setattr(dual_path, "STEPS_AT_ONCE", 45)
    path = jittered(TransformerPath(8, 2, 2, 12, dropout=0.0)).eval()
    x, heard = torch.randn(7, 20, 8), []
    steps = torch.tensor([20, 3, 7, 20, 1, 5, 9]) if padded else None
    path.mdl.norm.register_forward_hook(lambda _, given, y: heard.append(len(y)))
    whole = path(x, steps).detach()
    with torch.no_grad():
        torch.testing.assert_close(path(x, steps), whole)
    assert heard == [7, 2, 2, 2, 1]


def test_a_transformer_hears_more_steps_than_upstreams_table_has():
    model = TransformerPath(4, layers=1, heads=1, feedforward=4, dropout=0.0).eval()
    x = torch.randn(1, 2600, 4, requires_grad=True)
    gradient = torch.autograd.grad(model(x)[0, 0].square().sum(), x)[0]
    assert gradient[0, 2599].abs().sum() > 0


def test_positions_beyond_upstreams_table_are_told_apart():
    model = TransformerPath(4, layers=1, heads=1, feedforward=4, dropout=0.0).eval()
    y = model(torch.zeros(1, 2600, 4))
    assert not torch.allclose(y[:, 2520], y[:, 2560], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", MASKERS)
def test_an_item_of_more_chunks_than_upstreams_table_has_gives_what_it_gives_alone(
    kind,
):
    model = make(kind, blocks=1).eval()
    long, short, batch, counts = padded_pair(model, (13000, 12700))
    with torch.no_grad():
        masks = model(batch, counts)
        torch.testing.assert_close(masks[:1], model(long))
        alone = model(short)
    torch.testing.assert_close(masks[1:, ..., :12700], alone)


def test_dropout_is_as_wanted_and_none_by_default():
    x = torch.rand(1, 8, 47)
    for dropout, equal in (({}, True), ({"dropout": 0.5}, False)):
        torch.manual_seed(0)
        model = SepFormerMasker(8, 1, 1, 1, 2, 12, chunk=10, **dropout)
        assert torch.equal(model(x), model(x)) is equal


@pytest.mark.parametrize("kind", MASKERS)
def test_masks_never_turn_a_feature_around(kind):
    masks = jittered(make(kind))(torch.rand(2, 8, 47))
    assert masks.min() == 0 < masks.max()


def test_every_block_begins_with_its_own_weights():
    first, second = (block.intra_mdl for block in make("dprnn").dual_mdl)
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert not any(torch.equal(a, b) for a, b in pairs if a.dim() > 1)


def test_an_lstm_reads_a_short_sequence_backwards_from_its_own_end():
    path, x = RecurrentPath(3, 4), torch.randn(2, 9, 3)
    y = path(x, torch.tensor([9, 5]))
    torch.testing.assert_close(y[1:, :5], path(x[1:, :5]))
    assert (y[1:, 5:] == 0).all()
    assert not torch.allclose(y[1:, :5], path(x)[1:, :5])


@pytest.mark.parametrize("chunk", [0, 7])
def test_an_odd_chunk_is_refused(chunk):
    with pytest.raises(ValueError, match=f"chunk K: expected an even.*{chunk}"):
        DPRNNMasker(8, 1, 1, 4, chunk=chunk)
