"""Figures and other values of all processes of a run, on each of them."""

from collections.abc import Mapping
from typing import Any

from torch import distributed

from speechbrain_fusion.data.sampler import this_process


def gather(value: Any) -> list[Any]:
    """Collect a value of every process, on every process.

    Example
    -------
    >>> gather("alone")
    ['alone']
    """
    _, world = this_process()
    if world == 1:
        return [value]
    values: list[Any] = [None] * world
    distributed.all_gather_object(values, value)
    return values


def mean(figures: Mapping[str, float]) -> dict[str, float]:
    """Average figures of the same names over the processes.

    Example
    -------
    >>> mean({"loss": 2.0})
    {'loss': 2.0}
    """
    processes = gather(dict(figures))
    return {name: sum(p[name] for p in processes) / len(processes) for name in figures}


class Means:
    """Means of figures over items that come in batches, on all processes.

    Example
    -------
    >>> means = Means()
    >>> means.add({"loss": 1.0}, items=3)
    >>> means.add({"loss": 5.0}, items=1)
    >>> means.over_processes()
    {'loss': 2.0}
    """

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.items: dict[str, int] = {}

    def add(self, figures: Mapping[str, Any], items: int) -> None:
        """Add a batch's means, numbers or scalar tensors."""
        for name, value in figures.items():
            # nothing, not 0 * NaN
            added = items * float(value) if items else 0.0
            self.sums[name] = self.sums.get(name, 0.0) + added
            self.items[name] = self.items.get(name, 0) + items

    def over_processes(self) -> dict[str, float]:
        """Return the means over the items of all processes, on every process."""
        states = gather((self.sums, self.items))
        return {
            name: sum(sums[name] for sums, _ in states)
            / sum(items[name] for _, items in states)
            for name in self.sums
        }
