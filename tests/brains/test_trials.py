import json
from pathlib import Path

import pytest

from speechbrain_fusion.brains import run_trials
from speechbrain_fusion.brains.compare import compare_variants, read_variants

# stands for a recipe: counts its runs, and fails where it is told to
SCRIPT = """
import sys
from pathlib import Path
options = dict(a[2:].split("=", 1) for a in sys.argv[2:])
folder = Path(options["output_folder"])
with open(folder / "runs", "a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
if options.get("fail") and not Path("repaired").exists():
    sys.exit("no data")
(folder / "test_items.csv").write_text(options["seed"])
"""
VARIANTS = {"one": "a.yaml", "two": "a.yaml '--words=x y'"}


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text(SCRIPT)
    return tmp_path / "train.py"


def runs(name, seed):
    return Path("out", name, str(seed), "runs").read_text().splitlines()


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_variant_runs_with_every_seed(script, jobs):
    tables = run_trials(script, VARIANTS, [1, 2], Path("out"), ["--lr=3"], jobs)
    assert {name: [path.read_text() for path in x] for name, x in tables.items()} == {
        "one": ["1", "2"],
        "two": ["1", "2"],
    }
    assert runs("two", 2) == [
        "a.yaml --words=x y --lr=3 --seed=2 --output_folder=out/two/2"
    ]


def test_what_is_complete_is_not_run_again_unless_its_command_changed(script):
    run_trials(script, VARIANTS, [1], Path("out"))
    run_trials(script, VARIANTS, [1, 2], Path("out"))
    assert len(runs("one", 1)) == len(runs("one", 2)) == 1
    Path("out/one/1/test_items.csv").unlink()
    run_trials(script, {**VARIANTS, "two": "b.yaml"}, [1, 2], Path("out"))
    assert [len(runs(name, 1)) for name in VARIANTS] == [2, 2]


def test_a_run_that_fails_is_named_and_the_others_are_done(script):
    variants = {"bad": "a.yaml --fail=1", **VARIANTS}
    with pytest.raises(RuntimeError, match=r"1 runs failed: out/bad/1/output\.txt"):
        run_trials(script, variants, [1], Path("out"))
    assert "no data" in Path("out/bad/1/output.txt").read_text()
    assert len(runs("two", 1)) == 1
    Path("repaired").touch()
    run_trials(script, variants, [1], Path("out"))
    assert [len(runs(name, 1)) for name in variants] == [2, 1, 1]


def test_a_run_that_was_stopped_goes_on(script):
    run_trials(script, VARIANTS, [1], Path("out"))
    done = Path("out/one/1/trial.json")
    assert json.loads(done.read_text())[0] == "a.yaml"
    done.write_text("[")
    run_trials(script, VARIANTS, [1], Path("out"))
    assert len(runs("one", 1)) == 2


def test_a_seed_that_is_there_twice_is_refused(script):
    """It would be one training that counts as two, in one folder at a time."""
    with pytest.raises(ValueError, match=r"seeds: expected different ones, got \[1, 2"):
        run_trials(script, VARIANTS, [1, 2, 1], Path("out"), jobs=2)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "variants.yaml: not a readable YAML file"),
        ("one: [", "variants.yaml: not a readable YAML file"),
        ("- one", "variants.yaml: expected a YAML file of keys"),
        (
            "one:",
            "variants.yaml: one: expected a YAML and changes of its keys, got None",
        ),
        (
            "one: 3",
            "variants.yaml: one: expected a YAML and changes of its keys, got 3",
        ),
    ],
)
def test_variants_that_are_none_are_refused(text, message, tmp_path):
    path = tmp_path / "variants.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_variants(path)


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [("0", "a number from 1"), ("-1", "a whole number"), ("two", "a whole number")],
)
def test_a_number_of_jobs_is_one_at_least(jobs, expected, tmp_path, capsys):
    arguments = ["--jobs", jobs, "--output_folder", str(tmp_path / "out")]
    with pytest.raises(SystemExit):
        compare_variants(arguments, tmp_path / "compare.py", "", ["snr"], [])
    assert f"--jobs: expected {expected}, got '{jobs}'" in capsys.readouterr().err
