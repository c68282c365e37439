"""Scores from the command line are those of the metrics' functions."""

import csv
import json
import os

import numpy as np
import pytest
import soundfile

from speechbrain_fusion.metrics import pesq, si_sdr, stoi
from speechbrain_fusion.metrics.comparison import compare_csv
from tests.commands.conftest import signal
from tests.commands.shell import run
from tests.conftest import write_voice

RATE = 16000


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Folders clean, noisy and enhanced, of two mono files each."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for seed, name in enumerate(("a", "deep/b")):
        write_voice(tmp_path / f"clean/{name}.wav", 1.0, seed)
        clean, _ = soundfile.read(tmp_path / f"clean/{name}.wav")
        for folder, level in (("noisy", 0.05), ("enhanced", 0.01)):
            path = tmp_path / folder / f"{name}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, clean + level * rng.standard_normal(RATE), RATE)
    return tmp_path


def test_two_files(folders):
    ran = run("evaluate", "clean/a.wav", "enhanced/a.flac", "--json", "scores.json")
    assert (ran.code, ran.err) == (0, "")
    clean, enhanced = signal("clean/a.wav"), signal("enhanced/a.flac")
    [scores] = json.loads((folders / "scores.json").read_text())["scores"]
    assert scores["id"] == "a"
    assert scores["si_sdr_enhanced"] == si_sdr(clean, enhanced).item()
    assert scores["pesq_enhanced"] == pesq(clean, enhanced, RATE, jobs=1).item()
    assert scores["stoi_enhanced"] == stoi(clean, enhanced, RATE, jobs=1).item()
    line = next(x for x in ran.text.splitlines() if x.startswith("pesq"))
    assert f"{scores['pesq_enhanced']:.3f}" in line
    for name in ("sdr", "snr", "estoi", "csig", "cbak", "covl", "llr", "wss", "segsnr"):
        assert np.isfinite(scores[f"{name}_enhanced"])
    assert "mbstoi" not in ran.text


def test_folders_with_noisy_say_what_was_gained(folders):
    arguments = ["--noisy", "noisy", "--metrics", "si_sdr", "stoi", "--csv", "a.csv"]
    ran = run("evaluate", "clean", "enhanced", *arguments)
    assert (ran.code, ran.err) == (0, "")
    assert ran.text.startswith("2 items; means over scored items; a positive gain")
    with open("a.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["a", "deep/b"]
    for row in rows:
        x, y, s = (
            signal(f"{folder}/{row['id']}.{kind}")
            for folder, kind in (
                ("noisy", "flac"),
                ("enhanced", "flac"),
                ("clean", "wav"),
            )
        )
        assert float(row["si_sdr_unprocessed"]) == si_sdr(s, x).item()
        assert float(row["si_sdr_enhanced"]) == si_sdr(s, y).item()
    assert compare_csv("a.csv", "a.csv", "stoi").mean == 0.0


def test_two_channels_have_binaural_metrics(folders):
    rng = np.random.default_rng(0)
    clean = 0.1 * rng.standard_normal((RATE, 2))
    soundfile.write("s.wav", clean, RATE)
    soundfile.write("y.wav", clean + 0.01 * rng.standard_normal((RATE, 2)), RATE)
    ran = run("evaluate", "s.wav", "y.wav", "--metrics", "mbstoi", "itd_error", "snr")
    assert ran.code == 0
    for word in ("mbstoi", "itd_error", "left", "right", "µs"):
        assert word in ran.text


def test_what_has_no_partner_or_is_broken_is_told_at_the_end(folders):
    (folders / "clean/alone.wav").write_bytes(b"x")
    (folders / "enhanced/deep/b.flac").write_bytes(b"not audio")
    ran = run("evaluate", "clean", "enhanced", "--metrics", "snr")
    assert ran.code == 1
    assert ran.text.startswith("1 items")
    assert len(ran.errors) == 2
    assert ran.errors[0] == "clean/alone.wav: no estimate of this name"
    assert ran.errors[1].startswith("enhanced/deep/b.flac: not a readable audio file")


def test_a_table_says_what_was_not_scored(folders):
    (folders / "clean/alone.wav").write_bytes(b"x")
    arguments = ["--metrics", "snr", "--json", "scores.json"]
    assert run("evaluate", "clean", "enhanced", *arguments).code == 1
    scores = json.loads((folders / "scores.json").read_text())
    assert scores["failures"] == ["clean/alone.wav: no estimate of this name"]


def test_no_input_is_overwritten_even_if_nothing_is_its_partner(folders):
    (folders / "clean/alone.wav").write_bytes(b"x")
    arguments = ["--metrics", "snr", "--force", "--json", "clean/deep/../alone.wav"]
    ran = run("evaluate", "clean", "enhanced", *arguments)
    assert ran.code == 2
    assert ran.errors == ["clean/deep/../alone.wav: would overwrite an input"]
    assert (folders / "clean/alone.wav").read_bytes() == b"x"


@pytest.mark.slow
def test_a_pipe_is_not_waited_for(folders):
    (folders / "enhanced/a.flac").unlink()
    os.mkfifo("enhanced/a.flac")
    ran = run("evaluate", "clean", "enhanced", "--metrics", "snr")
    assert ran.code == 1
    assert ran.errors == ["enhanced/a.flac: not a regular file, expected an audio file"]
    ran = run("evaluate", "clean/a.wav", "enhanced/a.flac", "--metrics", "snr")
    assert (ran.code, ran.out) == (1, b"")


def test_missing_scores_have_a_reason(folders):
    soundfile.write("enhanced/a.flac", np.zeros(RATE), RATE)
    ran = run("evaluate", "clean", "enhanced", "--metrics", "snr", "mbstoi")
    assert ran.code == 0
    assert "snr of enhanced: the estimate is silent (1 items)" in ran.text
    assert "mbstoi of enhanced: needs 2 channels, got 1 (2 items)" in ran.text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["clean", "none"], "none: no such file or folder"),
        (["clean/a.wav", "enhanced"], "expected all files or all folders"),
        (["clean/deep", "enhanced/empty"], "no audio files of the same name"),
        (["clean", "enhanced", "--metrics", "mos"], "unknown metric 'mos'"),
        (["clean", "enhanced", "--csv", "clean"], "clean: is a folder"),
        (["clean", "enhanced", "--json", "clean/a.wav"], "exists; --force overwrites"),
        (["clean", "enhanced", "--json", "x", "--csv", "x"], "one file"),
    ],
)
def test_what_cannot_be_scored_at_all_ends_with_2(folders, arguments, told):
    os.mkdir("enhanced/empty")
    before = (folders / "clean/a.wav").read_bytes()
    ran = run("evaluate", *arguments)
    assert ran.code == 2
    assert told in ran.errors[0]
    assert ran.out == b""
    assert (folders / "clean/a.wav").read_bytes() == before


def test_force_overwrites_a_table(folders):
    (folders / "a.csv").write_text("old")
    arguments = ["evaluate", "clean", "enhanced", "--metrics", "snr", "--csv", "a.csv"]
    assert run(*arguments).code == 2
    assert (folders / "a.csv").read_text() == "old"
    assert run(*arguments, "--force").code == 0
    assert (folders / "a.csv").read_text().startswith("id,")


def test_a_file_that_cannot_be_written_is_told(folders):
    (folders / "block").write_text("a file")
    ran = run("evaluate", "clean", "enhanced", "--metrics", "snr", "--csv", "block/a")
    assert ran.code == 1
    assert ran.errors == ["block/a: not written: File exists"]


def test_a_table_that_cannot_be_written_costs_nothing_else(folders):
    (folders / "block").write_text("a file")
    (folders / "enhanced/a.flac").write_text("no audio")
    tables = ["--json", "block/a", "--csv", "t.csv"]
    ran = run("evaluate", "clean", "enhanced", "--metrics", "snr", *tables)
    assert ran.code == 1
    assert (folders / "t.csv").read_text().startswith("id,")
    assert ran.errors[-1] == "block/a: not written: File exists"
    assert ran.errors[0].startswith("enhanced/a.flac: ")
