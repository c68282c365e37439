"""How much faster than real time binaural scenes are rendered, on one core.

    python benchmarks/scenes.py [--data_folder FOLDER] [--hrir FILE] [--rate HZ]

Reading, resampling, convolution with the head's responses and mixing are all included.
Without a folder the demo corpus is written to a temporary one.
"""

import tempfile
from pathlib import Path

from measure import clock, middle, options, parse, record

from speechbrain_fusion.data import (
    BinauralScenes,
    load_responses,
    prepare_recordings,
    write_demo_corpus,
)


def main() -> None:
    """Print the median factor over rounds of scenes."""
    parser = options(__doc__)
    parser.add_argument("--data_folder")
    parser.add_argument("--hrir", default="sphere")
    parser.add_argument("--rate", type=int, default=8000)
    parser.add_argument("--scenes", type=int, default=60)
    arguments = parse(parser)
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
        epochs = range(1, arguments.rounds + 1)
        factors = [measure(scenes, epoch, arguments.clock) for epoch in epochs]
    record(
        "Rendering of binaural scenes",
        f"{arguments.hrir}, {'recordings' if arguments.data_folder else 'demo corpus'}",
        factors,
        "times real time",
    )
    print(
        f"{middle(factors):.0f} times real time at {arguments.rate} Hz "
        f"(median of {arguments.rounds} rounds of {arguments.scenes} scenes, "
        f"{min(factors):.0f} to {max(factors):.0f}, {arguments.clock} time)"
    )


def measure(scenes: BinauralScenes, epoch: int, clock_name: str) -> float:
    """Render an epoch; return seconds of sound per second."""
    start, samples = clock("cpu", clock_name), 0
    for index in range(len(scenes)):
        samples += scenes[(epoch, index)].signals["mixture"].shape[-1]
    return samples / scenes.responses.rate / (clock("cpu", clock_name) - start)


if __name__ == "__main__":
    main()
