"""The embedded demo corpus: synthetic speech, shipped, and noises, computed.

It is written out in the layout of a folder of own recordings, so that the code that
prepares such a folder reads it like any other.
"""

import shutil
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from speechbrain_fusion.data.audio import read
from speechbrain_fusion.data.folders import write_folder
from speechbrain_fusion.data.noise import synthetic_noise
from speechbrain_fusion.data.recordings import SPLITS

RATE = 16000
"""Sample rate of the demo corpus in Hz."""

NOISE_SECONDS = 30
"""Length of each noise file."""

# Raise it with every change of what write_demo_corpus writes.
VERSION = "1"
MARKER = ".demo-corpus"


class Noise(NamedTuple):
    """A noise file: its kind and the options of that kind."""

    kind: str
    options: dict[str, float]


def _held_out(talkers: int, frequency: float, fundamental: float) -> dict[str, Noise]:
    """List the noises of valid or test: one file per kind, named after it."""
    return {
        "white": Noise("white", {}),
        "pink": Noise("pink", {}),
        "speech_shaped": Noise("speech_shaped", {}),
        "babble": Noise("babble", {"talkers": talkers}),
        "modulated": Noise("modulated", {"frequency": frequency}),
        "engine": Noise("engine", {"fundamental": fundamental}),
    }


def _varied(kind: str, option: str, *values: float) -> dict[str, Noise]:
    """List files of one kind, numbered from 1, that differ in one option."""
    return {
        f"{kind}_{number}": Noise(kind, {option: value})
        for number, value in enumerate(values, start=1)
    }


# The rates and fundamentals of valid and test lie between or beyond those of train.
NOISES: dict[str, dict[str, Noise]] = {
    "train": {
        **{
            f"{kind}_{number}": Noise(kind, {})
            for kind in ("white", "pink", "speech_shaped")
            for number in (1, 2)
        },
        **_varied("babble", "talkers", 3, 6, 12),
        **_varied("modulated", "frequency", 2.0, 4.0, 8.0, 16.0),
        **_varied("engine", "fundamental", 40.0, 60.0, 90.0, 130.0),
    },
    "valid": _held_out(talkers=5, frequency=5.6, fundamental=75.0),
    "test": _held_out(talkers=4, frequency=11.0, fundamental=108.0),
}


def demo_speech_folder() -> Path:
    """Find the speech that is shipped with the package.

    Returns
    -------
    Path
        A folder of ``<train|valid|test>/<talker>/<utterance>.ogg``, 16 kHz mono.

    Example
    -------
    >>> sorted(path.name for path in demo_speech_folder().iterdir() if path.is_dir())
    ['test', 'train', 'valid']
    """
    return Path(__file__).parent / "demo_speech"


def write_demo_corpus(folder: Path) -> Path:
    """Write the demo corpus out, unless the folder holds it already.

    The corpus appears all at once or not at all, also when several processes write it
    at the same time. One that an older version wrote is replaced.

    Arguments
    ---------
    folder : Path
        Gets ``speech/<train|valid|test>/<talker>/*.ogg`` and
        ``noise/<train|valid|test>/<name>.wav``, all 16 kHz mono. May not exist yet,
        or may be empty.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FileExistsError
        If the folder holds anything but a demo corpus; it is left as it is.

    Example
    -------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as scratch:
    ...     corpus = write_demo_corpus(Path(scratch) / "demo")
    ...     sorted(path.name for path in (corpus / "noise" / "test").iterdir())[:3]
    ['babble.wav', 'engine.wav', 'modulated.wav']
    """
    return write_folder(folder, MARKER, VERSION, _write_corpus)


def _write_corpus(folder: Path) -> None:
    _write_speech(folder / "speech")
    _write_noise(folder / "noise")


def _utterances(split: str) -> list[Path]:
    return sorted(demo_speech_folder().glob(f"{split}/*/*.ogg"))


def _write_speech(folder: Path) -> None:
    source = demo_speech_folder()
    for path in _utterances("*"):
        copy = folder / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        # The content alone: an installed package may be read-only.
        shutil.copyfile(path, copy)


def _write_noise(folder: Path) -> None:
    for split in SPLITS:
        (folder / split).mkdir(parents=True)
        speech = [read(path)[0][0] for path in _utterances(split)]
        for name, noise in NOISES[split].items():
            signal = _render(split, name, noise, speech)
            path = folder / split / f"{name}.wav"
            soundfile.write(path, signal, RATE, subtype="PCM_16")


def _render(
    split: str, name: str, noise: Noise, speech: list[np.ndarray]
) -> np.ndarray:
    """Compute one noise: its seed follows from its split and name alone."""
    generator = np.random.default_rng(zlib.crc32(f"{split}/{name}".encode()))
    return synthetic_noise(
        noise.kind, NOISE_SECONDS * RATE, RATE, generator, speech, **noise.options
    )
