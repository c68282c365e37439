"""The demo corpus laid out like DAPS and NOISEX-92, with made-up devices and rooms."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.io
import scipy.signal
import soundfile

from speechbrain_fusion.data.audio import PEAK, read, resample
from speechbrain_fusion.data.demo import RATE, demo_speech_folder
from speechbrain_fusion.data.disjoint import (
    SIDES,
    Utterance,
    split_sides,
    split_utterances,
)
from speechbrain_fusion.data.folders import write_folder
from speechbrain_fusion.data.noise import synthetic_noise
from speechbrain_fusion.data.noisex import RATE as NOISE_RATE
from speechbrain_fusion.data.rooms import decaying_noise, demo_rooms, reverberate

MARKER = ".demo-daps"
# Raise it with every change of what write_demo_daps writes.
VERSION = "2"

SCRIPTS = 2
# Utterances that make a script: recordings of some 7 s.
JOINED = 2
NOISE_SECONDS = 20
WOMEN = (
    *("alicia", "andrea", "annie", "aunty", "belinda", "grandma", "linda", "shelby"),
    *("steph", "f1", "f2", "f3", "f4", "f5"),
)
"""The voices of women, as the demo's talkers are named after them."""


class Device(NamedTuple):
    """How a version is made of the clean one."""

    band: tuple[float, float]
    """In Hz."""
    gain: float
    reverberation: float | None
    """Seconds, of the room in which the device is; None for the studio."""


VERSIONS = {
    "produced": Device((60.0, 7500.0), 1.2, None),
    "ipad_confroom1": Device((120.0, 6500.0), 0.7, 0.35),
    "ipad_office1": Device((120.0, 6500.0), 0.8, 0.25),
    "iphone_bedroom1": Device((250.0, 5500.0), 0.9, 0.2),
    "iphone_livingroom1": Device((250.0, 5500.0), 0.6, 0.3),
}
"""The versions beside clean."""

NOISES: dict[str, tuple[str, dict[str, float]]] = {
    "babble": ("babble", {"talkers": 6}),
    "car": ("engine", {"fundamental": 75.0}),
    "chatter": ("babble", {"talkers": 3}),
    "engine": ("engine", {"fundamental": 40.0}),
    "fan": ("pink", {}),
    "hiss": ("white", {}),
    "hum": ("modulated", {"frequency": 5.6}),
    "mill": ("modulated", {"frequency": 11.0}),
    "pulse": ("modulated", {"frequency": 4.0}),
    "rumble": ("speech_shaped", {}),
}
"""Kind and options of each noise."""

# As NOISEX-92 is around in both forms.
AS_MAT = "fan"


def write_demo_daps(folder: Path | str) -> Path:
    """Write the demo corpus laid out like DAPS, unless it is there.

    Arguments
    ---------
    folder : Path or str
        Gets ``<version>/<speaker>_<script>_<version>.wav``, 16 kHz, of 28 speakers,
        ``noise`` at 19.98 kHz, one of them a ``.mat``, and impulse responses in
        ``rooms``. May not exist yet, or may be empty.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FileExistsError
        If the folder holds anything else; it is left as it is.
    """
    return write_folder(folder, MARKER, VERSION, _write)


def demo_speakers() -> dict[str, str]:
    """Name the demo's talkers as DAPS does, f1, m1 and so on.

    Returns
    -------
    dict of str to str
        The names by those of the demo corpus.

    Example
    -------
    >>> names = demo_speakers()
    >>> names["t01_m1_gb"], names["t02_f1_us"], len(names)
    ('m1', 'f1', 28)
    """
    names: dict[str, str] = {}
    counts = {"f": 0, "m": 0}
    for folder in sorted(demo_speech_folder().glob("*/*/"), key=lambda x: x.name):
        sex = "f" if folder.name.split("_")[1] in WOMEN else "m"
        counts[sex] += 1
        names[folder.name] = f"{sex}{counts[sex]}"
    return names


def babble_files() -> dict[str, list[Path]]:
    """List what noises of a side are made of: the last utterance of each talker there.

    No script of a test talker has it.

    Returns
    -------
    dict of str to list of Path
        For "train" (clean and noisy speech), "valid" and "test", as speakers are
        disjoint by default.

    Example
    -------
    >>> {side: len(paths) for side, paths in babble_files().items()}
    {'train': 17, 'valid': 3, 'test': 8}
    """
    names = demo_speakers()
    said = [
        Utterance(x, f"script{n + 1}") for x in names.values() for n in range(SCRIPTS)
    ]
    sets = split_utterances(said, ["speaker"])
    sides = {"train": sets["clean"] + sets["noisy"], **sets}
    last = {
        names[talker]: sorted(demo_speech_folder().glob(f"*/{talker}/*.ogg"))[-1]
        for talker in names
    }
    return {
        side: [last[name] for name in sorted({x.speaker for x in sides[side]})]
        for side in SIDES
    }


def _write(folder: Path) -> None:
    for version in ("clean", *VERSIONS):
        (folder / version).mkdir(parents=True)
    for name, speech in _scripts():
        _write_wav(folder / "clean" / f"{name}_clean.wav", speech, RATE)
        for version, device in VERSIONS.items():
            heard = _record(speech, version, device)
            _write_wav(folder / version / f"{name}_{version}.wav", heard, RATE)
    _write_noises(folder / "noise")
    demo_rooms(folder / "rooms")


def _scripts() -> Iterator[tuple[str, np.ndarray]]:
    """Join utterances to what a speaker says of each script."""
    for talker, speaker in demo_speakers().items():
        paths = sorted(demo_speech_folder().glob(f"*/{talker}/*.ogg"))
        for script in range(SCRIPTS):
            part = paths[script * JOINED : (script + 1) * JOINED]
            joined = np.concatenate([read(path)[0][0] for path in part])
            yield f"{speaker}_script{script + 1}", joined


def _record(speech: np.ndarray, version: str, device: Device) -> np.ndarray:
    """Hear speech through a device, in its room; without a delay."""
    filters = scipy.signal.butter(2, device.band, "bandpass", fs=RATE, output="sos")
    # forwards and backwards, so that versions stay aligned
    heard = scipy.signal.sosfiltfilt(filters, speech)
    if device.reverberation is not None:
        rng = np.random.default_rng(zlib.crc32(version.encode()))
        heard = reverberate(heard, decaying_noise(device.reverberation, RATE, rng))
    return device.gain * heard


def _write_noises(folder: Path) -> None:
    folder.mkdir()
    sides = split_sides(dict.fromkeys(NOISES, 1), "noise")
    side_of = {name: side for side, names in sides.items() for name in names}
    speech = {
        side: [resample(read(path)[0][0], RATE, NOISE_RATE) for path in paths]
        for side, paths in babble_files().items()
    }
    for name, (kind, options) in NOISES.items():
        spoken = speech[side_of[name]]
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        samples = NOISE_SECONDS * NOISE_RATE
        noise = synthetic_noise(kind, samples, NOISE_RATE, rng, spoken, **options)
        if name == AS_MAT:
            scipy.io.savemat(folder / f"{name}.mat", {name: noise[:, None]})
        else:
            _write_wav(folder / f"{name}.wav", noise, NOISE_RATE)


def _write_wav(path: Path, signal: np.ndarray, rate: int) -> None:
    """Write 16 bits, turned down where it would clip."""
    level = min(1.0, PEAK / np.abs(signal).max())
    soundfile.write(path, level * signal, rate, subtype="PCM_16")
