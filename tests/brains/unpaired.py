"""A shared latent space small enough to train in a second."""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from speechbrain.nnet.schedulers import ReduceLROnPlateau
from speechbrain.utils.epoch_loop import EpochCounter
from torch.utils.data import Dataset

from speechbrain_fusion import losses
from speechbrain_fusion.brains import Checkpointer, SharedLatentBrain, TrainLog
from speechbrain_fusion.data import Example
from speechbrain_fusion.metrics import si_sdr
from speechbrain_fusion.models import SharedLatentEnhancer, SpeechAutoencoder
from tests.brains.common import ON_CPU

RATE, TIME = 8000, 600
SPEECH_LOSSES = {
    "amplitude": losses.magnitude_loss,
    "phase": losses.phase_loss,
    "prior": losses.latent_prior_loss,
    "complex_cycle": losses.complex_cycle_loss,
    "multi_resolution": functools.partial(
        losses.multi_resolution_loss, fft_sizes=(128, 64)
    ),
}
LOSSES = {
    "mixture": losses.mixture_loss,
    "cycle": losses.cycle_loss,
    "complex_cycle": losses.complex_cycle_loss,
    "pure_noise": losses.pure_noise_loss,
    "multi_resolution": SPEECH_LOSSES["multi_resolution"],
    "latent": losses.latent_match_loss,
    "prior": losses.latent_prior_loss,
    "anchor": losses.anchor_loss,
    "spread": losses.latent_spread_loss,
    "invariance": losses.latent_match_loss,
    "remix": losses.anchor_loss,
}
WEIGHTS = {**dict.fromkeys(LOSSES, 1.0), "prior": 0.001}


class ToyClips(Dataset):
    """Tones, alone or in noise, by index alone."""

    def __init__(self, size: int, seed: int, kind: str) -> None:
        self.size, self.seed, self.kind = size, seed, kind
        self.pure_noise = 1 / 3 if kind == "pairs" else 0.0

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: tuple[int, int]) -> Example:
        index = key[1]
        generator = torch.Generator().manual_seed(1000 * self.seed + index)
        draw = torch.rand(3, 1, generator=generator, dtype=torch.float64)
        time = torch.arange(TIME - 100 * (index % 2) * (self.kind == "test"))
        tones = 0.1 * torch.sin((0.2 + 1.5 * draw[:, 0]).unsqueeze(-1) * time)
        noise = torch.randn(1, len(time), generator=generator, dtype=torch.float64)
        alone = index % 3 == 2
        mixture = 0.05 * noise + (0 if alone and self.kind == "pairs" else tones[:1])
        signals = {
            "clean": {"clean": tones[1:2]},
            "pairs": {
                "mixture": mixture,
                "clean": tones[2:],
                "added": 0.05 * noise.flip(-1),
            },
            "test": {"mixture": mixture, "target": tones[:1]},
        }[self.kind]
        info = {"pure_noise": alone and self.kind == "pairs", "condition": "+0 dB"}
        return Example(f"item{index:02d}", signals, info)


def datasets() -> dict[str, ToyClips]:
    """Make small sets of all five kinds."""
    return {
        "clean_train": ToyClips(12, 1, "clean"),
        "clean_valid": ToyClips(4, 2, "clean"),
        "train": ToyClips(12, 3, "pairs"),
        "valid": ToyClips(6, 4, "pairs"),
        "test": ToyClips(4, 5, "test"),
    }


def make_brain(
    folder: Path,
    speech_epochs: int = 2,
    epochs: int = 2,
    latent_noise: float = 0.1,
    options: Mapping[str, Any] | None = None,
    phase: bool = True,
    **changes: Any,
) -> SharedLatentBrain:
    """Make a Brain on a folder, always with the same first parameters."""
    torch.manual_seed(0)
    speech = SpeechAutoencoder(
        (128, 64), 32, 0.5, (12, 6), 1, phase, latent_noise
    ).double()
    enhancer = SharedLatentEnhancer(speech, (10, 12, 6), 3).double()
    counters = EpochCounter(speech_epochs), EpochCounter(epochs)
    folder.mkdir(parents=True, exist_ok=True)
    adam = functools.partial(torch.optim.Adam, lr=3e-3)
    hparams = {
        "seed": 5,
        "sample_rate": RATE,
        "output_folder": str(folder),
        "losses": LOSSES,
        "loss_weights": WEIGHTS,
        "gradient_modulation": {"main": "reconstruction", "granularity": "none"},
        "valid_metrics": {},
        "metrics": {"si_sdr": si_sdr},
        "table_metrics": ["si_sdr"],
        "select": "loss",
        "epoch_counter": counters[1],
        "lr_annealing": ReduceLROnPlateau(dont_halve_until_epoch=0),
        "train_logger": TrainLog(folder / "train_log.txt"),
        "train_loader": {"batch_size": 4},
        "eval_loader": {"batch_size": 4},
        "table_by": "condition",
        "examples": 1,
        "speech_losses": SPEECH_LOSSES,
        "speech_loss_weights": {**dict.fromkeys(SPEECH_LOSSES, 1.0), "prior": 0.001},
        "speech_opt_class": adam,
        "speech_epoch_counter": counters[0],
        "speech_lr_annealing": ReduceLROnPlateau(dont_halve_until_epoch=0),
        "speech_train_logger": TrainLog(folder / "speech_train_log.txt"),
        "speech_checkpointer": Checkpointer(
            folder / "save" / "speech",
            {"speech": speech, "epoch_counter": counters[0]},
        ),
        "speech_checkpoint": None,
        **changes,
    }
    return SharedLatentBrain(
        {"enhancer": enhancer},
        adam,
        hparams,
        {**ON_CPU, **(options or {})},
        Checkpointer(
            folder / "save", {"enhancer": enhancer, "epoch_counter": counters[1]}
        ),
    )


def state(brain: SharedLatentBrain) -> dict[str, torch.Tensor]:
    """Return everything that a checkpoint of the networks holds."""
    found = brain.enhancer.state_dict()
    return {k: v.clone() for k, v in found.items() if torch.is_tensor(v)}


def run(brain: SharedLatentBrain) -> dict[str, torch.Tensor]:
    """Train and test both stages."""
    brain.run(datasets())
    return state(brain)


def history(folder: Path, name: str = "history.json") -> list[dict[str, float]]:
    """Read the figures of each epoch."""
    return json.loads((folder / name).read_text())


def no_phase() -> dict[str, dict[str, float]]:
    """Weigh the losses of networks that decode no phase."""
    base = {**dict.fromkeys(LOSSES, 1.0), "complex_cycle": 0.0}
    speech = {"amplitude": 1.0, "phase": 0.0, "prior": 0.0, "complex_cycle": 0.0}
    return {
        "loss_weights": base,
        "speech_loss_weights": {**speech, "multi_resolution": 0.0},
    }
