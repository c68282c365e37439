"""Time and memory of processing long files, each in a process of its own.

    python benchmarks/long_audio.py [--systems clarity dprnn] [--minutes 1 2 4]
        [--rate 16000] [--file_rate 44100] [--peer sepformer] [--device cpu]

The file is noise of changing loudness, of as many channels as the system takes. Memory
is the process's largest, all libraries included; "at rest" is that of the process with
the system in memory, before it has processed anything. It must not grow with length.
Networks have the sizes of their recipes and random weights.

The peer is SpeechBrain's separator of the same size and its way with a file: the whole
of it at once. Its row follows that of the system, unless `--peer none`.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import torch
from measure import (
    clock,
    in_new_process,
    options,
    parse,
    peak_memory,
    print_table,
    record,
)
from speechbrain.inference.separation import SepformerSeparation
from speechbrain.lobes.models.dual_path import (
    Decoder,
    Dual_Path_Model,
    Encoder,
    SBTransformerBlock,
)
from systems import YAMLS, make, sample_rate
from torch import nn
from torchaudio.functional import resample

from speechbrain_fusion.inference.audio_files import process_file

PEER = "SpeechBrain, whole"
SYSTEMS = [name for name in YAMLS if name not in ("shipped", "convtasnet")]


def main() -> None:
    """Print the table."""
    parser = options(__doc__, rounds=1)
    parser.add_argument("--systems", nargs="+", default=SYSTEMS, choices=YAMLS)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 2.0, 4.0])
    parser.add_argument("--rate", type=int, help="of the system, if not its own")
    parser.add_argument("--file_rate", type=int, default=16000)
    parser.add_argument("--peer", choices=("sepformer", "none"), default="sepformer")
    arguments = parse(parser, device=True)
    header = ("system", "rate, Hz", "length, min", "time, s", "audio s / s")
    rows = (row for name in arguments.systems for row in measured(name, arguments))
    print_table((*header, "at rest, MiB", "largest, MiB"), rows)


def measured(name: str, arguments: argparse.Namespace) -> Iterator[tuple]:
    """Yield a row for each length, and one of the peer where there is one."""
    ways: dict[str, Callable] = {name: by_blocks}
    if name == arguments.peer:
        ways[PEER] = at_once
    rate = arguments.rate or sample_rate(name)
    for minutes in arguments.minutes:
        found = {way: run(ways[way], name, rate, minutes, arguments) for way in ways}
        there = found.get(PEER, (None, None, None))
        peer = "SpeechBrain" if PEER in found else None
        case = f"{name}, {minutes:g} min"
        record("Long files, time", case, found[name][0], "s", peer, there[0])
        record("Long files, process", case, found[name][2], "MiB", peer, there[2])
        for way, (seconds, rest, largest) in found.items():
            size = f"{rest:.0f}", f"{largest:.0f}"
            speed = f"{seconds:.0f}", f"{minutes * 60 / seconds:.2f}"
            yield way, rate, f"{minutes:g}", *speed, *size


def run(
    way: Callable, name: str, rate: int, minutes: float, arguments: argparse.Namespace
) -> tuple[float, float, float]:
    """Return the time in s, and the memory in MiB before and at its largest."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.wav"
        write_noise(source, minutes * 60, arguments.file_rate, int(make(name).inputs))
        return in_new_process(way, arguments, name, rate, source)


def write_noise(path: Path, seconds: float, rate: int, channels: int) -> None:
    """Write noise whose loudness changes four times a second."""
    random = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", rate, channels) as file:
        for _ in range(round(4 * seconds)):
            noise = random.standard_normal((rate // 4, channels))
            file.write(0.1 * random.random() * noise)


def by_blocks(
    arguments: argparse.Namespace, name: str, rate: int, source: Path
) -> tuple[float, float, float]:
    """Process a file as the package does."""
    system = make(name).to(arguments.device).eval()
    target = source.with_name("out.flac")
    return measure(lambda: process_file(system, rate, source, target), arguments)


def at_once(
    arguments: argparse.Namespace, name: str, rate: int, source: Path
) -> tuple[float, float, float]:
    """Separate a file as SpeechBrain does."""
    run_opts = {"device": arguments.device}
    separator = SepformerSeparation(
        speechbrain_separator(), {"sample_rate": rate, "num_spks": 2}, run_opts
    )

    def work() -> None:
        mixture, given = soundfile.read(source, dtype="float32")
        mixture = resample(torch.from_numpy(mixture), given, rate)
        with torch.no_grad():
            talkers = separator.separate_batch(mixture[None])
        soundfile.write(source.with_name("out.flac"), talkers[0].cpu(), rate)

    return measure(work, arguments)


def speechbrain_separator() -> dict[str, nn.Module]:
    """Make upstream's SepFormer, as large as both networks of ours."""

    def path(layers: int) -> nn.Module:
        return SBTransformerBlock(
            layers, 256, 8, 1024, use_positional_encoding=True, norm_before=True
        )

    options = {"num_layers": 2, "K": 250, "linear_layer_after_inter_intra": False}
    return {
        "encoder": Encoder(kernel_size=16, out_channels=256),
        # the enhancement network's layers too: 1 and 8
        "masknet": Dual_Path_Model(256, 256, path(9), path(9), **options),
        "decoder": Decoder(256, 1, kernel_size=16, stride=8, bias=False),
    }


def measure(
    work: Callable[[], object], arguments: argparse.Namespace
) -> tuple[float, float, float]:
    """Return the time in s, and the memory in MiB before and at its largest."""
    torch.set_num_threads(arguments.threads)
    rest = peak_memory(arguments.device)
    start = clock(arguments.device, arguments.clock)
    work()
    seconds = clock(arguments.device, arguments.clock) - start
    return seconds, rest, peak_memory(arguments.device)


if __name__ == "__main__":
    main()
