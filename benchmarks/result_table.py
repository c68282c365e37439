"""One table of all benchmarks' rows: Markdown for people, JSON and CSV for programs."""

import csv
import json
import math
from pathlib import Path
from typing import Any

from speechbrain_fusion.data.files import written_whole

COLUMNS = ("benchmark", "what", "case", "ours", "peer", "theirs", "ratio (range)")
RESULTS = ("benchmark", "status", "minutes", "other work, cores", "commit", "command")
Row = dict[str, Any]


def write_table(folder: Path, machine: dict[str, str], results: list[Row]) -> None:
    """Write table.md, table.json and table.csv."""
    rows = [
        {"benchmark": result["name"], "command": result["command"], **row}
        for result in results
        for row in result["rows"]
    ]
    whole = {"machine": machine, "benchmarks": results}
    texts = {"table.md": markdown(machine, results, rows), "table.json": dump(whole)}
    for name, text in texts.items():
        with written_whole(folder / name) as file:
            file.write(text)
    with written_whole(folder / "table.csv") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*(rows[0] if rows else ())])
        writer.writerows([flat(value) for value in row.values()] for row in rows)


def dump(value: Any) -> str:
    """Write JSON."""
    return json.dumps(value, indent=1) + "\n"


def flat(value: Any) -> Any:
    """Write a ratio into one cell."""
    return show_ratio(value) if isinstance(value, list) else value


def markdown(machine: dict[str, str], results: list[Row], rows: list[Row]) -> str:
    """Lay out machine, rows and how each benchmark went."""
    busy = [x["others"] for x in results if x["others"] is not None]
    during = "not known"
    if busy:
        during = f"{sum(busy) / len(busy):.1f} cores busy, {max(busy):.1f} at most"
    facts = {**machine, "other work during": during}
    head = [f"- {name}: {value}" for name, value in facts.items()]
    missing = {x: y for result in results for x, y in result["missing"].items()}
    lacking = [f"- {name} is missing: `{how}`" for name, how in missing.items()]
    cells = [show(row, missing) for row in rows]
    went = [show_result(result) for result in results]
    tables = [*lay_out(COLUMNS, cells), "", *lay_out(RESULTS, went)]
    note = "Ratio: the peer's value over ours; above 1 ours needs less."
    return "\n".join(["# Benchmarks", "", *head, *lacking, "", note, "", *tables, ""])


def lay_out(header: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    """Return the lines of a table."""
    cells = [[*header], ["---"] * len(header), *rows]
    return [
        "| " + " | ".join(x.replace("|", "\\|") for x in row) + " |" for row in cells
    ]


def show(row: Row, missing: dict[str, str]) -> list[str]:
    """Return the cells of a row: ours or why it is not there, a peer or its lack."""
    ours = row["ours"]
    if not isinstance(ours, str):
        ours = f"{number(ours)} {row['unit']}"
    begin = [row["benchmark"], row["what"], row["case"], ours]
    if row["peer"] is None:
        return [*begin, "", "", ""]
    if row["theirs"] is None:
        return [*begin, row["peer"], "missing" if row["peer"] in missing else "", ""]
    theirs = f"{number(row['theirs'])} {row['unit']}"
    return [*begin, f"{row['peer']} {row['version']}", theirs, show_ratio(row["ratio"])]


def show_ratio(ratio: list[float]) -> str:
    """Return the median of the rounds' ratios, and their range where there is one."""
    middle, least, most = map(number, ratio)
    return middle if least == most else f"{middle} ({least} to {most})"


def number(value: float) -> str:
    """Write a number with three digits, or all of those before the point."""
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}"


def show_result(result: Row) -> list[str]:
    """Return the cells of how a benchmark went."""
    others = "" if result["others"] is None else f"{result['others']:.1f}"
    status = f"{result['status']} {result['last']}".strip()
    end = [others, result["commit"], f"`{result['command']}`"]
    return [result["name"], status, f"{result['minutes']:.1f}", *end]
