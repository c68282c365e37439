import pytest

from tests.ranks import ROOT
from tests.recipes.running import read_rows, run_script
from tests.recipes.test_binaural import SMALL

COMPARE = ROOT / "recipes" / "binaural" / "compare.py"


def compare(folder, *arguments):
    return run_script(COMPARE, arguments, folder)


@pytest.mark.slow
def test_a_comparison_is_written_and_goes_on_where_it_stopped(tmp_path, recordings):
    small = {**SMALL, "data_folder": recordings, "examples": 0}
    small.pop("output_folder")
    options = ["--", *(f"--{key}={value}" for key, value in small.items())]
    chosen = ["--output_folder", "out", "--baselines", "independent", "--seeds", 1, 2]
    done = compare(tmp_path, *chosen, "--only", "independent", *options)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    kept = (tmp_path / "out/independent/2/test_items.csv").stat().st_mtime_ns
    done = compare(tmp_path, *chosen, "--only", "independent", "sum", *options)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (tmp_path / "out/independent/2/test_items.csv").stat().st_mtime_ns == kept
    rows = read_rows(tmp_path / "out/comparison.csv")
    assert {row["system"] for row in rows} == {"independent", "sum"}
    metrics = ["si_sdr", "snr", "pesq", "stoi", "mbstoi", "ild_error", "itd_error"]
    assert [row["metric"] for row in rows[::2]] == metrics
    trainings = rows[1]["trainings"].split()
    assert len(trainings) == 2
    assert trainings[0] != trainings[1]
    assert (tmp_path / "out/comparison.png").is_file()
    assert "Difference from independent" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--only", "product"], "has no ['product'], expected some of"),
        (["--only", "sum", "--baselines", "mean"], "mean is none of ['sum']"),
        (["--variants", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_what_does_not_exist_is_named(tmp_path, arguments, expected):
    done = compare(tmp_path, *arguments)
    assert done.returncode != 0
    assert expected in done.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "results").exists()
