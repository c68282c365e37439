import csv
import importlib.util
import json
import math
from pathlib import Path

import pytest
import torch
from matplotlib import image

SCRIPT = Path(__file__).parents[2] / "recipes" / "binaural" / "synthetic.py"
SMALL = ("--seeds", "0", "3", "--correlations", "1", "0.5", "--steps", "3")


def load():
    spec = importlib.util.spec_from_file_location("binaural_synthetic", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


synthetic = load()


def find(summary, teacher, student, correlation):
    labels = {"teacher": teacher, "student": student, "correlation": correlation}
    (row,) = [r for r in summary if labels.items() <= r.items()]
    return row


@pytest.fixture(scope="module")
def summary():
    torch.manual_seed(0)
    return synthetic.summarise(synthetic.run([0, 1], [0.0, 0.5, 1.0], 250))


@pytest.mark.parametrize("correlation", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("teacher", synthetic.TEACHERS)
def test_inputs_have_their_correlation_and_targets_unit_power(teacher, correlation):
    x, y = synthetic.draw_data(5, correlation, teacher)
    assert x.shape == (2, 2 * synthetic.SAMPLES, synthetic.INPUTS)
    left, right = x
    assert (left * right).mean().item() == pytest.approx(correlation, abs=0.1)
    assert x.square().mean((1, 2)).tolist() == pytest.approx([1, 1], abs=0.1)
    assert y.square().mean((1, 2)).tolist() == pytest.approx([1, 1])


def test_independent_students_end_at_the_least_squares_error(summary):
    """An independent model is one linear map per side: descent finds the best."""
    for teacher in synthetic.TEACHERS:
        errors = []
        for seed in (0, 1):
            x, y = (s[:, :256] for s in synthetic.draw_data(seed, 0.5, teacher))
            best = x @ torch.linalg.lstsq(x, y).solution
            errors.append(synthetic.error(best, y).item())
        row = find(summary, teacher, "independent", 0.5)
        assert row["train_error"] == pytest.approx(sum(errors) / 2, abs=1e-3)


def test_fusion_learns_products_and_independent_models_do_not(summary):
    for correlation in (0.0, 0.5, 1.0):
        fused = find(summary, "product", "fusion", correlation)
        independent = find(summary, "product", "independent, bias", correlation)
        assert fused["train_error"] < 0.02
        assert fused["test_error"] < 0.02
        assert independent["train_error"] > 0.6


def test_fusion_needs_a_bias_to_follow_linear_targets(summary):
    for teacher in ("linear", "copy"):
        assert find(summary, teacher, "fusion", 0.5)["train_error"] > 0.8
        biased = find(summary, teacher, "fusion, bias", 0.5)
        independent = find(summary, teacher, "independent, bias", 0.5)
        assert biased["test_error"] < 0.8 * independent["test_error"]


def test_redundant_inputs_help_both(summary):
    for student in ("independent", "fusion, bias"):
        errors = [
            find(summary, "copy", student, c)["train_error"] for c in (0.0, 0.5, 1.0)
        ]
        assert errors[0] > errors[1] + 0.3 > errors[2] + 0.3
        assert errors[2] < 0.01


@pytest.mark.slow
def test_fusion_evens_out_the_variances_of_what_it_learns(summary):
    fused = find(summary, "product", "fusion", 0.0)
    independent = find(summary, "product", "independent", 0.0)
    assert abs(fused["ratio_db"]) < 5 < 8 < abs(independent["ratio_db"])


def test_a_run_is_the_same_in_any_company():
    alone = synthetic.run([3], [0.5], 20)
    together = synthetic.run([1, 3], [0.0, 0.5], 20)
    for row in alone:
        labels = {name: row[name] for name in (*synthetic.LABELS, "seed")}
        (same,) = [r for r in together if labels.items() <= r.items()]
        for name in synthetic.FIGURES:
            assert same[name] == pytest.approx(row[name], rel=1e-4)


def test_batched_descent_is_plain_descent():
    options = {"fuse": True, "bias": True}
    x, y = synthetic.draw_data(2, 0.3, "linear")
    batched, plain = (synthetic.make_student(2, options) for _ in range(2))
    synthetic.descend([batched], x[None], y[None], 10)
    descent = torch.optim.SGD(plain.parameters(), lr=synthetic.RATE)
    for _ in range(10):
        descent.zero_grad()
        synthetic.error(plain(x), y).backward()
        descent.step()
    torch.testing.assert_close(batched.state_dict(), plain.state_dict())


def test_start_is_12_db_apart():
    ratios = []
    for seed in range(50):
        student = synthetic.make_student(seed, {"fuse": True, "bias": False})
        signals = synthetic.draw_data(seed, 0.0, "copy")
        with torch.no_grad():
            ratios.append(synthetic.measure(student, *signals)["ratio_db"])
    assert sum(ratios) / 50 == pytest.approx(synthetic.START, abs=0.5)


def test_divergence_is_an_error():
    student = synthetic.make_student(0, {"fuse": True, "bias": False})
    student.encoder.data.fill_(math.inf)
    with pytest.raises(FloatingPointError, match="diverged"):
        synthetic.measure(student, *synthetic.draw_data(0, 0.0, "copy"))


@pytest.mark.slow
def test_command_writes_table_and_picture(tmp_path, capsys):
    synthetic.main([*SMALL, "--output_folder", str(tmp_path / "out")])
    with open(tmp_path / "out" / "runs.csv") as file:
        rows = list(csv.DictReader(file))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert len(rows) == 3 * 4 * 2 * 2
    assert summary["settings"]["correlations"] == [0.5, 1.0]
    assert len(summary["means"]) == 3 * 4 * 2
    row = find(summary["means"], "copy", "fusion", 0.5)
    errors = [
        float(r["train_error"])
        for r in rows
        if (r["teacher"], r["student"], r["correlation"]) == ("copy", "fusion", "0.5")
    ]
    assert row["train_error"] == pytest.approx(sum(errors) / 2)
    assert row["train_error_sd"] == pytest.approx(abs(errors[0] - errors[1]) / 2**0.5)
    printed = capsys.readouterr().out
    assert f"{row['train_error']:8.3f} ±{row['train_error_sd']:6.3f}" in printed
    assert image.imread(tmp_path / "out" / "synthetic.png").std() > 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "-1"], "--seeds"),
        (["--seeds", "1", "1"], "--seeds: a value is given twice"),
        (["--seeds", "x"], "expected a whole number, got 'x'"),
        (["--correlations", "1.5"], "expected a number from 0 to 1, got '1.5'"),
        (["--correlations", "nan"], "expected a number from 0 to 1, got 'nan'"),
        (["--steps", "0"], "expected a number from 1, got '0'"),
        (["--step", "9"], "unrecognized"),
        (["--output_folder", str(SCRIPT)], "is not a folder"),
        (["--output_folder", str(SCRIPT / "x")], "is not a folder"),
    ],
)
def test_bad_options_give_one_error(arguments, message, capsys):
    with pytest.raises(SystemExit) as exit_info:
        synthetic.main(arguments)
    assert exit_info.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_missing_matplotlib_names_the_extra(tmp_path, hide_library):
    hide_library("matplotlib")
    with pytest.raises(ImportError, match=r"speechbrain-fusion\[plots\]"):
        synthetic.main([*SMALL, "--output_folder", str(tmp_path)])
    assert (tmp_path / "runs.csv").exists()
