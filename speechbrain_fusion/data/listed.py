"""Items that a manifest lists, taken whole or in segments."""

from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Any, TypeVar

from speechbrain_fusion.data.epoch_items import EpochItems, in_turn
from speechbrain_fusion.data.manifest import Entry, read_manifest
from speechbrain_fusion.data.options import check_segment

Items = TypeVar("Items", bound="ListedItems")


class ListedItems(EpochItems):
    """Listed items; training takes segments of them, evaluation all of each.

    With a segment the items come in an order that follows from the seed and the epoch,
    each once before any comes again. Without one they are whole and the same in every
    epoch; where fewer are wanted than there are, evenly spaced ones. A subclass says in
    `_made` what an item is.

    Arguments
    ---------
    manifest : Path or str
        The items.
    rate : int
        The wanted sample rate in Hz.
    segment : float, optional
        Seconds; by default whole items.
    count : int, optional
        Items of an epoch, by default all.
    seed : int
        With epoch and index it determines a segment.

    Raises
    ------
    AudioError
        If the manifest cannot be read.
    ValueError
        For a segment or a count that is not positive, or more whole items than there
        are.

    Example
    -------
    >>> from speechbrain_fusion.data.manifest import write_manifest
    >>> path = getfixture("tmp_path") / "items.json"
    >>> write_manifest(path, {"a": {}, "b": {}})
    >>> class Names(ListedItems):
    ...     def _made(self, epoch, index):
    ...         return self.pick(epoch, index)[0]
    >>> Names(path, 8000)[(1, 1)], len(Names(path, 8000, segment=1.0, count=5))
    ('b', 5)
    """

    def __init__(
        self,
        manifest: Path | str,
        rate: int,
        segment: float | None = None,
        count: int | None = None,
        seed: int = 0,
    ) -> None:
        check_segment(segment, rate)
        entries = list(read_manifest(manifest).items())
        size = len(entries) if count is None else count
        whole = isinstance(size, Integral) and size >= 1
        if not whole or (segment is None and size > len(entries)):
            most = "1 or more" if segment else f"1 to {len(entries)}"
            raise ValueError(f"{manifest}: expected {most} items, got {count}")
        if segment is None:
            entries = [entries[place * len(entries) // size] for place in range(size)]
        self.entries, self.size, self.rate = entries, size, rate
        self.segment, self.seed = segment, seed

    @classmethod
    def by_split(
        cls: type[Items],
        manifests: Mapping[str, Path],
        rate: int,
        segment: float | None,
        counts: Mapping[str, int | None],
        seeds: Mapping[str, int],
        **training: Any,
    ) -> dict[str, Items]:
        """Make the items of every split in `counts`.

        Segments and what else is given as options are for "train" alone.
        """
        return {
            split: cls(
                manifests[split],
                rate,
                count=count,
                seed=seeds[split],
                **({"segment": segment, **training} if split == "train" else {}),
            )
            for split, count in counts.items()
        }

    def pick(self, epoch: int, index: int) -> tuple[str, Entry]:
        """Choose an item's name and entry; each comes once before any comes again."""
        if self.segment is None:
            return self.entries[index]
        return self.entries[in_turn(len(self.entries), index, (self.seed, epoch))]
