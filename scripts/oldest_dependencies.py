"""Run the fast tests with the oldest version that setup.cfg allows of everything.

    python scripts/oldest_dependencies.py --venv FOLDER [--python python3.10] [-- ...]

Makes a virtual environment in a folder that does not exist yet, installs each
dependency of setup.cfg, those of the extras too but linters, at its lower bound, and
runs the tests that are not slow. What follows ``--`` goes to pytest in place of
``-q -m "not slow"``. Where the folder holds such an environment already, it is brought
up to date.

Old wheels exist for old Pythons: take the oldest that setup.cfg allows. Needs a C
compiler, some 6 GB of disk and, mostly for PyTorch, a download of half of it.
"""

import argparse
import configparser
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)>=(?P<oldest>[\w.]+)(,<[\w.]+)?")


def main() -> int:
    """Make the environment and run the tests; return pytest's exit code."""
    options = parse_arguments()
    # not resolved: its interpreter is a link
    options.venv = options.venv.absolute()
    pins = sorted({oldest(line) for line in requirements(ROOT / "setup.cfg")})
    print("\n".join(pins), flush=True)
    if not options.venv.exists():
        run(options.python, "-m", "venv", options.venv)
    python = options.venv / "bin" / "python"
    # as many as pip itself needs to read today's metadata
    run(python, "-m", "pip", "install", "-q", "--upgrade", "pip")
    run(python, "-m", "pip", "install", "-q", *pins)
    run(python, "-m", "pip", "install", "-q", "--no-deps", "-e", ROOT)
    run(python, "-m", "pip", "check")
    tests = options.pytest or ["-q", "-m", "not slow"]
    command = [str(python), "-m", "pytest", *tests]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--venv", type=Path, required=True, help="made if need be")
    parser.add_argument("--python", default=sys.executable, help="for the environment")
    parser.add_argument("pytest", nargs="*", help='by default -q -m "not slow"')
    return parser.parse_args()


def requirements(path: Path) -> Iterator[str]:
    """List the requirements of the package and of all its extras but dev."""
    # as setuptools reads it: "%(test)s" stands for another extra
    config = configparser.ConfigParser()
    config.read(path, encoding="utf-8")
    extras = config["options.extras_require"]
    # linters and the stubs that they read belong to the newest of everything
    kept = [text for name, text in extras.items() if name != "dev"]
    for text in (config["options"]["install_requires"], *kept):
        yield from filter(None, text.splitlines())


def oldest(requirement: str) -> str:
    """Pin a requirement to its lower bound, which each must have."""
    found = REQUIREMENT.fullmatch(requirement)
    if found is None:
        raise ValueError(f"{requirement!r}: expected NAME>=VERSION[,<VERSION]")
    return f"{found['name']}=={found['oldest']}"


def run(*command: object) -> None:
    """Run a command, which must not fail."""
    subprocess.run([str(part) for part in command], check=True)


if __name__ == "__main__":
    sys.exit(main())
