"""Gradient modulation: keep auxiliary losses from working against the main one.

With the gradients G_0 of the main loss and G_1..G_n of auxiliary losses with respect to
shared parameters, an auxiliary gradient that conflicts with the main one is projected
on its normal plane:

    G_i' = G_i - (G_i.G_0 / |G_0|^2) G_0    if G_i.G_0 < 0,    else G_i
    update = G_0 + G_1' + ... + G_n'

The main gradient is never changed. `symmetric` is PCGrad instead: every gradient, the
main one too, is projected in turn on the normal planes of all others as they were.

Both need nothing but the products K_ij = G_i.G_j of each group of parameters: an update
is a weighted sum of the gradients, and its weights follow from K. Products and sums are
computed in float64, in which no square of a float32 over- or underflows (so not on
devices without it), some values at a time. Nothing waits for the device.

Source: Hu et al., "Unifying Speech Enhancement and Separation with Gradient Modulation
for End-to-End Noise-Robust Speech Separation", ICASSP 2023; Yu et al.,
"Gradient Surgery for Multi-Task Learning", NeurIPS 2020, Algorithm 1.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from speechbrain_fusion.nnet.options import check_option

GRANULARITIES = ("tensor", "module", "global", "none")
BLOCK = 2**15

Gradients = Sequence[Tensor | None]


@dataclass(frozen=True)
class ModulationStatistics:
    """What gradients were like, per group of parameters, before and after.

    Tensors are float64 and stay on the gradients' device. Task 0 is the main loss. A
    cosine with a gradient that is zero or missing is 0.

    Arguments
    ---------
    groups : tuple of str
        Names of the groups.
    cosine : torch.Tensor
        Between each auxiliary gradient and the main one, [groups, auxiliaries].
    total_cosine : torch.Tensor
        The same over all groups together, [auxiliaries].
    norm : torch.Tensor
        Norms of the gradients, [groups, tasks].
    modulated_norm : torch.Tensor
        Norms of what they became, [groups, tasks].

    Example
    -------
    >>> main, auxiliary = [torch.tensor([1.0, 0.0])], [torch.tensor([-3.0, 4.0])]
    >>> _, statistics = modulate_gradients(main, [auxiliary])
    >>> statistics.cosine.item(), statistics.conflict_rate.item()
    (-0.6, 1.0)
    >>> statistics.norm.tolist(), statistics.modulated_norm.tolist()
    ([[1.0, 5.0]], [[1.0, 4.0]])
    """

    groups: tuple[str, ...]
    cosine: Tensor
    total_cosine: Tensor
    norm: Tensor
    modulated_norm: Tensor

    @property
    def conflict(self) -> Tensor:
        """Whether an auxiliary gradient works against the main one, as `cosine`."""
        return self.cosine < 0

    @property
    def conflict_rate(self) -> Tensor:
        """Share of conflicts in the groups that both reach, [auxiliaries]."""
        both = (self.norm[:, :1] != 0) & (self.norm[:, 1:] != 0)
        return self.conflict.sum(0) / both.sum(0).clamp(min=1)

    def figures(self, names: Sequence[str]) -> dict[str, float]:
        """List what a log shows, over all groups together.

        Arguments
        ---------
        names : sequence of str
            Of the auxiliary losses, in the order in which they were given; a
            `GradientModulationBrain` sorts them.

        Returns
        -------
        dict of str to float
            For each loss cosine_<name>, conflict_<name> (rate of conflicts),
            norm_<name> (of its gradient, relative to the main one's) and kept_<name>
            (its norm after modulation relative to before); NaN where there is none.

        Example
        -------
        >>> main, auxiliary = [torch.tensor([1.0, 0.0])], [torch.tensor([-3.0, 4.0])]
        >>> _, statistics = modulate_gradients(main, [auxiliary])
        >>> statistics.figures(["noise"])  # doctest: +NORMALIZE_WHITESPACE
        {'cosine_noise': -0.6, 'conflict_noise': 1.0, 'norm_noise': 5.0,
         'kept_noise': 0.8}
        """
        norm, modulated = (
            torch.linalg.vector_norm(x, dim=0) for x in (self.norm, self.modulated_norm)
        )
        ratio = norm[1:] / norm[:1]
        # neither gradient is zero, missing or not finite
        both = (ratio > 0) & ratio.isfinite()
        rows = {
            "cosine": self.total_cosine.where(both, torch.nan),
            "conflict": self.conflict_rate.where(both, torch.nan),
            "norm": ratio,
            "kept": modulated[1:] / norm[1:],
        }
        table = torch.stack([row.double() for row in rows.values()]).tolist()
        return {
            f"{kind}_{name}": value
            for kind, values in zip(rows, table, strict=True)
            for name, value in zip(names, values, strict=True)
        }


def modulate_gradients(
    main: Gradients,
    auxiliaries: Sequence[Gradients],
    granularity: str = "tensor",
    symmetric: bool = False,
    groups: Sequence[str] | None = None,
    generator: torch.Generator | None = None,
    in_place: bool = False,
) -> tuple[list[Tensor | None], ModulationStatistics]:
    """Sum gradients of several losses, without what works against the main one.

    Arguments
    ---------
    main : sequence of torch.Tensor or None
        Gradients of the weighted main loss, one per parameter; None where there is
        none, which counts as zero.
    auxiliaries : sequence of the like
        Those of each weighted auxiliary loss, with respect to the same parameters.
    granularity : str
        What is projected as one vector: each "tensor" on its own, all of a "module",
        or all together ("global"). "none" projects nothing: the sum of all.
    symmetric : bool
        Project every gradient on the normal planes of all others (PCGrad).
    groups : sequence of str, optional
        Each parameter's module for granularity "module"; else a name of each parameter
        for the statistics.
    generator : torch.Generator, optional
        Draws the order of the projections if `symmetric` and there are more than two
        losses; without one it is the order in which they are given.
    in_place : bool
        Write the update into each parameter's first gradient, not into new memory.

    Returns
    -------
    gradients : list of torch.Tensor or None
        Update per parameter; None where no loss has a gradient.
    statistics : ModulationStatistics
        Per group; per parameter for granularity "none".

    Raises
    ------
    ValueError
        If the granularity is unknown or the sequences differ in length.

    Source: Hu et al. 2023 (asymmetric); Yu et al. 2020, Algorithm 1 (symmetric).

    Example
    -------
    >>> main, auxiliary = [torch.tensor([1.0, 0.0])], [torch.tensor([-1.0, 1.0])]
    >>> modulate_gradients(main, [auxiliary])[0]
    [tensor([1., 1.])]
    >>> modulate_gradients(main, [auxiliary], granularity="none")[0]
    [tensor([0., 1.])]
    >>> modulate_gradients(main, [auxiliary], symmetric=True)[0]
    [tensor([0.5000, 1.5000])]
    """
    members = _members(len(main), granularity, groups)
    lengths = [len(gradients) for gradients in auxiliaries]
    if any(length != len(main) for length in lengths):
        raise ValueError(f"expected {len(main)} gradients of each loss, got {lengths}")
    columns = list(zip(main, *auxiliaries, strict=True))
    tasks = 1 + len(auxiliaries)
    products = _products(columns, members.values(), tasks)
    order = _projections(tasks, granularity, symmetric, generator)
    weights = _project(products, order)
    update: list[Tensor | None] = [None] * len(main)
    for positions, row in zip(members.values(), weights.sum(1), strict=True):
        for position in positions:
            update[position] = _weighted_sum(columns[position], row, in_place)
    return update, _statistics(tuple(members), products, weights)


def _members(
    count: int, granularity: str, groups: Sequence[str] | None
) -> dict[str, list[int]]:
    """Return the positions of each group's parameters."""
    check_option("granularity", granularity, GRANULARITIES)
    if granularity == "module" and groups is None:
        raise ValueError("granularity 'module': expected groups, got none")
    if groups is not None and len(groups) != count:
        raise ValueError(f"groups: expected {count}, one each, got {len(groups)}")
    if granularity == "global":
        return {"global": list(range(count))}
    names = [str(position) for position in range(count)] if groups is None else groups
    members: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        members.setdefault(name, []).append(position)
    if granularity != "module" and len(members) < count:
        raise ValueError("groups: expected different names of the parameters")
    return members


def _first(column: Gradients) -> Tensor | None:
    return next((gradient for gradient in column if gradient is not None), None)


def _blocks(column: Gradients) -> Iterator[Tensor]:
    """Stack a parameter's gradients in double precision, `BLOCK` values at a time."""
    if (like := _first(column)) is None:
        return
    rows = [like.new_zeros(()).expand_as(like) if g is None else g for g in column]
    parts = zip(*(row.detach().reshape(-1).split(BLOCK) for row in rows), strict=True)
    yield from (torch.stack([row.double() for row in part]) for part in parts)


def _products(
    columns: Sequence[Gradients], members: Iterable[list[int]], tasks: int
) -> Tensor:
    """Multiply all gradients of a group with each other, [groups, tasks, tasks]."""
    like = _first([_first(column) for column in columns])
    device = None if like is None else like.device
    nothing = torch.zeros(tasks, tasks, dtype=torch.float64, device=device)
    sums = []
    for positions in members:
        blocks = chain.from_iterable(_blocks(columns[i]) for i in positions)
        sums.append(torch.stack([nothing, *(x @ x.mT for x in blocks)]).sum(0))
    return torch.stack(sums) if sums else nothing.expand(0, tasks, tasks)


def _projections(
    tasks: int, granularity: str, symmetric: bool, generator: torch.Generator | None
) -> list[tuple[int, int]]:
    """List which task's gradient is projected on which one's normal plane, in order."""
    if granularity == "none":
        return []
    if not symmetric:
        return [(task, 0) for task in range(1, tasks)]
    pairs = []
    for task in range(tasks):
        order = list(range(tasks))
        if generator is not None:
            order = torch.randperm(tasks, generator=generator).tolist()
        pairs += [(task, other) for other in order if other != task]
    return pairs


def _project(products: Tensor, projections: Sequence[tuple[int, int]]) -> Tensor:
    """Return how much of each gradient is in each modulated one.

    Arguments
    ---------
    products : torch.Tensor
        K, [groups, tasks, tasks].
    projections : sequence of tuple
        Tasks and those on whose normal planes they are projected.

    Returns
    -------
    torch.Tensor
        W, [groups, tasks, tasks], G_i' = sum_j W_ij G_j.
    """
    groups, tasks, _ = products.shape
    weights = torch.eye(tasks, dtype=products.dtype, device=products.device)
    weights = weights.expand(groups, tasks, tasks).clone()
    for task, other in projections:
        product = (weights[:, task] * products[:, other]).sum(-1)
        power = products[:, other, other]
        conflict = (product < 0) & (power > 0)
        weights[:, task, other] -= torch.where(conflict, product / power, 0.0)
    return weights


def _weighted_sum(column: Gradients, weights: Tensor, in_place: bool) -> Tensor | None:
    if (update := _first(column)) is None:
        return None
    if not in_place or not update.is_contiguous():
        update = torch.empty_like(update, memory_format=torch.contiguous_format)
    for part, rows in zip(update.view(-1).split(BLOCK), _blocks(column), strict=True):
        part.copy_(weights @ rows)
    return update


def _statistics(
    groups: tuple[str, ...], products: Tensor, weights: Tensor
) -> ModulationStatistics:
    modulated = weights @ products @ weights.mT
    return ModulationStatistics(
        groups,
        _cosine(products),
        _cosine(products.sum(0)),
        _norm(products),
        _norm(modulated),
    )


def _norm(products: Tensor) -> Tensor:
    # what cancels may come out below zero by rounding
    return products.diagonal(dim1=-2, dim2=-1).clamp(min=0.0).sqrt()


def _cosine(products: Tensor) -> Tensor:
    norm = _norm(products)
    scale = norm[..., :1] * norm[..., 1:]
    return torch.where(scale == 0, 0.0, products[..., 0, 1:] / scale)
