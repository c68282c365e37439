"""In which order and in which batches a loader takes a dataset's items."""

from collections.abc import Mapping
from typing import Any

import torch

from speechbrain_fusion.data.batch import Batch
from speechbrain_fusion.data.batching import DynamicBatches
from speechbrain_fusion.data.sampler import EpochSampler

LIMITS = ("max_batch_seconds", "max_batch_size")


def loader_options(
    dataset: Any, train: bool, seed: int, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Complete a loader's options with what decides on its order.

    Arguments
    ---------
    dataset : Dataset
        It takes keys (epoch, index); for `max_batch_seconds` it has `seconds`.
    train : bool
        Whether to shuffle.
    seed : int
        Of the order.
    options : mapping of str to Any
        A loader's; `max_batch_seconds` and `max_batch_size` stand for `DynamicBatches`.

    Returns
    -------
    dict of str to Any
        With `sampler`, or `batch_sampler` for training on dynamic batches.

    Raises
    ------
    ValueError
        If batches are to be dynamic of a data set that does not know its lengths.

    Example
    -------
    >>> sorted(loader_options(range(4), False, 0, {"batch_size": 2}))
    ['batch_size', 'collate_fn', 'generator', 'sampler']
    """
    # the loader must not draw from the states that a checkpoint restores
    given: dict[str, Any] = {
        "collate_fn": Batch.collate,
        "generator": torch.Generator(),
        **options,
    }
    limits = {name: given.pop(name, None) for name in LIMITS}
    if train and limits["max_batch_seconds"]:
        if not hasattr(dataset, "seconds"):
            raise ValueError(
                "train_loader.max_batch_seconds: expected null and a batch_size, "
                f"examples of {type(dataset).__name__} have no lengths of their own"
            )
        given.pop("batch_size", None)
        given["batch_sampler"] = DynamicBatches(
            dataset.seconds, len(dataset), seed=seed, **limits
        )
    else:
        size = given.setdefault("batch_size", 1)
        given["sampler"] = EpochSampler(len(dataset), size, seed, train)
    return given
