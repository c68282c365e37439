"""Separation small enough to train in a second, and processes that train on it."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from speechbrain.nnet.schedulers import ReduceLROnPlateau
from speechbrain.utils.epoch_loop import EpochCounter
from torch import nn
from torch.utils.data import Dataset

from speechbrain_fusion.brains import Checkpointer, SeparationBrain, TrainLog
from speechbrain_fusion.data import Example
from speechbrain_fusion.losses import latent_loss, pit_si_sdr_loss
from speechbrain_fusion.metrics import over_suppression, residual_noise, si_sdr
from speechbrain_fusion.models import ConvTasNetMasker, UnifiedSeparator
from tests.brains.common import ON_CPU, parameters

RATE = 8000


class ToyMixtures(Dataset):
    """Two tones in noise, 300 to 700 samples, by (epoch, index) alone."""

    def __init__(self, size: int, seed: int, dtype: torch.dtype) -> None:
        self.size, self.seed, self.dtype = size, seed, dtype

    def __len__(self) -> int:
        return self.size

    def seconds(self, key: tuple[int, int]) -> float:
        return self._samples(key[1]) / RATE

    def _samples(self, index: int) -> int:
        return 300 + 57 * index % 401

    def __getitem__(self, key: tuple[int, int]) -> Example:
        _, index = key
        generator = torch.Generator().manual_seed(1000 * self.seed + index)
        draw = torch.rand(2, 1, generator=generator, dtype=torch.float64)
        time = torch.arange(self._samples(index))
        talkers = 0.1 * torch.sin((0.2 + 1.5 * draw) * time)
        noise = torch.randn(1, time.numel(), generator=generator, dtype=torch.float64)
        clean = talkers.sum(0, keepdim=True)
        signals = {"mixture": clean + 0.05 * noise, "clean": clean, "target": talkers}
        signals = {name: signal.to(self.dtype) for name, signal in signals.items()}
        return Example(f"item{index:02d}", signals, {"snr": 3.0})


def tiny_separator(**options: Any) -> UnifiedSeparator:
    """Make a network of few parameters."""
    maskers = [ConvTasNetMasker(8, masks, 6, 7, 9, 3, 2, 1) for masks in (1, 2)]
    return UnifiedSeparator(*maskers, channels=8, **options)


def tiny_double_separator() -> nn.Module:
    """Make it in double precision."""
    return tiny_separator().double()


def make_brain(
    folder: Path,
    epochs: int = 2,
    model: Callable[[], nn.Module] = tiny_double_separator,
    options: Mapping[str, Any] | None = None,
    **changes: Any,
) -> SeparationBrain:
    """Make a Brain on a folder, always with the same first parameters."""
    torch.manual_seed(0)
    separator, counter = model(), EpochCounter(epochs)
    folder.mkdir(parents=True, exist_ok=True)
    hparams = {
        "seed": 5,
        "sample_rate": RATE,
        "output_folder": str(folder),
        "talkers": 2,
        "losses": {"separation": pit_si_sdr_loss, "enhancement": latent_loss},
        "loss_weights": {"separation": 1.0, "enhancement": 5.0},
        "gradient_modulation": {
            "main": "separation",
            "shared": ["separator.encoder", "separator.enhancement"],
        },
        "valid_metrics": {"si_sdr": si_sdr},
        "metrics": {"si_sdr": si_sdr},
        "feature_metrics": {
            "residual_noise": residual_noise,
            "over_suppression": over_suppression,
        },
        "select": "si_sdr",
        "epoch_counter": counter,
        "lr_annealing": ReduceLROnPlateau(dont_halve_until_epoch=0),
        "train_logger": TrainLog(folder / "train_log.txt"),
        "table_by": None,
        "examples": 1,
        **changes,
    }
    return SeparationBrain(
        {"separator": separator},
        functools.partial(torch.optim.Adam, lr=1e-2),
        hparams,
        {**ON_CPU, **(options or {})},
        Checkpointer(
            folder / "save", {"separator": separator, "epoch_counter": counter}
        ),
    )


def train(
    brain: SeparationBrain, dtype: torch.dtype = torch.float64, **loader: Any
) -> SeparationBrain:
    """Fit on 12 mixtures, validate on 5."""
    brain.fit(
        brain.hparams.epoch_counter,
        ToyMixtures(12, 1, dtype),
        ToyMixtures(5, 2, dtype),
        train_loader_kwargs={"batch_size": 2, **loader},
        valid_loader_kwargs={"batch_size": 3},
    )
    return brain


def evaluate(brain: SeparationBrain, dtype: torch.dtype = torch.float64) -> None:
    """Evaluate the best checkpoint on 4 mixtures."""
    brain.evaluate(
        ToyMixtures(4, 3, dtype),
        max_key="si_sdr",
        test_loader_kwargs={"batch_size": 3},
    )


@dataclass(frozen=True)
class Separating:
    """A training with its test, and how its processes do it."""

    folder: Path
    batch_size: int
    changes: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self) -> dict[str, Any]:
        """Be a process of it; return its last parameters."""
        brain = make_brain(self.folder, options=self.options, **self.changes)
        train(brain, batch_size=self.batch_size)
        last = parameters(brain)
        evaluate(brain)
        return {"parameters": last}
