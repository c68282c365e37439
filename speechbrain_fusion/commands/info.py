"""`speechbrain-fusion info`: versions, devices, what is installed, what a model is."""

import argparse
import importlib.metadata
import platform
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

import speechbrain_fusion
from speechbrain_fusion.commands.ending import DONE, UsageError, printable, tell
from speechbrain_fusion.inference.config import read_config
from speechbrain_fusion.inference.files import CARD, find_files, read_text
from speechbrain_fusion.metrics.info import metric_info

# extras of those who work on the package
INTERNAL = ("test", "docs", "dev")


def run(options: argparse.Namespace) -> int:
    """Print versions, devices and what is said of the models."""
    given = [] if options.model is None else [card(options.model)]
    blocks = [info(), shipped(), *given]
    tell("\n\n".join("\n".join(lines) for lines in blocks))
    return DONE


def info() -> list[str]:
    """List versions, devices and which optional parts are installed.

    Example
    -------
    >>> info()[0].startswith("speechbrain-fusion")
    True
    """
    lines = [
        f"speechbrain-fusion {speechbrain_fusion.__version__}",
        f"python {platform.python_version()} on {platform.platform()}",
    ]
    for name, extra in requirements():
        missing = f'not installed: pip install "speechbrain-fusion[{extra}]"'
        lines.append(f"{name} {version(name) or (missing if extra else 'missing')}")
    return [*lines, *devices()]


def requirements() -> Iterator[tuple[str, str]]:
    """List what the package needs, each with the extra that is for it, or "".

    Example
    -------
    >>> dict(requirements())["sofar"]
    'sofa'
    """
    for line in importlib.metadata.requires("speechbrain-fusion") or ():
        name, _, marker = line.partition(";")
        extra = re.search(r"extra == .([\w-]+)", marker)
        if extra is None or extra[1] not in INTERNAL:
            yield re.split(r"[^\w.-]", name)[0], extra[1] if extra else ""


def version(package: str) -> str | None:
    """Return a package's version, or None if it is not installed.

    Example
    -------
    >>> version("no-such-package") is None
    True
    """
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def devices() -> list[str]:
    """List the devices to compute on.

    Example
    -------
    >>> devices()[0].startswith("device cpu")
    True
    """
    names = [f"device cpu: {torch.get_num_threads()} threads"]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = properties.total_memory / 2**30
        names.append(f"device cuda:{index}: {properties.name}, {memory:.0f} GiB")
    return names


def shipped() -> list[str]:
    """Name the model that comes with the package, or say that it is not there."""
    try:
        return facts(None)
    except ValueError as error:
        return [f"no model in this installation ({error})"]


def card(source: str) -> list[str]:
    """List a model's facts, then the text of its card.

    Raises
    ------
    UsageError
        If there is no model, or it says what cannot be.
    """
    try:
        path = find_files(source).config.parent / CARD
        lines = facts(source)
        text = read_text(path) if path.is_file() else "(no model card)"
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    text = text.rstrip("\n").expandtabs()
    return [*lines, "", *(printable(line) for line in text.split("\n"))]


def facts(source: Path | str | None) -> list[str]:
    """List what a model folder says of itself; None for the one of the package.

    Raises
    ------
    ValueError
        If there is no model, or it says what cannot be.
    """
    files = find_files(source)
    config = read_config(files.config)
    whose = "model of the package" if source is None else "model"
    lines = [f"{whose} {config['name']}: {files.config.parent}", *_duties(config)]
    for key in ("corpus", "recipe", "created", "precision"):
        lines += [f"  {key}: {config[key]}"] if config[key] else []
    return [*lines, *_means(config["metrics"])]


def _duties(config: Mapping[str, Any]) -> list[str]:
    rate, latency = config["sample_rate"], config["latency"]
    causal = "not causal: files only"
    if config["causal"]:
        causal = f"causal: latency {1000 * latency / rate:g} ms ({latency} samples)"
    channels = f"{config['inputs']} channels to {config['outputs']}"
    return [f"  made to {config['task']}: {channels} at {rate} Hz", f"  {causal}"]


def _means(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Lay out the means of the test."""
    lines = []
    for name, means in metrics.items():
        unit = metric_info(name).unit
        shown = ", ".join(f"{k} {x:.3g}" for k, x in means.items() if x is not None)
        lines.append(f"  {name}{f' in {unit}' if unit else ''}: {shown}")
    return lines
