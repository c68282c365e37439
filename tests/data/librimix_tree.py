"""Small trees of the shape of LibriMix, and of what it is made of."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

RATE = 16000
SUBSETS = {
    "train-360": "train-clean-360",
    "train-100": "train-clean-100",
    "dev": "dev-clean",
    "test": "test-clean",
}
NOISES = {"train-360": "tr", "train-100": "tr", "dev": "cv", "test": "tt"}


def voice(samples: int, seed: int) -> np.ndarray:
    """A stand-in for a talker: a tone in noise, different for every seed."""
    rng = np.random.default_rng(seed)
    tone = np.sin(2 * np.pi * rng.uniform(0.01, 0.1) * np.arange(samples))
    return 0.05 * tone + 0.02 * rng.standard_normal(samples)


# -- LibriMix as published -----------------------------------------------------------


def mixture_id(seed: int, talkers: int) -> str:
    """Name a mixture of different talkers as LibriMix does."""
    numbers = range(100 * seed, 100 * seed + talkers)
    return "_".join(f"{number}-{seed}-0001" for number in numbers)


def write_tree(
    root: Path,
    rate: int = 8000,
    talkers: int = 2,
    mode: str = "min",
    parts: Sequence[str] = ("train-360", "dev", "test"),
    count: int = 3,
    seconds: float = 0.5,
    tables: bool = True,
) -> Path:
    """Write LibriMix with a few mixtures, each longer than the one before."""
    folder = root / f"Libri{talkers}Mix" / f"wav{rate // 1000}k" / mode
    for number, part in enumerate(parts):
        names = []
        for place in range(count):
            seed = 10 * number + place + 1
            names.append(mixture_id(seed, talkers))
            samples = round(seconds * rate) + 100 * place
            write_mixture(folder / part, names[-1], samples, talkers, rate, seed)
        if tables:
            write_tables(folder / "metadata", part, names, talkers)
    return folder


def write_mixture(
    folder: Path, name: str, samples: int, talkers: int, rate: int, seed: int
) -> None:
    sources = [voice(samples, 1000 * seed + place) for place in range(talkers)]
    noise = 0.01 * np.random.default_rng(seed).standard_normal(samples)
    signals = {f"s{place}": source for place, source in enumerate(sources, start=1)}
    clean = np.sum(sources, axis=0)
    signals |= {"noise": noise, "mix_clean": clean, "mix_both": clean + noise}
    for kind, signal in signals.items():
        write(folder / kind / f"{name}.wav", signal, rate)


def write_tables(folder: Path, part: str, names: list[str], talkers: int) -> None:
    """Write the tables of a part, whose paths are of another machine."""
    kinds = [f"s{place}" for place in range(1, talkers + 1)]
    far = f"/storage/of/others/{part}"
    mixtures, metrics = [], []
    for place, name in enumerate(names):
        paths = {
            f"source_{kind[1:]}_path": f"{far}/{kind}/{name}.wav" for kind in kinds
        }
        mixtures.append(
            {
                "mixture_ID": name,
                "mixture_path": f"{far}/mix_both/{name}.wav",
                **paths,
                "noise_path": f"{far}/noise/{name}.wav",
                "length": 1,
            }
        )
        snrs = {f"source_{kind[1:]}_SNR": 0.5 for kind in kinds}
        metrics.append({"mixture_ID": name, **snrs, "noise_SNR": place - 7.25})
    write_table(folder / f"mixture_{part}_mix_both.csv", mixtures)
    write_table(folder / f"metrics_{part}_mix_both.csv", metrics)


# -- what LibriMix is made of --------------------------------------------------------


def write_sources(
    root: Path,
    talkers: int = 2,
    parts: Sequence[str] = ("train-360", "dev", "test"),
    lengths: Sequence[int] = (9000, 12001, 11000),
    noise_lengths: Sequence[int] = (30000, 20000, 9001),
) -> None:
    """Write LibriSpeech, WHAM's noises and LibriMix's metadata: a row per noise."""
    for number, part in enumerate(parts):
        rows = []
        for place, noise_length in enumerate(noise_lengths):
            seed = 100 * number + 10 * place
            noise = f"{NOISES[part]}/01x{place}_0.5_02y_-0.5.wav"
            hiss = np.random.default_rng(seed).standard_normal((noise_length, 2))
            write(root / "wham_noise" / noise, 0.05 * hiss, RATE)
            rows.append(source_row(root, part, noise, talkers, lengths, seed))
        write_source_table(root, part, rows, talkers)


def source_row(
    root: Path,
    part: str,
    noise: str,
    talkers: int,
    lengths: Sequence[int],
    seed: int,
) -> dict[str, Any]:
    """Write a mixture's utterances and describe it as the metadata do."""
    rng = np.random.default_rng(seed)
    names = [f"{1000 + seed + place}-77-0003" for place in range(talkers)]
    row: dict[str, Any] = {"mixture_ID": "_".join(names)}
    for place, name in enumerate(names):
        talker, chapter, _ = name.split("-")
        path = f"{SUBSETS[part]}/{talker}/{chapter}/{name}.flac"
        write(root / "LibriSpeech" / path, voice(lengths[place], seed + place), RATE)
        row[f"source_{place + 1}_path"] = path
        row[f"source_{place + 1}_gain"] = rng.uniform(0.2, 1.5)
    return row | {"noise_path": noise, "noise_gain": rng.uniform(0.2, 3)}


def source_table(root: Path, part: str, talkers: int = 2) -> Path:
    name = f"Libri{talkers}Mix"
    return root / "metadata" / name / f"{name.lower()}_{SUBSETS[part]}.csv"


def write_source_table(
    root: Path, part: str, rows: list[dict[str, Any]], talkers: int = 2
) -> None:
    write_table(source_table(root, part, talkers), rows)


# -- files ---------------------------------------------------------------------------


def write(path: Path, signal: np.ndarray, rate: int) -> None:
    """Write a 16-bit file [time] or [time, channels]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, signal, rate, subtype="PCM_16")


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def read_table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
