"""What the README shows runs as it stands there."""

import re
from pathlib import Path
from types import SimpleNamespace

import torch
from hyperpyyaml import load_hyperpyyaml

from speechbrain_fusion.models import BinauralTasNet
from speechbrain_fusion.nnet import FusionLayer

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def block(language: str, holding: str) -> str:
    """Return the README's block of a language that holds some text."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S)
    (found,) = [text for text in blocks if holding in text]
    return found


def test_the_yaml_declares_working_modules():
    hparams = load_hyperpyyaml(block("yaml", "FusionLayer"))
    assert isinstance(hparams["modules"]["fusion"], FusionLayer)
    assert isinstance(hparams["modules"]["enhancer"], BinauralTasNet)
    clean = torch.randn(1, 2, 800)
    enhanced = hparams["modules"]["enhancer"](clean)
    assert hparams["loss"](clean, enhanced, lengths=torch.ones(1)).isfinite()


def test_the_lines_of_a_brain_run_on_what_the_yaml_declares():
    hparams = load_hyperpyyaml(block("yaml", "FusionLayer"))
    modules = SimpleNamespace(**hparams["modules"])
    clean = torch.randn(2, 2, 800)
    names = {
        "self": SimpleNamespace(modules=modules, hparams=SimpleNamespace(**hparams)),
        "left": torch.full((2, 4, 7), 2.0),
        "right": torch.full((2, 4, 7), 3.0),
        "noisy": clean + torch.randn(2, 2, 800),
        "clean": clean,
        "lengths": torch.tensor([1.0, 0.5]),
    }
    exec(block("python", "self.modules.fusion"), names)
    assert names["fused"].eq(6).all()
    assert names["enhanced"].shape == clean.shape
    assert names["loss"].isfinite()


def test_the_picture_is_there():
    for path in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (Path(__file__).parents[1] / path).is_file()
