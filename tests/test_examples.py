"""A plain SpeechBrain script becomes a modulated one in under ten changed lines.

As a script, a process that runs an example and keeps what it logged and learned:
test_examples.py FOLDER SCRIPT YAML OPTIONS.
"""

import ast
import csv
import difflib
import os
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch
from speechbrain.utils.train_logger import FileTrainLogger

from tests.ranks import ROOT, run_process

KINDS = ("plain", "modulated")
ENDINGS = ("py", "yaml")
ON_CPU = ["--device=cpu", "--distributed_backend=gloo"]
LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]


def read_lines(name):
    return (ROOT / name).read_text(encoding="utf-8").splitlines()


# -- what a user changes -----------------------------------------------------------


def true_diff():
    """Return all lines that go or come, in both files, below their names."""
    pairs = [[f"examples/{kind}.{ending}" for kind in KINDS] for ending in ENDINGS]
    diffs = [
        difflib.unified_diff(*map(read_lines, pair), *pair, n=0, lineterm="")
        for pair in pairs
    ]
    return [line for diff in diffs for line in diff if line[0] in "+-"]


@pytest.mark.parametrize("sign", ["+", "-"])
def test_under_ten_lines_change(sign):
    lines = [line for line in true_diff() if line[0] == sign]
    changed = [line for line in lines if not line.startswith(f"{sign * 3} examples/")]
    assert len(lines) - len(changed) == len(ENDINGS)
    assert 0 < len(changed) < 10


def imported(name):
    """List what a script imports, as from a module or as a module."""
    nodes = list(ast.walk(ast.parse("\n".join(read_lines(name)))))
    names = [(x, node.names) for node in nodes if (x := getattr(node, "module", None))]
    whole = [node.names for node in nodes if isinstance(node, ast.Import)]
    return [f"{module}.{x.name}" for module, found in names for x in found] + [
        x.name for found in whole for x in found
    ]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("plain", []),
        ("modulated", ["speechbrain_fusion.brains.GradientModulationBrain"]),
    ],
)
def test_they_know_nothing_of_ours_but_the_brain(kind, expected):
    names = imported(f"examples/{kind}.py")
    assert "speechbrain" in names
    assert [x for x in names if x.startswith("speechbrain_fusion")] == expected
    assert "speechbrain_fusion" not in "\n".join(read_lines(f"examples/{kind}.yaml"))


# -- runs --------------------------------------------------------------------------


def run_python(folder, *arguments):
    """Run in a fresh process, from a folder of its own."""
    folder.mkdir(exist_ok=True)
    done = run_process([sys.executable, *arguments], folder)
    assert done.returncode == 0, done.stderr[-3000:]


def example(kind, epochs):
    """Return the arguments of a short run."""
    files = [ROOT / f"examples/{kind}.{ending}" for ending in ENDINGS]
    return [*files, *ON_CPU, f"--number_of_epochs={epochs}"]


def read_log(folder):
    """Return the figures of each line of a train log."""
    lines = (folder / "train_log.txt").read_text(encoding="utf-8").splitlines()
    pairs = [re.findall(r"([a-z][a-z_ ]*): ([^\s,]+)", line) for line in lines]
    return [{name: float(value) for name, value in line} for line in pairs]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_trains_and_goes_on_after_its_end(tmp_path, kind):
    for epochs in (3, 4):
        run_python(tmp_path, *example(kind, epochs))
    out = tmp_path / "results" / "examples" / kind
    log = read_log(out)
    assert [line.get("epoch") for line in log] == [1, 2, 3, None, 4, None]
    assert [log[place]["epoch loaded"] for place in (3, 5)] == [3, 4]
    epochs = [line for line in log if "epoch" in line]
    for name in ("train loss", "valid loss", "valid error"):
        values = [line[name] for line in epochs]
        assert values == sorted(values, reverse=True)
        assert values[-1] < 0.7 * values[0]
    assert log[5]["test loss"] < log[3]["test loss"]
    written = {path.name for path in out.glob("gradients.*")}
    assert ("gradients.csv" in written) is (kind == "modulated")
    if kind == "modulated":
        check_figures(out, epochs)


def check_figures(out, epochs):
    """Check that the table of the steps agrees with the log of the epochs."""
    with open(out / "gradients.csv", encoding="utf-8") as file:
        rows = [
            {name: float(x) for name, x in row.items()} for row in csv.DictReader(file)
        ]
    # of both runs
    assert [row["step"] for row in rows] == list(range(1, 6 * len(epochs) + 1))
    for name in ("cosine_activity", "conflict_activity", "kept_activity"):
        steps = torch.tensor([row[name] for row in rows]).view(len(epochs), 6)
        logged = torch.tensor([line[f"train {name}"] for line in epochs])
        torch.testing.assert_close(steps.mean(1), logged, rtol=6e-3, atol=0)
    # there is something to modulate
    assert min(row["kept_activity"] for row in rows) < 0.999


def watch(folder, kind, *options, launcher=()):
    """Run an example in processes that keep what they logged and learned."""
    run_python(folder, *launcher, __file__, folder, *example(kind, 3), *options)
    return [torch.load(path) for path in sorted(folder.glob("rank*.pt"))]


@pytest.mark.slow
def test_without_modulation_it_is_the_plain_script(tmp_path):
    none = "--gradient_modulation={granularity: none}"
    (plain,) = watch(tmp_path / "plain", "plain")
    (ours,) = watch(tmp_path / "none", "modulated", none)
    torch.testing.assert_close(plain["losses"], ours["losses"], rtol=1e-5, atol=0)
    torch.testing.assert_close(
        plain["parameters"], ours["parameters"], rtol=0, atol=1e-5
    )


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    # all of the training set in each step: processes draw their items differently
    one, many = (f"--train_loader={{batch_size: {size}}}" for size in (24, 12))
    (alone,) = watch(tmp_path / "one", "modulated", one)
    ranks = watch(tmp_path / "many", "modulated", many, launcher=LAUNCHER)
    assert len(ranks) == 2
    assert torch.equal(ranks[0]["parameters"], ranks[1]["parameters"])
    torch.testing.assert_close(
        ranks[0]["parameters"], alone["parameters"], rtol=0, atol=1e-5
    )


def main(folder, script, *arguments):
    """Be a process that runs an example."""
    losses, log_stats = [], FileTrainLogger.log_stats

    def keep(self, stats_meta, **stats):
        # the file has three digits of them
        losses.extend(figures["loss"] for figures in stats.values())
        log_stats(self, stats_meta, **stats)

    FileTrainLogger.log_stats = keep
    sys.argv = [script, *arguments]
    brain = runpy.run_path(script, run_name="__main__")["brain"]
    rank = os.environ.get("RANK", 0)
    parameters = torch.cat([p.detach().flatten() for p in brain.modules.parameters()])
    kept = {"losses": torch.tensor(losses), "parameters": parameters}
    torch.save(kept, Path(folder) / f"rank{rank}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
