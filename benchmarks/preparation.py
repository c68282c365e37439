"""Time and memory of preparing a corpus, over its number of files.

    python benchmarks/preparation.py [--corpora binaural timit librimix daps_noisex]
        [--files 100 1000 10000] [--seconds 0.5]

Each corpus is made of short noise, WAV or FLAC, and prepared by as many processes as
--threads says: listed, read and checked, split, and written as manifests. The second
time the manifests are kept. "Growth" is the slope on logarithmic axes from the row
above: 1 is linear. Memory is what the first process takes beyond what it had before.
"""

import argparse
import csv
import itertools
import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from measure import (
    clock,
    growth,
    in_new_process,
    options,
    parse,
    peak_memory,
    print_table,
    record,
    watch_memory,
)

from speechbrain_fusion.data.librimix_layout import SUBSETS, part_of
from speechbrain_fusion.data.librimix_sources import prepare_rendering
from speechbrain_fusion.data.noisy_speech import prepare_noisy_speech
from speechbrain_fusion.data.recordings import SPLITS, prepare_recordings
from speechbrain_fusion.data.unpaired_preparation import prepare_unpaired

RATE = 16000
# Of a hundred files so many are noises.
NOISES = 10
# Recordings of a talker.
SAID = 10
PARTS = {split: part_of(split) for split in SPLITS}


class Cost(NamedTuple):
    """Seconds to prepare a corpus and to find it prepared; memory in MiB."""

    first: float
    again: float
    memory: float


def main() -> None:
    """Print the table."""
    parser = options(__doc__, rounds=1)
    parser.add_argument("--corpora", nargs="+", default=[*CORPORA], choices=CORPORA)
    parser.add_argument("--files", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--seconds", type=float, default=0.5, help="of each file")
    arguments = parse(parser)
    header = ("corpus", "files", "s", "ms a file", "growth", "again, s", "MiB")
    rows = (row for name in arguments.corpora for row in measured(name, arguments))
    print_table((*header, "KiB a file"), rows)


def measured(name: str, arguments: argparse.Namespace) -> Iterator[tuple]:
    """Yield a row for each number of files."""
    before: tuple[float, int] | None = None
    for wanted in arguments.files:
        with tempfile.TemporaryDirectory() as folder:
            root, save = Path(folder, "corpus"), Path(folder, "save")
            files = CORPORA[name].write(root, wanted, arguments.seconds)
            cost: Cost = in_new_process(prepare, name, root, save, arguments)
        case = f"{name}, {files} files"
        record("Preparation, time a file", case, 1e3 * cost.first / files, "ms")
        record("Preparation, memory", case, cost.memory, "MiB")
        slope = growth((before[0], cost.first), (before[1], files)) if before else None
        before = cost.first, files
        yield (
            *(name, files, f"{cost.first:.2f}", f"{1e3 * cost.first / files:.2f}"),
            *("" if slope is None else f"{slope:.2f}", f"{cost.again:.2f}"),
            *(f"{cost.memory:.0f}", f"{2**10 * cost.memory / files:.1f}"),
        )


def prepare(name: str, root: Path, save: Path, arguments: argparse.Namespace) -> Cost:
    """Prepare a corpus twice."""
    torch.set_num_threads(arguments.threads)
    # small corpora lack speakers
    logging.disable(logging.WARNING)
    rest, seconds = watch_memory("cpu"), []
    for _ in range(2):
        start = clock("cpu", arguments.clock)
        CORPORA[name].prepare(root, save, arguments.threads)
        seconds.append(clock("cpu", arguments.clock) - start)
    return Cost(*seconds, peak_memory("cpu") - rest)


def write(path: Path, seconds: float, seed: int) -> None:
    """Write a file of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    soundfile.write(path, 0.05 * noise, RATE)


def shares(files: int) -> dict[str, int]:
    """Give eight of ten files to training, one each to validation and test."""
    tenth = files // 10
    return {"train": files - 2 * tenth, "valid": tenth, "test": tenth}


def write_recordings(root: Path, files: int, seconds: float) -> int:
    """Write talkers and noises as `prepare_recordings` reads them."""
    noises = files // NOISES
    for split, count in shares(files - noises).items():
        for number in range(count):
            name = f"{split}{number // SAID}/{number}.wav"
            write(root / "speech" / split / name, seconds, number)
    for number in range(noises):
        write(root / "noise" / f"{number}.wav", seconds, number)
    return files


def write_librimix(root: Path, files: int, seconds: float) -> int:
    """Write LibriSpeech, WHAM and LibriMix's metadata: a noise to nine utterances."""
    noises = files // NOISES
    made = 0
    for split, count in shares(noises).items():
        rows = []
        for number in range(max(1, count)):
            noise = f"{number:05d}.wav"
            write(root / "wham_noise" / noise_part(split) / noise, seconds, number)
            utterances = [
                f"{SUBSETS[PARTS[split]]}/{9 * number + k}/1/{9 * number + k}-1-1.flac"
                for k in range(NOISES - 1)
            ]
            for seed, name in enumerate(utterances):
                write(root / "LibriSpeech" / name, seconds, seed)
            made += len(utterances) + 1
            rows += [
                mixture(pair, f"{noise_part(split)}/{noise}")
                for pair in itertools.pairwise(utterances)
            ]
        write_table(root / "metadata/Libri2Mix", split, rows)
    return made


def noise_part(split: str) -> str:
    """Name WHAM's part of a split."""
    return {"train": "tr", "valid": "cv", "test": "tt"}[split]


def mixture(pair: tuple[str, str], noise: str) -> dict[str, str]:
    """Make a row of LibriMix's metadata."""
    one, other = pair
    sources = {"source_1_path": one, "source_1_gain": "1.0"}
    sources |= {"source_2_path": other, "source_2_gain": "1.0"}
    name = f"{Path(one).stem}_{Path(other).stem}"
    return {"mixture_ID": name, **sources, "noise_path": noise, "noise_gain": "0.5"}


def write_table(folder: Path, split: str, rows: list[dict[str, str]]) -> None:
    """Write a table of LibriMix's metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"libri2mix_{SUBSETS[PARTS[split]]}.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def write_daps(root: Path, files: int, seconds: float) -> int:
    """Write DAPS's tree in four versions, with ever more speakers, and noises."""
    noises, versions = files // NOISES, ("clean", "produced", "ipad_office1")
    versions = (*versions, "iphone_bedroom1")
    speakers = max(4, (files - noises) // (len(versions) * 5))
    for version in versions:
        for number in range(speakers * 5):
            name = f"{'fm'[number // 5 % 2]}{number // 10 + 1}_script{number % 5 + 1}"
            path = root / "daps" / version / f"{name}_{version}.wav"
            write(path, seconds, number)
    for number in range(noises):
        write(root / "noise" / f"noise{number}.wav", seconds, number)
    return speakers * 5 * len(versions) + noises


def prepare_daps(root: Path, save: Path, jobs: int) -> object:
    """Prepare disjoint sets of DAPS and noises."""
    folders = (root / "daps", root / "noise", None, None)
    return prepare_unpaired(*folders, save, RATE, 0.1, window=256, jobs=jobs)


def prepare_librimix(root: Path, save: Path, jobs: int) -> object:
    """Prepare the rendering of LibriMix's mixtures."""
    folders = (root / "LibriSpeech", root / "wham_noise", root / "metadata")
    return prepare_rendering(*folders, save, RATE, 2, "min", PARTS, jobs=jobs)


class Corpus(NamedTuple):
    """What writes a corpus of so many files, and what prepares it by so many jobs."""

    write: Callable[[Path, int, float], int]
    prepare: Callable[[Path, Path, int], object]


CORPORA = {
    "binaural": Corpus(
        write_recordings,
        lambda root, save, jobs: prepare_recordings(root, save, RATE, 0.1, jobs=jobs),
    ),
    "timit": Corpus(
        write_recordings,
        lambda root, save, jobs: prepare_noisy_speech(
            None, None, root, save, RATE, jobs=jobs
        ),
    ),
    "librimix": Corpus(write_librimix, prepare_librimix),
    "daps_noisex": Corpus(write_daps, prepare_daps),
}


if __name__ == "__main__":
    main()
