"""A task small enough to train in a second, and a worker that trains on it.

As a script, one process of several: toy.py FOLDER BATCH_SIZE [STEPS], where the run
ends as if killed after so many steps.
"""

import contextlib
import functools
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from speechbrain.nnet.schedulers import ReduceLROnPlateau
from speechbrain.utils.distributed import ddp_init_group, get_rank
from speechbrain.utils.epoch_loop import EpochCounterWithStopper
from speechbrain.utils.run_opts import RunOptions
from speechbrain.utils.train_logger import FileTrainLogger
from torch import nn
from torch.utils.data import Dataset

from speechbrain_fusion.brains import Checkpointer, EnhancementBrain
from speechbrain_fusion.brains.launch import choose_backend
from speechbrain_fusion.data import Example
from speechbrain_fusion.losses import si_sdr_loss, snr_loss
from speechbrain_fusion.metrics import si_sdr, snr
from speechbrain_fusion.models import BinauralTasNet

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

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: tuple[int, int]) -> Example:
        epoch, index = key
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


def tiny_model() -> nn.Module:
    """Make a network of 720 parameters."""
    return BinauralTasNet(**TINY)


def tiny_double_model() -> nn.Module:
    """Make it in double precision."""
    return tiny_model().double()


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
    counter = EpochCounterWithStopper(epochs, limit_to_stop, 0, "max")
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
        options = {"device": "cpu", "noprogressbar": True, **(options or {})}
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
) -> EnhancementBrain:
    """Fit on 12 scenes, validate on 5."""
    brain.fit(
        brain.hparams.epoch_counter,
        train_set or ToyScenes(12, seed=1, dtype=dtype),
        valid_set or ToyScenes(5, seed=2, fixed=True, dtype=dtype),
        train_loader_kwargs={"batch_size": batch_size},
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


def parameters(brain: EnhancementBrain) -> torch.Tensor:
    """Return all parameters in one row."""
    modules = brain.modules.parameters()
    return torch.cat([p.detach().flatten().clone() for p in modules])


def run_in_float64(
    folder: Path, batch_size: int, options: RunOptions | None = None
) -> torch.Tensor:
    """Train two epochs, test, and return the last parameters."""
    folder.mkdir(parents=True, exist_ok=True)
    brain = make_brain(folder, epochs=2, model=tiny_double_model, options=options)
    train(brain, batch_size, dtype=torch.float64)
    last = parameters(brain)
    evaluate(brain, ToyScenes(7, seed=3, fixed=True, dtype=torch.float64))
    return last


class Killed(Exception):
    """What ends a run in the middle of an epoch."""


def end_after(steps: int) -> None:
    """Let every Brain of this process end as if killed after so many steps."""
    fit_batch, taken = EnhancementBrain.fit_batch, []

    def fit_or_end(self: EnhancementBrain, batch: Any) -> torch.Tensor:
        if len(taken) == steps:
            raise Killed
        taken.append(1)
        return fit_batch(self, batch)

    EnhancementBrain.fit_batch = fit_or_end


def main(folder: str, batch_size: str, steps: str = "") -> None:
    """Be one process of several."""
    chosen = {"noprogressbar": True} | ({"ckpt_interval_steps": 1} if steps else {})
    options = choose_backend(RunOptions.from_dictionary(chosen))
    ddp_init_group(options)
    if steps:
        end_after(int(steps))
    with contextlib.suppress(Killed):
        last = run_in_float64(Path(folder), int(batch_size), options)
        torch.save(last, Path(folder) / f"rank{get_rank()}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
