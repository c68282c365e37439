import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechbrain_fusion.brains.modulation import GRANULARITIES, modulate_gradients

SHAPES = [(3, 4), (5,), (2, 2, 2)]
GROUPS = {
    "tensor": [[0], [1], [2]],
    "module": [[0, 2], [1]],
    "global": [[0, 1, 2]],
    "none": [[0], [1], [2]],
}
MODULES = ["encoder", "decoder", "encoder"]


def gradients(seed, dtype=torch.float32, shapes=SHAPES):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=generator, dtype=dtype) for s in shapes]


def modulate(main, *auxiliaries, granularity="tensor", **options):
    groups = MODULES if granularity == "module" else None
    update, statistics = modulate_gradients(
        main, auxiliaries, granularity, groups=groups, **options
    )
    return update, statistics


def flat(tensors, positions):
    return torch.cat([tensors[i].double().flatten() for i in positions])


def onto_normal_plane(vector, normal):
    """Project by a basis of the line along the normal, found by Householder's QR."""
    basis, _ = torch.linalg.qr(normal[:, None])
    return vector - basis @ (basis.mT @ vector)


def reference(main, auxiliaries, granularity):
    """State the modulation in terms of torch.linalg, one row per group."""
    rows = []
    for positions in GROUPS[granularity]:
        normal = flat(main, positions)
        row = normal.clone()
        for auxiliary in auxiliaries:
            vector = flat(auxiliary, positions)
            # of directions: products of tiny vectors are no test of their sign
            unit = normal / torch.linalg.vector_norm(normal).clamp(min=1e-300)
            if granularity != "none" and torch.linalg.vecdot(unit, vector) < 0:
                vector = onto_normal_plane(vector, normal)
            row += vector
        rows.append(row)
    return rows


def assert_modulated(update, main, auxiliaries, granularity, tolerance):
    expected = reference(main, auxiliaries, granularity)
    for positions, row in zip(GROUPS[granularity], expected, strict=True):
        inputs = [flat(x, positions) for x in (main, *auxiliaries)]
        scale = max(float(torch.linalg.vector_norm(x)) for x in inputs)
        error = torch.linalg.vector_norm(flat(update, positions) - row)
        assert torch.isfinite(row).all()
        assert error <= tolerance * scale


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("auxiliaries", [0, 1, 2, 4])
@pytest.mark.parametrize("seed", range(5))
def test_random_gradients_are_projected(granularity, auxiliaries, seed):
    main = gradients(seed, torch.float64)
    others = [
        gradients(100 * i + seed, torch.float64) for i in range(1, 1 + auxiliaries)
    ]
    update, _ = modulate(main, *others, granularity=granularity)
    assert_modulated(update, main, others, granularity, 1e-14)


DIRECTIONS = {
    "parallel": lambda main: main,
    "opposite": lambda main: -main,
    "orthogonal": lambda main: main.roll(1) * torch.tensor([1.0, -1.0]).double(),
    "nearly orthogonal": lambda main: (
        main.roll(1) * torch.tensor([1.0, -1.0]).double() - 1e-12 * main
    ),
    "zero": torch.zeros_like,
}


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("main_size", [0.0, 1e-30, 1.0, 1e30])
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adversarial_gradients(direction, main_size, size, dtype):
    unit = torch.tensor([0.6, 0.8], dtype=torch.float64)
    main = (main_size * unit).to(dtype)
    auxiliary = (size * DIRECTIONS[direction](unit)).to(dtype)
    (update,), _ = modulate_gradients([main], [[auxiliary]])
    normal, vector = main.double(), auxiliary.double()
    # exact where the projection is; rounding of the auxiliary vector elsewhere
    conflict = float(torch.linalg.vecdot(normal / max(main_size, 1e-300), vector)) < 0
    expected = onto_normal_plane(vector, normal) if conflict else vector
    error = torch.linalg.vector_norm(update.double() - normal - expected)
    assert update.dtype == dtype
    assert torch.isfinite(update).all()
    assert error <= 4 * torch.finfo(dtype).eps * max(main_size, size)


def test_opposite_gradient_leaves_the_main_one():
    main = gradients(0, torch.float64)
    update, statistics = modulate(main, [-3 * x for x in main])
    for ours, theirs in zip(update, main, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-14)
    assert statistics.conflict.all()
    assert (statistics.modulated_norm[:, 1] <= 1e-7 * statistics.norm[:, 1]).all()


def test_agreeing_gradients_are_summed_to_the_bit():
    main = gradients(0)
    other = [x + 5 * y for x, y in zip(gradients(1), main, strict=True)]
    update, statistics = modulate(main, other)
    assert not statistics.conflict.any()
    for ours, x, y in zip(update, main, other, strict=True):
        assert torch.equal(ours, x + y)


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_what_modulation_leaves_never_works_against_the_main_gradient(granularity):
    main, other = gradients(3, torch.float64), gradients(4, torch.float64)
    update, _ = modulate(main, other, granularity=granularity)
    for positions in GROUPS[granularity]:
        normal = flat(main, positions)
        left = flat(update, positions) - normal
        against = torch.linalg.vecdot(left, normal)
        if granularity == "none":
            expected = torch.linalg.vecdot(flat(other, positions), normal)
            assert against == pytest.approx(float(expected), abs=1e-13)
        else:
            assert against >= -1e-13


@settings(deadline=None, max_examples=50)
@given(
    scales=st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=2),
    seed=st.integers(0, 1000),
)
def test_weights_scale_what_they_weigh(scales, seed):
    main, other = gradients(seed, torch.float64), gradients(seed + 1, torch.float64)
    update, _ = modulate(main, other)
    alone = [x - y for x, y in zip(update, main, strict=True)]
    first, second = (
        [s * x for x in g] for s, g in zip(scales, (main, other), strict=True)
    )
    scaled, _ = modulate(first, second)
    for ours, x, y in zip(scaled, first, alone, strict=True):
        size = float((x.abs() + scales[1] * y.abs()).max())
        torch.testing.assert_close(ours, x + scales[1] * y, rtol=0, atol=1e-12 * size)


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("symmetric", [False, True])
def test_result_shares_no_memory_and_changes_no_input(granularity, symmetric):
    for seed in range(4):
        inputs = [gradients(10 * seed + i) for i in range(3)]
        inputs[1][0] = inputs[2][2] = None
        before = [[None if x is None else x.clone() for x in g] for g in inputs]
        update, statistics = modulate(
            *inputs, granularity=granularity, symmetric=symmetric
        )
        kept = {
            x.untyped_storage().data_ptr() for g in inputs for x in g if x is not None
        }
        for tensor in update:
            assert tensor.untyped_storage().data_ptr() not in kept
            tensor.fill_(float("nan"))
        for now, then in zip(inputs, before, strict=True):
            for x, y in zip(now, then, strict=True):
                assert (x is None and y is None) or torch.equal(x, y)
        assert statistics.norm.isfinite().all()


def test_modulation_is_not_the_main_gradient_twice():
    # the published code kept the auxiliary gradient by reference, then overwrote it
    parameter = torch.tensor([1.0, 2.0], requires_grad=True)
    losses = [(parameter * torch.tensor(c)).sum() for c in ([1.0, 0.0], [-1.0, 1.0])]
    main, auxiliary = (list(torch.autograd.grad(x, [parameter])) for x in losses)
    update, statistics = modulate_gradients(main, [auxiliary])
    assert statistics.conflict.all()
    assert not torch.allclose(update[0], 2 * main[0])
    torch.testing.assert_close(update[0], torch.tensor([1.0, 1.0]))


def test_missing_gradients_count_as_zero():
    main, other = gradients(0), gradients(1)
    main[0], other[1] = None, None
    main[2] = other[2] = None
    update, statistics = modulate(main, other)
    assert torch.equal(update[0], other[0])
    assert torch.equal(update[1], main[1])
    assert update[2] is None
    assert statistics.cosine.tolist() == [[0.0], [0.0], [0.0]]
    zeros = [
        [torch.zeros(s) if x is None else x for s, x in zip(SHAPES, g, strict=True)]
        for g in (main, other)
    ]
    for granularity in ("module", "global"):
        ours, measured = modulate(main, other, granularity=granularity)
        theirs, expected = modulate(*zeros, granularity=granularity)
        assert torch.equal(ours[0], theirs[0])
        assert torch.equal(ours[1], theirs[1])
        torch.testing.assert_close(measured.cosine, expected.cosine)


@pytest.mark.parametrize("main", [[], [None, None]])
def test_no_gradient_at_all(main):
    update, statistics = modulate_gradients(main, [main], "tensor")
    assert update == main
    assert statistics.cosine.shape == (len(main), 1)
    assert statistics.conflict_rate.tolist() == [0.0]
    assert statistics.total_cosine.tolist() == [0.0]


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_shows_in_the_result(position, symmetric, value):
    for seed in range(4):
        tasks = [gradients(seed), gradients(seed + 10)]
        tasks[position][1][2] = value
        update, _ = modulate(*tasks, symmetric=symmetric)
        assert torch.isfinite(update[0]).all()
        assert not torch.isfinite(update[1]).all()


def pcgrad(rows):
    """Yu et al.'s Algorithm 1 on vectors, others in the order given."""
    modulated = []
    for i, row in enumerate(rows):
        left = row.clone()
        for j, other in enumerate(rows):
            if i != j and torch.linalg.vecdot(left, other) < 0:
                left = onto_normal_plane_of(left, other)
        modulated.append(left)
    return torch.stack(modulated)


def onto_normal_plane_of(vector, other):
    return vector - torch.linalg.vecdot(vector, other) / other.square().sum() * other


@pytest.mark.parametrize("tasks", [2, 3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_symmetric_is_pcgrad(tasks, seed):
    given_ = [gradients(20 * seed + i, torch.float64) for i in range(tasks)]
    update, statistics = modulate(*given_, granularity="global", symmetric=True)
    expected = pcgrad(torch.stack([flat(g, range(3)) for g in given_]))
    torch.testing.assert_close(flat(update, range(3)), expected.sum(0))
    norms = torch.linalg.vector_norm(expected, dim=-1)
    torch.testing.assert_close(statistics.modulated_norm[0], norms)


def test_order_of_projections_follows_the_generator():
    tasks = [gradients(i, torch.float64, [(3,)]) for i in range(5)]

    def update(seed):
        generator = torch.Generator().manual_seed(seed)
        return modulate_gradients(tasks[0], tasks[1:], "tensor", True, None, generator)[
            0
        ]

    assert torch.equal(update(1)[0], update(1)[0])
    assert len({tuple(update(seed)[0].tolist()) for seed in range(10)}) > 1


@pytest.mark.parametrize("seed", range(8))
def test_two_symmetric_tasks_equal_torchjd(seed):
    aggregation = pytest.importorskip("torchjd.aggregation")
    main, other = gradients(seed, torch.float64), gradients(seed + 50, torch.float64)
    update, _ = modulate(main, other, granularity="global", symmetric=True)
    matrix = torch.stack([flat(main, range(3)), flat(other, range(3))])
    torch.testing.assert_close(
        flat(update, range(3)), aggregation.PCGrad()(matrix), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_statistics(granularity):
    main, others = gradients(5), [gradients(6), gradients(7)]
    _, statistics = modulate(main, *others, granularity=granularity)
    names = {"module": ("encoder", "decoder"), "global": ("global",)}
    assert statistics.groups == names.get(granularity, ("0", "1", "2"))
    for group, positions in enumerate(GROUPS[granularity]):
        rows = torch.stack([flat(g, positions) for g in (main, *others)])
        cosine = torch.nn.functional.cosine_similarity(rows[:1], rows[1:])
        torch.testing.assert_close(statistics.cosine[group], cosine)
        norm = torch.linalg.vector_norm(rows, dim=-1)
        torch.testing.assert_close(statistics.norm[group], norm)
        sine = torch.cat([torch.ones(1), (1 - cosine.clamp(max=0.0) ** 2).sqrt()])
        modulated = norm if granularity == "none" else norm * sine
        torch.testing.assert_close(statistics.modulated_norm[group], modulated)
    torch.testing.assert_close(
        statistics.conflict_rate.double(), (statistics.cosine < 0).double().mean(0)
    )
    everything = torch.stack([flat(g, range(3)) for g in (main, *others)])
    torch.testing.assert_close(
        statistics.total_cosine,
        torch.nn.functional.cosine_similarity(everything[:1], everything[1:]),
    )


def test_conflict_rate_counts_groups_that_both_reach():
    main = [torch.ones(2), torch.ones(2), None, torch.ones(2)]
    other = [-torch.ones(2), torch.ones(2), torch.ones(2), torch.zeros(2)]
    _, statistics = modulate_gradients(main, [other])
    assert statistics.conflict_rate.tolist() == [0.5]


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_nothing_waits_for_the_device(granularity):
    # tensors without values: to read one on the host is an error
    tasks = [[torch.empty(s, device="meta") for s in SHAPES] for _ in range(3)]
    update, statistics = modulate(*tasks, granularity=granularity, symmetric=True)
    assert [tuple(x.shape) for x in update] == SHAPES
    assert statistics.conflict_rate.is_meta


def test_lower_precision_is_rounded_once():
    main, other = (gradients(i, torch.bfloat16) for i in (0, 1))
    update, _ = modulate(main, other)
    exact, _ = modulate([x.double() for x in main], [x.double() for x in other])
    for ours, theirs in zip(update, exact, strict=True):
        assert torch.equal(ours, theirs.bfloat16())


def test_gradients_of_any_layout():
    main, other = gradients(0, shapes=[(4, 6)]), gradients(1, shapes=[(6, 4)])
    (update,), _ = modulate_gradients(main, [[other[0].T]])
    (expected,), _ = modulate_gradients(main, [[other[0].T.contiguous()]])
    assert torch.equal(update, expected)
    expanded = torch.tensor(2.0).expand(4, 6)
    (update,), _ = modulate_gradients([expanded], [[expanded]])
    assert torch.equal(update, torch.full((4, 6), 4.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"granularity": "layer"}, "granularity: expected one of .*'layer'"),
        ({"granularity": "module"}, "expected groups, got none"),
        ({"granularity": "module", "groups": ["a"]}, "groups: expected 3, .* got 1"),
        ({"groups": ["a", "a", "b"]}, "expected different names"),
        ({"auxiliaries": [gradients(1)[:2]]}, r"expected 3 gradients .*, got \[2\]"),
    ],
)
def test_bad_input(arguments, message):
    arguments = {"auxiliaries": [gradients(1)], **arguments}
    with pytest.raises(ValueError, match=message):
        modulate_gradients(gradients(0), **arguments)


def test_in_place_the_main_gradients_become_the_update():
    draw = torch.Generator().manual_seed(3)
    main, auxiliary = (
        [torch.randn(shape, generator=draw) for shape in ((3, 4), (70_000,))]
        for _ in range(2)
    )
    expected, _ = modulate_gradients(main, [auxiliary])
    kept = [gradient.clone() for gradient in auxiliary]
    update, _ = modulate_gradients(main, [auxiliary], in_place=True)
    for gradient, found, wanted in zip(main, update, expected, strict=True):
        assert found.data_ptr() == gradient.data_ptr()
        assert torch.equal(found, wanted)
    for gradient, before in zip(auxiliary, kept, strict=True):
        assert torch.equal(gradient, before)
