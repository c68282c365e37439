"""What tests of Brains share."""

from pathlib import Path

import pytest
import torch

from tests.brains.unpaired import make_brain, run


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, torch.Tensor]]:
    """Train both stages of a shared latent space once: its folder and parameters."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, run(make_brain(folder))
