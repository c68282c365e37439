"""What a run remembers beside its parameters: random states and its history."""

import functools
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.distributed import if_main_process

from speechbrain_fusion.brains.processes import gather
from speechbrain_fusion.data.sampler import this_process


# NumPy's global generator is the one that upstream's seed_everything seeds.
def _random_states() -> dict[str, Any]:
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return {
        "python": [list(random.getstate()[1]), random.getstate()[2]],
        "numpy": [kind, np.asarray(keys).tolist(), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def _set_random_states(states: dict[str, Any]) -> None:
    inner, gauss = states["python"]
    random.setstate((3, tuple(inner), gauss))
    kind, keys, *rest = states["numpy"]
    words = np.array(keys, dtype=np.uint32)
    np.random.set_state((kind, words, *rest))  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if states["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


def draw_apart() -> None:
    """Let each process draw random numbers of its own from torch's generators.

    Upstream seeds all processes alike: noise and dropout would be the same for the
    items of all of them. The first draws as a process alone does.
    """
    rank, _ = this_process()
    if rank:
        torch.manual_seed((torch.initial_seed() + rank) % 2**63)


# every process takes part: each gives its own state to the main process
@functools.partial(register_checkpoint_hooks, save_on_main_only=False)
class RandomStates:
    """The random states of all processes, as a part of a checkpoint.

    Example
    -------
    >>> states, path = RandomStates(), getfixture("tmp_path") / "states"
    >>> states.save(path)
    >>> first = torch.rand(3)
    >>> states.load(path, end_of_epoch=True)
    >>> bool((torch.rand(3) == first).all())
    True
    """

    @mark_as_saver
    def save(self, path: Path) -> None:
        """Write the states of all processes."""
        states = gather(_random_states())
        if if_main_process():
            torch.save(states, path)

    @mark_as_loader
    def load(self, path: Path, end_of_epoch: bool) -> None:
        """Restore this process's state, if the run had as many processes."""
        states = torch.load(path, weights_only=True)
        rank, world = this_process()
        if len(states) == world:
            _set_random_states(states[rank])


@register_checkpoint_hooks
class History:
    """Figures of each epoch, as a part of a checkpoint.

    `terms` are the sums of each loss since the epoch began.

    Example
    -------
    >>> history = History()
    >>> history.record(epoch=1, train_loss=2.0)
    >>> history.record(epoch=1, si_sdr=3.0)
    >>> history.epochs
    [{'epoch': 1, 'train_loss': 2.0, 'si_sdr': 3.0}]
    """

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []
        self.terms: dict[str, float] = {}

    def record(self, epoch: int, **figures: float) -> None:
        """Add figures to an epoch's."""
        if not self.epochs or self.epochs[-1]["epoch"] != epoch:
            self.epochs.append({"epoch": epoch})
        self.epochs[-1].update(figures)

    @mark_as_saver
    def save(self, path: Path) -> None:
        """Write as JSON."""
        state = {"epochs": self.epochs, "terms": self.terms}
        Path(path).write_text(json.dumps(state), encoding="utf-8")

    @mark_as_loader
    def load(self, path: Path, end_of_epoch: bool) -> None:
        """Read back."""
        state = json.loads(Path(path).read_text(encoding="utf-8"))
        self.epochs, self.terms = state["epochs"], state["terms"]
