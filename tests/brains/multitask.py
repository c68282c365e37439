"""A plain SpeechBrain of two tasks in conflict, and processes that train it."""

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from speechbrain.core import Brain, Stage
from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.epoch_loop import EpochCounter
from torch import Tensor, nn
from torch.utils.data import DataLoader

from speechbrain_fusion.brains.gradient_modulation import GradientModulationBrain
from tests.brains.common import ON_CPU, parameters

MODULATION = {
    "main": "speech",
    "weights": {"music": 3.0},
    "shared": ["encoder", "mixer"],
}


class Tasks(GradientModulationBrain):
    """Two heads on a shared encoder; each wants another thing of it."""

    def compute_forward(self, batch: Tensor, stage: Stage) -> tuple[Tensor, Tensor]:
        latent = self.modules.mixer(self.modules.encoder(batch[:, :4]))
        return self.modules.speech(latent), self.modules.music(latent)

    def compute_objectives(
        self, predictions: tuple[Tensor, Tensor], batch: Tensor, stage: Stage
    ) -> dict[str, Tensor]:
        speech, music = predictions
        return {
            "speech": (speech - batch[:, 4:6]).square().mean(),
            "music": (music - batch[:, 6:]).square().mean(),
        }

    def on_fit_batch_end(self, batch, outputs, loss, should_step) -> None:
        if should_step:
            self.__dict__.setdefault("seen", []).append(self.gradient_statistics)


def changed(change: Callable[[dict, int], dict]) -> type[Tasks]:
    """Make tasks whose losses are changed, according to the step."""

    class Changed(Tasks):
        def compute_objectives(self, predictions, batch, stage):
            losses = super().compute_objectives(predictions, batch, stage)
            return change(losses, self.step)

    return Changed


def make_modules(dtype: torch.dtype = torch.float64) -> dict[str, nn.Module]:
    """Make them always with the same parameters."""
    torch.manual_seed(0)
    modules = {
        "encoder": nn.Sequential(nn.Linear(4, 6), nn.Tanh()),
        "mixer": nn.Sequential(nn.Linear(6, 5), nn.Tanh()),
        "speech": nn.Linear(5, 2),
        "music": nn.Linear(5, 3),
    }
    # alike heads that are asked for opposite things pull a latent in opposite ways
    modules["music"].weight.data[:2] = modules["speech"].weight.data
    return {name: module.to(dtype) for name, module in modules.items()}


def make_data(count: int = 48, dtype: torch.dtype = torch.float64) -> Tensor:
    """Draw inputs and both targets, [count, 4 + 2 + 3]."""
    data = torch.randn(count, 9, generator=torch.Generator().manual_seed(1))
    data[:, 6:8] = -data[:, 4:6] + 0.1 * data[:, 6:8]
    return data.to(dtype)


def make_brain(
    modulation: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    kind: Callable[..., Brain] = Tasks,
    modules: Mapping[str, nn.Module] | None = None,
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.SGD,
    rate: float = 0.1,
    folder: Path | None = None,
    epochs: int = 2,
    dtype: torch.dtype = torch.float64,
) -> Any:
    """Make a Brain, with checkpoints if there is a folder for them."""
    modules = modules or make_modules(dtype)
    hparams = {
        "gradient_modulation": {**MODULATION, **(modulation or {})},
        "counter": EpochCounter(epochs),
    }
    parts = {**modules, "counter": hparams["counter"]}
    return kind(
        modules,
        functools.partial(optimizer, lr=rate),
        hparams,
        {**ON_CPU, **(options or {})},
        Checkpointer(folder, parts) if folder else None,
    )


def batches(data: Tensor, size: int, rank: int = 0, world: int = 1) -> DataLoader:
    """Deal a list of batches out to the processes in turn."""
    return DataLoader(list(data.split(size))[rank::world], batch_size=None)


@dataclass(frozen=True)
class Training:
    """A training, and how each of its processes does it."""

    folder: Path
    batch_size: int
    options: Mapping[str, Any] = field(default_factory=dict)
    modulation: Mapping[str, Any] = field(default_factory=dict)
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.SGD
    make: Callable[[], dict[str, nn.Module]] = make_modules
    # rank, batch of that rank and the value that one of its inputs gets
    spoil: tuple[int, int, float] | None = None
    kind: Callable[..., Brain] = Tasks
    epochs: int = 2

    def __call__(self) -> dict[str, Any]:
        """Be a process of it; return its parameters and what the gradients were."""
        rank, world = int(os.environ.get("RANK", 0)), 1
        if torch.distributed.is_initialized():
            world = torch.distributed.get_world_size()
        brain = make_brain(
            self.modulation,
            self.options,
            self.kind,
            modules=self.make(),
            optimizer=self.optimizer,
            epochs=self.epochs,
        )
        dealt = list(batches(make_data(), self.batch_size, rank, world))
        if self.spoil and self.spoil[0] == rank:
            dealt[self.spoil[1]] = dealt[self.spoil[1]].clone()
            dealt[self.spoil[1]][0, 0] = self.spoil[2]
        brain.fit(brain.hparams.counter, DataLoader(dealt, batch_size=None))
        buffers = [b.double().flatten() for b in brain.modules.buffers()]
        return {
            "parameters": parameters(brain),
            "buffers": torch.cat([torch.zeros(1), *buffers]),
            "cosine": torch.stack([x.cosine for x in brain.seen]),
            "conflicts": sum(int(x.conflict.sum()) for x in brain.seen),
            "steps": brain.optimizer_step,
        }
