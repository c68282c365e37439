import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.brains import toy

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def run_processes(count, script, arguments, folder):
    """Run a script as several processes from a folder, or show what it said."""
    # a deadlock must end: timeout tells the launcher, which ends its processes
    command = ["timeout", "240", sys.executable, "-m", "torch.distributed.run"]
    command += [
        "--standalone",
        f"--nproc_per_node={count}",
        str(script),
        *map(str, arguments),
    ]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def read_table(folder):
    with open(folder / "test_items.csv", encoding="utf-8") as file:
        return {row.pop("id"): row for row in csv.DictReader(file)}


def assert_same_table(ours, theirs):
    assert list(ours) == list(theirs)
    for name, row in ours.items():
        assert row.keys() == theirs[name].keys()
        for column, value in row.items():
            if column == "noise":
                assert value == theirs[name][column]
            else:
                expected = pytest.approx(float(theirs[name][column]), abs=1e-4)
                assert float(value) == expected


@pytest.mark.parametrize(("count", "batch_size"), [(2, 2), (3, 1)])
def test_processes_train_as_one_with_their_batches_together(
    tmp_path, count, batch_size
):
    one = toy.run_in_float64(tmp_path / "one", count * batch_size)
    many = tmp_path / "many"
    run_processes(count, toy.__file__, [many, batch_size], tmp_path)
    ranks = [torch.load(many / f"rank{rank}.pt") for rank in range(count)]
    assert all(torch.equal(ranks[0], rank) for rank in ranks)
    torch.testing.assert_close(ranks[0], one, rtol=0, atol=1e-10)
    assert_same_table(read_table(many), read_table(tmp_path / "one"))
    histories = [
        json.loads((folder / "history.json").read_text())
        for folder in (many, tmp_path / "one")
    ]
    for ours, theirs in zip(*histories, strict=True):
        for key in ("train_loss", "train_si_sdr", "train_snr", "valid_si_sdr"):
            assert ours[key] == pytest.approx(theirs[key], abs=1e-4)


def test_processes_killed_in_the_middle_of_an_epoch_go_on_as_if_not(tmp_path):
    one = toy.run_in_float64(tmp_path / "one", 4)
    many = tmp_path / "many"
    # 3 steps an epoch: the fourth is the first of the second
    run_processes(2, toy.__file__, [many, 2, 4], tmp_path)
    assert not (many / "rank0.pt").exists()
    assert len(list((many / "save").glob("CKPT+*"))) == 2
    run_processes(2, toy.__file__, [many, 2], tmp_path)
    ranks = [torch.load(many / f"rank{rank}.pt") for rank in range(2)]
    assert torch.equal(*ranks)
    torch.testing.assert_close(ranks[0], one, rtol=0, atol=1e-10)


def test_the_recipe_runs_as_two_processes_from_another_folder(tmp_path, recordings):
    small = {
        "data_folder": recordings,
        "output_folder": "out",
        "segment": 1.0,
        "number_of_epochs": 1,
        "scene_counts": "{train: 4, valid: 3, test: 3}",
        "train_loader": "{batch_size: 1}",
        "enhancer": "{N: 8, L: 8, B: 4, H: 4, S: 6, P: 3, X: 1, R: 1}",
    }
    changes = [f"--{key}={value}" for key, value in small.items()]
    script = ROOT / "recipes" / "binaural" / "train.py"
    printed = run_processes(2, script, ["hparams/fusion.yaml", *changes], tmp_path)
    assert printed.count("3 items") == 1
    assert len(read_table(tmp_path / "out")) == 3
    assert (tmp_path / "out" / "run.png").is_file()
    assert not list((tmp_path / "out" / "save").glob("unfinished-*"))
