"""A task small enough to train in a second.

As a script, one process of several that torchrun starts: toy.py FOLDER BATCH_SIZE.
"""

import functools
import math
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from speechbrain.nnet.schedulers import ReduceLROnPlateau
from speechbrain.utils.distributed import ddp_init_group
from speechbrain.utils.run_opts import RunOptions
from speechbrain.utils.train_logger import FileTrainLogger
from torch import nn
from torch.utils.data import Dataset

from speechbrain_fusion.brains import (
    Checkpointer,
    EarlyStoppingCounter,
    EnhancementBrain,
)
from speechbrain_fusion.brains.launch import choose_backend, leave_group
from speechbrain_fusion.data import Example
from speechbrain_fusion.losses import si_sdr_loss, snr_loss
from speechbrain_fusion.metrics import si_sdr, snr
from speechbrain_fusion.models import BinauralTasNet
from tests.brains.common import ON_CPU, parameters

RATE = 8000
TINY = {"N": 8, "L": 8, "B": 4, "H": 4, "S": 6, "P": 3, "X": 1, "R": 1}


class ToyScenes(Dataset):
    """Tones in noise at two ears, 300 to 400 samples, by (epoch, index) alone."""

    def __init__(
        self,
        size: int,
        seed: int,
        fixed: bool = False,
        dtype: torch.dtype = torch.float32,
        change: Callable[[int, dict], dict] = lambda index, signals: signals,
    ) -> None:
        self.size, self.seed, self.fixed, self.dtype = size, seed, fixed, dtype
        self.change = change
        self.asked: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: tuple[int, int]) -> Example:
        epoch, index = key
        self.asked.append(key)
        number = (self.seed * 100 + (0 if self.fixed else epoch)) * 1000 + index
        generator = torch.Generator().manual_seed(number)
        time = torch.arange(int(torch.randint(300, 401, (), generator=generator)))
        draw = torch.rand(3, generator=generator, dtype=torch.float64)
        phase = 2 * math.pi * (0.02 + 0.05 * draw[0]) * time
        target = 0.1 * torch.stack([phase.sin(), (phase + draw[1]).sin()])
        noise = torch.randn(target.shape, generator=generator, dtype=torch.float64)
        signals = {"mixture": target + 0.05 * noise, "target": target}
        signals = {name: x.to(self.dtype) for name, x in signals.items()}
        info = {"noise": "white" if index % 2 else "pink"}
        return Example(f"item{index:02d}", self.change(index, signals), info)


class Forgetful(nn.Module):
    """Dropout in front of the network: training draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.net = nn.Dropout(0.2), BinauralTasNet(**TINY)

    def forward(self, noisy: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return self.net(self.drop(noisy), lengths)


def tiny_model() -> nn.Module:
    """Make a network of 720 parameters."""
    return BinauralTasNet(**TINY)


def tiny_double_model() -> nn.Module:
    """Make it in double precision."""
    return tiny_model().double()


def forgetful_double_model() -> nn.Module:
    """Make it with dropout, in double precision."""
    return Forgetful().double()


def make_brain(
    folder: Path,
    epochs: int = 3,
    model: Callable[[], nn.Module] = tiny_model,
    options: Mapping[str, Any] | RunOptions | None = None,
    rate: float = 1e-2,
    patience: int = 2,
    limit_to_stop: int = 5,
    **changes: Any,
) -> EnhancementBrain:
    """Make a Brain on a folder, always with the same first parameters."""
    torch.manual_seed(0)
    enhancer = model()
    counter = EarlyStoppingCounter(epochs, limit_to_stop, 0, "max")
    annealing = ReduceLROnPlateau(patience=patience, dont_halve_until_epoch=0)
    hparams = {
        "seed": 5,
        "sample_rate": RATE,
        "output_folder": str(folder),
        "losses": {"si_sdr": si_sdr_loss, "snr": snr_loss},
        "loss_weights": {"si_sdr": 1.0, "snr": 0.1},
        "valid_metrics": {"si_sdr": si_sdr},
        "metrics": {"si_sdr": si_sdr, "snr": snr},
        "select": "si_sdr",
        "epoch_counter": counter,
        "lr_annealing": annealing,
        "train_logger": FileTrainLogger(folder / "train_log.txt"),
        "channels": ["left", "right"],
        "table_by": "noise",
        "examples": 1,
        **changes,
    }
    parts = {
        "enhancer": enhancer,
        "epoch_counter": counter,
        "lr_annealing": annealing,
    }
    if not isinstance(options, RunOptions):
        options = {**ON_CPU, **(options or {})}
    return EnhancementBrain(
        {"enhancer": enhancer},
        functools.partial(torch.optim.Adam, lr=rate),
        hparams,
        options,
        Checkpointer(folder / "save", parts),
    )


def train(
    brain: EnhancementBrain,
    batch_size: int = 2,
    eval_size: int = 3,
    train_set: ToyScenes | None = None,
    valid_set: ToyScenes | None = None,
    dtype: torch.dtype = torch.float32,
    workers: int = 0,
) -> EnhancementBrain:
    """Fit on 12 scenes, validate on 5."""
    brain.fit(
        brain.hparams.epoch_counter,
        train_set or ToyScenes(12, seed=1, dtype=dtype),
        valid_set or ToyScenes(5, seed=2, fixed=True, dtype=dtype),
        train_loader_kwargs={"batch_size": batch_size, "num_workers": workers},
        valid_loader_kwargs={"batch_size": eval_size},
    )
    return brain


def evaluate(
    brain: EnhancementBrain, test_set: ToyScenes | None = None, eval_size: int = 3
) -> None:
    """Evaluate the best checkpoint on 7 scenes."""
    brain.evaluate(
        test_set or ToyScenes(7, seed=3, fixed=True),
        max_key="si_sdr",
        test_loader_kwargs={"batch_size": eval_size},
    )


@dataclass(frozen=True)
class Run:
    """A training of two epochs with its test, and how its processes do it."""

    folder: Path
    batch_size: int = 2
    model: Callable[[], nn.Module] = tiny_model
    dtype: torch.dtype = torch.float32
    workers: int = 0
    options: Mapping[str, Any] | RunOptions = field(default_factory=dict)

    def __call__(self) -> dict[str, Any]:
        """Be a process of it; return its last parameters and what it validated."""
        self.folder.mkdir(parents=True, exist_ok=True)
        brain = make_brain(self.folder, 2, self.model, self.options, examples=0)
        # every process draws numbers of its own
        torch.manual_seed(_rank())
        valid_set = ToyScenes(5, seed=2, fixed=True, dtype=self.dtype)
        train(brain, self.batch_size, 3, None, valid_set, self.dtype, self.workers)
        last = parameters(brain)
        evaluate(brain, ToyScenes(7, seed=3, fixed=True, dtype=self.dtype))
        return {"parameters": last, "validated": valid_set.asked}


def in_float64(folder: Path, batch_size: int, **changes: Any) -> Run:
    """Make a run that rounding does not touch."""
    return Run(folder, batch_size, tiny_double_model, torch.float64, **changes)


def _rank() -> int:
    return int(os.environ.get("RANK", 0))


def main(folder: str, batch_size: str) -> None:
    """Be one process that torchrun started."""
    options = choose_backend(RunOptions.from_dictionary({"noprogressbar": True}))
    ddp_init_group(options)
    left = in_float64(Path(folder), int(batch_size), options=options)()
    torch.save(left, Path(folder) / f"rank{_rank()}.pt")
    del left
    leave_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
