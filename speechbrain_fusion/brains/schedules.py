"""Learning rates that follow from the epoch alone."""

from collections.abc import Sequence
from pathlib import Path

from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
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
