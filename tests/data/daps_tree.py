"""Small trees of the shape of DAPS, of NOISEX-92 and of rooms."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.io
import soundfile

from speechbrain_fusion.data.daps import VERSIONS
from speechbrain_fusion.data.manifest import Entry, Manifest, write_manifest
from tests.data.librimix_tree import voice, write

SPEAKERS = tuple(f"{sex}{number}" for sex in "fm" for number in range(1, 11))
SCRIPTS = tuple(f"script{number}" for number in range(1, 6))
RATE = 22050
ONE_EACH = ("clean", "ipad_balcony1", "ipad_office1", "iphone_bedroom1")
"""Versions of which there is one for each side, if rooms are disjoint."""


def touch_daps(
    root: Path,
    speakers: Sequence[str] = SPEAKERS,
    scripts: Sequence[str] = SCRIPTS,
    versions: Sequence[str] = VERSIONS,
) -> Path:
    """Make DAPS's tree of empty files."""
    for version in versions:
        (root / version).mkdir(parents=True)
        for speaker in speakers:
            for script in scripts:
                (root / version / f"{speaker}_{script}_{version}.wav").touch()
    return root


def write_daps(
    root: Path,
    speakers: Sequence[str] = SPEAKERS[:4] + SPEAKERS[10:14],
    scripts: Sequence[str] = SCRIPTS[:2],
    versions: Sequence[str] = ONE_EACH,
    seconds: float = 0.5,
    rate: int = RATE,
) -> Path:
    """Write a few voices in DAPS's tree, each version softer than the one before."""
    said = [f"{speaker}_{script}" for speaker in speakers for script in scripts]
    for seed, name in enumerate(said):
        for place, version in enumerate(versions):
            hiss = np.random.default_rng(place).standard_normal(round(seconds * rate))
            sound = voice(hiss.size, seed) * 0.8**place + 0.001 * place * hiss
            write(root / version / f"{name}_{version}.wav", sound, rate)
    return root


def write_noises(
    folder: Path, count: int = 5, seconds: float = 3.0, rate: int = 19980
) -> Path:
    """Write noises as NOISEX-92 has them, the first one as ``.mat``."""
    for number in range(count):
        noise = np.random.default_rng(number).standard_normal(round(seconds * rate))
        if number:
            write(folder / f"noise{number}.wav", 0.05 * noise, rate)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            scipy.io.savemat(folder / "noise0.mat", {"noise0": 300 * noise[:, None]})
    return folder


def write_rooms(folder: Path, count: int = 4, rate: int = 16000) -> Path:
    """Write impulse responses: a delay, a direct path and one echo, later in each."""
    for number in range(count):
        response = np.zeros(2000)
        response[[100, 400 + 100 * number]] = 0.5, -0.3
        write(folder / f"room{number}.wav", response, rate)
    return folder


def place_of(path: Path, rate: int = RATE) -> Entry:
    """Describe a file as a manifest does."""
    samples = soundfile.info(path).frames
    place = {"rate": rate, "samples": samples, "seconds": round(samples / rate, 4)}
    return {"file": str(path), "name": path.stem, **place}


def write_spoken(folder: Path) -> dict[str, Path]:
    """Three talkers, of each a plain recording and a version, noises and rooms."""
    contents: dict[str, Manifest] = {
        x: {} for x in ("speech", "versions", "noise", "rooms")
    }
    for number, seconds in enumerate((1.5, 1.75, 2.0)):
        sound = voice(round(seconds * RATE), number)
        hiss = 0.002 * np.random.default_rng(9 + number).standard_normal(sound.size)
        paths = [folder / f"t{number}_{version}.wav" for version in ("clean", "ipad")]
        write(paths[0], sound, RATE)
        write(paths[1], 0.3 * sound + hiss, RATE)
        said = {"talker": f"t{number}", "utterance": f"t{number}_script1"}
        contents["speech"][f"t{number}"] = {**place_of(paths[0]), **said}
        contents["versions"][f"t{number}"] = {
            **place_of(paths[1]),
            **said,
            **{"version": "ipad_office1", "room": "office1"},
            "clean_file": str(paths[0]),
        }
    for number in range(2):
        path = folder / f"noise{number}.wav"
        hiss = np.random.default_rng(100 + number).standard_normal(48000)
        write(path, 0.05 * hiss, 16000)
        contents["noise"][path.stem] = place_of(path, 16000)
    for path in sorted(write_rooms(folder / "rooms", count=2).iterdir()):
        contents["rooms"][path.stem] = {**place_of(path, 16000), "room": path.stem}
    for name, manifest in contents.items():
        write_manifest(folder / f"{name}.json", manifest)
    return {name: folder / f"{name}.json" for name in contents}
