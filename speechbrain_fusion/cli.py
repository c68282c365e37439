"""The command `speechbrain-fusion`."""

import argparse
import importlib.metadata
import platform
import sys
from collections.abc import Sequence

import speechbrain_fusion

REQUIRED = ("speechbrain", "torch", "torchaudio", "hyperpyyaml", "pystoi", "pesq")
OPTIONAL = {"matplotlib": "plots", "sofar": "sofa", "pytest": "test"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Arguments
    ---------
    arguments : sequence of str, optional
        Those of the command line by default.

    Returns
    -------
    int
        Exit status.
    """
    parser = argparse.ArgumentParser(
        prog="speechbrain-fusion", description=speechbrain_fusion.__doc__
    )
    parser.add_argument(
        "--version", action="version", version=speechbrain_fusion.__version__
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("info", help="versions, devices and what is installed")
    parser.parse_args(arguments)
    print("\n".join(info()))
    return 0


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
    lines += [f"{name} {version(name) or 'missing'}" for name in REQUIRED]
    for name, extra in OPTIONAL.items():
        missing = f'not installed: pip install "speechbrain-fusion[{extra}]"'
        lines.append(f"{name} {version(name) or missing}")
    return [*lines, *devices()]


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
    import torch

    names = [f"device cpu: {torch.get_num_threads()} threads"]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = properties.total_memory / 2**30
        names.append(f"device cuda:{index}: {properties.name}, {memory:.0f} GiB")
    return names


if __name__ == "__main__":
    sys.exit(main())
