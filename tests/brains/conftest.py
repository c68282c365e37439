"""What tests of Brains share."""

from pathlib import Path

import pytest
import torch

from tests.brains.unpaired import make_brain, run

BASE = """
name: base
output_folder: !ref results/<name>
size: 3
net: !new:torch.nn.Linear
    in_features: !ref <size>
    out_features: 1
"""


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be no process of several."""
    for name in ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe's train.py and base.yaml, seen from another folder."""
    train = tmp_path / "recipe" / "train.py"
    (train.parent / "hparams").mkdir(parents=True)
    train.write_text("# the recipe\n")
    (train.parent / "hparams" / "base.yaml").write_text(BASE)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return train


def add_yaml(recipe: Path, name: str, text: str) -> None:
    """Write a YAML beside a recipe's own."""
    (recipe.parent / "hparams" / name).write_text(text)


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, torch.Tensor]]:
    """Train both stages of a shared latent space once: its folder and parameters."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, run(make_brain(folder))
