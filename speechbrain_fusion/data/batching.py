"""Which items make a batch: those of like length, as many as fit."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch.utils.data import Sampler

from speechbrain_fusion.data.sampler import Key, epoch_generator, this_process

# Lengths as near as this are mixed: an epoch's batches are not the next one's.
LIKE = 0.1


class DynamicBatches(Sampler[list[Key]]):
    """Batches of keys (epoch, index) that hold as many items as their length allows.

    For training, as a loader's `batch_sampler`. Batches have items of like length and
    come in random order. All follows from the seed, the epoch and the lengths alone:
    N processes take turns at the batches that one process takes one by one. What does
    not fill a turn is left out. A batch counts as one step, whatever its size: items
    of a small batch weigh more.

    This package's Brains say which epoch it is and leave the sampler as it is.
    Upstream's Brain would split the batches a second time between processes.

    Arguments
    ---------
    seconds : callable
        Maps a key (epoch, index) to the item's length, as the method of `Mixtures` and
        `DynamicMixtures` does.
    size : int
        Items of an epoch.
    max_batch_seconds : float
        Bound of a batch's number of items times the seconds of the longest, padding
        included. An item that is longer is alone.
    seed : int
        Of the order.
    max_batch_size : int, optional
        Bound of the number of items.
    rank, world : int, optional
        This process and their number, by default those of torch.distributed.

    Raises
    ------
    ValueError
        For an option out of its range; when an epoch begins, if an item has no length
        or there are fewer batches than processes.

    Example
    -------
    >>> lengths = [1.0, 4.0, 1.0, 4.0, 1.0, 9.0]
    >>> batches = DynamicBatches(lambda key: lengths[key[1]], 6, 8.0, seed=0)
    >>> sorted(sorted(index for _, index in batch) for batch in batches)
    [[0, 2, 4], [1, 3], [5]]
    """

    def __init__(
        self,
        seconds: Callable[[Key], float],
        size: int,
        max_batch_seconds: float,
        seed: int,
        max_batch_size: int | None = None,
        rank: int | None = None,
        world: int | None = None,
    ) -> None:
        if not max_batch_seconds > 0:
            raise ValueError(
                f"max_batch_seconds: expected more than 0, got {max_batch_seconds}"
            )
        if max_batch_size is not None and max_batch_size < 1:
            raise ValueError(
                f"max_batch_size: expected 1 at least, got {max_batch_size}"
            )
        self.rank, self.world = this_process(rank, world)
        self.seconds, self.size, self.seed = seconds, size, seed
        self.max_batch_seconds = max_batch_seconds
        self.max_batch_size = max_batch_size
        self.epoch = 1
        self._kept: tuple[int, list[list[Key]]] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._all()) // self.world

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self._all()[self.rank : len(self) * self.world : self.world])

    def _all(self) -> list[list[Key]]:
        """Keep the epoch's batches: a loader asks for their number, then for them."""
        if self._kept is None or self._kept[0] != self.epoch:
            self._kept = self.epoch, self._make()
        return self._kept[1]

    def _make(self) -> list[list[Key]]:
        """Make the batches of all processes, in order."""
        generator = epoch_generator(self.seed, self.epoch)
        lengths = self._lengths()
        spread = 1 + LIKE * torch.rand(self.size, generator=generator)
        order = (lengths * spread).argsort(stable=True)
        limits = self.max_batch_seconds, self.max_batch_size
        parts = order.split(cut_batches(lengths[order].tolist(), *limits))
        if len(parts) < self.world:
            raise ValueError(
                f"{self.size} items make {len(parts)} batches of {limits[0]} s, "
                f"expected one for each of {self.world} processes"
            )
        turns = torch.randperm(len(parts), generator=generator).tolist()
        return [[(self.epoch, i) for i in parts[turn].tolist()] for turn in turns]

    def _lengths(self) -> torch.Tensor:
        """Ask for the epoch's lengths in seconds, [size]."""
        keys = [(self.epoch, index) for index in range(self.size)]
        lengths = torch.tensor([self.seconds(key) for key in keys], dtype=torch.float64)
        wrong = ~(lengths.isfinite() & (lengths > 0))
        if wrong.any():
            index = int(wrong.nonzero()[0])
            raise ValueError(
                f"seconds: expected more than 0 for {keys[index]}, got {lengths[index]}"
            )
        return lengths


def cut_batches(
    seconds: Sequence[float], max_seconds: float, max_size: int | None = None
) -> list[int]:
    """Cut a sequence of items into batches, each as large as it can be.

    Arguments
    ---------
    seconds : sequence of float
        The items' lengths, in the order in which they fill batches.
    max_seconds : float
        Bound of a batch's number of items times the longest; a longer item is alone.
    max_size : int, optional
        Bound of the number of items.

    Returns
    -------
    list of int
        Numbers of items; they sum up to all.

    Example
    -------
    >>> cut_batches([1.0, 1.0, 2.0, 3.0, 9.0], 6.0)
    [3, 1, 1]
    """
    sizes: list[int] = []
    longest, most = 0.0, max_size or len(seconds)
    for length in seconds:
        longest = max(longest, length)
        if sizes and sizes[-1] < most and (sizes[-1] + 1) * longest <= max_seconds:
            sizes[-1] += 1
        else:
            sizes.append(1)
            longest = length
    return sizes
