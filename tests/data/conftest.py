"""What the tests of the data share."""

from pathlib import Path

import pytest

from speechbrain_fusion.data.scenes import BinauralScenes
from tests.conftest import write_noise, write_voice
from tests.data.daps_tree import write_daps, write_noises, write_spoken
from tests.data.scenery import HEAD, Make, manifest


@pytest.fixture(scope="session")
def manifests(tmp_path_factory) -> tuple[Path, Path]:
    """Manifests of 8 recordings by 4 talkers, and of 3 noises."""
    folder = tmp_path_factory.mktemp("recordings")
    speech = [folder / f"{name}_{number}.wav" for name in "abcd" for number in (0, 1)]
    for seed, path in enumerate(speech):
        write_voice(path, 1.5 + 0.25 * (seed % 2), seed)
    noise = [folder / f"noise{number}.flac" for number in range(3)]
    for seed, path in enumerate(noise):
        write_noise(path, 2.0, 900 + seed)
    return (
        manifest(folder / "speech.json", speech),
        manifest(folder / "noise.json", noise),
    )


@pytest.fixture
def make(manifests) -> Make:
    """Make scenes of the small folder, with options."""

    def call(**options) -> BinauralScenes:
        arguments = {"responses": HEAD, "size": 8, "segment": 1.0} | options
        return BinauralScenes(*manifests, **arguments)

    return call


@pytest.fixture
def save(tmp_path: Path) -> Path:
    return tmp_path / "save"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def daps(tmp_path: Path) -> Path:
    """DAPS's tree with 8 speakers, 2 scripts and 4 versions."""
    return write_daps(tmp_path / "daps")


@pytest.fixture
def noises(tmp_path: Path) -> Path:
    """Five noises at 19.98 kHz, one of them a ``.mat``."""
    return write_noises(tmp_path / "noise")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Manifests of three talkers, plain and in a room, of noises and of rooms."""
    return write_spoken(tmp_path)
