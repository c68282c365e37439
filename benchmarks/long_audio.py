"""Time and memory of processing long files, each in a process of its own.

    python benchmarks/long_audio.py [--systems clarity dprnn] [--minutes 1 2 4]
        [--rate 16000] [--file_rate 44100] [--device cpu]

The file is noise of changing loudness, of as many channels as the system takes. Memory
is the process's largest, all libraries included; "at rest" is that of the process with
the system in memory, before it has processed anything. It must not grow with length.
Networks have the sizes of their recipes and random weights.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import torch
from measure import CONFIGURATIONS, in_new_process, peak_memory, print_table
from torch import nn

from speechbrain_fusion.inference.audio_files import process_file
from speechbrain_fusion.models import (
    BinauralTasNet,
    ConvTasNetMasker,
    SharedLatentEnhancer,
    SpeechAutoencoder,
    TwoBranchEnhancer,
    UnifiedSeparator,
)
from speechbrain_fusion.nnet import DPRNNMasker, SepFormerMasker


def binaural(name: str) -> Callable[[], nn.Module]:
    """Return a maker of a published binaural system."""
    return lambda: BinauralTasNet(**CONFIGURATIONS[name][1])


def convtasnet() -> nn.Module:
    """Make the causal separator."""
    enhancement = ConvTasNetMasker(256, 1, repeats=1, causal=True)
    return UnifiedSeparator(enhancement, ConvTasNetMasker(256, 2, causal=True))


def dprnn() -> nn.Module:
    """Make the published separator of recurrent networks."""
    return UnifiedSeparator(DPRNNMasker(256, 1, 2), DPRNNMasker(256, 2, 6))


def sepformer() -> nn.Module:
    """Make the published separator of transformers."""
    return UnifiedSeparator(SepFormerMasker(256, 1, layers=1), SepFormerMasker(256, 2))


# Rate in Hz, and how to make it
SYSTEMS: dict[str, tuple[int, Callable[[], nn.Module]]] = {
    "clarity": (8000, binaural("report")),
    "release": (16000, binaural("release")),
    "two_branch": (16000, TwoBranchEnhancer),
    "two_branch_causal": (16000, lambda: TwoBranchEnhancer(causal=True)),
    "convtasnet": (8000, convtasnet),
    "dprnn": (8000, dprnn),
    "sepformer": (8000, sepformer),
    "shared_latent": (16000, lambda: SharedLatentEnhancer(SpeechAutoencoder())),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=SYSTEMS)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 2.0, 4.0])
    parser.add_argument("--rate", type=int, help="of the system, if not its own")
    parser.add_argument("--file_rate", type=int, default=16000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    header = ("system", "rate, Hz", "length, min", "time, s", "audio s / s")
    rows = (row for name in arguments.systems for row in measured(name, arguments))
    print_table((*header, "at rest, MiB", "largest, MiB"), rows)


def measured(name: str, arguments: argparse.Namespace) -> Iterator[tuple]:
    """Yield a row for each length."""
    for minutes in arguments.minutes:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "in.wav"
            channels = SYSTEMS[name][1]().inputs
            write_noise(source, minutes * 60, arguments.file_rate, int(channels))
            seconds, rest, largest = in_new_process(measure, arguments, name, source)
        rate, speed = arguments.rate or SYSTEMS[name][0], minutes * 60 / seconds
        size = f"{rest:.0f}", f"{largest:.0f}"
        yield name, rate, f"{minutes:g}", f"{seconds:.0f}", f"{speed:.2f}", *size


def write_noise(path: Path, seconds: float, rate: int, channels: int) -> None:
    """Write noise whose loudness changes four times a second."""
    random = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", rate, channels) as file:
        for _ in range(round(4 * seconds)):
            noise = random.standard_normal((rate // 4, channels))
            file.write(0.1 * random.random() * noise)


def measure(
    arguments: argparse.Namespace, name: str, source: Path
) -> tuple[float, float, float]:
    """Return the time in s, and the memory in MiB before and at its largest."""
    torch.set_num_threads(arguments.threads)
    rate, make = SYSTEMS[name]
    system = make().to(arguments.device).eval()
    rest = peak_memory(arguments.device)
    start = time.perf_counter()
    target = source.with_name("out.flac")
    process_file(system, arguments.rate or rate, source, target)
    seconds = time.perf_counter() - start
    return seconds, rest, peak_memory(arguments.device)


if __name__ == "__main__":
    main()
