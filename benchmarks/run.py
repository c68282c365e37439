"""Run every benchmark, each in a process of its own, and write one table.

    python benchmarks/run.py [--output_folder results/benchmarks] [--only pit mbstoi]
        [--again] [--quick] [--device cuda] [--clock processor] [--list]

benchmarks.yaml says which there are. Started again it goes on where it was: what is
finished (with the same command) is not repeated, unless --again. One that fails or runs
out of time is reported and does not stop the others; the exit status is then 1. A peer
that is missing is reported with the command that installs it.

Writes table.md, table.json and table.csv into the output folder.
"""

import argparse
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ruamel.yaml
from machine import OtherWork, describe
from measure import ROWS
from peers import find, installation
from result_table import write_table

from speechbrain_fusion.data.files import written_whole

# The scripts lie beside it
DECLARED = Path(__file__).resolve().with_name("benchmarks.yaml")
# One thread, unless a benchmark's options say more
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
FAILED, DONE = "failed", "done"
Declaration = dict[str, Any]


def main() -> int:
    """Run what is asked for; return the exit status."""
    arguments = parse()
    declared = ruamel.yaml.YAML(typ="safe").load(arguments.declared)
    if unknown := sorted(set(arguments.only or ()) - set(declared)):
        sys.exit(
            f"--only: no such benchmark: {unknown}, expected some of {[*declared]}"
        )
    chosen = {x: declared[x] for x in declared if x in (arguments.only or declared)}
    if arguments.list:
        print("\n".join(listed(chosen)))
        return 0
    folder = arguments.output_folder
    folder.mkdir(parents=True, exist_ok=True)
    machine = describe(arguments.device)
    machine["other work before"] = cores(watch(2.0))
    results: list[dict[str, Any]] = []
    for result in taken(chosen, arguments):
        results.append(result)
        # also of a run that is stopped
        write_table(folder, machine, results)
    print((folder / "table.md").read_text(encoding="utf-8"))
    return int(any(result["status"] == FAILED for result in results))


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output_folder", type=Path, default="results/benchmarks")
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument("--again", action="store_true", help="repeat what is finished")
    parser.add_argument("--quick", action="store_true", help="only see that all run")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    parser.add_argument("--declared", type=Path, default=DECLARED)
    text = "minutes for each, by default three times those declared and five more"
    parser.add_argument("--limit", type=float, help=text)
    return parser.parse_args()


def listed(chosen: dict[str, Declaration]) -> list[str]:
    """Return a line for each benchmark."""
    return [
        f"{name:30}{each['minutes']:4} min  {each['script']} {each['options']}".rstrip()
        for name, each in chosen.items()
    ]


def taken(
    chosen: dict[str, Declaration], arguments: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Yield the result of each benchmark in turn."""
    if not arguments.quick:
        yield from (take(name, chosen[name], arguments) for name in chosen)
        return
    # no times are wanted: one for each core
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(lambda x: take(x, chosen[x], arguments), chosen)


def take(
    name: str, declaration: Declaration, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Return a benchmark's result: what was kept of it, or else a new one."""
    kept = arguments.output_folder / f"{name}.json"
    command = command_of(declaration, arguments)
    if kept.is_file() and not arguments.again:
        result = json.loads(kept.read_text(encoding="utf-8"))
        # what was missing may have been installed since
        lacks = any(map(find, result["missing"]))
        if result["command"] == command and result["status"] == DONE and not lacks:
            print(f"{name}: kept", flush=True)
            return result
    print(f"{name}: {command}", flush=True)
    minutes = arguments.limit or 3 * declaration["minutes"] + 5
    result = {
        "name": name,
        "command": command,
        **run(name, command, minutes, arguments),
    }
    names = declaration.get("peers", ())
    result["missing"] = {x: installation(x) for x in names if find(x) is None}
    print(f"{name}: {result['status']} {result['last']}".rstrip(), flush=True)
    with written_whole(kept) as file:
        json.dump(result, file, indent=1)
    return result


def command_of(declaration: Declaration, arguments: argparse.Namespace) -> str:
    """Return a benchmark's command line, as it is typed in the repository's root."""
    options = declaration["quick" if arguments.quick else "options"]
    script = f"{arguments.declared.parent.name}/{declaration['script']}"
    words = ["python", script, *shlex.split(options)]
    if arguments.device != "cpu" and declaration.get("device"):
        words += ["--device", arguments.device]
    if arguments.clock != "wall":
        words += ["--clock", arguments.clock]
    return shlex.join(words)


def run(
    name: str, command: str, minutes: float, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Run a benchmark; return its rows and how it went."""
    folder = arguments.output_folder.resolve()
    rows, log = folder / f"{name}.rows", folder / f"{name}.log"
    rows.unlink(missing_ok=True)
    start, others = time.monotonic(), OtherWork()
    root = arguments.declared.parents[1]
    status = run_process(command, root, log, minutes, {ROWS: str(rows)})
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    found = rows.read_text(encoding="utf-8").splitlines() if rows.is_file() else []
    return {
        "status": DONE if status == 0 else FAILED,
        "last": last_line(status, lines),
        "minutes": (time.monotonic() - start) / 60,
        "others": others.cores(),
        **{key: describe(arguments.device)[key] for key in ("date", "commit")},
        "rows": [json.loads(row) for row in found],
    }


def run_process(
    command: str, root: Path, log: Path, minutes: float, variables: dict[str, str]
) -> int | None:
    """Return the exit status of a command; None if it ran out of time."""
    words = [sys.executable, *shlex.split(command)[1:]]
    with log.open("w") as file:
        process = subprocess.Popen(
            words,
            cwd=root,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**ONE_THREAD, **os.environ, **variables},
            start_new_session=True,
        )
        try:
            return process.wait(60 * minutes)
        except subprocess.TimeoutExpired:
            return None
        finally:
            # its children too, also if this run is stopped
            end(process)


def end(process: subprocess.Popen) -> None:
    """End a process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def last_line(status: int | None, lines: list[str]) -> str:
    """Say why a benchmark failed."""
    if status == 0:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    reason = "out of time" if status is None else f"exit status {status}"
    return f"{reason}: {said[-1]}" if said else reason


def watch(seconds: float) -> float | None:
    """Return how many cores are busy now."""
    others = OtherWork()
    time.sleep(seconds)
    return others.cores()


def cores(number: float | None) -> str:
    """Describe how many cores are busy."""
    return "not known" if number is None else f"{number:.1f} cores busy"


if __name__ == "__main__":
    sys.exit(main())
