import csv
import math

import numpy as np
import pytest

from speechbrain_fusion.metrics import compare_trainings
from speechbrain_fusion.report import comparison, write_comparison
from speechbrain_fusion.report.figures import import_pyplot

METRICS = ("si_sdr", "ild_error")


def write_items(path, shift, items=6):
    """Write a table of a run whose scores are those of a baseline and a shift."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = [
        *(f"si_sdr_{x}_{ear}" for x in ("unprocessed", "enhanced") for ear in "lr"),
        *(f"ild_error_{x}" for x in ("unprocessed", "enhanced")),
    ]
    draw = np.random.default_rng(0).standard_normal((items, len(names)))
    draw[:, 2:4] += shift
    draw[:, 5] -= shift / 2
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *names])
        writer.writerows([f"i{n}", *row] for n, row in enumerate(draw))
    return path


@pytest.fixture
def tables(tmp_path):
    shifts = {"none": [0.0, 0.0, 0.0], "double": [1.0, 2.0, 3.0], "sum": [-1, -1, -1]}
    return {
        name: [write_items(tmp_path / name / f"{n}.csv", x) for n, x in enumerate(s)]
        for name, s in shifts.items()
    }


def read_rows(folder):
    with open(folder / "comparison.csv", encoding="utf-8") as file:
        return {(row["system"], row["metric"]): row for row in csv.DictReader(file)}


def test_differences_and_intervals_are_those_of_the_scores(tmp_path, tables):
    write_comparison(tmp_path, tables, METRICS, ["none"])
    rows = read_rows(tmp_path)
    double = rows["double", "si_sdr"]
    assert float(double["minus_none"]) == pytest.approx(2.0)
    assert float(double["spread"]) == pytest.approx(1.0)
    # equal for all items: no width; over trainings 1, 2, 3: t(2) / sqrt(3)
    assert float(double["minus_none_items_low"]) == pytest.approx(2.0)
    high = 2.0 + 4.30265 / math.sqrt(3)
    assert float(double["minus_none_trainings_high"]) == pytest.approx(high, abs=1e-4)
    assert float(rows["double", "ild_error"]["minus_none"]) == pytest.approx(-1.0)
    assert rows["none", "si_sdr"]["minus_none"] == ""
    base = [float(rows[name, "si_sdr"]["unprocessed"]) for name in tables]
    assert base == pytest.approx([base[0]] * 3)


def test_the_table_names_every_system_metric_and_baseline(tmp_path, tables):
    lines = write_comparison(tmp_path, tables, METRICS, ["none", "double"])
    text = (tmp_path / "comparison.md").read_text()
    assert "\n".join(lines).startswith(text.rstrip())
    assert "| system | si_sdr / dB | ild_error / dB |" in text
    assert "Difference from double" in text
    assert text.count("| sum |") == 3
    assert "+2.000 (+2.000 .. +2.000;" in text


def test_the_picture_is_written(tmp_path, tables):
    lines = write_comparison(tmp_path, tables, METRICS, ["none"])
    assert lines[-1].endswith("comparison.png")
    content = (tmp_path / "comparison.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")


def test_the_picture_shows_the_differences_of_the_table(tmp_path, tables, monkeypatch):
    kept = []
    monkeypatch.setattr(comparison, "save_figure", lambda x, *_, **__: kept.append(x))
    write_comparison(tmp_path, tables, METRICS, ["none"])
    panel, other = kept[0].axes
    names = [tick.get_text() for tick in panel.get_yticklabels()]
    assert names == ["double", "sum"]
    line, mean, dots = panel.lines[:3]
    assert list(line.get_xdata()) == pytest.approx([2.0, 2.0])
    assert list(mean.get_xdata()) == pytest.approx([2.0])
    assert list(dots.get_xdata()) == pytest.approx([1.0, 2.0, 3.0])
    assert list(panel.lines[4].get_xdata()) == pytest.approx([-1.0])
    assert panel.get_xlabel().endswith("→")
    assert other.get_xlabel().endswith("←")
    import_pyplot().close(kept[0])


def test_one_training_has_no_spread(tmp_path, tables):
    single = {name: paths[:1] for name, paths in tables.items()}
    write_comparison(tmp_path, single, METRICS, ["none"])
    assert read_rows(tmp_path)["sum", "si_sdr"]["spread"] == "nan"
    assert "nan" not in (tmp_path / "comparison.md").read_text()


def test_other_items_are_refused(tmp_path, tables):
    write_items(tables["sum"][1], 0.0, items=5)
    with pytest.raises(ValueError, match=r"hold different items: 1 are in one only"):
        write_comparison(tmp_path, tables, METRICS, ["none"])
    assert not (tmp_path / "comparison.csv").exists()


def test_features_that_are_a_networks_own_have_no_common_beginning(tmp_path):
    tables = {}
    for place, name in enumerate(("joint", "tensor")):
        tables[name] = [tmp_path / f"{name}.csv"]
        lines = ["id,residual_noise_unprocessed,residual_noise_enhanced"]
        lines += [f"i{n},{-5 - place},{-9 - place - n}" for n in range(3)]
        tables[name][0].write_text("\n".join(lines))
    write_comparison(tmp_path, tables, ["residual_noise"], ["joint"])
    rows = read_rows(tmp_path)
    assert rows["tensor", "residual_noise"]["minus_joint"] == "-1.0"
    assert rows["tensor", "residual_noise"]["unprocessed"] == "nan"
    assert "| unprocessed | - |" in (tmp_path / "comparison.md").read_text()


def test_what_not_all_scored_counts_in_no_difference(tmp_path):
    """And table and picture say and show the same."""
    scores = {"base": [("1", "2"), ("1", "1.5")], "new": [("1.1", "2.1"), ("1.1", "")]}
    tables = {}
    for name, runs in scores.items():
        tables[name] = [tmp_path / f"{name}{n}.csv" for n in range(2)]
        for path, (x, y) in zip(tables[name], runs, strict=True):
            path.write_text(f"id,pesq_unprocessed,pesq_enhanced\ni,1,{x}\nj,1,{y}\n")
    lines = write_comparison(tmp_path, tables, ["pesq"], ["base"])
    found = compare_trainings(tables["new"], tables["base"], "pesq")
    assert found.each == pytest.approx((0.1, 0.1))
    assert (found.items.mean, found.total) == (pytest.approx(0.1), 2)
    note = "pesq of new: over the 1 of 2 items that all trainings of both scored"
    assert any(line.startswith(note) for line in lines)
