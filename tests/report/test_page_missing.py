"""What the page says where something is missing or broken."""

import json
import os

import pytest

from speechbrain_fusion.report.page import page_lines, write_page
from tests.report.reader import read
from tests.report.runs import HISTORY, write_run


def test_a_run_without_anything_but_settings_says_so(tmp_path):
    (tmp_path / "hyperparams.yaml").write_text("name: begun")
    page = read(tmp_path)
    assert "has not been tested" in page.text("results")
    assert "no history of epochs" in page.text("learning")
    assert "No audio of the test was kept" in page.text("listen")
    assert "No condition tells" in page.text("conditions")
    assert "kept no command" in page.text("settings")


def test_an_unfinished_run_shows_the_history_of_its_checkpoint(tmp_path):
    (tmp_path / "hyperparams.yaml").write_text("select: si_sdr")
    saved = tmp_path / "save" / "CKPT+1"
    saved.mkdir(parents=True)
    (saved / "history.ckpt").write_text(json.dumps({"epochs": HISTORY, "terms": {}}))
    assert "epoch 4, the best" in read(tmp_path).text("learning")


def test_a_run_without_an_index_has_its_first_items(tmp_path):
    run = write_run(tmp_path)
    (run / "examples" / "index.json").unlink()
    assert [x["text"] for x in read(run).find("h4")] == ["scene00000", "scene00005"]


def test_stages_of_training_have_headings(tmp_path):
    run = write_run(tmp_path, kept={})
    (run / "speech_history.json").write_text(json.dumps(HISTORY[:2]))
    headings = [x["text"] for x in read(run).find("h3")]
    assert headings == ["speech autoencoder", "joint training"]


@pytest.mark.parametrize("name", ["nowhere", "empty", "file.txt"])
def test_no_run_is_an_error_that_says_what_was_expected(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").touch()
    with pytest.raises(
        ValueError, match=rf"{name}: .*expected one of hyperparams\.yaml"
    ):
        write_page(tmp_path / name)


BROKEN = {
    "history.json": '[{"epoch": 1',
    "test_summary.json": "[]",
    "hyperparams.yaml": "a: [",
    "examples/index.json": '{"items": [{"id": 3}]}',
    "test_items.csv": "name,snr\na,b\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_named_and_the_page_of_before_stays(tmp_path, name):
    run = write_run(tmp_path / "run", {"scene00000": ["first"]})
    before = write_page(run).read_bytes()
    (run / name).write_text(BROKEN[name])
    with pytest.raises(ValueError, match="run") as caught:
        write_page(run)
    assert "\n" not in str(caught.value)
    assert (run / "report.html").read_bytes() == before
    assert not [*run.glob(".*")]


def test_a_full_disk_leaves_the_page_of_before(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    run = write_run(tmp_path / "run", {"scene00000": ["first"]})
    (run / "report.html").write_text("precious")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"not written: No space left.*report\.html"):
        write_page(run)
    assert (run / "report.html").read_text() == "precious"
    assert not [*run.glob(".*")]


def test_files_outside_the_examples_are_refused(tmp_path):
    run = write_run(tmp_path / "run", {"scene00000": ["first"]})
    index = json.loads((run / "examples" / "index.json").read_text())
    index["items"][0]["files"]["mixture"] = "../../secret.wav"
    (run / "examples" / "index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"secret\.wav is not in its folder"):
        write_page(run)


def test_the_end_of_a_run_is_told_where_the_page_is(run):
    (line,) = page_lines(run)
    assert line.split()[-1] == str(run / "report.html")


def test_a_page_that_fails_is_one_warning(tmp_path, caplog):
    assert page_lines(tmp_path / "nowhere") == []
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "no page to listen to: ValueError" in record.message


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("history.json", "[1, 2]"),
        ("history.json", '[{"train_loss": 1.0}]'),
        ("test_summary.json", '{"metrics": {"snr": {"channels": {"left": {}}}}}'),
        ("hyperparams.yaml", "created: 2024-13-45"),
        ("hyperparams.yaml", "a: " + "[" * 3000),
        ("hyperparams.yaml", "valid_metrics: 3"),
    ],
)
def test_a_file_of_other_content_is_told_with_its_folder(tmp_path, name, text):
    run = write_run(tmp_path / "run", {"scene00000": ["first"]})
    (run / name).write_text(text)
    with pytest.raises(ValueError, match="run"):
        write_page(run)


def test_a_name_of_other_bytes_than_text_is_shown(tmp_path):
    run = write_run(tmp_path / "run", kept={})
    run = run.rename(tmp_path / os.fsdecode(b"run\xff"))
    assert b"<title>" in write_page(run).read_bytes()
