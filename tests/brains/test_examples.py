"""Which items of a test are kept to listen to."""

import json
import math

import pytest
import soundfile
import torch

from speechbrain_fusion.brains.examples import Examples
from speechbrain_fusion.data.batch import Batch
from speechbrain_fusion.metrics.table import MetricTable
from speechbrain_fusion.report.page_audio import load_item
from speechbrain_fusion.report.page_run import Kept
from tests.brains import toy
from tests.brains.toy import ToyScenes, make_brain, train
from tests.ranks import run_ranks

RATE = 8000
NAMES = "abcdefgh"
SCORES = [3.0, -1.0, 7.0, 0.0, math.nan, 5.0, 6.0, 4.0]


def keep(folder, scores=SCORES, first=2, size=3, metric="snr", select="snr"):
    """Keep examples of items whose samples are all their number."""
    kept, table = Examples(folder, RATE, first, select), MetricTable(())
    for start in range(0, len(scores), size):
        values = torch.tensor(scores[start : start + size])
        ids = [*NAMES[start : start + len(values)]]
        numbers = torch.arange(start, start + len(ids), dtype=torch.float32)
        signals = {"mixture": numbers.view(-1, 1, 1).expand(-1, 1, 40)}
        lengths = torch.tensor([1.0, 0.5, 0.25][: len(ids)])
        info = [{"noise": "wind", "snr": n} for n in numbers.tolist()]
        batch = Batch(ids, signals, lengths, info)
        kept.add(batch, signals, {metric: values})
        table.add("enhanced", ids, info, {metric: values})
    kept.close(table)
    return kept


def read_index(folder):
    return json.loads((folder / "index.json").read_text(), parse_constant=pytest.fail)


def reasons(folder):
    return {item["id"]: item["why"] for item in read_index(folder)["items"]}


def test_the_first_the_worst_and_the_best_are_kept(tmp_path):
    keep(tmp_path)
    assert reasons(tmp_path) == {
        "a": ["first"],
        "b": ["first", "worst"],
        "d": ["worst"],
        "c": ["best"],
        "g": ["best"],
    }


@pytest.mark.parametrize("size", [1, 2])
def test_they_do_not_depend_on_the_batches(tmp_path, size):
    keep(tmp_path / "other", size=size)
    keep(tmp_path / "usual")
    assert reasons(tmp_path / "other") == reasons(tmp_path / "usual")


def test_the_index_names_files_scores_and_conditions(tmp_path):
    keep(tmp_path)
    index = read_index(tmp_path)
    about = {"metric": "snr", "better": "higher", "sample_rate": RATE}
    assert {key: index[key] for key in about} == about
    lengths = {"a": 40, "b": 20, "c": 10, "d": 40, "g": 40}
    for item in index["items"]:
        number = NAMES.index(item["id"])
        samples, rate = soundfile.read(tmp_path / item["files"]["mixture"])
        assert rate == RATE
        assert samples.tolist() == [number] * lengths[item["id"]]
        assert item["conditions"] == {"noise": "wind", "snr": number}
        assert item["scores"] == {"snr": {"enhanced": [SCORES[number]]}}


def test_of_an_error_the_most_is_the_worst(tmp_path):
    keep(tmp_path, metric="ild_error", select="ild_error")
    found = reasons(tmp_path)
    assert found["c"] == found["g"] == ["worst"]
    assert found["d"] == ["best"]
    assert read_index(tmp_path)["better"] == "lower"


def test_without_the_criterion_the_first_metric_decides(tmp_path):
    keep(tmp_path, select="loss")
    assert read_index(tmp_path)["metric"] == "snr"
    assert reasons(tmp_path)["d"] == ["worst"]


def test_no_item_is_both_worst_and_best(tmp_path):
    for count in range(1, 5):
        keep(tmp_path / f"{count}", SCORES[:count], first=8)
        found = reasons(tmp_path / f"{count}").values()
        assert not any({"worst", "best"} <= {*why} for why in found)
        assert sum("worst" in why for why in found) == count // 2


def test_equal_scores_are_ordered_by_name(tmp_path):
    keep(tmp_path, [1.0] * 8, first=1, size=2)
    found = reasons(tmp_path)
    assert found == {
        "a": ["first", "worst"],
        "b": ["worst"],
        "h": ["best"],
        "g": ["best"],
    }


def test_none_is_none(tmp_path):
    keep(tmp_path / "examples", first=0)
    assert not (tmp_path / "examples").exists()


def test_what_could_not_be_scored_is_never_an_extreme_and_null_in_the_index(tmp_path):
    keep(tmp_path, [math.nan] * 3, first=1)
    assert reasons(tmp_path) == {"a": ["first"]}
    (item,) = read_index(tmp_path)["items"]
    assert item["scores"] == {"snr": {"enhanced": [None]}}


def test_without_any_those_of_an_earlier_test_are_removed(tmp_path):
    keep(tmp_path)
    keep(tmp_path, first=0)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_fewer_leave_none_of_an_earlier_test(tmp_path):
    keep(tmp_path, first=5)
    keep(tmp_path, first=1)
    assert [path.name for path in tmp_path.glob("*.wav")] == ["a_mixture.wav"]


def test_extremes_of_an_earlier_test_are_removed(tmp_path):
    keep(tmp_path)
    before = {path.name for path in (tmp_path / "extremes").iterdir()}
    keep(tmp_path, [3.0, -1.0, 7.0, 0.0, 5.0, 5.0, 5.0, 8.0])
    after = {path.name for path in (tmp_path / "extremes").iterdir()}
    assert before == {f"{name}_mixture.wav" for name in "cdg"}
    assert after == {f"{name}_mixture.wav" for name in "cdh"}


def test_what_is_held_does_not_grow(tmp_path):
    kept = Examples(tmp_path, RATE, 1, "snr")
    for number in range(50):
        signals = {"mixture": torch.zeros(1, 1, 4)}
        batch = Batch([f"{number:02d}"], signals, torch.ones(1), [{}])
        value = float(number * 7 % 50)
        kept.add(batch, signals, {"snr": torch.tensor([value])})
        assert len(kept._held) <= 4


@pytest.mark.slow
def test_a_brain_keeps_the_worst_and_best_of_its_test(tmp_path):
    brain = train(make_brain(tmp_path, epochs=1, examples=1))
    toy.evaluate(brain)
    index = read_index(tmp_path / "examples")
    rows = {row["id"]: row for row in brain.table.to_rows()}

    def score(name):
        return sum(rows[name][f"si_sdr_enhanced_{ear}"] for ear in ("left", "right"))

    order = sorted(rows, key=score)
    found = {x["id"]: x["why"] for x in index["items"]}
    assert [name for name in order if "worst" in found.get(name, [])] == order[:2]
    assert [name for name in order if "best" in found.get(name, [])] == order[-2:]
    test_set = ToyScenes(7, seed=3, fixed=True)
    for item in index["items"]:
        path = tmp_path / "examples" / item["files"]["target"]
        target, _ = soundfile.read(path, dtype="float32")
        scene = test_set[1, int(item["id"][-2:])]
        assert (scene.signals["target"].numpy() == target.T).all()
        assert item["conditions"]["noise"] == scene.info["noise"]
        assert {*item["files"]} == {"mixture", "target", "enhanced"}


RANKS = """
import torch
from pathlib import Path
from torch import distributed
from speechbrain_fusion.data.sampler import EpochSampler
from speechbrain_fusion.brains.examples import Examples
from speechbrain_fusion.brains.processes import gather
from speechbrain_fusion.data.batch import Batch
from speechbrain_fusion.metrics.table import MetricTable

distributed.init_process_group("gloo")
scores = [3.0, -1.0, 7.0, 0.0, 2.0, 5.0, 6.0]
kept, table = Examples(Path("FOLDER"), 8000, 3, "snr"), MetricTable(())
for _, index in EpochSampler(7, 1, 0, train=False):
    signals = {"mixture": torch.full((1, 1, 4), float(index))}
    batch = Batch(["abcdefg"[index]], signals, torch.ones(1), [{}])
    values = {"snr": torch.tensor([scores[index]])}
    table.add("enhanced", batch.ids, batch.info, values)
    kept.add(batch, signals, values)
for state in gather(table.state()):
    table.merge(state)
kept.close(table)
"""


@pytest.mark.slow
def test_two_processes_keep_what_one_keeps(tmp_path):
    run_ranks(RANKS.replace("FOLDER", str(tmp_path / "two")), tmp_path)
    keep(tmp_path / "one", [3.0, -1.0, 7.0, 0.0, 2.0, 5.0, 6.0], first=3)
    one, two = (reasons(tmp_path / folder) for folder in ("one", "two"))
    assert one == two
    assert sorted(one) == ["a", "b", "c", "d", "g"]
    for item in read_index(tmp_path / "two")["items"]:
        samples, _ = soundfile.read(tmp_path / "two" / item["files"]["mixture"])
        assert samples.tolist() == [NAMES.index(item["id"])] * 4


@pytest.mark.slow
def test_every_test_ends_with_a_page_and_says_where_it_is(tmp_path, capsys):
    brain = train(make_brain(tmp_path, epochs=1))
    toy.evaluate(brain)
    assert str(tmp_path / "report.html") in capsys.readouterr().out
    page = (tmp_path / "report.html").read_text()
    for item in read_index(tmp_path / "examples")["items"]:
        assert f'aria-label="Player of {item["id"]}"' in page


@pytest.mark.slow
def test_a_page_that_cannot_be_written_stops_no_run(tmp_path, capsys, caplog):
    brain = train(make_brain(tmp_path, epochs=1))
    (tmp_path / "report.html").mkdir()
    toy.evaluate(brain)
    assert "7 items" in capsys.readouterr().out
    warnings = [x.message for x in caplog.records if x.levelname == "WARNING"]
    (line,) = [x for x in warnings if "no page to listen to" in x]
    assert "report.html" in line


@pytest.mark.parametrize("name", [300 * "a", 200 * "ü", "no\udcfftext", "a/b\0/"])
def test_names_that_no_file_has_get_files_of_their_own(name, tmp_path):
    kept, table = Examples(tmp_path, RATE, 2, "snr"), MetricTable(())
    ids = [f"{name}a", f"{name}b"]
    signals = {"mixture": torch.ones(2, 1, 40)}
    batch = Batch(ids, signals, torch.ones(2), [{}, {}])
    kept.add(batch, signals, {"snr": torch.tensor([1.0, 2.0])})
    table.add("enhanced", ids, [{}, {}], {"snr": torch.tensor([1.0, 2.0])})
    kept.close(table)
    items = read_index(tmp_path)["items"]
    assert [item["id"] for item in items] == ids
    files = {item["files"]["mixture"] for item in items}
    assert len(files) == 2
    assert all((tmp_path / path).is_file() for path in files)
    places = {"mixture": tmp_path / items[0]["files"]["mixture"]}
    loaded = load_item(Kept(ids[0], ["first"], places))
    assert [sound.title for sound in loaded.sounds] == ["noisy"]
    assert loaded.notes == []
