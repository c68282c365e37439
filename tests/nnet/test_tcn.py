import pytest
import torch
import torch.nn.functional as F

from speechbrain_fusion.nnet import TemporalConvNet
from tests.nnet.memory import saved_bytes


def test_the_output_is_the_sum_of_every_blocks_skip():
    tcn, x = (
        TemporalConvNet(6, 4, 8, 5, 3, blocks=2, repeats=2),
        torch.randn(2, 1, 6, 9),
    )
    total, hidden = 0, tcn.bottleneck(tcn.input_norm(x))
    for index, block in enumerate(tcn.blocks):
        update = block(hidden, *tcn.norms[2 * index : 2 * index + 2])
        total, hidden = total + block.skip(update), hidden + update
    torch.testing.assert_close(tcn(x), total)


@pytest.mark.parametrize("taps", [3, 128])
def test_a_causal_network_does_not_hear_the_future(taps):
    tcn, x = (
        TemporalConvNet(6, 4, 8, 5, taps, blocks=2, repeats=1),
        torch.randn(1, 1, 6, 90),
    )
    later = x.clone()
    later[..., 60:] += 1
    torch.testing.assert_close(tcn(later)[..., :60], tcn(x)[..., :60])


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("checkpointing", [True, False])
def test_training_in_bf16_keeps_every_gradient_near_the_single_precision_one(
    causal, checkpointing
):
    torch.manual_seed(0)
    options = {"causal": causal, "checkpointing": checkpointing}
    tcn = TemporalConvNet(16, 8, 16, 8, 9, blocks=2, repeats=1, **options)
    x, grads = torch.randn(2, 1, 16, 200), []
    for enabled in (False, True):
        tcn.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            y = tcn(x)
        y.float().square().mean().backward()
        grads.append(torch.cat([p.grad.flatten() for p in tcn.parameters()]))
    assert y.dtype == torch.bfloat16
    assert F.cosine_similarity(*grads, dim=0) > 0.99


@pytest.mark.slow
@pytest.mark.parametrize(("taps", "causal"), [(3, False), (128, True)])
@pytest.mark.parametrize("checkpointing", [True, False])
def test_a_compiled_network_has_the_same_gradients(taps, causal, checkpointing):
    options = {"causal": causal, "ears": 2, "checkpointing": checkpointing}
    tcn = TemporalConvNet(4, 4, 4, 4, taps, blocks=1, repeats=1, **options)
    compiled, x = torch.compile(tcn, backend="aot_eager"), torch.randn(2, 2, 4, 300)
    grads = [
        torch.autograd.grad(network(x).square().sum(), list(tcn.parameters()))
        for network in (tcn, compiled)
    ]
    for plain, other in zip(*grads, strict=True):
        assert (plain - other).norm() < 1e-5 * plain.norm()


@pytest.mark.slow
@pytest.mark.parametrize("causal", [True, False])
def test_a_compiled_network_takes_any_length(causal):
    # one block: compiling takes long
    tcn = TemporalConvNet(4, 4, 4, 4, 3, blocks=1, repeats=1, causal=causal)
    compiled = torch.compile(tcn, dynamic=True)
    for frames in (300, 301, 77):
        x = torch.randn(2, 1, 4, frames)
        grads = [
            torch.autograd.grad(network(x).square().sum(), list(tcn.parameters()))
            for network in (tcn, compiled)
        ]
        for plain, other in zip(*grads, strict=True):
            assert (plain - other).norm() < 1e-4 * plain.norm()


@pytest.mark.slow
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("share_norms", [True, False])
@pytest.mark.parametrize("padded", [True, False])
def test_checkpointing_changes_neither_output_nor_gradients(
    causal, share_norms, padded
):
    x = torch.randn(2, 2, 6, 40, dtype=torch.float64, requires_grad=True)
    mask = torch.ones(2, 1, 1, 40).double()
    mask[1, ..., 30:] = 0
    results = []
    for checkpointing in (False, True):
        torch.manual_seed(1)
        tcn = TemporalConvNet(
            6, 4, 8, 5, 3, 2, 2, causal, share_norms, 2, checkpointing=checkpointing
        ).double()
        y = tcn(x, mask if padded else None)
        wanted = [x, *tcn.parameters()]
        results.append((y, *torch.autograd.grad(y.square().sum(), wanted)))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("causal", [True, False])
def test_with_checkpointing_a_block_keeps_its_input_alone(causal):
    x, kept = torch.randn(2, 1, 16, 300), []
    for repeats in (1, 3):
        tcn = TemporalConvNet(16, 8, 32, 16, 3, 4, repeats, causal, checkpointing=True)
        kept.append(saved_bytes(tcn, x))
    further, bottleneck = 2 * 4, x[:, :, :8]
    assert kept[1] - kept[0] == further * bottleneck.numel() * x.element_size()
    tcn.checkpointing = False
    assert saved_bytes(tcn, x) > 10 * kept[1]


def test_without_gradients_checkpointing_is_idle():
    tcn, x = (
        TemporalConvNet(6, 4, 8, 5, 3, 2, 2, checkpointing=True),
        torch.randn(2, 1, 6, 9),
    )
    with torch.no_grad():
        evaluated = tcn(x)
        tcn.checkpointing = False
        assert torch.equal(evaluated, tcn(x))


def test_gradients_are_clipped_once():
    """Gradients that share memory would be scaled once for each parameter."""
    tcn = TemporalConvNet(6, 4, 5, 7, 3, blocks=2, repeats=2)
    tcn(torch.randn(2, 1, 6, 30)).square().sum().backward()
    gradients = [p.grad for p in tcn.parameters() if p.grad is not None]
    torch.nn.utils.clip_grad_norm_(tcn.parameters(), 0.5)
    norm = torch.linalg.vector_norm(torch.cat([g.flatten() for g in gradients]))
    torch.testing.assert_close(norm, torch.tensor(0.5), rtol=1e-4, atol=0)


@pytest.mark.parametrize("size", ["kernel_size", "blocks", "repeats"])
def test_a_network_of_nothing_is_refused(size):
    sizes = {"kernel_size": 3, "blocks": 2, "repeats": 2, size: 0}
    with pytest.raises(ValueError, match=f"{size}: expected 1 or more, got 0"):
        TemporalConvNet(6, 4, 5, 7, **sizes)
