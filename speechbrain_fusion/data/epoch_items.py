"""The items of an epoch: what every data set here promises, and choices in turn.

A key is (epoch, index). All that is drawn for an item follows from its key and the
seed alone: it is the same for any number of workers, processes or restarts.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np
from torch.utils.data import Dataset

from speechbrain_fusion.data.batch import Example
from speechbrain_fusion.data.manifest import Entry

Plan = TypeVar("Plan")


class EpochItems(Dataset, ABC):
    """A data set whose items are asked for by (epoch, index).

    A subclass sets `size`, the number of items of an epoch, and makes them in `_made`.

    Raises
    ------
    TypeError
        For a key that is not a pair, as a loader without `EpochSampler` gives it.
    """

    size: int

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: tuple[int, int]) -> Example:
        """Make item `index` of an epoch, given as (epoch, index)."""
        if not isinstance(key, (tuple, list)) or len(key) != 2:
            raise TypeError(
                f"{type(self).__name__}: expected a key (epoch, index), got {key!r}; "
                "EpochSampler as a loader's sampler gives such keys, and Batch.collate "
                "as its collate_fn makes batches of the items"
            )
        epoch, index = key
        return self._made(epoch, index)

    @abstractmethod
    def _made(self, epoch: int, index: int) -> Example:
        """Make an item of an epoch; epochs count from one, items from zero."""


class PlannedItems(EpochItems, Generic[Plan]):
    """Items that are drawn first, which reads nothing, and made of what was drawn.

    A subclass sets `fixed` and draws in `_drawn`.

    Example
    -------
    >>> class Dice(PlannedItems[int]):
    ...     size, fixed = 4, False
    ...     def _drawn(self, epoch, index):
    ...         return int(np.random.default_rng([epoch, index]).integers(1, 7))
    ...     def _made(self, epoch, index):
    ...         return Example(f"throw {self.plan(epoch, index)}", {})
    >>> Dice()[1, 3] == Dice()[1, 3]
    True
    """

    fixed: bool

    def plan(self, epoch: int, index: int) -> Plan:
        """Draw an item.

        Arguments
        ---------
        epoch : int
            Counts from one; without effect on fixed items.
        index : int
            Place in the epoch.

        Returns
        -------
        Plan
            Everything that the item follows from: always the same for the same seed,
            epoch and index.
        """
        return self._drawn(0 if self.fixed else epoch, index)

    @abstractmethod
    def _drawn(self, epoch: int, index: int) -> Plan:
        """Draw an item; fixed ones all are of epoch 0."""


def in_turn(size: int, index: int, key: tuple[int, ...]) -> int:
    """Choose one of `size` things such that each comes once before any comes again.

    Arguments
    ---------
    size : int
        How many there are.
    index : int
        The place in the sequence of choices.
    key : tuple of int
        The seed of the orders, of which every round has its own.

    Returns
    -------
    int
        0 to size - 1.

    Example
    -------
    >>> sorted(in_turn(3, index, (7,)) for index in range(3, 6))
    [0, 1, 2]
    """
    turn, place = divmod(index, size)
    return int(order_of_turn(size, (*key, turn))[place])


def entry_in_turn(entries: Sequence[Entry], index: int, key: tuple[int, ...]) -> Entry:
    """Choose an entry such that each comes once before any comes again (`in_turn`).

    Example
    -------
    >>> entry_in_turn([{"name": "a"}], 5, (0,))
    {'name': 'a'}
    """
    return entries[in_turn(len(entries), index, key)]


# an epoch asks for one order again and again
@functools.lru_cache(maxsize=8)
def order_of_turn(size: int, key: tuple[int, ...]) -> np.ndarray:
    """Draw the order of `size` things in a turn.

    Arguments
    ---------
    size : int
        How many there are.
    key : tuple of int
        The seed of this order alone.

    Returns
    -------
    np.ndarray
        0 to size - 1 in any order, read-only.

    Example
    -------
    >>> sorted(order_of_turn(3, (7, 0)).tolist())
    [0, 1, 2]
    """
    order = np.random.default_rng(key).permutation(size)
    order.flags.writeable = False
    return order
