"""The wheel alone, in an environment and an empty folder of its own."""

import csv
import importlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import speechbrain_fusion
from tests.distribution.conftest import ROOT, WHERE, Away

pytestmark = pytest.mark.slow
PACKAGES = (
    *("nnet", "losses", "models", "brains", "data", "metrics"),
    *("inference", "report"),
)
# which modules can be found
FOUND = """
import importlib.util, json, sys
print(json.dumps([x for x in sys.argv[1:] if importlib.util.find_spec(x)]))
"""
IMPORT = """
import importlib, json, pkgutil, speechbrain_fusion
modules = pkgutil.walk_packages(speechbrain_fusion.__path__, "speechbrain_fusion.")
print(json.dumps([importlib.import_module(x.name).__file__ for x in modules]))
"""
# as a YAML of one's own names them
LOAD = """
import json, sys
from hyperpyyaml import load_hyperpyyaml
names = json.loads(sys.argv[1])
text = "".join(f"key{i}: !name:{name}\\n" for i, name in enumerate(names))
loaded = load_hyperpyyaml(text).values()
found = [getattr(x, "func", x) for x in loaded]
print(json.dumps([[x.__module__, x.__qualname__] for x in found]))
"""
README = """
import json, sys
from hyperpyyaml import load_hyperpyyaml
loaded = load_hyperpyyaml(sys.argv[1])
print(json.dumps({name: type(x).__name__ for name, x in loaded["modules"].items()}))
"""
CORPUS = """
import json, sys
from pathlib import Path
from speechbrain_fusion.data import write_demo_corpus
folder = write_demo_corpus(Path("demo"))
print(json.dumps([x.as_posix() for x in folder.rglob("*.*")]))
"""
TINY = {
    "channels": 4,
    "experts": 3,
    "groups": 1,
    "units": 2,
    "squeezed": 5,
    "segment": 0.25,
    "train_loader": "{batch_size: 2, num_workers: 0}",
    "mixture_counts": "{train: 4, valid: 2, test: 3}",
    "references": "null",
}


def test_it_is_the_wheel_that_is_imported(away, tmp_path):
    file, version, folder = away.ask(tmp_path, WHERE)
    assert away.holds(file)
    assert away.holds(folder)
    assert version == speechbrain_fusion.__version__


def test_neither_extras_nor_test_tools_are_there(away, tmp_path):
    extras = ("matplotlib", "sklearn", "sofar", "onnx", "onnxruntime", "tensorboard")
    modules = ("torch", "ruamel.yaml", *extras, "pyroomacoustics", "pytest", "pip")
    # not in this process: whoever looks for pip changes where distutils is found, and
    # a compiler that is imported later fails
    here = Away(Path(sys.executable).parent)
    assert here.ask(tmp_path, FOUND, *modules) == [*modules]
    assert away.ask(tmp_path, FOUND, *modules) == ["torch", "ruamel.yaml"]


def test_every_module_imports_without_extras(away, tmp_path):
    files = {*away.ask(tmp_path, IMPORT)}
    assert all(away.holds(file) for file in files)
    package = Path(speechbrain_fusion.__file__).parent
    assert len(files) == len([*package.rglob("*.py")]) - 1


def test_the_command_knows_itself(away, tmp_path):
    shown = away.run(tmp_path, "speechbrain-fusion", "info")
    assert f"speechbrain-fusion {speechbrain_fusion.__version__}" in shown
    assert f"model of the package binaural: {away.bin.parent}" in shown
    assert "recipe" in away.run(tmp_path, "speechbrain-fusion", "--help")


def test_every_public_name_and_every_name_of_the_recipes_loads(away, tmp_path):
    public = {
        f"speechbrain_fusion.{package}.{name}"
        for package in PACKAGES
        for name in importlib.import_module(f"speechbrain_fusion.{package}").__all__
    }
    assert len(public) > 100
    yamls = [x.read_text() for x in (ROOT / "recipes").rglob("hparams/*.yaml")]
    used = {*re.findall(r"!\w+:(speechbrain_fusion[\w.]+)", "\n".join(yamls))}
    assert len(used) > 20
    names = sorted(public | used)
    found = away.ask(tmp_path, LOAD, json.dumps(names))
    for name, (module, shown) in zip(names, found, strict=True):
        assert module.startswith("speechbrain_fusion")
        assert name.rpartition(".")[2] == shown.rpartition(".")[2]


def test_the_readmes_yaml_makes_its_modules(away, tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```yaml\n(.*?FusionLayer.*?)^```", text, re.M | re.S)
    made = away.ask(tmp_path, README, block)
    assert made == {"fusion": "FusionLayer", "enhancer": "BinauralTasNet"}


def test_the_demo_corpus_is_written(away, tmp_path):
    files = {tmp_path / name for name in away.ask(tmp_path, CORPUS)}
    for kind in ("speech/train/*/*.ogg", "speech/test/*/*.ogg", "noise/valid/*.wav"):
        found = set((tmp_path / "demo").glob(kind))
        assert found
        assert found <= files


def test_the_shipped_model_enhances(away, tmp_path):
    rng = np.random.default_rng(0)
    noisy = 0.1 * rng.standard_normal((16000, 2))
    soundfile.write(tmp_path / "noisy.wav", noisy, 16000)
    away.run(tmp_path, "speechbrain-fusion", "enhance", "noisy.wav", "-o", "out.wav")
    enhanced, rate = soundfile.read(tmp_path / "out.wav")
    assert (enhanced.shape, rate) == (noisy.shape, 16000)
    assert 0 < (enhanced**2).sum() < 0.5 * (noisy**2).sum()


def test_a_copied_recipe_is_edited_and_trained(away, tmp_path):
    shown = away.run(tmp_path, "speechbrain-fusion", "recipe", "timit", "mine")
    assert "python mine/train.py hparams/small.yaml" in shown
    settings = tmp_path / "mine/hparams/small.yaml"
    text = settings.read_text()
    assert "number_of_epochs: " in text
    settings.write_text(re.sub("number_of_epochs: .*", "number_of_epochs: 2", text))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    changes = [f"--{key}={value}" for key, value in TINY.items()]
    script = tmp_path / "mine/train.py"
    away.run(elsewhere, "python", script, "hparams/small.yaml", *changes)
    (out,) = (elsewhere / "results").glob("**/test_items.csv")
    with open(out, encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 3
    log = (out.parent / "train_log.txt").read_text()
    assert "epoch: 2" in log
    assert "epoch: 3" not in log
    model = out.parent / "model"
    shown = away.run(elsewhere, "speechbrain-fusion", "info", "--model", model)
    assert "made to enhance: 1 channels to 1 at 16000 Hz" in shown
