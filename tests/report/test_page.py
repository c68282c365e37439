"""What the page says of a run, read without a browser."""

import csv
import functools
import io
import json
import re
import struct

import numpy as np
import pytest
import soundfile

from speechbrain_fusion.report import page_players
from speechbrain_fusion.report.page import policy, write_page
from speechbrain_fusion.report.page_audio import load_sounds
from tests.report.reader import MINUS, content, read
from tests.report.runs import (
    RATE,
    SECONDS,
    SIGNALS,
    chirp,
    make_table,
    write_examples,
    write_run,
)

# -- self-contained ----------------------------------------------------------------


def test_the_page_needs_nothing_but_itself(run, page):
    text = (run / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|//cdn|@import|url\(", text)
    for element in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            address = element.get(name)
            assert address is None or address.startswith(("data:", "#"))
    assert not page.find("iframe") + page.find("object") + page.find("form")


def test_its_policy_allows_its_own_script_alone(page):
    (rules,) = [
        x["content"]
        for x in page.find("meta", **{"http-equiv": "Content-Security-Policy"})
    ]
    (script,) = page.find("script")
    assert rules == policy(script["raw"])
    assert "default-src 'none'" in rules
    assert "unsafe-inline" not in rules.partition("script-src")[2]


def test_links_lead_to_what_is_there(page):
    ids = [x["id"] for x in page.elements if "id" in x]
    assert len(ids) == len({*ids})
    for link in page.find("a"):
        assert link["href"].removeprefix("#") in ids


def test_the_page_can_be_written_elsewhere(run, tmp_path):
    path = tmp_path / "new" / "page.html"
    assert write_page(run, path) == path
    assert path.read_bytes() == write_page(run).read_bytes()


# -- content -----------------------------------------------------------------------


def test_it_says_what_was_run(page):
    (title,) = page.find("h1")
    assert title["text"] == "fusion"
    (head,) = page.find("header", class_="top")
    for text in (
        "Train and evaluate binaural",
        "12 test items",
        "6 epochs",
        "16 kHz",
        "seed 1234",
    ):
        assert text in head["text"]


def test_the_results_have_every_metric_channel_and_system(page):
    text = page.text("results")
    # the mean over 12 items of n + 3.25, and of the left channel n + 3
    assert "SI-SDR ↑ dB 3.75 8.75 +5.00" in text
    assert "left 3.50 8.50 +5.00" in text
    assert "right 4.00 9.00 +5.00" in text
    assert "ILD error ↓ dB 8.00 3.00 +5.00" in text


def test_references_have_columns(tmp_path):
    run = write_run(tmp_path, kept={})
    summary = json.loads((run / "test_summary.json").read_text())
    for metric in summary["metrics"].values():
        for figures in metric["channels"].values():
            figures["wiener"] = 4.321
    (run / "test_summary.json").write_text(json.dumps(summary))
    page = read(run)
    assert "wiener" in page.text("results")
    assert "+5.00 4.32" in page.text("results")


def test_what_was_not_scored_is_said(tmp_path):
    table = make_table()
    table._items["scene00003"]["scores"]["pesq"]["enhanced"] = [float("nan")] * 2
    page = read(write_run(tmp_path, kept={}, table=table))
    assert "PESQ: 1 of 12 items could not be scored" in page.text("results")


def test_curves_have_the_losses_and_the_metrics_apart(page):
    captions = [x["text"] for x in page.find("figcaption")]
    (label,) = [
        x["aria-label"]
        for x in page.find("svg")
        if x.get("aria-label", "").startswith("loss;")
    ]
    assert "training from 3 to 0.5 in 6 epochs" in label
    # one of six is missing
    assert "validation from 3.5 to 0.5833 in 5 epochs" in label
    assert "loss training validation" in captions
    assert "SI-SDR / dB validation" in captions
    assert {"SI-SDR loss training", "SNR loss training"} <= {*captions}
    assert "The dashed line is epoch 4, the best by validation SI-SDR." in page.text(
        "learning"
    )


def test_every_metric_is_drawn_by_every_condition(page):
    labels = [x["aria-label"] for x in page.find("svg", role="img")]
    for metric in ("SI-SDR", "PESQ", "ILD error"):
        for condition in ("noise", "SNR", "azimuth"):
            assert f"{metric} by {condition}, unprocessed and enhanced" in labels
    shown = [
        x
        for x in page.find("div", class_="figures")
        if "data-metric" in x and "hidden" not in x
    ]
    assert [x["data-metric"] for x in shown] == ["si_sdr"]


def test_worst_and_best_items_lead_to_their_players(page):
    table = page.find("caption")[1]["text"]
    assert table == "The worst and the best of 12 items by SI-SDR, in SI-SDR / dB ↑"
    rows = [x["text"] for x in page.find("tr", class_="listed")]
    worst, best = [0, 1, 2, 3, 4], [11, 10, 9, 8, 7]
    assert [row[:10] for row in rows] == [f"scene{n:05d}" for n in worst + best]
    known = f"noise babble · SNR {MINUS}4.25 dB · azimuth 0°"
    assert rows[0] == f"scene00000 {known} {MINUS}1.75 3.25 +5.00"
    places = {
        x["text"]: x["href"] for x in page.find("a") if x["text"].startswith("scene")
    }
    assert {*places} == {"scene00000", "scene00001", "scene00011"}
    for name, place in places.items():
        assert name in page.text(place.removeprefix("#"))


def test_items_are_grouped_by_why_they_were_kept(page):
    names = [x["text"] for x in page.find("h4")]
    assert names == ["scene00000", "scene00001", "scene00011", "scene00005"]
    headings = [x["text"] for x in page.find("h3")]
    assert headings[:3] == ["Worst items", "Best items", "First items of the test"]


def test_players_have_a_button_an_audio_and_two_ears_for_each_signal(page):
    players = page.find("div", class_="player")
    assert len(players) == 4
    assert {float(x["data-seconds"]) for x in players} == {SECONDS}
    buttons = [x for x in page.find("button") if "aria-pressed" in x]
    assert [x["text"] for x in buttons] == ["1 noisy", "2 enhanced", "3 clean"] * 4
    assert [x["aria-pressed"] for x in buttons] == ["true", "false", "false"] * 4
    assert len(page.find("audio")) == 12
    pictures = [
        x["alt"] for x in page.find("img") if x["alt"].startswith("Spectrogram")
    ]
    ears = [
        f"Spectrogram of {kind}, {ear} ear"
        for kind in ("noisy", "enhanced", "clean")
        for ear in ("left", "right")
    ]
    assert pictures == ears * 4


def test_the_audio_is_that_of_the_run(page):
    for number, audio in enumerate(page.find("audio")):
        kind, data = content(audio["src"])
        assert kind == "data:audio/flac"
        signal, rate = soundfile.read(io.BytesIO(data), always_2d=True)
        assert rate == RATE
        expected = chirp(SIGNALS[number % 3])
        assert np.abs(signal.T - expected).max() < 1 / 32768


def test_spectrograms_are_pictures_of_one_size(page):
    sizes = set()
    for image in page.find("img"):
        kind, data = content(image["src"])
        assert kind == "data:image/png"
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        sizes.add(struct.unpack(">II", data[16:24]))
    assert len(sizes) == 1


def test_configuration_versions_and_command_are_there_without_the_machine(page):
    text = page.text("settings")
    for known in (
        "name: fusion",
        "!name:speechbrain_fusion.metrics.si_sdr",
        "torch 2.11.0",
        "fa7995f",
    ):
        assert known in text
    assert "output_folder: …/binaural/fusion" in text
    command = "python recipes/binaural/train.py hparams/fusion.yaml --data_folder …/a/b"
    assert command in text
    assert "somebody" not in text
    assert "/srv" not in text


# -- audio -------------------------------------------------------------------------


def test_levels_are_kept_and_what_exceeds_full_scale_lowers_all_alike(tmp_path):
    signals = {kind: chirp(kind, 1) for kind in SIGNALS}
    signals["enhanced"] *= 10  # a peak of 2
    page = read(write_run(tmp_path, {"scene00000": ["first"]}, signals))
    assert "played 6.0 dB lower, alike" in page.text("listen")
    peaks = []
    for audio in page.find("audio"):
        signal, _ = soundfile.read(io.BytesIO(content(audio["src"])[1]))
        peaks.append(np.abs(signal).max())
    assert peaks == pytest.approx([0.1, 1.0, 0.1], abs=2e-3)


def test_long_items_are_cut_and_it_is_said(tmp_path):
    signals = {kind: chirp(kind, 1, seconds=13.5) for kind in SIGNALS}
    page = read(write_run(tmp_path, {"scene00000": ["first"]}, signals))
    assert "The first 12.0 s of 13.5 s." in page.text("listen")
    (player,) = page.find("div", class_="player")
    assert float(player["data-seconds"]) == 12.0


def test_what_has_no_room_is_named(tmp_path, monkeypatch):
    little = functools.partial(load_sounds, room=700_000)
    monkeypatch.setattr(page_players, "load_sounds", little)
    page = read(write_run(tmp_path))
    kept = [x["text"] for x in page.find("h4")]
    # the worst and the best go first
    assert kept[0] == "scene00000"
    assert "No room on this page for the audio of" in page.text("listen")
    left_out = {"scene00000", "scene00001", "scene00011", "scene00005"} - {*kept}
    assert left_out
    for name in left_out:
        assert name in page.text("listen")


@pytest.mark.slow
def test_a_page_of_long_items_stays_small(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 20 * RATE))
    kept = {f"scene{n:05d}": ["first"] for n in range(10)}
    run = write_run(tmp_path, kept, dict.fromkeys(SIGNALS, noise))
    assert write_page(run).stat().st_size < 15e6


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "truncated"])
def test_audio_that_cannot_be_read_is_said_and_the_rest_is_there(tmp_path, damage):
    run = write_run(tmp_path, {"scene00000": ["first"]})
    path = run / "examples" / "scene00000_enhanced.wav"
    whole = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(
            {"empty": b"", "text": b"no sound", "truncated": whole[:20]}[damage]
        )
    page = read(run)
    assert "enhanced: not readable" in page.text("listen")
    assert len(page.find("audio")) == 2
    assert str(tmp_path) not in page.text("listen")


def test_what_is_not_finite_is_silent_and_it_is_said(tmp_path):
    signals = {kind: chirp(kind, 1) for kind in SIGNALS}
    signals["enhanced"][0, :100] = np.nan
    page = read(write_run(tmp_path, {"scene00000": ["first"]}, signals))
    assert "enhanced: not finite everywhere" in page.text("listen")


def test_separation_has_all_talkers(tmp_path):
    tone = chirp("mixture", 1)
    names = ("mixture", "clean", "target_1", "target_2", "enhanced_1", "enhanced_2")
    page = read(
        write_run(tmp_path, {"scene00000": ["first"]}, dict.fromkeys(names, tone))
    )
    buttons = [x["text"][2:] for x in page.find("button") if "aria-pressed" in x]
    assert buttons == [
        "noisy",
        "estimate 1",
        "talker 1",
        "estimate 2",
        "talker 2",
        "without noise",
    ]


# -- escaping ----------------------------------------------------------------------

EVIL = '<script>alert("x")</script>'


def test_nothing_in_a_run_becomes_an_element(tmp_path):
    names = [EVIL, "b<img src=x onerror=alert(1)>", "c", "d"]
    run = write_run(tmp_path, kept={}, table=make_table(names=names))
    with open(run / "test_items.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with open(run / "test_items.csv", "w", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0], EVIL])
        writer.writeheader()
        writer.writerows(
            {**row, "noise": EVIL + row["noise"], EVIL: f"{n % 2}{EVIL}"}
            for n, row in enumerate(rows)
        )
    for name in ("hyperparams.yaml", "env.log", "command.txt"):
        (run / name).write_text(f"name: '{EVIL}'  # {EVIL}")
    (run / "train.py").write_text(f"'''{EVIL}'''")
    (run / "history.json").write_text(
        json.dumps([{"epoch": 1, f"train_{EVIL}": 1.0, f"valid_{EVIL}": 2.0}])
    )
    write_examples(run / "examples", {"c": ["first", EVIL]})
    page = read(run)
    assert len(page.find("script")) == 1
    assert all(x.get("src", "").startswith("data:") for x in page.find("img"))
    assert not [x for x in page.elements if "onerror" in x]
    assert page.find("h1")[0]["text"] == EVIL
    assert EVIL in page.text("listen")
    assert EVIL in page.text("learning")
    assert EVIL in page.text("conditions")
