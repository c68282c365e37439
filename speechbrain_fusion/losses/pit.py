"""Permutation invariant SI-SDR: which estimate is which talker is left open.

Source: Kolbaek, Yu, Tan, Jensen: "Multitalker Speech Separation with Utterance-Level
Permutation Invariant Training of Deep Recurrent Neural Networks", IEEE/ACM TASLP, 2017.

SI-SDR needs three inner products of a pair, and no more. So all pairs of references and
estimates follow from one Gram matrix per item, and no signal is copied for any pair.
The error's energy is a difference of these products: they are summed in float64, where
15 digits keep errors down to -130 dB exact (float32 ends at -60 dB); so are the means,
which costs 1e-4 dB where an offset is 90 dB above its signal. Silence, padding
and offset are treated as in `losses.signal`, whose `FLOOR` holds here too.

Shapes are [batch, talkers, time]; `lengths` are SpeechBrain's relative lengths. A
permutation is [batch, talkers]: the number of the estimate that belongs to each
reference, so that `reorder` brings estimates into the references' order.
"""

import itertools
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch import distributed as dist

from speechbrain_fusion.losses.signal import FLOOR, REDUCTIONS, check_pair
from speechbrain_fusion.nnet.options import check_option
from speechbrain_fusion.nnet.padding import blank, own_samples
from speechbrain_fusion.nnet.processes import in_group
from speechbrain_fusion.nnet.shapes import check_axes

ENUMERATED = 3  # talkers; 3! sums are faster than a copy to the host, 4! are not


def pairwise_si_sdr_loss(
    reference: Tensor,
    estimate: Tensor,
    lengths: Tensor | None = None,
    zero_mean: bool = True,
    snr_weight: float = 0.0,
) -> Tensor:
    """Negative SI-SDR of every estimate against every reference, in dB.

    Arguments
    ---------
    reference : torch.Tensor
        Targets, shape [batch, talkers, time].
    estimate : torch.Tensor
        Same shape.
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1], shape [batch]; None for all of it.
    zero_mean : bool
        Take out the means over the valid samples first, as SI-SNR does.
    snr_weight : float
        How much of the negative SNR to add. A little of it fixes the estimates' level,
        which SI-SDR leaves free.

    Returns
    -------
    torch.Tensor
        Shape [batch, talkers (references), talkers (estimates)], float32 or float64.

    Raises
    ------
    ValueError
        If the shapes do not fit or are not [batch, talkers, time].

    Notes
    -----
    With mean products S = <s, s>, E = <y, y>, C = <s, y> and a = C / (S + FLOOR), the
    error |y - a s|^2 is E - a (2 C - a S); a = 1 in the SNR.

    Example
    -------
    >>> talkers = torch.tensor([[[1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]]])
    >>> swapped = talkers.flip(1) + 0.1 * talkers
    >>> pairwise_si_sdr_loss(talkers, swapped).round(decimals=3)
    tensor([[[ 20., -20.],
             [-20.,  20.]]])
    """
    si_sdr, snr = _pairs(reference, estimate, lengths, zero_mean, snr_weight)
    return si_sdr + snr


def _pairs(
    reference: Tensor,
    estimate: Tensor,
    lengths: Tensor | None,
    zero_mean: bool,
    snr_weight: float,
) -> tuple[Tensor, Tensor]:
    """Compute the SI-SDR's and the weighted SNR's part of all pairs' costs."""
    with torch.autocast(reference.device.type, enabled=False):
        signals = _stack(reference, estimate, lengths)
        gram = _Gram.apply(signals)
        gram = gram / gram[:, -1:, -1:].clamp(min=1)
        talkers = reference.shape[1]
        centred = gram - gram[:, -1:] * gram[:, -1:].mT if zero_mean else gram
        si_sdr = _si_sdr_loss(*_products(centred, talkers))
        snr = torch.zeros_like(si_sdr)
        if snr_weight:
            snr = snr_weight * _snr_loss(*_products(gram, talkers))
        return si_sdr.to(signals.dtype), snr.to(signals.dtype)


def _stack(reference: Tensor, estimate: Tensor, lengths: Tensor | None) -> Tensor:
    """Lay references, estimates and a row of ones one below the other, unpadded."""
    check_pair(reference, estimate, lengths)
    check_axes(reference, batch=None, talkers=None, time=None)
    ones = reference.new_ones(1, 1, 1, dtype=torch.float32).expand_as(reference[:, :1])
    signals = torch.cat([reference, estimate, ones], 1)
    return blank(signals, own_samples(signals, lengths))


class _Gram(torch.autograd.Function):
    """Inner products in float64 of float32 rows: [batch, rows, rows].

    Nothing of float64's size is kept for the gradient, which needs no such precision.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        wide = rows.double()
        return wide @ wide.mT

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (rows,) = ctx.saved_tensors
        return (grad + grad.mT).to(rows.dtype) @ rows


def _products(gram: Tensor, talkers: int) -> tuple[Tensor, Tensor, Tensor]:
    """Take powers of targets and of estimates, and what pairs have in common."""
    gram = gram[:, :-1, :-1]
    # rounding must make no energy negative, nor the error of a perfect estimate
    power = gram.diagonal(dim1=-2, dim2=-1).clamp(min=0)
    target, energy = power[:, :talkers, None], power[:, None, talkers:]
    return target, energy, gram[:, :talkers, talkers:]


def _si_sdr_loss(target: Tensor, energy: Tensor, common: Tensor) -> Tensor:
    """Negative SI-SDRs of all pairs in dB from their mean products."""
    scale = common / (target + FLOOR)
    error = (energy - scale * (2 * common - scale * target)).clamp(min=0)
    ratio = (target + FLOOR) * (error + FLOOR) / (common.square() + FLOOR**2)
    return 10 * torch.log10(ratio)


def _snr_loss(target: Tensor, energy: Tensor, common: Tensor) -> Tensor:
    """Negative SNRs of all pairs in dB from their mean products."""
    error = (energy - 2 * common + target).clamp(min=0)
    return 10 * torch.log10((error + FLOOR) / (target + FLOOR))


def best_permutation(costs: Tensor) -> Tensor:
    """Assign an estimate to every reference so that the costs' sum is least.

    All assignments are compared for up to three talkers; above that the Hungarian
    algorithm of SciPy finds the same on the host.

    Arguments
    ---------
    costs : torch.Tensor
        Finite, shape [batch, talkers (references), talkers (estimates)].

    Returns
    -------
    torch.Tensor
        The estimate of each reference, int64, shape [batch, talkers].

    Example
    -------
    >>> best_permutation(torch.tensor([[[5.0, 1.0], [2.0, 4.0]]]))
    tensor([[1, 0]])
    """
    costs, talkers = costs.detach(), costs.shape[-1]
    if talkers > ENUMERATED:
        # SciPy refuses NaN, which the loss will show
        finite = costs.nan_to_num().cpu().numpy()
        assigned = [linear_sum_assignment(item)[1] for item in finite]
        return torch.from_numpy(np.stack(assigned)).to(costs.device)
    orders = torch.tensor(
        list(itertools.permutations(range(talkers))), device=costs.device
    )
    totals = costs[:, torch.arange(talkers, device=costs.device), orders].sum(-1)
    return orders[totals.argmin(-1)]


def reorder(estimate: Tensor, permutation: Tensor) -> Tensor:
    """Bring estimates into the order of their references.

    Arguments
    ---------
    estimate : torch.Tensor
        Shape [batch, talkers, ...].
    permutation : torch.Tensor
        The estimate of each reference, shape [batch, talkers].

    Returns
    -------
    torch.Tensor
        Shape [batch, talkers, ...].

    Example
    -------
    >>> reorder(torch.tensor([[[1.0], [2.0]]]), torch.tensor([[1, 0]])).flatten()
    tensor([2., 1.])
    """
    items = torch.arange(len(estimate), device=estimate.device).unsqueeze(-1)
    return estimate[items, permutation]


def pit_si_sdr_loss(
    reference: Tensor,
    estimate: Tensor,
    lengths: Tensor | None = None,
    reduction: str = "mean",
    threshold: float | None = None,
    zero_mean: bool = True,
    snr_weight: float = 0.0,
) -> Tensor:
    """Negative SI-SDR in dB, mean over talkers, under each item's best permutation.

    Arguments
    ---------
    reference : torch.Tensor
        Targets, shape [batch, talkers, time].
    estimate : torch.Tensor
        Same shape, talkers in any order.
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1], shape [batch]; None for all of it.
    reduction : str
        "mean" over items, or "none".
    threshold : float, optional
        Items whose negative SI-SDR is at or below it, in dB, are left out of the mean,
        so that learning goes to what is not yet solved; -30 in the published systems.
        What is kept is counted over all ranks (`mean_over_ranks`), whose batches count
        alike, be they of unequally many items.
    zero_mean : bool
        Take out the means over the valid samples first, as SI-SNR does.
    snr_weight : float
        How much of the negative SNR to add; see `pairwise_si_sdr_loss`.

    Returns
    -------
    torch.Tensor
        A scalar, or shape [batch] with "none", to which no threshold is applied.

    Raises
    ------
    ValueError
        If the shapes do not fit or the reduction is unknown.

    Example
    -------
    >>> talkers = torch.tensor([[[1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]]])
    >>> swapped = talkers.flip(1) + 0.1 * talkers
    >>> pit_si_sdr_loss(talkers, swapped).round(decimals=3)
    tensor(-20.)
    """
    check_option("reduction", reduction, REDUCTIONS)
    si_sdr, snr = _pairs(reference, estimate, lengths, zero_mean, snr_weight)
    permutation = best_permutation(si_sdr + snr).unsqueeze(-1)
    scores = si_sdr.gather(-1, permutation).mean((-2, -1))
    values = scores + snr.gather(-1, permutation).mean((-2, -1))
    if reduction == "none":
        return values
    if threshold is None:
        return values.mean()
    total, count = sum_above(values, threshold, scores)
    return mean_over_ranks(total / len(values), count / len(values))


def sum_above(
    values: Tensor, threshold: float, scores: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Sum and count the items that are worse than a threshold.

    Arguments
    ---------
    values : torch.Tensor
        Losses of items, shape [batch].
    threshold : float
        In the unit of the scores.
    scores : torch.Tensor, optional
        What decides, shape [batch]; by default the losses.

    Returns
    -------
    total, count : torch.Tensor
        Scalars; of nothing they are zero, with a gradient of zero.

    Example
    -------
    >>> sum_above(torch.tensor([-35.0, -10.0, -5.0]), -30.0)
    (tensor(-15.), tensor(2))
    """
    judged = values if scores is None else scores
    kept = ~(judged <= threshold)  # NaN is kept: it must be seen
    return values.where(kept, 0.0).sum(), kept.sum()


def mean_over_ranks(total: Tensor, count: Tensor) -> Tensor:
    """Divide a rank's sum so that the mean of all ranks is the mean of all items.

    Data-parallel training averages the gradients of the ranks. Where ranks keep
    unequally many items the average of their means is not the mean of the whole batch.

    Arguments
    ---------
    total : torch.Tensor
        This rank's sum, a scalar.
    count : torch.Tensor
        This rank's number of items, or their share of its batch, a scalar.

    Returns
    -------
    torch.Tensor
        total * ranks / count of all ranks; zero if there are none.

    Example
    -------
    >>> mean_over_ranks(torch.tensor(-15.0), torch.tensor(2))
    tensor(-7.5000)
    """
    if not in_group():
        return total / _or_one(count)
    everywhere = count.detach().clone()
    dist.all_reduce(everywhere)
    return total * dist.get_world_size() / _or_one(everywhere)


def _or_one(count: Tensor) -> Tensor:
    """Replace a count of zero, by which nothing can be divided."""
    return count.where(count > 0, 1)
