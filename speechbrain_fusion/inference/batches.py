"""Signals of like length through a system together, as one padded batch."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from speechbrain_fusion.inference.long_audio import process_batch
from speechbrain_fusion.models.system import System


def group_by_length(
    lengths: Sequence[float], items: Sequence[int], short: float, room: float
) -> Iterator[list[int]]:
    """Put short signals of like length together, and any other alone.

    Arguments
    ---------
    lengths : sequence of float
        Of the signals, in any unit.
    items : sequence of int
        What each signal takes of a batch: its channels, if each is processed alone.
    short : float
        Length of the longest signal that is not alone.
    room : float
        Length of a batch, items one after another and padding included.

    Yields
    ------
    list of int
        Places in `lengths`, the shortest first.

    Example
    -------
    >>> list(group_by_length([9, 3, 2, 4, 1], [1] * 5, short=4, room=8))
    [[4, 2], [1, 3], [0]]
    """
    group: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        longest = lengths[place]
        size = longest * (items[place] + sum(items[other] for other in group))
        if group and (longest > short or size > room):
            yield group
            group = []
        group.append(place)
    if group:
        yield group


def process_padded(system: System, signals: Sequence[Tensor]) -> list[Tensor]:
    """Process signals of different lengths as one batch.

    Arguments
    ---------
    system : System
        In evaluation mode.
    signals : sequence of torch.Tensor
        Shape [items, inputs, time] each.

    Returns
    -------
    list of torch.Tensor
        Shape [items, outputs, time] each.

    Raises
    ------
    ValueError
        If the signals do not fit the system, or that is in training.

    Example
    -------
    >>> from speechbrain_fusion.models import TwoBranchEnhancer
    >>> system = TwoBranchEnhancer(units=2, groups=1).eval()
    >>> signals = [torch.randn(1, 1, samples) for samples in (9, 99)]
    >>> [y.shape[-1] for y in process_padded(system, signals)]
    [9, 99]
    """
    longest = max(x.shape[-1] for x in signals)
    padded = torch.cat([F.pad(x, (0, longest - x.shape[-1])) for x in signals])
    shares = torch.tensor([x.shape[-1] / longest for x in signals for _ in x])
    lengths = None if (shares == 1).all() else shares
    parts = process_batch(system, padded, lengths).split([len(x) for x in signals])
    return [y[..., : x.shape[-1]] for x, y in zip(signals, parts, strict=True)]
