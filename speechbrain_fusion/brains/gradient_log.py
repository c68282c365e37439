"""What gradients were like over a run, in bounded memory."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)

Sums = dict[str, Sequence[float]]
"""Total and count of each figure."""


@register_checkpoint_hooks
class GradientLog:
    """Figures of the steps of a run, averaged over windows and over the epoch.

    When there are as many windows as may be, neighbours are joined, so that a run of
    any length takes the same memory. What is not finite is left out of the averages.

    Arguments
    ---------
    windows : int
        How many there may be, even.

    Raises
    ------
    ValueError
        If their number is odd or not positive.

    Example
    -------
    >>> log = GradientLog(windows=2)
    >>> for step in range(6):
    ...     log.add({"cosine_noise": -0.1 * step})
    >>> [round(point["cosine_noise"], 2) for point in log.curve()]
    [-0.15, -0.45]
    """

    def __init__(self, windows: int = 500) -> None:
        if windows < 2 or windows % 2:
            raise ValueError(f"windows: expected an even number, got {windows}")
        self.limit, self.window, self.steps = windows, 1, 0
        self.sums: list[Sums] = []
        self.epoch: int | None = None
        self.epoch_sums: Sums = {}

    def begin(self, epoch: int) -> None:
        """Begin the averages of an epoch, unless it has begun already."""
        if epoch != self.epoch:
            self.epoch, self.epoch_sums = epoch, {}

    def add(self, figures: Mapping[str, float]) -> None:
        """Add a step's figures."""
        if self.steps == self.limit * self.window:
            self._join_neighbours()
        if self.steps == len(self.sums) * self.window:
            self.sums.append({})
        self.steps += 1
        step: Sums = {name: (x, 1) for name, x in figures.items() if math.isfinite(x)}
        self.sums[-1] = _add(self.sums[-1], step)
        self.epoch_sums = _add(self.epoch_sums, step)

    def _join_neighbours(self) -> None:
        pairs = zip(self.sums[::2], self.sums[1::2], strict=True)
        self.sums = [_add(*pair) for pair in pairs]
        self.window *= 2

    def curve(self) -> list[dict[str, float]]:
        """Return the figures of each window, at the mean of its steps."""
        return [
            {
                "step": _middle(place * self.window, self.steps, self.window),
                **_means(sums),
            }
            for place, sums in enumerate(self.sums)
        ]

    def epoch_means(self) -> dict[str, float]:
        """Return the averages over the epoch so far."""
        return _means(self.epoch_sums)

    @mark_as_saver
    def save(self, path: Path) -> None:
        """Write as JSON."""
        state = {name: x for name, x in vars(self).items() if name != "limit"}
        Path(path).write_text(json.dumps(state), encoding="utf-8")

    @mark_as_loader
    def load(self, path: Path, end_of_epoch: bool) -> None:
        """Read back."""
        vars(self).update(json.loads(Path(path).read_text(encoding="utf-8")))


def _add(first: Sums, second: Sums) -> Sums:
    """Add totals and counts of the figures of either."""
    nothing = (0.0, 0)
    return {
        name: [
            a + b
            for a, b in zip(
                first.get(name, nothing), second.get(name, nothing), strict=True
            )
        ]
        for name in {**first, **second}
    }


def _means(sums: Sums) -> dict[str, float]:
    return {name: total / count for name, (total, count) in sums.items()}


def _middle(begin: int, steps: int, window: int) -> float:
    """Return the mean number, from one, of a window's steps so far."""
    return (begin + 1 + min(begin + window, steps)) / 2
