"""What `info` says of the installation and of models."""

import importlib.metadata
import json
import shutil
from pathlib import Path

from tests.commands.shell import run


def test_versions_devices_and_the_shipped_model():
    ran = run("info")
    assert (ran.code, ran.err) == (0, "")
    for name in ("torch", "soxr", "pesq", "onnxruntime", "device cpu", "python"):
        assert name in ran.text
    assert importlib.metadata.version("torch") in ran.text
    assert "model of the package" in ran.text
    assert "made to enhance: 2 channels to 2" in ran.text


def test_a_given_model_with_its_card(models):
    text = run("info", "--model", models.causal).text
    assert "model causal: " in text
    assert "made to enhance: 1 channels to 1 at 16000 Hz" in text
    assert "causal: latency 4 ms (64 samples)" in text
    assert (models.causal / "README.md").read_text(encoding="utf-8") in text + "\n"
    assert "not causal: files only" in run("info", "--model", models.separator).text


def test_what_is_no_model_is_told(here, models):
    ran = run("info", "--model", "in")
    assert (ran.code, ran.out) == (2, b"")
    assert "in: no model" in ran.errors[0]
    config = json.loads((models.causal / "config.json").read_text())
    for name in ("model.ckpt", "hyperparams.yaml"):
        Path("in", name).write_bytes(b"")
    Path("in/config.json").write_text(json.dumps(config | {"sample_rate": "fast"}))
    ran = run("info", "--model", "in")
    assert ran.code == 2
    assert "in/config.json: sample_rate: expected" in ran.errors[0]


def test_a_card_does_nothing_to_a_terminal(here, models):
    folder = Path(shutil.copytree(models.causal, "odd"))
    text = "a\tb\r\n\x1b]0;title\x07\u202etxt\x85\n# größer\n"
    (folder / "README.md").write_text(text, encoding="utf-8")
    ran = run("info", "--model", folder)
    assert ran.code == 0
    shown = "\na       b\n\\x1b]0;title\\x07\\u202etxt\\x85\n# größer\n"
    assert ran.text.endswith(shown)
