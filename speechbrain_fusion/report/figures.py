"""Figures of a run, drawn by matplotlib (extra `plots`)."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from speechbrain_fusion.data.files import written_whole
from speechbrain_fusion.extras import import_extra

# Decibels below the loudest cell that a spectrogram shows.
RANGE = 70.0
# What figures and page call the signals of an item.
TITLES = {"mixture": "noisy", "enhanced": "enhanced", "target": "clean"}


def import_pyplot() -> Any:
    """Import matplotlib without a screen.

    Raises
    ------
    ImportError
        Naming the extra to install.
    """
    matplotlib = import_extra("matplotlib", "plots", "figures need matplotlib")
    # SpeechBrain logs everything: without this, how each font was found
    logging.getLogger("matplotlib").setLevel(logging.INFO)
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def save_figure(figure: Any, path: Path, dpi: int) -> None:
    """Write a figure as a PNG, and close it.

    Arguments
    ---------
    figure : matplotlib.figure.Figure
        The figure.
    path : Path
        The file; it appears, or is replaced, once it is whole.
    dpi : int
        Dots per inch.

    Example
    -------
    >>> pyplot, path = import_pyplot(), getfixture("tmp_path") / "empty.png"
    >>> save_figure(pyplot.figure(), path, dpi=50)
    >>> path.read_bytes()[1:4]
    b'PNG'
    """
    with written_whole(path, "wb") as file:
        figure.savefig(file, dpi=dpi, format="png")
    import_pyplot().close(figure)


def draw_run(
    path: Path,
    history: Sequence[Mapping[str, float]],
    example: Mapping[str, Tensor],
    rate: int,
    curves: Sequence[str] = (),
) -> None:
    """Draw waveforms and spectrograms of one item, and the learning curve.

    Arguments
    ---------
    path : Path
        The PNG to write.
    history : sequence of dict
        The figures of each epoch.
    example : dict of str to Tensor
        Signals by title, [channels, time]; the first channel's spectrogram is drawn.
    rate : int
        Sample rate in Hz.
    curves : sequence of str
        Metrics of the validation that are drawn beside the loss.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    wide = len(example)
    figure, axes = import_pyplot().subplots(
        3,
        wide,
        figsize=(4 + 3 * wide, 8),
        layout="constrained",
        height_ratios=(2, 3, 2),
        squeeze=False,
    )
    _draw_example(figure, axes, example, rate)
    grid = axes[2, 0].get_gridspec()
    for axis in axes[2]:
        axis.remove()
    draw_curve(figure.add_subplot(grid[2, :]), history, curves)
    save_figure(figure, path, dpi=100)


def _draw_example(
    figure: Any, axes: np.ndarray, example: Mapping[str, Tensor], rate: int
) -> None:
    """Draw each signal in a column of its own, all on the same scales."""
    peak = max(float(x.nan_to_num().abs().max()) for x in example.values()) or 1.0
    loudest = max(decibels(x[0], rate).max() for x in example.values())
    for column, (title, signal) in enumerate(example.items()):
        _draw_waveform(axes[0, column], signal, rate, peak)
        axes[0, column].set_title(title)
        image = _draw_spectrogram(axes[1, column], signal[0], rate, loudest)
    share = 0.15 / len(example)
    figure.colorbar(
        image, ax=axes[1, :], label="dB re loudest cell", fraction=share, pad=0.01
    )


def _draw_waveform(axis: Any, signal: Tensor, rate: int, peak: float) -> None:
    """Draw all channels of a signal over each other."""
    time = np.arange(signal.shape[-1]) / rate
    labels = ("left ear", "right ear") if len(signal) == 2 else ("",) * len(signal)
    for channel, label in zip(signal, labels, strict=True):
        axis.plot(time, channel, linewidth=0.4, label=label, alpha=0.8)
    axis.set(xlim=(0, time[-1]), ylim=(-peak, peak), ylabel="amplitude")
    if len(signal) == 2:
        axis.legend(loc="upper right", fontsize="small")


def decibels(signal: Tensor, rate: int) -> np.ndarray:
    """Compute a spectrogram with 32-ms Hann windows every 8 ms.

    Arguments
    ---------
    signal : Tensor
        [time]; what is not finite counts as silence.
    rate : int
        Sample rate in Hz.

    Returns
    -------
    np.ndarray
        Levels in dB, -160 at least, [bins, frames].

    Example
    -------
    >>> decibels(torch.zeros(8000), rate=8000).shape
    (129, 126)
    """
    size = round(0.032 * rate)
    window = torch.hann_window(size)
    signal = F.pad(signal.float().nan_to_num(), (0, max(size - signal.numel(), 0)))
    spectrum = torch.stft(signal, size, size // 4, window=window, return_complex=True)
    return (20 * spectrum.abs().clamp(min=1e-8).log10()).numpy()


def _draw_spectrogram(axis: Any, signal: Tensor, rate: int, loudest: float) -> Any:
    image = axis.imshow(
        decibels(signal, rate) - loudest,
        origin="lower",
        aspect="auto",
        extent=(0, signal.shape[-1] / rate, 0, rate / 2000),
        vmin=-RANGE,
        vmax=0,
        cmap="magma",
    )
    axis.set(xlabel="time / s", ylabel="frequency / kHz")
    return image


def draw_curve(
    axis: Any, history: Sequence[Mapping[str, float]], metrics: Sequence[str]
) -> None:
    """Draw the losses and, on a second scale, metrics of the validation.

    Arguments
    ---------
    axis : matplotlib.axes.Axes
        Where.
    history : sequence of dict
        The figures of each epoch.
    metrics : sequence of str
        Names of the metrics.
    """
    epochs = [figures["epoch"] for figures in history]
    names = list(dict.fromkeys(name for figures in history for name in figures))
    second = axis.twinx()
    for number, name in enumerate(names):
        values = [figures.get(name, np.nan) for figures in history]
        style = {"marker": ".", "color": f"C{number}", "label": name.replace("_", " ")}
        if name.endswith("loss"):
            axis.plot(epochs, values, **style)
        elif name in {f"valid_{metric}" for metric in metrics}:
            second.plot(epochs, values, linestyle="--", **style)
    axis.set(xlabel="epoch", ylabel="loss")
    axis.xaxis.get_major_locator().set_params(integer=True)
    second.set_ylabel("validation metric")
    second.set_visible(bool(second.get_lines()))
    handles = [line for part in (axis, second) for line in part.get_lines()]
    axis.legend(
        handles=handles,
        ncols=len(handles),
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        fontsize="small",
    )
