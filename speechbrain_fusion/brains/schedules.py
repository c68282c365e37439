"""How long a training is, and at which rates."""

import math
from collections.abc import Sequence
from pathlib import Path

import ruamel.yaml
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.epoch_loop import EpochCounter, EpochCounterWithStopper
from torch.optim import Optimizer


@register_checkpoint_hooks
class LinearDecay:
    """Hold the rate, then let it fall linearly to a share of itself in the last epoch.

    Is called as upstream's `ReduceLROnPlateau`, and may take its place.

    Arguments
    ---------
    lr : float
        The rate that is held.
    epochs : int
        How many there are.
    hold : float
        Share of the epochs that keep the rate.
    final : float
        Share of the rate that is left in the last epoch.

    Raises
    ------
    ValueError
        If a share is not from 0 to 1, or the number of epochs is negative.

    Example
    -------
    >>> import torch
    >>> decay = LinearDecay(lr=1.0, epochs=4, hold=0.5, final=0.2)
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    >>> [round(decay([optimizer], epoch, 0.0)[1], 1) for epoch in (1, 2, 3)]
    [1.0, 0.6, 0.2]
    """

    def __init__(
        self, lr: float, epochs: int, hold: float = 0.5, final: float = 0.1
    ) -> None:
        if not 0 <= hold <= 1 or not 0 <= final <= 1:
            raise ValueError(f"hold, final: expected 0 to 1, got {hold} and {final}")
        if epochs < 0:
            raise ValueError(f"epochs: expected at least 0, got {epochs}")
        self.lr, self.epochs, self.hold, self.final = lr, epochs, hold, final

    def __call__(
        self, optimizers: Sequence[Optimizer], epoch: int, loss: float
    ) -> tuple[float, float]:
        """Return the rate of an epoch that has ended, and of the next."""
        return optimizers[0].param_groups[0]["lr"], self.rate(epoch + 1)

    def rate(self, epoch: int) -> float:
        """Return an epoch's rate; epochs count from one."""
        # the first epoch begins before anyone asks
        held = max(self.hold * self.epochs, 1.0)
        if epoch <= held or self.epochs <= held:
            return self.lr
        gone = min((epoch - held) / (self.epochs - held), 1.0)
        return self.lr * (1 - (1 - self.final) * gone)

    @mark_as_saver
    def save(self, path: Path) -> None:
        """Save nothing: the epoch is another's to remember."""
        Path(path).touch()

    @mark_as_loader
    def load(self, path: Path, end_of_epoch: bool) -> None:
        """Load nothing."""


@register_checkpoint_hooks
class EarlyStoppingCounter(EpochCounterWithStopper):
    """Count epochs until there are enough, or none has been better for a while.

    Takes the arguments of upstream's counter, and its place in a YAML. Beside that one
    it is part of a checkpoint whole: upstream's saves the epoch alone, so that a run
    that is taken up waits anew, and one that has stopped trains on. Of a positive
    metric, too, only what is greater counts as better.

    Arguments
    ---------
    limit : int
        Number of epochs.
    limit_to_stop : int
        Epochs without gain after which training ends.
    limit_warmup : int
        Epochs that do not count.
    direction : str
        "max" or "min".

    Raises
    ------
    ValueError
        If a number is negative or the direction is another.

    Example
    -------
    >>> counter = EarlyStoppingCounter(10, 2, 0, "max")
    >>> for epoch in counter:
    ...     counter.update_metric([3.0, 4.0, 4.0, 4.0][epoch - 1])
    >>> counter.current
    4
    """

    best_score: float

    def __next__(self) -> int:
        """Go on to the next epoch, unless there is none."""
        waited = self.current - self.best_limit
        if self.current > self.limit_warmup and waited >= self.limit_to_stop:
            raise StopIteration
        return EpochCounter.__next__(self)

    def update_metric(self, current_metric: float) -> None:
        """Say what an epoch came to.

        Arguments
        ---------
        current_metric : float
            The figure that decides.
        """
        if self.current <= self.limit_warmup:
            return
        best = self.best_score
        least = self.min_delta * abs(best) if math.isfinite(best) else 0.0
        if self.sign * current_metric < self.sign * best - least:
            self.best_limit, self.best_score = self.current, current_metric

    @mark_as_saver
    def save(self, path: Path) -> None:
        """Write the epoch, and the best of all so far."""
        state = {
            "current_epoch": self.current,
            "best_epoch": self.best_limit,
            "best_score": float(self.best_score),
        }
        with open(path, "w", encoding="utf-8") as file:
            ruamel.yaml.YAML().dump(state, file)

    @mark_as_loader
    def load(self, path: Path, end_of_epoch: bool) -> None:
        """Go on from there; a file of upstream's counter has the epoch alone."""
        found = ruamel.yaml.YAML(typ="safe").load(Path(path))
        if not isinstance(found, dict):
            found = {"current_epoch": found, "best_epoch": found}
        self.current = found["current_epoch"] - (not end_of_epoch)
        self.best_limit = found["best_epoch"]
        self.best_score = found.get("best_score", self.best_score)
