import csv
import functools
import json
import math
import pickle

import pytest
import torch

from speechbrain_fusion.metrics import (
    MetricTable,
    composite,
    condition_text,
    evaluate,
    published_text,
    si_sdr,
    snr,
    summary_text,
)
from speechbrain_fusion.metrics.info import metric_info

NAN = math.nan
IDS = ["a", "b", "c"]
CONDITIONS = [
    {"noise": "wind", "snr_db": 10.0},
    {"noise": "train", "snr_db": -5.0},
    {"noise": "wind", "snr_db": 0.0},
]


@pytest.fixture
def table():
    table = MetricTable()
    before = {
        "si_sdr": torch.tensor([[0.0, 2.0], [1.0, 1.0], [4.0, NAN]]),
        "ild_error": torch.tensor([3.0, NAN, 1.0]),
    }
    after = {
        "si_sdr": torch.tensor([[5.0, 5.0], [NAN, 3.0], [6.0, 100.0]]),
        "ild_error": torch.tensor([1.0, 9.0, 2.0]),
    }
    table.add("unprocessed", IDS, CONDITIONS, before)
    table.add("enhanced", IDS, CONDITIONS, after)
    return table


def test_figures_are_named(table):
    figures = table.summary()["si_sdr"]["left"]
    assert list(figures) == ["unprocessed", "enhanced", "gain", "scored", "total"]


def test_gain_compares_the_items_scored_for_both(table):
    summary = table.summary()
    left, right, mean = (summary["si_sdr"][x] for x in ("left", "right", "mean"))
    assert tuple(left.values()) == (2.0, 5.5, 3.5, 2, 3)
    assert tuple(right.values()) == (1.5, 4.0, 2.5, 2, 3)
    assert tuple(mean.values()) == (1.0, 5.0, 4.0, 1, 3)
    assert list(summary["ild_error"]) == ["mean"]
    assert summary["ild_error"]["mean"]["gain"] == 0.5


def test_infinite_scores_are_not_averaged():
    table = MetricTable(channels=())
    scores = {"snr": torch.tensor([math.inf, 3.0, -math.inf])}
    table.add("unprocessed", IDS, CONDITIONS, scores)
    table.add("enhanced", IDS, CONDITIONS, scores)
    figures = table.summary()["snr"]["mean"]
    assert tuple(figures.values()) == (3.0, 3.0, 0.0, 1, 3)


def test_one_system_alone_has_no_gain():
    table = MetricTable(channels=())
    table.add(
        "enhanced", IDS, CONDITIONS, {"stoi": torch.tensor([[0.5], [NAN], [0.7]])}
    )
    figures = table.summary()["stoi"]["mean"]
    assert figures["enhanced"] == pytest.approx(0.6)
    assert math.isnan(figures["gain"])
    assert (figures["scored"], figures["total"]) == (2, 3)


def test_rows_are_flat_and_ordered_by_id(table):
    rows = table.to_rows()
    assert [row["id"] for row in rows] == IDS
    assert rows[0] == {
        "id": "a",
        "noise": "wind",
        "snr_db": 10.0,
        "si_sdr_unprocessed_left": 0.0,
        "si_sdr_unprocessed_right": 2.0,
        "si_sdr_enhanced_left": 5.0,
        "si_sdr_enhanced_right": 5.0,
        "ild_error_unprocessed": 3.0,
        "ild_error_enhanced": 1.0,
    }


def test_csv_returns_the_rows(table, tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("what was there")
    table.write_csv(path)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    for row, expected in zip(rows, table.to_rows(), strict=True):
        assert row == {key: str(value) for key, value in expected.items()}
    assert list(tmp_path.iterdir()) == [path]


def test_json_is_strict(table, tmp_path):
    table.add("enhanced", ["d"], [{}], {"pesq": torch.tensor([NAN])})
    table.write_json(tmp_path / "summary.json")
    content = json.loads(
        (tmp_path / "summary.json").read_text(), parse_constant=pytest.fail
    )
    assert content["items"] == 4
    level = content["metrics"]["ild_error"]
    assert (level["unit"], level["better"]) == ("dB", "lower")
    assert level["channels"]["mean"]["gain"] == 0.5
    assert content["metrics"]["pesq"]["channels"]["mean"]["enhanced"] is None


def test_by_condition(table):
    groups = table.by("noise", "ild_error")
    assert list(groups) == ["train", "wind"]
    assert groups["wind"]["gain"] == 0.5
    assert groups["train"]["scored"] == 0
    assert list(table.by("snr_db", "si_sdr")) == [-5.0, 0.0, 10.0]
    with pytest.raises(ValueError, match="room"):
        table.by("room", "si_sdr")


def test_tables_of_processes_merge_without_doubles(table):
    state = table.state()
    parts = [
        {**state, "items": {name: state["items"][name] for name in names}}
        for names in (["a", "b"], ["b", "c"])
    ]
    whole = MetricTable.load(pickle.loads(pickle.dumps(parts[0])))
    whole.merge(MetricTable.load(parts[1]))
    assert len(whole) == 3
    assert summary_text(whole) == summary_text(table)
    with pytest.raises(ValueError, match="channels"):
        whole.merge(MetricTable(channels=("front", "back")))


def test_state_is_a_copy(table):
    state = table.state()
    before = summary_text(table)
    state["items"].clear()
    MetricTable.load(table.state()).add(
        "enhanced", ["a"], [{}], {"ild_error": torch.tensor([50.0])}
    )
    assert summary_text(table) == before


def test_text_is_aligned_and_names_what_was_not_scored(table):
    lines = summary_text(table).splitlines()
    heads, rows = lines[1], lines[2:6]
    for name in ("unprocessed", "enhanced", "gain", "scored"):
        end = heads.index(name) + len(name)
        assert all(
            row[end - 1] != " " and row[end : end + 1] in ("", " ") for row in rows
        )
    assert "si_sdr" in rows[0]
    assert "+3.500" in rows[0]
    assert "+0.500" in rows[3]
    assert lines[6:] == [
        "si_sdr: 2 items could not be scored",
        "ild_error: 1 items could not be scored",
    ]


def test_a_metric_that_scored_all_items_is_not_noted():
    table = MetricTable(channels=())
    table.add("enhanced", IDS, CONDITIONS, {"snr": torch.tensor([1.0, 2.0, 3.0])})
    assert "could not be scored" not in summary_text(table)


def test_text_by_condition_has_a_row_per_value(table):
    lines = condition_text(table, "noise", ["ild_error"]).splitlines()
    assert lines[0] == "ild_error in dB by noise"
    assert [line.split()[0] for line in lines[1:]] == ["noise", "train", "wind"]
    assert "+0.500" in lines[3]


def test_an_empty_table_can_be_written(tmp_path):
    table = MetricTable()
    table.write_csv(tmp_path / "a.csv")
    assert table.summary() == {}
    assert summary_text(table).startswith("0 items")
    assert (tmp_path / "a.csv").read_text() == "id\n"


def test_units():
    assert metric_info("itd_error") == ("µs", "lower")
    assert metric_info("si_sdr") == ("dB", "higher")
    assert metric_info("never_heard_of") == ("", "")


def test_what_does_not_fit_is_refused():
    table = MetricTable()
    scores = {"snr": torch.zeros(2, 3)}
    with pytest.raises(ValueError, match="snr"):
        table.add("enhanced", ["a", "b"], [{}, {}], scores)
    with pytest.raises(ValueError, match="processed"):
        table.add("denoised", ["a"], [{}], {"snr": torch.zeros(1)})
    with pytest.raises(ValueError, match="conditions"):
        table.add("enhanced", ["a"], [], {"snr": torch.zeros(1)})
    assert len(table) == 0


def test_evaluate_hands_lengths_to_every_metric():
    reference = torch.randn(2, 2, 100, generator=torch.Generator().manual_seed(0))
    estimate = reference.clone() * 0.9
    estimate[1, :, 50:] = 7.0
    lengths = torch.tensor([1.0, 0.5])
    scores = evaluate({"snr": snr, "si": si_sdr}, reference, estimate, lengths)
    assert list(scores) == ["snr", "si"]
    torch.testing.assert_close(
        scores["snr"], torch.full((2, 2), 20.0).double(), atol=1e-4, rtol=0
    )


def test_a_metric_of_several_names_has_a_row_for_each_in_two_ears_too():
    clean = torch.randn(2, 2, 8000)
    noisy = clean + torch.randn(2, 2, 8000)
    metrics = {"composite": functools.partial(composite, rate=8000, jobs=1)}
    scores = evaluate(metrics, clean, noisy, torch.tensor([1.0, 0.7]))
    assert {"csig", "cbak", "covl", "llr", "wss", "segsnr", "pesq"} == {*scores}
    table = MetricTable()
    table.add("enhanced", ["a", "b"], [{}, {}], scores)
    left, right = (
        composite(clean[1:, ear, :5600], noisy[1:, ear, :5600], 8000, jobs=1)["wss"]
        for ear in (0, 1)
    )
    row = table.to_rows()[1]
    assert row["wss_enhanced_left"] == pytest.approx(left.item())
    assert row["wss_enhanced_right"] == pytest.approx(right.item())


def test_published_figures_must_be_as_many_as_what_they_are_for():
    text = published_text({"A": {"x": [1.0, 2.0]}, "B": {"y": [3.0, 4.0]}}, ["p", "q"])
    rows = [line.split() for line in text.splitlines()]
    assert rows[1:] == [
        ["system", "metric", "p", "q"],
        ["A", "x", "1.000", "2.000"],
        ["B", "y", "3.000", "4.000"],
    ]
    with pytest.raises(ValueError, match="expected 2 values of A's x, got 1"):
        published_text({"A": {"x": [1.0]}}, ["p", "q"])


def test_a_metric_may_be_left_out_and_is_a_function():
    noise = torch.randn(1, 800)
    assert [*evaluate({"snr": snr, "pesq": None}, noise, noise)] == ["snr"]
    with pytest.raises(ValueError, match="metrics: x: expected a function or null"):
        evaluate({"x": 1}, noise, noise)
