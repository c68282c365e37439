import csv
import json
import math

import pytest
import torch

from tests.brains import processes, toy
from tests.ranks import ROOT, torchrun

pytestmark = pytest.mark.slow


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
                expected = pytest.approx(float(theirs[name][column]), rel=0, abs=1e-8)
                assert float(value) == expected


def read_history(folder):
    return json.loads((folder / "history.json").read_text())


def assert_same_history(ours, theirs):
    for our, their in zip(ours, theirs, strict=True):
        assert our.keys() == their.keys()
        for key in our:
            assert our[key] == pytest.approx(their[key], rel=0, abs=1e-8)


def assert_trained_as_one(many, count, one):
    """Compare the weights, the metrics and the tables of two runs."""
    ranks = [left["parameters"] for left in processes.load_ranks(many, count)]
    (alone,) = processes.load_ranks(one)
    assert all(torch.equal(ranks[0], rank) for rank in ranks)
    torch.testing.assert_close(ranks[0], alone["parameters"], rtol=0, atol=1e-10)
    assert_same_table(read_table(many), read_table(one))
    assert_same_history(read_history(many), read_history(one))


@pytest.mark.parametrize(("count", "batch_size"), [(2, 2), (3, 1)])
def test_processes_train_as_one_with_their_batches_together(
    tmp_path, count, batch_size
):
    one, many = tmp_path / "one", tmp_path / "many"
    assert processes.run_processes(toy.in_float64(one, count * batch_size))
    torchrun(count, toy.__file__, [many, batch_size], tmp_path)
    assert_trained_as_one(many, count, one)
    # of five scenes, twice; the first comes again where the shares differ
    shares = [left["validated"] for left in processes.load_ranks(many, count)]
    assert {len(share) for share in shares} == {2 * math.ceil(5 / count)}
    for rank, share in enumerate(shares):
        assert {index for _, index in share} <= {*range(rank, 5, count), 0}
    assert {index for share in shares for _, index in share} == {*range(5)}


def test_processes_that_accumulate_train_as_one_that_does_not(tmp_path):
    one, many = tmp_path / "one", tmp_path / "many"
    assert processes.run_processes(toy.in_float64(one, 4))
    accumulate = {"grad_accumulation_factor": 2, "ckpt_interval_steps": 1}
    assert processes.run_processes(toy.in_float64(many, 1, options=accumulate), 2)
    assert_trained_as_one(many, 2, one)


@pytest.mark.parametrize(("count", "seed"), [(2, 0), (2, 1), (3, 2)])
def test_processes_killed_at_random_calls_end_as_if_not(tmp_path, count, seed):
    how = {"model": toy.forgetful_double_model, "options": {"ckpt_interval_steps": 2}}
    runs = [toy.Run(tmp_path / k, 1, dtype=torch.float64, **how) for k in ("a", "b")]
    assert processes.run_processes(runs[0], count)
    calls = [left["calls"] for left in processes.load_ranks(tmp_path / "a", count)]
    assert processes.kill_and_finish(runs[1], calls, seed) > 0
    whole, *killed = (
        left["parameters"]
        for folder in ("a", "b")
        for left in processes.load_ranks(tmp_path / folder, count)
    )
    for found in killed:
        # three processes add their gradients in another order after a start
        torch.testing.assert_close(found, whole, rtol=0, atol=1e-10)
    assert_same_table(read_table(tmp_path / "b"), read_table(tmp_path / "a"))
    assert_same_history(read_history(tmp_path / "b"), read_history(tmp_path / "a"))


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
    printed = torchrun(2, script, ["hparams/fusion.yaml", *changes], tmp_path)
    assert printed.count("3 items") == 1
    assert len(read_table(tmp_path / "out")) == 3
    assert (tmp_path / "out" / "run.png").is_file()
    assert not list((tmp_path / "out" / "save").glob("unfinished-*"))
