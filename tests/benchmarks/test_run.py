"""All benchmarks in one go."""

import csv
import json
import os
import subprocess
import sys

import pytest
import ruamel.yaml

from tests.benchmarks.conftest import FOLDER, ROOT, ROW, script
from tests.preloaded import preloaded, programs

HIDDEN = ("clarity", "mir_eval")


@pytest.fixture
def run(load, tmp_path, monkeypatch):
    """Run the benchmarks of a test; return the exit status and what was written."""
    module, out = load("run"), tmp_path / "out"

    def start(declared, *options):
        given = ["--output_folder", str(out), "--declared", str(declared), *options]
        monkeypatch.setattr(sys, "argv", ["run.py", *given])
        monkeypatch.setattr(module, "watch", lambda seconds: None)
        return module.main(), (out / "table.md").read_text(), read(out)

    return start


def read(folder):
    """Return the benchmarks' results by their names."""
    found = json.loads((folder / "table.json").read_text())
    return {result["name"]: result for result in found["benchmarks"]}


def test_every_file_is_declared_and_every_peer_is_known(load):
    peers = load("peers")
    declared = ruamel.yaml.YAML(typ="safe").load(FOLDER / "benchmarks.yaml")
    scripts = {
        path.name
        for path in FOLDER.glob("*.py")
        if 'if __name__ == "__main__"' in path.read_text()
    }
    run_by_others = {"run.py", "growth_point.py"}
    assert {x["script"] for x in declared.values()} == scripts - run_by_others
    for each in declared.values():
        assert set(each.get("peers", ())) <= set(peers.PEERS)
        assert {"options", "quick", "minutes"} <= set(each)


def test_table_has_a_row_with_the_peer_and_the_ratio(run, declared, tmp_path):
    status, table, results = run(declared({"one": script()}))
    assert status == 0
    values = "2.00 ms | NumPy 1.0 | 5.00 ms | 2.50 (2.00 to 3.00)"
    assert f"| one | a thing | small | {values} |" in table.splitlines()
    assert results["one"]["status"] == "done"
    with (tmp_path / "out" / "table.csv").open() as file:
        (found,) = csv.DictReader(file)
    assert found["command"] == "python benchmarks/one.py"
    assert float(found["ours"]) == ROW["ours"]


def test_table_says_where_and_when_it_was_made(run, declared):
    _, table, _ = run(declared({"one": script()}))
    head = table.split("| benchmark |")[0]
    for fact in (
        "processor",
        "memory",
        "GPU",
        "torch",
        "speechbrain",
        "commit",
        "date",
    ):
        assert f"\n- {fact}: " in head
    assert "other work before" in head
    assert "other work during" in head


@pytest.mark.slow
def test_one_that_fails_is_reported_and_stops_no_other(run, declared):
    scripts = {
        "good": script(),
        "bad": script(then="print('almost'); sys.exit('no more paper')"),
        "late": script(
            then="import signal; print('begun', flush=True); signal.pause()"
        ),
        "other": script(),
    }
    status, table, results = run(declared(scripts), "--limit", "0.03")
    assert status == 1
    assert {name: x["status"] for name, x in results.items()} == {
        "good": "done",
        "bad": "failed",
        "late": "failed",
        "other": "done",
    }
    assert "failed exit status 1: no more paper" in table
    assert "failed out of time: begun" in table
    # what it had measured until then
    assert len(results["bad"]["rows"]) == 1


@pytest.mark.slow
def test_what_is_finished_is_not_repeated_unless_asked(run, declared, tmp_path):
    failing = script(then="sys.exit(0 if os.path.exists('mended') else 'broken')")
    file = declared({"one": script(), "two": failing})

    def count():
        lines = (tmp_path / "ran.txt").read_text().splitlines()
        return [sum(name in line for line in lines) for name in ("one", "two")]

    assert run(file)[0] == 1
    assert count() == [1, 1]
    (tmp_path / "mended").touch()
    status, table, _ = run(file)
    assert (status, count()) == (0, [1, 2])
    assert table.count("| a thing |") == 2
    assert run(file, "--only", "one", "--again")[0] == 0
    assert count() == [2, 2]
    # other options make other numbers
    assert run(file, "--clock", "processor")[2]["one"]["command"].endswith("processor")
    assert count() == [3, 3]


def test_missing_peer_is_reported_with_what_installs_it(
    run, load, declared, monkeypatch
):
    peers = load("peers")
    monkeypatch.setitem(peers.PEERS, "TorchJD", peers.Peer("nowhere_at_all", "torchjd"))
    lacking = {"peer": "TorchJD", "version": None, "theirs": None, "ratio": None}
    file = declared({"one": script(lacking)}, peers=["TorchJD"])
    status, table, _ = run(file)
    assert status == 0
    assert "| one | a thing | small | 2.00 ms | TorchJD | missing |  |" in table
    assert "- TorchJD is missing: `pip install --no-deps -r bench" in table


def test_what_lacked_a_peer_is_repeated_once_that_is_there(
    run, load, declared, monkeypatch
):
    peers = load("peers")
    there = peers.PEERS["NumPy"]
    monkeypatch.setitem(peers.PEERS, "NumPy", peers.Peer("nowhere_at_all", "numpy"))
    file = declared({"one": script()}, peers=["NumPy"])
    assert "NumPy is missing" in run(file)[1]
    monkeypatch.setitem(peers.PEERS, "NumPy", there)
    assert "missing" not in run(file)[1]


@pytest.mark.parametrize("known", [True, False])
def test_device_goes_to_those_that_know_it(run, declared, known):
    file = declared({"one": script()}, device=known)
    _, _, results = run(file, "--device", "cuda")
    end = " --device cuda" if known else ""
    assert results["one"]["command"] == f"python benchmarks/one.py{end}"


def test_unknown_name_is_refused(run, declared):
    with pytest.raises(SystemExit, match="no such benchmark: \\['three'\\]"):
        run(declared({"one": script()}), "--only", "three")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (3.14159, "3.14"),
        (0.0123456, "0.0123"),
        (4321.9, "4322"),
        (-25.04, "-25.0"),
        (float("nan"), "nan"),
    ],
)
def test_numbers_have_three_digits(load, value, text):
    assert load("result_table").number(value) == text


@pytest.mark.slow
def test_every_benchmark_runs_and_gives_rows(tmp_path):
    for name in HIDDEN:
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError({name!r})")
    paths = os.pathsep.join(map(str, (tmp_path, ROOT)))
    environ = preloaded({**os.environ, "PYTHONPATH": paths})
    out = tmp_path / "out"
    done = subprocess.run(
        ["python", FOLDER / "run.py", "--quick", "--output_folder", out],
        env=environ,
        executable=programs() / "python",
        capture_output=True,
        text=True,
        check=False,
    )
    results = read(out)
    failed = {x: y["last"] for x, y in results.items() if y["status"] != "done"}
    assert not failed, done.stderr[-2000:]
    assert done.returncode == 0
    declared = ruamel.yaml.YAML(typ="safe").load(FOLDER / "benchmarks.yaml")
    assert list(results) == list(declared)
    assert all(result["rows"] for result in results.values())
    table = (out / "table.md").read_text()
    for peer in ("pyclarity", "mir_eval"):
        assert f"- {peer} is missing: `pip install --no-deps -r bench" in table
        assert f"| {peer} | missing |  |" in table
    # ours is measured all the same
    assert results["mbstoi"]["rows"][0]["ours"] > 0


def test_what_a_system_does_not_say_is_not_known(load):
    """There is no /proc/stat on every one."""
    result = {"others": None, "missing": {}, "name": "one", "status": "done"}
    result |= {"minutes": 1.0, "commit": "abc", "command": "python one.py", "last": ""}
    text = load("result_table").markdown({}, [result], [])
    assert "- other work during: not known" in text.splitlines()
