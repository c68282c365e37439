"""What the benchmarks share."""

import json
import os
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


@pytest.fixture
def measure(load):
    return load("measure")


def test_ratio_is_of_the_rounds_and_not_of_the_medians(measure):
    slow, fast = [2.0, 30.0, 5.0], [1.0, 10.0, 1.0]
    assert measure.ratio(slow, fast) == (3.0, 2.0, 5.0)
    assert str(measure.ratio(slow, fast)) == "3.00 (2.00 to 5.00)"


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_growth_is_the_exponent_of_a_power_law(measure, power):
    costs = [3 * size**power for size in (2, 8)]
    assert measure.growth(tuple(costs), (2, 8)) == pytest.approx(power)


def test_growth_of_linear_cost_on_a_fixed_one_is_at_most_linear(measure):
    costs = [100 + 5 * size for size in (1, 2, 4, 1024, 2048)]
    slopes = [measure.growth(costs[i : i + 2], (1, 2)) for i in range(2)] + [
        measure.growth(costs[3:], (1024, 2048))
    ]
    assert sorted(slopes) == slopes
    assert slopes[-1] < 1


def test_rounds_take_turns_and_the_first_is_not_counted(measure):
    order = []
    ways = {name: lambda name=name: order.append(name) for name in "ab"}
    seconds = measure.interleave(ways, 2, "cpu", "wall")
    assert order == ["a", "b"] * 3
    assert {name: len(x) for name, x in seconds.items()} == {"a": 2, "b": 2}


def test_record_adds_rows_to_the_file_that_the_variable_names(
    measure, tmp_path, monkeypatch
):
    path = tmp_path / "rows"
    monkeypatch.setenv(measure.ROWS, str(path))
    measure.record("a", "small", [1.0, 2.0, 4.0], "s", "NumPy", [3.0, 4.0, 4.0])
    measure.record("b", "large", 7.0, "MiB")
    first, second = map(json.loads, path.read_text().splitlines())
    assert (first["ours"], first["theirs"]) == (2.0, 4.0)
    assert first["ratio"] == [2.0, 1.0, 3.0]
    assert first["version"]
    assert second["ours"] == 7.0
    assert second["peer"] is second["ratio"] is second["theirs"] is None


def test_record_without_the_variable_writes_nothing(measure, tmp_path, monkeypatch):
    monkeypatch.delenv(measure.ROWS, raising=False)
    monkeypatch.chdir(tmp_path)
    measure.record("a", "small", 1.0, "s")
    assert not list(tmp_path.iterdir())


def test_peer_that_is_missing_has_a_command_that_installs_it(load, monkeypatch):
    peers = load("peers")
    lacking = peers.Peer("no_such_module_anywhere", "pyclarity")
    monkeypatch.setitem(peers.PEERS, "pyclarity", lacking)
    assert peers.find("pyclarity") is peers.version("pyclarity") is None
    found = peers.installation("pyclarity")
    assert found == "pip install --no-deps -r benchmarks/peers.txt"


def test_every_peer_is_in_what_its_command_installs(load):
    peers = load("peers")
    listed = (ROOT / "benchmarks" / "peers.txt").read_text()
    required = [Requirement(x) for x in requires("speechbrain-fusion")]
    extras = [{"extra": x} for x in ("", "export", "rooms")]
    names = {
        each.name
        for each in required
        if each.marker is None or any(map(each.marker.evaluate, extras))
    }
    for name, peer in peers.PEERS.items():
        if "peers.txt" in peers.installation(name):
            assert f"\n{peer.distribution}==" in listed
        else:
            assert peers.installation(name) == 'pip install -e ".[export,rooms]"'
            assert peer.distribution in names


ADDED = """
import numpy as np
from measure import peak_memory, watch_memory

np.ones(192 * 2**20, np.uint8)
rest = watch_memory("cpu")
kept = np.ones(64 * 2**20, np.uint8)
print(peak_memory("cpu") - rest)
del kept
print(peak_memory("cpu") - rest)
"""


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="peaks cannot be reset"
)
def test_memory_is_what_is_added_after_a_higher_peak_too():
    # in a process in which nothing else comes and goes
    command = [sys.executable, "-c", ADDED]
    folder = ROOT / "benchmarks"
    done = subprocess.run(command, cwd=folder, capture_output=True, check=True)
    assert [*map(float, done.stdout.split())] == pytest.approx([64.0, 64.0], abs=8)


def test_a_numbered_gpu_is_one(measure):
    assert [measure.on_gpu(x) for x in ("cuda", "cuda:1", "cpu")] == [True, True, False]


@pytest.mark.slow
def test_systems_are_the_recipes_in_the_published_sizes(load):
    systems = load("systems")
    count = {
        name: sum(p.numel() for p in systems.make(name).parameters())
        for name in ("dprnn", "sepformer")
    }
    # Hu et al. (2023)
    assert count == {"dprnn": 19_684_098, "sepformer": 29_171_458}
    assert systems.sample_rate("release") == 16000
    narrow = systems.make("convtasnet_causal", filters=32)
    assert narrow.causal
    assert narrow.encoder.weight.shape[0] == 32


def test_growth_lists_what_is_steeper_than_expected(load, capsys):
    growth = load("growth")

    def listed(axis, *memory):
        costs = [
            growth.Cost(2.0**i, {"step": 2.0**i}, {"step": 100 * x})
            for i, x in enumerate(memory)
        ]
        return list(growth.tabulate("x", axis, costs))

    assert listed("batch", 1.0, 2.0, 4.0, 8.0) == []
    assert "| 4 | 4.0000 | 1.00 | 400 | 1.00 |" in capsys.readouterr().out
    # fixed costs first, then the square of the batch
    (found,) = listed("batch", 10.0, 11.0, 44.0, 176.0)
    assert found == "x, memory of step over batch: 2.00, expected 1"
    # what libraries take now and then
    assert listed("batch", 0.001, 0.01, 0.1) == []
    # of what is as wide as high
    assert listed("width", 1.0, 4.0, 16.0) == []
    # one step alone may be noise
    assert listed("batch", 1.0, 3.0, 4.0, 8.0) == []


def test_processes_have_a_core_each(load, monkeypatch):
    growth = load("growth")
    monkeypatch.setattr("sys.argv", ["growth.py", "--axes", "processes", "batch"])
    arguments = growth.parse_all()
    each, together, batch = growth.axes(arguments)
    assert (each, batch) == ("processes, equal work each", "batch")
    for cores, counts in ((1, [1]), (2, [1, 2])):
        monkeypatch.setattr(growth.os, "sched_getaffinity", lambda _, n=cores: range(n))
        found = list(growth.points(together, arguments))
        assert [point["processes"] for point in found] == counts
        # two items in all
        assert all(point["processes"] * point["batch"] == 2 for point in found)
