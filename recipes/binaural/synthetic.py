"""Test the paper's claims about the general (linear) fusion model on synthetic data.

    python recipes/binaural/synthetic.py
    python recipes/binaural/synthetic.py --seeds 0 1 2 --correlations 0 1 --steps 300

Inputs of the two sides are Gaussian, of unit variance and of a given correlation:
x_i = sqrt(c) z + sqrt(1 - c) e_i, z common to both sides. Three teachers give targets
of unit power:

- product: y_j = V_j (A_left x_left * A_right x_right), a fusion model. It is even in
  the inputs: linear models cannot follow it.
- linear: y_j = V_j (A_left x_left + A_right x_right), of both sides' inputs.
- copy: y_j = V_j A_left z, what the sides have in common: the e_i are noise.

Students are independent and fused models, each without a bias, as published, and with
one, as the TasNet's encoders have. All have wide enough latents to copy the first two
teachers where their form allows. They start with a right encoder 12 dB below the left
and are trained by plain gradient descent on all samples. Printed are mean and standard
deviation over the seeds of

- training and test error: squared error over the target's power, test samples fresh;
- the latents' variances and their ratio left/right in dB, which is 12 dB at the start.

What comes out: fused models learn products, which independent ones cannot, and linear
targets only with a bias; then they see both sides, and beat independent models until
the inputs are the same, where both are perfect. Fused latents end closer in variance,
but not equal (`speechbrain_fusion.models.general_fusion` says why), and least so with
equal inputs and linear targets, where one side is enough.

Whatever the seeds and correlations, a seed's data, teachers and start are the same.
Source of models and claims: Gajecki & Nogueira, "Deep Latent Fusion Layers for Binaural
Speech Enhancement", IEEE/ACM TASLP, 2023; data and teachers are ours.
"""

import argparse
import contextlib
import csv
import itertools
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, grad, stack_module_state, vmap

from speechbrain_fusion.data.files import written_whole
from speechbrain_fusion.models.general_fusion import GeneralFusionModel
from speechbrain_fusion.report.figures import import_pyplot, save_figure
from speechbrain_fusion.typed import count, whole_number

INPUTS, TEACHER_HIDDEN, HIDDEN, OUTPUTS, SAMPLES = 4, 4, 16, 2, 256
SCALES = (0.4, 0.1)
RATE = 0.1
TEACHERS = ("product", "linear", "copy")
STUDENTS: dict[str, dict[str, bool]] = {
    "independent": {"fuse": False, "bias": False},
    "independent, bias": {"fuse": False, "bias": True},
    "fusion": {"fuse": True, "bias": False},
    "fusion, bias": {"fuse": True, "bias": True},
}
FIGURES = {
    "train_error": "training error",
    "test_error": "test error",
    "variance_left": "variance left",
    "variance_right": "variance right",
    "ratio_db": "left/right in dB",
}
STUDENT_STREAM = 0x57DE27
LABELS = ("teacher", "student", "correlation")
START = 20 * math.log10(SCALES[0] / SCALES[1])  # dB
Row = dict[str, Any]


def draw_data(seed: int, correlation: float, teacher: str) -> tuple[Tensor, Tensor]:
    """Draw one run's inputs and targets, [2, 2 * SAMPLES, ...]: train, then test."""
    generator = torch.Generator().manual_seed(seed)
    z, left, right = torch.randn(3, 2 * SAMPLES, INPUTS, generator=generator)
    x = correlation**0.5 * z + (1 - correlation) ** 0.5 * torch.stack([left, right])
    encoder = torch.randn(2, TEACHER_HIDDEN, INPUTS, generator=generator)
    decoder = torch.randn(2, OUTPUTS, TEACHER_HIDDEN, generator=generator)
    h_left, h_right = x @ encoder.mT
    latents = {
        "product": h_left * h_right,
        "linear": h_left + h_right,
        "copy": z @ encoder[0].mT,
    }
    y = latents[teacher] @ decoder.mT
    return x, y / y.square().mean((1, 2), keepdim=True).sqrt()


def make_student(seed: int, options: dict[str, bool]) -> GeneralFusionModel:
    """Draw a student's start, from another stream than the seed's data."""
    generator = torch.Generator().manual_seed(seed ^ STUDENT_STREAM)
    return GeneralFusionModel(
        INPUTS, HIDDEN, OUTPUTS, scales=SCALES, generator=generator, **options
    )


def error(output: Tensor, y: Tensor) -> Tensor:
    """Mean squared error over that of a silent output."""
    return (output - y).square().mean() / y.square().mean()


def descend(
    students: Sequence[GeneralFusionModel], x: Tensor, y: Tensor, steps: int
) -> None:
    """Train one student per run, all at once, by plain gradient descent."""

    def loss(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return error(functional_call(students[0], weights, (x,)), y)

    weights, _ = stack_module_state(list(students))
    weights = {name: weight.detach() for name, weight in weights.items()}
    gradient = vmap(grad(loss))
    for _ in range(steps):
        slopes = gradient(weights, x, y)
        weights = {name: weights[name] - RATE * slopes[name] for name in weights}
    for number, student in enumerate(students):
        student.load_state_dict({name: w[number] for name, w in weights.items()})


@torch.no_grad()
def measure(student: GeneralFusionModel, x: Tensor, y: Tensor) -> dict[str, float]:
    """Return the figures of one run's training and test samples."""
    train, test = (
        error(student(inputs), targets).item()
        for inputs, targets in zip(
            x.split(SAMPLES, 1), y.split(SAMPLES, 1), strict=True
        )
    )
    if not math.isfinite(train):
        raise FloatingPointError(f"gradient descent diverged with steps of {RATE}")
    left, right = student.latents(x[:, :SAMPLES]).var(1).mean(-1).tolist()
    figures = train, test, left, right, 10 * math.log10(left / right)
    return dict(zip(FIGURES, figures, strict=True))


def run(seeds: Sequence[int], correlations: Sequence[float], steps: int) -> list[Row]:
    """Train every student on every teacher, correlation and seed; one row each."""
    keys = list(itertools.product(TEACHERS, correlations, seeds))
    data = [
        draw_data(seed, correlation, teacher) for teacher, correlation, seed in keys
    ]
    x, y = (torch.stack(parts) for parts in zip(*data, strict=True))
    rows = []
    for name, options in STUDENTS.items():
        students = [make_student(seed, options) for _, _, seed in keys]
        descend(students, x[:, :, :SAMPLES], y[:, :, :SAMPLES], steps)
        for key, student, *signals in zip(keys, students, x, y, strict=True):
            teacher, correlation, seed = key
            labels = dict(zip(LABELS, (teacher, name, correlation), strict=True))
            rows.append({**labels, "seed": seed, **measure(student, *signals)})
    return rows


def summarise(rows: Sequence[Row]) -> list[Row]:
    """Return mean and standard deviation over the seeds of every figure."""
    groups: dict[tuple[Any, ...], list[list[float]]] = {}
    for row in rows:
        labels = tuple(row[name] for name in LABELS)
        groups.setdefault(labels, []).append([row[name] for name in FIGURES])
    summary = []
    for labels in itertools.product(TEACHERS, STUDENTS, unique(rows, "correlation")):
        values = np.array(groups[labels])
        spread = values.std(0, ddof=min(1, len(values) - 1)).tolist()
        means = zip(FIGURES, values.mean(0).tolist(), strict=True)
        spreads = zip([f"{name}_sd" for name in FIGURES], spread, strict=True)
        named = dict(zip(LABELS, labels, strict=True))
        summary.append({**named, **dict(means), **dict(spreads)})
    return summary


def unique(rows: Sequence[Row], name: str) -> list[Any]:
    """Return a column's values in order of appearance."""
    return list(dict.fromkeys(row[name] for row in rows))


def format_table(summary: Sequence[Row]) -> str:
    """Lay the summary out as text, mean and standard deviation per figure."""
    width = max(map(len, STUDENTS))
    titles = "  ".join(f"{title:>16}" for title in FIGURES.values())
    lines = [f"{'teacher':8} {'student':{width}} {'corr.':>5}  {titles}"]
    for row in summary:
        cells = (f"{row[name]:8.3f} ±{row[f'{name}_sd']:6.3f}" for name in FIGURES)
        labels = (
            f"{row['teacher']:8} {row['student']:{width}} {row['correlation']:5.2f}"
        )
        lines.append(f"{labels}  {'  '.join(cells)}")
    return "\n".join(lines)


def draw(path: Path, summary: Sequence[Row]) -> None:
    """Draw training error and variance ratio over the inputs' correlation."""
    pyplot = import_pyplot()
    figure, axes = pyplot.subplots(
        2, len(TEACHERS), figsize=(11, 6.5), sharex=True, sharey="row"
    )
    for column, teacher in enumerate(TEACHERS):
        axes[0, column].set_title(f"{teacher} teacher")
        axes[1, column].set_xlabel("correlation of the inputs")
        for axis, name in zip(
            axes[:, column], ("train_error", "ratio_db"), strict=True
        ):
            draw_students(
                axis, [row for row in summary if row["teacher"] == teacher], name
            )
    axes[0, 0].set(ylabel="training error / power", ylim=(-0.04, None))
    axes[1, 0].set_ylabel("variance left/right in dB")
    for axis in axes[1]:
        axis.axhline(START, color="grey", linestyle=":", label="start")
        axis.axhline(0, color="grey", label="equal")
    handles, labels = axes[1, 0].get_legend_handles_labels()
    figure.tight_layout(rect=(0, 0, 1, 0.94))
    figure.legend(handles, labels, loc="upper center", ncols=len(labels))
    save_figure(figure, path, dpi=100)


def draw_students(axis: Any, rows: Sequence[Row], name: str) -> None:
    """Draw a line per student with its standard deviations."""
    for number, (student, options) in enumerate(STUDENTS.items()):
        own = [row for row in rows if row["student"] == student]
        # side by side, since some lines are the same
        shift = 0.012 * (number - (len(STUDENTS) - 1) / 2)
        axis.errorbar(
            [row["correlation"] + shift for row in own],
            [row[name] for row in own],
            [row[f"{name}_sd"] for row in own],
            color="C1" if options["fuse"] else "C0",
            linestyle="--" if options["bias"] else "-",
            marker="s" if options["bias"] else "o",
            capsize=2,
            label=student,
        )


def write_results(folder: Path, rows: Sequence[Row], summary: Row) -> None:
    """Write every run as CSV, and settings and summary as JSON."""
    with written_whole(folder / "runs.csv") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with written_whole(folder / "summary.json") as file:
        json.dump(summary, file, indent=2)


def correlation(text: str) -> float:
    """Read a correlation."""
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r}")


def make_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    description = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    add = parser.add_argument
    add("--seeds", type=whole_number, nargs="+", default=list(range(10)))
    add(
        "--correlations",
        type=correlation,
        nargs="+",
        default=[0.0, 0.25, 0.5, 0.75, 1.0],
        help="of the two sides' inputs, 0 to 1",
    )
    add("--steps", type=count, default=600, help="of gradient descent")
    add("--output_folder", type=Path, default=Path("results/binaural/synthetic"))
    return parser


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; exit with one line on what is wrong with it."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    for name in ("seeds", "correlations"):
        values = getattr(options, name)
        if len(set(values)) < len(values):
            parser.error(f"argument --{name}: a value is given twice")
    folder = options.output_folder
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            parser.error(f"argument --output_folder: {place} is not a folder")
    options.correlations.sort()
    return options


def main(arguments: Sequence[str]) -> None:
    """Run the experiment."""
    options = parse(arguments)
    rows = run(options.seeds, options.correlations, options.steps)
    summary = summarise(rows)
    print(format_table(summary))
    settings = {
        "seeds": options.seeds,
        "correlations": options.correlations,
        "steps": options.steps,
        "rate": RATE,
    }
    write_results(options.output_folder, rows, {"settings": settings, "means": summary})
    draw(options.output_folder / "synthetic.png", summary)
    print(f"written: {options.output_folder}")


if __name__ == "__main__":
    main(sys.argv[1:])
