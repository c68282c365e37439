"""How the code stands: lengths, types, tests. What CONTRIBUTING states comes from here.

    python scripts/measure_code.py [--longest 10]

A function's length is its lines, decorators included, without its docstring, blank
lines and comments; functions inside it count. Typed is a function
whose arguments and result are all annotated. Repeated runs are pylint's to find::

    pylint --disable=all --enable=duplicate-code --min-similarity-lines=6 \
        speechbrain_fusion recipes/*/*.py benchmarks scripts
"""

from __future__ import annotations

import argparse
import ast
import statistics
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("speechbrain_fusion", "recipes", "benchmarks", "scripts", "examples", "tests")
Definition = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Function:
    """One function or method: where it stands and what was measured of it."""

    place: str
    length: int
    typed: bool


def python_files(part: str) -> list[Path]:
    """Return the Python files of a part that git tracks or would, sorted."""
    command = ["git", "ls-files", "-co", "--exclude-standard", f"{part}/*.py"]
    names = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    )
    paths = [ROOT / name for name in sorted(names.stdout.split())]
    return [path for path in paths if path.exists()]


def _docstring_lines(node: Definition) -> set[int]:
    first = node.body[0]
    if ast.get_docstring(node) is None:
        return set()
    return set(range(first.lineno, (first.end_lineno or first.lineno) + 1))


def _is_typed(node: Definition) -> bool:
    listed = node.args
    arguments = [*listed.posonlyargs, *listed.args, *listed.kwonlyargs]
    arguments += [extra for extra in (listed.vararg, listed.kwarg) if extra is not None]
    named = [argument for argument in arguments if argument.arg not in ("self", "cls")]
    annotated = all(argument.annotation is not None for argument in named)
    return annotated and (node.returns is not None or node.name == "__init__")


def functions(path: Path) -> Iterator[Function]:
    """Every function and method of a file."""
    text = path.read_text()
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, Definition):
            continue
        start = min([node.lineno, *(mark.lineno for mark in node.decorator_list)])
        inside = set(range(start, (node.end_lineno or start) + 1))
        inside -= _docstring_lines(node)
        bare = (lines[number - 1].strip() for number in inside)
        length = sum(bool(line) and not line.startswith("#") for line in bare)
        place = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        yield Function(place, length, _is_typed(node))


def _row(part: str) -> str:
    paths = python_files(part)
    found = [function for path in paths for function in functions(path)]
    lengths = sorted(function.length for function in found)
    lines = sum(len(path.read_text().splitlines()) for path in paths)
    ninth = statistics.quantiles(lengths, n=10, method="inclusive")[-1]
    typed = sum(function.typed for function in found) / len(found)
    return (
        f"| {part} | {len(paths)} | {lines} | {len(found)} | "
        f"{statistics.median(lengths):g} | {ninth:g} | {lengths[-1]} | {typed:.1%} |"
    )


def main() -> None:
    """Print the table, the longest files and the longest functions of the package."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--longest", type=int, default=5, help="how many to list")
    shown = parser.parse_args().longest
    measured = ("files", "lines", "functions", "median", "90th percentile", "longest")
    print("| | " + " | ".join(measured) + " | typed |")
    print("|---|---|---|---|---|---|---|---|")
    for part in PARTS:
        print(_row(part))
    files = [path for part in PARTS for path in python_files(part)]
    by_lines = sorted(files, key=lambda path: -len(path.read_text().splitlines()))
    print("\nLongest files")
    for path in by_lines[:shown]:
        print(f"{len(path.read_text().splitlines()):6} {path.relative_to(ROOT)}")
    print("\nLongest functions outside the tests")
    found = [f for path in files if "tests" not in path.parts for f in functions(path)]
    for function in sorted(found, key=lambda function: -function.length)[:shown]:
        print(f"{function.length:6} {function.place}")


if __name__ == "__main__":
    main()
