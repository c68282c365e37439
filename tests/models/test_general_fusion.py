import pytest
import torch

from speechbrain_fusion.models.general_fusion import GeneralFusionModel


def draw(seed=0, samples=60, sizes=(5, 7, 3), correlation=0.0, right=1.0):
    """Draw inputs of any correlation and right scale, and targets of both inputs."""
    generator = torch.Generator().manual_seed(seed)
    z, *own = torch.randn(
        3, samples, sizes[0], generator=generator, dtype=torch.float64
    )
    x = correlation**0.5 * z + (1 - correlation) ** 0.5 * torch.stack(own)
    maps = torch.randn(2, sizes[0], sizes[2], generator=generator, dtype=torch.float64)
    y = (x[0] @ maps[0]) * (x[1] @ maps[1]) + x[0] @ maps[1]
    return x * torch.tensor([1.0, right]).view(2, 1, 1), y.expand(2, -1, -1)


def make(fuse=True, bias=False, sizes=(5, 7, 3)):
    generator = torch.Generator().manual_seed(7)
    scales = (0.8, 0.3)
    model = GeneralFusionModel(*sizes, fuse, bias, scales, generator)
    return model.double()


def train(model, x, y, rate, time, optimizer=torch.optim.SGD, **options):
    """Descend for a given time, in steps of the rate."""
    descent = optimizer(model.parameters(), lr=rate, **options)
    for _ in range(round(time / rate)):
        descent.zero_grad()
        (model(x) - y).square().mean().backward()
        descent.step()


def squared_norms(model):
    """Of the left and right encoder's rows and both decoders' columns, [3, hidden]."""
    encoder, decoder = model.encoder.detach(), model.decoder.detach()
    return torch.cat([encoder.square().sum(-1), decoder.square().sum((0, 1))[None]])


def drift_and_change(model, x, y, rate, time=4.0, **options):
    """Return the most that the rows' differences and the norms themselves changed."""
    before = squared_norms(model)
    train(model, x, y, rate, time, **options)
    after = squared_norms(model)
    drift = (after - after[:1]) - (before - before[:1])
    return drift.abs().amax(1)[1:], (after - before).abs().max()


def test_outputs_are_the_papers_equations():
    x, _ = draw()
    for fuse in (False, True):
        model = make(fuse)
        h = [weight @ x[i].T for i, weight in enumerate(model.encoder)]
        met = [h[0] * h[1]] * 2 if fuse else h
        expected = torch.stack(
            [(v @ a).T for v, a in zip(model.decoder, met, strict=True)]
        )
        torch.testing.assert_close(model(x), expected)


def test_bias_is_an_input_of_one():
    x, _ = draw()
    biased, plain = make(bias=True), make(sizes=(6, 7, 3))
    plain.load_state_dict(biased.state_dict())
    one = torch.cat([x, torch.ones(2, 60, 1, dtype=torch.float64)], -1)
    torch.testing.assert_close(biased(x), plain(one))


def test_fusion_adds_no_parameter_and_is_even_without_bias():
    x, _ = draw()
    fused, independent = make(True), make(False)
    assert sum(p.numel() for p in fused.parameters()) == sum(
        p.numel() for p in independent.parameters()
    )
    torch.testing.assert_close(fused(-x), fused(x))
    torch.testing.assert_close(independent(-x), -independent(x))
    assert (make(bias=True)(-x) - make(bias=True)(x)).abs().max() > 0.01


def test_independent_sides_do_not_meet_and_fused_do():
    x, _ = draw()
    changed = x * torch.tensor([1.0, 3.0]).view(2, 1, 1)
    assert torch.equal(make(False)(changed)[0], make(False)(x)[0])
    torch.testing.assert_close(make(True)(changed), 3 * make(True)(x))


@pytest.mark.slow
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("correlation", "right"), [(0.0, 1.0), (0.7, 1.0), (1.0, 1.0), (0.3, 2.0)]
)
def test_descent_conserves_the_difference_of_the_rows_norms(bias, correlation, right):
    """Whatever the inputs' scales and correlation; up to the square of the step."""
    x, y = draw(correlation=correlation, right=right)
    coarse, _ = drift_and_change(make(bias=bias), x, y, 1e-2)
    fine, change = drift_and_change(make(bias=bias), x, y, 5e-3)
    assert change > 0.1
    assert fine.max() < 0.02 * change
    torch.testing.assert_close(coarse, 2 * fine, rtol=0.1, atol=0)


def test_nothing_ties_independent_sides():
    x, y = draw()
    drift, change = drift_and_change(make(False), x, y, 5e-3)
    assert drift[0] > 0.3 * change


@pytest.mark.slow
def test_conservation_needs_one_rate_for_all_weights():
    x, y = draw()
    drift, change = drift_and_change(
        make(), x, y, 1e-3, time=1.0, optimizer=torch.optim.Adam
    )
    assert drift[0] > 0.05 * change
    drift, change = drift_and_change(make(), x, y, 5e-3, weight_decay=0.1)
    assert drift[0] > 0.05 * change


@pytest.mark.slow
def test_equal_norms_do_not_equal_the_scales_of_inputs():
    """What is conserved are norms: a weaker input's latent stays the weaker."""
    x, y = draw(right=0.5)
    model = GeneralFusionModel(5, 7, 3, scales=(0.1, 0.1)).double()
    train(model, x, y, 2e-2, time=30.0)
    left, right = squared_norms(model)[:2].sum(1)
    assert right / left == pytest.approx(1.0, abs=0.05)
    left, right = model.latents(x).var(1).mean(-1)
    assert 0.1 < right / left < 0.5


@pytest.mark.parametrize("shape", [(2, 10, 4), (3, 10, 5), (2, 5), (1, 2, 10, 5)])
def test_wrong_inputs_are_named(shape):
    with pytest.raises(ValueError, match=r"\[2 sides, samples, 5 inputs\]"):
        make()(torch.zeros(shape, dtype=torch.float64))
