import math

import numpy as np
import pytest
import torch
from scipy import stats

from speechbrain_fusion.metrics import MetricTable, compare_csv, paired_difference
from speechbrain_fusion.metrics.comparison import read_scores


def test_interval_is_that_of_the_paired_t_test():
    random = np.random.default_rng(0)
    a, b = random.standard_normal((2, 30))
    expected = stats.ttest_rel(a, b).confidence_interval(0.9)
    mean, low, high, pairs = paired_difference(a, b, confidence=0.9)
    assert (low, high) == pytest.approx((expected.low, expected.high))
    assert mean == pytest.approx(np.mean(a - b))
    assert pairs == 30


def test_interval_covers_as_often_as_it_says():
    random = np.random.default_rng(1)
    trials = [
        paired_difference(random.normal(0.5, 1, 12), random.normal(0, 1, 12))
        for _ in range(2000)
    ]
    covered = np.mean([trial.low <= 0.5 <= trial.high for trial in trials])
    assert covered == pytest.approx(0.95, abs=0.02)


def test_unscored_pairs_do_not_count():
    a, b = [1.0, math.nan, 3.0, 9.0, math.inf], [0.0, 5.0, 1.0, math.nan, 1.0]
    assert paired_difference(a, b) == paired_difference([1.0, 3.0], [0.0, 1.0])


def test_too_few_pairs_have_no_interval():
    mean, low, high, pairs = paired_difference([2.0], [0.5])
    assert (mean, pairs) == (1.5, 1)
    assert math.isnan(low)
    assert math.isnan(high)
    assert math.isnan(paired_difference([math.nan], [1.0]).mean)


def test_unpaired_values_are_refused():
    with pytest.raises(ValueError, match="equal"):
        paired_difference([1.0, 2.0], [1.0])


def write(path, ids, values, level=0.0):
    table = MetricTable()
    rows = torch.tensor(values)
    scores = {"si_sdr": torch.stack([rows - 1, rows + 1], 1), "pesq": rows}
    before = {name: torch.zeros_like(score) + level for name, score in scores.items()}
    table.add("unprocessed", ids, [{"noise": "wind"}] * len(ids), before)
    table.add("enhanced", ids, [{"noise": "wind"}] * len(ids), scores)
    table.write_csv(path)
    return path


def test_runs_are_matched_by_id(tmp_path):
    a = write(tmp_path / "a.csv", ["x", "y", "z"], [1.0, 5.0, math.nan])
    b = write(tmp_path / "b.csv", ["z", "x", "y"], [7.0, 0.0, 2.0])
    for metric in ("si_sdr", "pesq"):
        assert compare_csv(a, b, metric) == paired_difference([1.0, 5.0], [0.0, 2.0])


def test_other_items_are_an_error_that_names_them(tmp_path):
    a = write(tmp_path / "a.csv", ["x", "y"], [1.0, 5.0])
    b = write(tmp_path / "b.csv", ["x", "other"], [1.0, 5.0])
    with pytest.raises(ValueError, match=r"a\.csv.*b\.csv.*other, y"):
        compare_csv(a, b, "pesq")


def test_equal_names_of_other_scenes_are_an_error(tmp_path):
    a = write(tmp_path / "a.csv", ["x", "y"], [1.0, 5.0])
    b = write(tmp_path / "b.csv", ["x", "y"], [1.0, 5.0], level=0.5)
    with pytest.raises(ValueError, match=r"different items: unprocessed, x has pesq"):
        compare_csv(a, b, "pesq")


def test_a_missing_metric_is_an_error_that_names_it(tmp_path):
    a = write(tmp_path / "a.csv", ["x"], [1.0])
    with pytest.raises(ValueError, match=r"a\.csv.*stoi_enhanced"):
        compare_csv(a, a, "stoi")


def test_a_cell_that_is_no_number_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,snr_enhanced\nx,1\ny,abc\n")
    with pytest.raises(
        ValueError, match=r"a\.csv: item y, column snr_enhanced: .*'abc'"
    ):
        read_scores(path, "snr")
