"""How much faster than real time binaural scenes are rendered, on one core.

    python benchmarks/scenes.py [--data_folder FOLDER] [--hrir FILE] [--rate HZ]

Reading, resampling, convolution with the head's responses and mixing are all included.
Without a folder the demo corpus is written to a temporary one.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from speechbrain_fusion.data import (
    BinauralScenes,
    load_responses,
    prepare_recordings,
    write_demo_corpus,
)


def main() -> None:
    """Print the median factor over rounds of scenes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_folder")
    parser.add_argument("--hrir", default="sphere")
    parser.add_argument("--rate", type=int, default=8000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scenes", type=int, default=60)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.data_folder or write_demo_corpus(Path(folder) / "demo")
        manifests = prepare_recordings(data, folder, arguments.rate, segment=4.0)
        hrir = arguments.hrir
        source = hrir if hrir == "sphere" else Path(data) / "hrir" / hrir
        scenes = BinauralScenes(
            manifests["speech_train"],
            manifests["noise_train"],
            load_responses(source, arguments.rate),
            size=arguments.scenes,
        )
        factors = [measure(scenes, epoch) for epoch in range(1, arguments.rounds + 1)]
    print(
        f"{statistics.median(factors):.0f} times real time at {arguments.rate} Hz "
        f"(median of {arguments.rounds} rounds of {arguments.scenes} scenes, "
        f"{min(factors):.0f} to {max(factors):.0f}, process time of one core)"
    )


def measure(scenes: BinauralScenes, epoch: int) -> float:
    """Render an epoch; return seconds of sound per second of processor time."""
    start, samples = time.process_time(), 0
    for index in range(len(scenes)):
        samples += scenes[(epoch, index)].signals["mixture"].shape[-1]
    return samples / scenes.responses.rate / (time.process_time() - start)


if __name__ == "__main__":
    main()
