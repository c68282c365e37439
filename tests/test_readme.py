"""What the README shows runs as it stands there."""

import re
from pathlib import Path

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


def test_the_metrics_take_what_the_readme_says():
    clean = torch.randn(1, 2, 16000)
    names = {"clean": clean, "enhanced": clean + 0.1 * torch.randn(1, 2, 16000)}
    exec(block("python", "ild_error"), names)
    assert names["si_sdr"](clean, names["enhanced"]).mean() > 15


def test_the_picture_is_there():
    for path in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (Path(__file__).parents[1] / path).is_file()
