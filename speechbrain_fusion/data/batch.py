"""Batches of named multichannel signals, padded at the end."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass
class Example:
    """One item of a data set.

    Attributes
    ----------
    id : str
        Its name.
    signals : dict of str to torch.Tensor
        Each [channels, time].
    info : dict
        What is known of it.
    """

    id: str
    signals: dict[str, Tensor]
    info: dict[str, Any] = field(default_factory=dict)


@dataclass
class Batch:
    """Several items, padded with zeros to the longest.

    Arguments
    ---------
    ids : list of str
        The items' names.
    signals : dict of str to Tensor
        Each [batch, channels, time]; `batch["mixture"]` is short for one.
    lengths : Tensor
        Relative lengths [batch], as SpeechBrain's own batches have them.
    info : list of dict
        What is known of each item.
    padded : bool
        Whether any item is shorter than another; known without asking the device.

    Example
    -------
    >>> long, short = torch.ones(2, 4), torch.ones(2, 3)
    >>> batch = Batch.collate([Example("a", {"x": long}), Example("b", {"x": short})])
    >>> batch["x"].shape, batch.lengths
    (torch.Size([2, 2, 4]), tensor([1.0000, 0.7500]))
    """

    ids: list[str]
    signals: dict[str, Tensor]
    lengths: Tensor
    info: list[dict[str, Any]]
    padded: bool = True

    @property
    def own_lengths(self) -> Tensor | None:
        """The relative lengths, or None where there is no padding."""
        return self.lengths if self.padded else None

    def __getitem__(self, name: str) -> Tensor:
        return self.signals[name]

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def collate(cls, items: Sequence[Example]) -> "Batch":
        """Pad and stack items, whose signals have the same names and channels."""
        times = [next(iter(item.signals.values())).shape[-1] for item in items]
        longest = max(times)
        signals = {
            name: torch.stack(
                [
                    F.pad(item.signals[name], (0, longest - time))
                    for item, time in zip(items, times, strict=True)
                ]
            )
            for name in items[0].signals
        }
        lengths = torch.tensor(times, dtype=torch.float32) / longest
        ids, info = [i.id for i in items], [i.info for i in items]
        return cls(ids, signals, lengths, info, min(times) < longest)

    def first(self, items: int) -> "Batch":
        """Take the first items alone, padded as they are.

        Example
        -------
        >>> a, b = (Example(name, {"x": torch.ones(1, 4)}) for name in "ab")
        >>> Batch.collate([a, b]).first(1).ids
        ['a']
        """
        signals = {name: signal[:items] for name, signal in self.signals.items()}
        kept = self.ids[:items], signals, self.lengths[:items], self.info[:items]
        return Batch(*kept, self.padded)

    def to(self, device: torch.device | str, non_blocking: bool = True) -> "Batch":
        """Move the tensors to a device."""
        return Batch(
            self.ids,
            {
                k: v.to(device, non_blocking=non_blocking)
                for k, v in self.signals.items()
            },
            self.lengths.to(device, non_blocking=non_blocking),
            self.info,
            self.padded,
        )

    def pin_memory(self) -> "Batch":
        """Pin the tensors, for the data loader's `pin_memory`."""
        pinned = {name: signal.pin_memory() for name, signal in self.signals.items()}
        lengths = self.lengths.pin_memory()
        return Batch(self.ids, pinned, lengths, self.info, self.padded)
