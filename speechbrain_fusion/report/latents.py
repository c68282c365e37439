"""Pictures of a shared latent space and of the losses that make it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from speechbrain_fusion.data.batch import Example
from speechbrain_fusion.extras import import_extra
from speechbrain_fusion.report.figures import import_pyplot, save_figure

# Frames of each item that are drawn.
FRAMES = 60
COLUMNS = 6
CLEAN = "clean"

History = Sequence[Mapping[str, float]]


@torch.no_grad()
def sample_latents(
    model: Any, items: Sequence[Example], device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """Encode mixtures and their clean speech, and keep some frames.

    Arguments
    ---------
    model : SharedLatentEnhancer
        Set to evaluation, and back.
    items : sequence of Example
        With the signals "mixture" and "target", [1, time].
    device : torch.device or str
        The model's.

    Returns
    -------
    dict of str to torch.Tensor
        "clean" (the speech encoder's) and "noisy" (the mixture encoder's) latents of
        the same, evenly spaced, frames: [frames, channels], on the CPU.
    """
    training = model.training
    model.eval()
    found: dict[str, list[Tensor]] = {"clean": [], "noisy": []}
    for item in items:
        latents = model.latents(
            item.signals["target"].to(device), item.signals["mixture"].to(device)
        )
        frames = latents[0].shape[-1]
        kept = torch.linspace(0, frames - 1, min(FRAMES, frames)).round().long()
        for name, latent in zip(found, latents, strict=True):
            found[name].append(latent[0].T.cpu()[kept])
    model.train(training)
    return {name: torch.cat(each) for name, each in found.items()}


def draw_latents(path: Path, latents: Mapping[str, Tensor]) -> None:
    """Draw latents in the plane of their two principal components.

    Each panel shows one kind over the clean ones, and says how far it is from them.

    Arguments
    ---------
    path : Path
        The PNG to write.
    latents : mapping of str to torch.Tensor
        "clean" and others, [frames, channels], of the same frames.

    Raises
    ------
    ImportError
        If matplotlib or scikit-learn is not installed.
    ValueError
        If no two frames are finite.
    """
    project = _principal_components(latents)
    others = [name for name in latents if name != CLEAN]
    figure, axes = import_pyplot().subplots(
        1,
        len(others),
        figsize=(1 + 4.5 * len(others), 4.5),
        layout="constrained",
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for number, (axis, name) in enumerate(zip(axes[0], others, strict=True), 1):
        for shown, color in {CLEAN: "C0", name: f"C{number}"}.items():
            places, style = project(latents[shown]).T, {"color": color, "label": shown}
            axis.scatter(*places, s=8, alpha=0.5, linewidths=0, **style)
        distance = apart(latents[CLEAN], latents[name])
        axis.set_title(f"{name}: {distance:.2f} from clean", fontsize="medium")
        axis.set(xlabel="first principal component")
        axis.legend(loc="upper right", fontsize="small")
    axes[0, 0].set_ylabel("second principal component")
    figure.suptitle(
        "latents of the same frames, clean and noisy (1: as far apart as clean frames "
        "from their mean)",
        fontsize="small",
    )
    save_figure(figure, path, dpi=110)


def _principal_components(latents: Mapping[str, Tensor]) -> Any:
    need = "the latent space needs scikit-learn"
    decomposition = import_extra("sklearn.decomposition", "plots", need)
    every = torch.cat([*latents.values()])
    every = every[every.isfinite().all(-1)]
    if len(every) < 2:
        raise ValueError("latents: expected two frames at least that are finite")
    fitted = decomposition.PCA(2, random_state=0).fit(every.numpy())
    # what is not finite is not drawn
    return lambda latent: fitted.transform(latent[latent.isfinite().all(-1)].numpy())


def apart(clean: Tensor, other: Tensor) -> float:
    """Compute the distance of latents from clean ones, in units of those ones' spread.

    Arguments
    ---------
    clean, other : torch.Tensor
        Of the same frames, [frames, channels].

    Returns
    -------
    float
        Root of the ratio of mean squares; 1 if all others are the clean ones' mean.

    Example
    -------
    >>> round(apart(torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [4.0]])), 3)
    1.414
    """
    spread = (clean - clean.mean(0)).square().sum(-1).mean().clamp(min=1e-12)
    return float(((other - clean).square().sum(-1).mean() / spread).sqrt())


def draw_terms(path: Path, stages: Mapping[str, History]) -> None:
    """Draw every loss of training and validation over the epochs.

    Arguments
    ---------
    path : Path
        The PNG to write.
    stages : mapping of str to sequence of dict
        The figures of each epoch, by stage: a row or more for each.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    rows = [
        (stage, names[first : first + COLUMNS])
        for stage, history in stages.items()
        for names in [_terms(history)]
        for first in range(0, len(names), COLUMNS)
    ]
    if not rows:
        return
    figure, axes = import_pyplot().subplots(
        len(rows),
        COLUMNS,
        figsize=(2.6 * COLUMNS, 0.5 + 2.2 * len(rows)),
        layout="constrained",
        squeeze=False,
    )
    for line, (stage, names) in zip(axes, rows, strict=True):
        _draw_terms(line, stages[stage], names)
        line[0].set_ylabel(stage)
    axes[0, 0].legend(fontsize="small")
    save_figure(figure, path, dpi=100)


def _terms(history: History) -> list[str]:
    names = dict.fromkeys(name for figures in history for name in figures)
    return [x.removeprefix("train_") for x in names if x.startswith("train_")]


def _draw_terms(axes: np.ndarray, history: History, names: Sequence[str]) -> None:
    """Draw a row of losses, and leave the rest of it empty."""
    for axis in axes[len(names) :]:
        axis.remove()
    for axis, name in zip(axes, names, strict=False):
        _draw_term(axis, history, name)


def _draw_term(axis: Any, history: History, name: str) -> None:
    epochs = [figures["epoch"] for figures in history]
    for kind, style in {"train": "-", "valid": "--"}.items():
        values = [figures.get(f"{kind}_{name}", np.nan) for figures in history]
        axis.plot(epochs, values, style, marker=".", label=kind)
    axis.set_title(name.replace("_", " "), fontsize="medium")
    axis.set_xlabel("epoch", fontsize="small")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(alpha=0.3)
