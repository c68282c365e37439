"""Which items an epoch takes, in which order, on which process."""

from collections.abc import Iterator

import torch
from torch import distributed
from torch.utils.data import Sampler

from speechbrain_fusion.nnet.processes import in_group

Key = tuple[int, int]


class EpochSampler(Sampler[Key]):
    """Keys (epoch, index) of one process, from the seed, the epoch and the size alone.

    For training an epoch is one permutation, cut into the global batches of all
    processes together, of which each takes its part: N processes with batches of B see
    step by step what one process with batches of N B sees. What does not fill a global
    batch is left out. For evaluation every item is taken, in order and in turn; where
    the processes' shares differ, the first items come again, so that all make the
    same number of steps.

    Arguments
    ---------
    size : int
        Items of an epoch.
    batch_size : int
        Items of a batch of one process.
    seed : int
        Of the permutations.
    train : bool
        Whether to shuffle and leave out what does not fill a batch.
    rank, world : int, optional
        This process and their number, by default those of torch.distributed.

    Raises
    ------
    ValueError
        If a batch has no item, or a training epoch does not fill one global batch.

    Example
    -------
    >>> sampler = EpochSampler(4, batch_size=1, seed=0, rank=0, world=2)
    >>> other = EpochSampler(4, batch_size=1, seed=0, rank=1, world=2)
    >>> sorted([*sampler, *other])
    [(1, 0), (1, 1), (1, 2), (1, 3)]
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        seed: int,
        train: bool = True,
        rank: int | None = None,
        world: int | None = None,
    ) -> None:
        self.rank, self.world = this_process(rank, world)
        self.size, self.batch_size, self.seed, self.train = (
            size,
            batch_size,
            seed,
            train,
        )
        self.epoch = 1
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size: expected 1 at least, got {batch_size}")
        if train and size < batch_size * self.world:
            raise ValueError(
                f"{size} items do not fill one batch of {batch_size} on each of "
                f"{self.world} processes"
            )

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next."""
        self.epoch = epoch

    @property
    def own(self) -> int:
        """Number of an epoch's keys that no other process has: all but a repetition."""
        if self.train:
            return len(self)
        return len(range(self.rank, self.size, self.world))

    def __len__(self) -> int:
        if self.train:
            return self.size // (self.batch_size * self.world) * self.batch_size
        return -(-self.size // self.world)

    def __iter__(self) -> Iterator[Key]:
        if self.train:
            generator = epoch_generator(self.seed, self.epoch)
            order = torch.randperm(self.size, generator=generator)
            full = len(self) * self.world
            batches = order[:full].view(-1, self.world, self.batch_size)
            mine = batches[:, self.rank].flatten().tolist()
        else:
            places = range(self.rank, len(self) * self.world, self.world)
            mine = [place % self.size for place in places]
        return iter([(self.epoch, index) for index in mine])


def this_process(rank: int | None = None, world: int | None = None) -> tuple[int, int]:
    """Tell which process this is, of how many.

    Arguments
    ---------
    rank, world : int, optional
        What is known of it; by default torch.distributed knows.

    Returns
    -------
    tuple of int
        Rank and number of processes.

    Example
    -------
    >>> this_process(), this_process(1, 3)
    ((0, 1), (1, 3))
    """
    ready = in_group()
    if rank is None:
        rank = distributed.get_rank() if ready else 0
    if world is None:
        world = distributed.get_world_size() if ready else 1
    return rank, world


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """Make the generator of an epoch's order.

    Example
    -------
    >>> orders = [torch.randperm(9, generator=epoch_generator(0, 3)) for _ in "ab"]
    >>> torch.equal(*orders)
    True
    """
    return torch.Generator().manual_seed(seed * 1_000_003 + epoch)
