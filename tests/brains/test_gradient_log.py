import csv
import math

import pytest

from speechbrain_fusion.brains.gradient_log import GradientLog
from speechbrain_fusion.report.gradients import write_gradients
from tests.brains.common import Killed, die_at
from tests.brains.multitask import make_brain, make_data
from tests.report.test_report import png_size


def filled(steps, windows=8):
    log = GradientLog(windows)
    log.begin(1)
    for step in range(1, steps + 1):
        log.add({"cosine_x": float(step)})
    return log


@pytest.mark.parametrize("steps", [1, 7, 8, 9, 16, 17, 100, 1000])
def test_memory_is_bounded_and_every_step_counts_once(steps):
    log = filled(steps)
    curve = log.curve()
    assert len(curve) <= 8
    # the figure is the step's number: each window must stand where its mean is
    assert [point["cosine_x"] for point in curve] == [p["step"] for p in curve]
    assert sum(count for window in log.sums for _, count in window.values()) == steps
    assert log.epoch_means() == {"cosine_x": (steps + 1) / 2}


def test_an_epoch_has_its_own_means():
    log = filled(10)
    log.begin(2)
    assert log.epoch_means() == {}
    log.add({"cosine_x": 3.0})
    log.begin(2)
    log.add({"cosine_x": 5.0})
    assert log.epoch_means() == {"cosine_x": 4.0}


def test_what_is_not_finite_is_left_out():
    log = GradientLog()
    for value in (1.0, math.nan, math.inf, 3.0):
        log.add({"cosine_x": value, "conflict_x": 0.5})
    assert log.epoch_means() == {"cosine_x": 2.0, "conflict_x": 0.5}
    assert [point.get("cosine_x") for point in log.curve()] == [1.0, None, None, 3.0]


@pytest.mark.parametrize("steps", [5, 8, 13])
def test_a_restored_log_goes_on_alike(tmp_path, steps):
    whole, begun = filled(20), filled(steps)
    begun.save(tmp_path / "log")
    restored = GradientLog(8)
    restored.load(tmp_path / "log", end_of_epoch=False)
    restored.begin(1)
    for step in range(steps + 1, 21):
        restored.add({"cosine_x": float(step)})
    assert restored.curve() == whole.curve()
    assert restored.epoch_means() == whole.epoch_means()


@pytest.mark.parametrize("windows", [0, 3, -2])
def test_windows_must_be_joined_in_pairs(windows):
    with pytest.raises(ValueError, match="windows: expected an even number"):
        GradientLog(windows)


def train(folder, **options):
    brain = make_brain(options.pop("modulation", None), options, folder=folder / "save")
    brain.hparams.output_folder = str(folder)
    fit = {"train_loader_kwargs": {"batch_size": 6}}
    brain.fit(brain.hparams.counter, make_data(), **fit)
    return brain


def read(folder):
    with open(folder / "gradients.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_table_and_figure(tmp_path):
    brain = train(tmp_path)
    rows = read(tmp_path)
    assert [float(row["step"]) for row in rows] == [*range(1, 17)]
    assert len(rows) == brain.optimizer_step
    expected = [float(x.total_cosine) for x in brain.seen]
    assert [float(row["cosine_music"]) for row in rows] == expected
    rates = [float(x.conflict_rate) for x in brain.seen]
    assert [float(row["conflict_music"]) for row in rows] == rates
    assert min(png_size(tmp_path / "gradients.png")) > 300
    means = brain.gradient_figures()
    assert means["cosine_music"] == pytest.approx(sum(expected[8:]) / 8, rel=1e-12)
    assert 0 < means["kept_music"] < 1


def test_without_modulation_all_is_kept(tmp_path):
    figures = train(tmp_path, modulation={"granularity": "none"}).gradient_figures()
    assert figures["kept_music"] == pytest.approx(1.0, abs=1e-12)
    assert figures["conflict_music"] > 0


@pytest.mark.slow
def test_an_interrupted_run_leaves_the_same_table(tmp_path):
    options = {"ckpt_interval_steps": 1}
    train(tmp_path / "whole", **options)
    folder = tmp_path / "broken"
    brain = make_brain(None, options, folder=folder / "save")
    die_at(brain, "fit_batch", 12)
    with pytest.raises(Killed):
        brain.fit(
            brain.hparams.counter, make_data(), train_loader_kwargs={"batch_size": 6}
        )
    assert not (folder / "gradients.csv").exists()
    train(folder, **options)
    assert read(folder) == read(tmp_path / "whole")


def test_nothing_is_written_without_an_auxiliary_loss(tmp_path):
    train(tmp_path, modulation={"weights": {"music": 0.0}})
    assert [path.name for path in tmp_path.iterdir()] == ["save"]


def test_a_missing_matplotlib_costs_the_figure_alone(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    write_gradients(tmp_path, [{"step": 1.0, "cosine_x": 0.5, "conflict_x": 0.0}])
    assert [path.name for path in tmp_path.iterdir()] == ["gradients.csv"]
