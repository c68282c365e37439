"""How the gradients of several losses got on over a run: a table and a figure."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from speechbrain.utils.logger import get_logger

from speechbrain_fusion.data.files import written_whole
from speechbrain_fusion.report.figures import import_pyplot, save_figure
from speechbrain_fusion.report.run_files import GRADIENTS, GRADIENTS_FIGURE

logger = get_logger(__name__)

Curve = Sequence[Mapping[str, float]]
PANELS = {
    "conflict": "rate of conflicts",
    "cosine": "cosine with the main gradient",
}
SMOOTHED = 25  # of the windows, one more than this many a side


def write_gradients(folder: Path, curve: Curve) -> None:
    """Write gradients.csv and, with matplotlib, gradients.png.

    Arguments
    ---------
    folder : Path
        The run's output folder; it is made if it does not exist.
    curve : sequence of dict
        What `GradientLog.curve` returns; without any auxiliary loss nothing is written.
    """
    columns = list(dict.fromkeys(name for point in curve for name in point))
    if len(columns) < 2:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with written_whole(folder / GRADIENTS) as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(curve)
    try:
        draw_gradients(folder / GRADIENTS_FIGURE, curve)
    except ImportError as error:
        logger.info(f"no figure: {error}")


def draw_gradients(path: Path, curve: Curve) -> None:
    """Draw conflict rate and cosine of each auxiliary loss over the steps.

    The thin lines are windows of steps, the thick ones their running mean.

    Arguments
    ---------
    path : Path
        The PNG to write.
    curve : sequence of dict
        What `GradientLog.curve` returns.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    figure, axes = import_pyplot().subplots(
        1, len(PANELS), figsize=(10, 3.2), layout="constrained"
    )
    for axis, (kind, label) in zip(axes, PANELS.items(), strict=True):
        _draw_panel(axis, curve, kind)
        axis.set(xlabel="optimizer step", ylabel=label)
        axis.grid(alpha=0.3)
    axes[0].set_ylim(-0.03, 1.03)
    axes[1].axhline(0, color="grey", linewidth=0.8)
    axes[1].legend(fontsize="small")
    save_figure(figure, path, dpi=110)


def _draw_panel(axis: Any, curve: Curve, kind: str) -> None:
    """Draw one figure of every auxiliary loss."""
    steps = np.array([point["step"] for point in curve])
    names = dict.fromkeys(name for point in curve for name in point)
    chosen = [name for name in names if name.startswith(f"{kind}_")]
    for number, name in enumerate(chosen):
        values = np.array([point.get(name, np.nan) for point in curve])
        color, label = f"C{number}", name.removeprefix(f"{kind}_").replace("_", " ")
        axis.plot(steps, values, color=color, linewidth=0.6, alpha=0.35)
        axis.plot(steps, _running_mean(values), color=color, linewidth=1.8, label=label)


def _running_mean(values: np.ndarray) -> np.ndarray:
    """Average over neighbours; fewer at the ends, and without what is missing."""
    kernel = np.ones(2 * min(SMOOTHED, len(values) // 8) + 1)
    there = np.isfinite(values)
    total = np.convolve(np.where(there, values, 0.0), kernel, mode="same")
    count = np.convolve(there, kernel, mode="same")
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
