"""A tree of the shape of the 1st Clarity Enhancement Challenge, with short scenes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

RATE = 44100
# The published scenes have 88200 and 44100.
PRE, POST = 22050, 11025
# How much weaker target and interferer are at the right ear.
TARGET_ILD, INTERFERER_ILD = 0.25, 2.0
INTERFERERS = ("CIN_fan_014", "CIN_kettle_002", "irm_02484")
TALKERS = {"train": range(1, 12), "dev": range(21, 24)}


def write_tree(
    folder: Path,
    talkers: Mapping[str, range] = TALKERS,
    scenes: int = 2,
    speech: float = 0.8,
) -> Path:
    """Write parts with some scenes by each talker, and their metadata."""
    number = 0
    for part, numbers in talkers.items():
        entries = []
        for talker in numbers:
            for _ in range(scenes):
                number += 1
                samples = round((speech + 0.1 * (number % 3)) * RATE)
                entries.append(scene_entry(number, talker, samples, part))
                write_scene(folder / part / "scenes", entries[-1])
        write_metadata(folder, part, entries)
    return folder


def scene_entry(number: int, talker: int, samples: int, part: str) -> dict[str, Any]:
    """Describe a scene as the challenge does."""
    interferer = INTERFERERS[number % 3]
    place = {"Positions": [-0.5, 3.4, 1.2], "ViewVectors": [0.291, -0.957, 0.0]}
    return {
        "room": {"name": f"R{number:05d}", "dimensions": "5.9x3.4186x2.9"},
        "hrirfilename": "VP_N5-ED",
        "target": {
            **place,
            "name": f"T{talker:03d}_G0N_{number:05d}",
            "nsamples": samples,
        },
        "listener": place,
        "interferer": {
            "Positions": [0.4, 3.2, 1.2],
            "name": interferer,
            "nsamples": 1190700,
            "duration": 27.0,
            "type": "noise" if interferer.startswith("CIN") else "speech",
            "offset": 5376,
        },
        "azimuth_target_listener": -7.54,
        "azimuth_interferer_listener": -29.9,
        "scene": f"S{number:05d}",
        "dataset": part,
        "pre_samples": PRE,
        "post_samples": POST,
        "SNR": round(number / 8 - 2, 3),
    }


def write_metadata(folder: Path, part: str, entries: list[dict[str, Any]]) -> Path:
    path = folder / "metadata" / f"scenes.{part}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entries))
    return path


def read_metadata(folder: Path, part: str) -> list[dict[str, Any]]:
    return json.loads((folder / "metadata" / f"scenes.{part}.json").read_text())


def write_scene(folder: Path, entry: Mapping[str, Any]) -> None:
    """Write the three CH1 files of a scene, and one of another microphone."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(int(entry["scene"][1:]))
    spoken = 0.1 * rng.standard_normal(entry["target"]["nsamples"])
    target = np.pad(spoken, (PRE, POST))[:, None] * [1, TARGET_ILD]
    noise = 0.05 * rng.standard_normal((len(target), 1)) * [1, INTERFERER_ILD]
    signals = {"mixed": target + noise, "target": target, "interferer": noise}
    for kind, signal in signals.items():
        write(folder / f"{entry['scene']}_{kind}_CH1.wav", signal)
    write(folder / f"{entry['scene']}_mixed_CH2.wav", noise)


def write(path: Path, signal: np.ndarray, rate: int = RATE) -> None:
    """Write a file [time, 2] in floating point, as published."""
    soundfile.write(path, signal, rate, subtype="FLOAT")
