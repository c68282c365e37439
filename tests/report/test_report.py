import csv
import json
import logging
import math
import struct

import pytest
import torch

from speechbrain_fusion.metrics.table import MetricTable
from speechbrain_fusion.report.figures import draw_run
from speechbrain_fusion.report.run import write_report

RATE = 8000
HISTORY = [
    {"epoch": 1, "train_loss": 3.0, "valid_loss": 2.5, "valid_si_sdr": 1.0},
    {"epoch": 2, "train_loss": 2.0, "valid_loss": 2.0, "valid_si_sdr": math.nan},
]


def make_table():
    table = MetricTable()
    for system, value in (("unprocessed", 1.0), ("enhanced", 4.0)):
        scores = {"si_sdr": torch.tensor([[value, value + 1], [value, value]])}
        conditions = [{"noise": "wind"}, {"noise": "rain"}]
        table.add(system, ["a", "b"], conditions, scores)
    return table


def make_example(channels=2, samples=4000):
    return {kind: 0.1 * torch.randn(channels, samples) for kind in SIGNALS}


SIGNALS = ("mixture", "target", "enhanced")


def png_size(path):
    """Return width and height of a complete PNG."""
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert data[-8:-4] == b"IEND"
    return struct.unpack(">II", data[16:24])


@pytest.mark.slow
def test_a_report_writes_every_file_that_it_names(tmp_path):
    lines = write_report(tmp_path, make_table(), HISTORY, make_example(), RATE)
    files = ("test_items.csv", "test_summary.json", "history.json", "run.png")
    for name in files:
        assert (tmp_path / name).is_file()
        assert any(line.endswith(str(tmp_path / name)) for line in lines)
    assert {path.name for path in tmp_path.iterdir()} == set(files)


def test_the_text_has_the_metric_and_its_means(tmp_path):
    text = "\n".join(write_report(tmp_path, make_table(), HISTORY, None, RATE))
    (row,) = [line for line in text.splitlines() if " mean " in line]
    assert row.split()[0] == "si_sdr"
    assert "1.25" in row
    assert "4.25" in row


def test_the_files_hold_the_scores_and_the_history(tmp_path):
    write_report(tmp_path, make_table(), HISTORY, None, RATE)
    with open(tmp_path / "test_items.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["noise"]) for row in rows] == [("a", "wind"), ("b", "rain")]
    assert [float(row["si_sdr_enhanced_right"]) for row in rows] == [5.0, 4.0]
    summary = json.loads((tmp_path / "test_summary.json").read_text())
    assert summary["metrics"]["si_sdr"]["channels"]["left"]["enhanced"] == 4.0


def test_the_history_is_strict_json(tmp_path):
    write_report(tmp_path, make_table(), HISTORY, None, RATE)
    text = (tmp_path / "history.json").read_text()
    history = json.loads(text, parse_constant=pytest.fail)
    assert history == [HISTORY[0], {**HISTORY[1], "valid_si_sdr": None}]


def test_a_condition_lists_its_values(tmp_path):
    lines = write_report(tmp_path, make_table(), HISTORY, None, RATE, by="noise")
    assert {"wind", "rain"} <= set("\n".join(lines).split())


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_the_figure_is_a_picture(tmp_path, channels):
    draw_run(tmp_path / "run.png", HISTORY, make_example(channels), RATE)
    width, height = png_size(tmp_path / "run.png")
    assert width > 800
    assert height > 500


@pytest.mark.slow
@pytest.mark.parametrize("history", [[], HISTORY[:1]])
def test_the_figure_does_with_little_history(tmp_path, history):
    draw_run(tmp_path / "run.png", history, make_example(), RATE)
    assert png_size(tmp_path / "run.png")


@pytest.mark.slow
def test_a_silent_output_is_drawn(tmp_path):
    example = {kind: torch.zeros(2, 4000) for kind in make_example()}
    draw_run(tmp_path / "run.png", HISTORY, example, RATE)
    assert png_size(tmp_path / "run.png")


@pytest.mark.slow
def test_drawing_does_not_flood_the_log(tmp_path, caplog):
    with caplog.at_level(logging.DEBUG):
        draw_run(tmp_path / "run.png", HISTORY, make_example(), RATE)
    assert not [r for r in caplog.records if r.name.startswith("matplotlib")]


def test_without_matplotlib_the_extra_is_named_and_the_tables_are_written(
    tmp_path, hide_library
):
    hide_library("matplotlib")
    lines = write_report(tmp_path, make_table(), HISTORY, make_example(), RATE)
    (line,) = [line for line in lines if line.startswith("no figure")]
    assert 'pip install "speechbrain-fusion[plots]"' in line
    assert (tmp_path / "test_items.csv").is_file()
    assert not (tmp_path / "run.png").exists()
    assert not any("run.png" in line for line in lines)


def test_drawing_without_matplotlib_is_an_error(tmp_path, hide_library):
    hide_library("matplotlib")
    with pytest.raises(ImportError, match=r"speechbrain-fusion\[plots\]"):
        draw_run(tmp_path / "run.png", HISTORY, make_example(), RATE)
