"""Room impulse responses: from a folder, made up for the demo, or simulated.

    <rooms_folder>/<room>/**/*.{wav,flac,ogg}      responses of one room
    <rooms_folder>/*.{wav,flac,ogg}                each of a room of its own

Of several channels the first counts. What is before the direct path, the largest peak,
is cut off and the peak is scaled to 1: reverberant speech stays aligned with dry speech
and has its direct path.
"""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import scipy.signal
import soundfile

from speechbrain_fusion.data.audio import AudioError, read, resample
from speechbrain_fusion.data.folders import write_folder
from speechbrain_fusion.data.inspection import audio_files, inspect_each
from speechbrain_fusion.data.manifest import Entry
from speechbrain_fusion.extras import import_extra

MARKER = ".rooms"
# Raise it with every change of what the writers write.
VERSION = "1"
REVERBERATION_TIMES = (0.2, 0.7)
"""Bounds of the time in s in which sound decays by 60 dB."""

SIZES = ((3.0, 9.0), (3.0, 7.0), (2.4, 4.0))
"""Bounds of a simulated room's length, width and height in m."""

# Of the largest peak: a direct path is not so faint.
FAINT = 0.1
# Distance in m of talker and microphone from the walls.
WALL = 0.5
# Dimensions and reverberation times that no walls could have are drawn again.
DRAWS = 100


def reverberate(speech: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Put dry speech into a room.

    Arguments
    ---------
    speech : np.ndarray
        Shape [time].
    response : np.ndarray
        Beginning with the direct path, shape [time].

    Returns
    -------
    np.ndarray
        float32, as long as the speech; what would ring on is cut off.

    Example
    -------
    >>> echo = np.array([1.0, 0.0, 0.5])
    >>> reverberate(np.array([1.0, 0.0, 0.0, 2.0]), echo).round(3)
    array([1. , 0. , 0.5, 2. ], dtype=float32)
    """
    return scipy.signal.fftconvolve(speech, response)[: speech.size].astype(np.float32)


@functools.lru_cache(maxsize=64)
def read_response(path: Path | str, rate: int) -> np.ndarray:
    """Read an impulse response from its direct path on, once for all its uses.

    Arguments
    ---------
    path : Path or str
        An audio file, of which the first channel counts.
    rate : int
        The wanted rate in Hz.

    Returns
    -------
    np.ndarray
        float32 [time]; the first sample is 1. Read-only, as it is shared.

    Raises
    ------
    AudioError
        If the file is unreadable or silent, or its largest peak is nothing but
        frequencies above half the wanted rate, naming it.

    Example
    -------
    >>> path = getfixture("tmp_path") / "hall.wav"
    >>> soundfile.write(path, np.array([0.0, 0.0, -0.5, 0.25]), 8000)
    >>> read_response(path, 8000)
    array([ 1. , -0.5], dtype=float32)
    """
    (signal, *_), file_rate = read(path)
    if not signal.any():
        raise AudioError(f"{path}: silent, expected an impulse response")
    # cut first: the direct path is at a sample of both rates, nothing is shifted
    response = resample(signal[int(np.abs(signal).argmax()) :], file_rate, rate)
    if np.abs(response[0]) < FAINT * np.abs(response).max():
        raise AudioError(f"{path}: no direct path below {rate / 2:g} Hz")
    response = response / response[0]
    response.flags.writeable = False
    return response


def inspect_rooms(
    folder: Path | str, rate: int, segment: float, jobs: int = -1
) -> dict[Path, Entry | AudioError]:
    """Describe all impulse responses of a folder, or say why they cannot be used.

    Arguments
    ---------
    folder : Path or str
        Laid out as this module says.
    rate : int
        Sample rate in Hz: no file may have a lower one.
    segment : float
        Seconds of a clip: no response may be longer.
    jobs : int
        Threads that read, -1 for one per core.

    Returns
    -------
    dict of Path to dict or AudioError
        For each file what `inspect` says, its name and its room; or what is wrong.

    Raises
    ------
    AudioError
        If there is no such folder or nothing in it.

    Example
    -------
    >>> responses = inspect_rooms(demo_rooms(getfixture("tmp_path")), 16000, 2.0)
    >>> sorted({entry["room"] for entry in responses.values()})[:2]
    ['demo_1', 'demo_2']
    """
    folder = Path(folder)
    paths = response_files(folder)
    results = inspect_each(paths, rate, channels=None, jobs=jobs)
    return {
        path: _described(path, folder, found, rate, segment)
        for path, found in zip(paths, results, strict=True)
    }


def response_files(folder: Path | str) -> list[Path]:
    """List a folder's impulse responses.

    Raises
    ------
    AudioError
        If there is no such folder or nothing in it.

    Example
    -------
    >>> response_files(demo_rooms(getfixture("tmp_path"), count=1))[0].name
    'demo_1.wav'
    """
    if paths := audio_files(Path(folder)):
        return paths
    raise AudioError(f"{folder}: no impulse response, expected *.{{wav,flac,ogg}}")


def response_room(path: Path, folder: Path) -> str:
    """Name the room of a response: the folder below the given one, or the file.

    Example
    -------
    >>> response_room(Path("rooms/hall/seat_1.wav"), Path("rooms"))
    'hall'
    """
    first, *below = path.relative_to(folder).parts
    return first if below else path.stem


def demo_rooms(folder: Path | str, count: int = 8, seed: int = 0) -> Path:
    """Write made-up impulse responses, unless they are there.

    Each is a direct path and noise that decays exponentially, by 60 dB in 0.2 to 0.7 s
    from the first to the last, 16 kHz.

    Arguments
    ---------
    folder : Path or str
        Gets ``demo_<number>.wav``. May not exist yet, or may be empty.
    count : int
        How many.
    seed : int
        Of all.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FileExistsError
        If the folder holds anything else; it is left as it is.

    Example
    -------
    >>> sorted(x.name for x in demo_rooms(getfixture("tmp_path"), 2).glob("*.wav"))
    ['demo_1.wav', 'demo_2.wav']
    """

    def write(new: Path) -> None:
        new.mkdir()
        rng = np.random.default_rng(seed)
        times = np.linspace(*REVERBERATION_TIMES, count)
        for number, time in enumerate(times, start=1):
            response = decaying_noise(float(time), 16000, rng)
            soundfile.write(new / f"demo_{number}.wav", 0.9 * response, 16000)

    return write_folder(folder, MARKER, f"demo {VERSION} {count} {seed}", write)


def decaying_noise(
    time: float, rate: int, rng: np.random.Generator, ratio: float = 3.0
) -> np.ndarray:
    """Make an impulse response: a direct path and exponentially decaying noise.

    Arguments
    ---------
    time : float
        Seconds in which it decays by 60 dB.
    rate : int
        In Hz.
    rng : np.random.Generator
        Source of randomness.
    ratio : float
        Energy of the direct path over that of the noise, in dB.

    Returns
    -------
    np.ndarray
        Beginning with the direct path, 1; as long as it takes to decay by 40 dB.

    Example
    -------
    >>> response = decaying_noise(0.3, 16000, np.random.default_rng(0))
    >>> response.size, float(response[0])
    (3200, 1.0)
    """
    place = np.arange(round(time * 2 / 3 * rate)) / rate
    tail = rng.standard_normal(place.size) * 10 ** (-3 * place / time)
    # nothing arrives within 2 ms of the direct path
    tail[: round(0.002 * rate)] = 0
    tail *= 10 ** (-ratio / 20) / np.sqrt(np.square(tail).sum())
    tail[0] = 1
    return tail


def simulate_rooms(
    folder: Path | str, count: int, rate: int, seed: int = 0, longest: float = 1.0
) -> Path:
    """Simulate rooms by pyroomacoustics' image sources, unless they are there.

    Each is a box of random size, reverberation time (by Sabine) and places of talker
    and microphone; the response lasts as long as the reverberation time.

    Arguments
    ---------
    folder : Path or str
        Gets ``simulated_<number>.wav``. May not exist yet, or may be empty.
    count : int
        How many rooms.
    rate : int
        Sample rate in Hz.
    seed : int
        With the number it determines a room.
    longest : float
        Seconds after which a response is cut off.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FileExistsError
        If the folder holds anything else; it is left as it is.
    ImportError
        If pyroomacoustics is missing, naming the extra to install.
    ValueError
        If the count is not positive.

    Example
    -------
    >>> folder = simulate_rooms(getfixture("tmp_path"), count=1, rate=8000)
    >>> read_response(folder / "simulated_1.wav", 8000)[0]
    np.float32(1.0)
    """
    if count < 1:
        raise ValueError(f"simulated_rooms: expected 1 at least, got {count}")
    library = _library()

    def write(new: Path) -> None:
        new.mkdir()
        for number in range(1, count + 1):
            rng = np.random.default_rng([seed, number])
            response = _simulate(library, rate, rng)[: round(longest * rate)]
            path = new / f"simulated_{number}.wav"
            soundfile.write(path, response, rate, subtype="FLOAT")

    version = f"simulated {VERSION} {count} {rate} {seed} {longest}"
    return write_folder(folder, MARKER, version, write)


def _library() -> Any:
    need = "simulated rooms need pyroomacoustics"
    return import_extra("pyroomacoustics", "rooms", need)


def _simulate(library: Any, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a room and compute its response."""
    time, size, absorption, order = _draw_room(library, rng)
    room = library.ShoeBox(
        size, fs=rate, materials=library.Material(absorption), max_order=order
    )
    # two draws in a row: the talker, then the microphone
    room.add_source(rng.uniform(WALL, size - WALL))
    room.add_microphone(rng.uniform(WALL, size - WALL))
    room.compute_rir()
    response = np.asarray(room.rir[0][0])
    response = response[int(np.abs(response).argmax()) :]
    return response[: round(time * rate)] / response[0]


def _draw_room(
    library: Any, rng: np.random.Generator
) -> tuple[float, np.ndarray, float, int]:
    """Draw a room's reverberation time and size; find its walls' absorption."""
    for _ in range(DRAWS):
        time = float(rng.uniform(*REVERBERATION_TIMES))
        size = np.array([rng.uniform(*bounds) for bounds in SIZES])
        try:
            absorption, order = library.inverse_sabine(time, size)
        except ValueError:  # even open windows would not do
            continue
        return time, size, absorption, order
    raise RuntimeError(f"no room in {DRAWS} draws")  # one in two is possible


def _described(
    path: Path, folder: Path, found: Entry | AudioError, rate: int, segment: float
) -> Entry | AudioError:
    if isinstance(found, AudioError):
        return found
    if found["seconds"] > segment:
        return AudioError(
            f"{path}: {found['seconds']} s, expected an impulse response no longer "
            f"than the clip (segment), {segment} s"
        )
    try:
        # the file as it is now, not as it once was
        read_response.__wrapped__(path, rate)
    except AudioError as error:
        return error
    return {**found, "name": path.stem, "room": response_room(path, folder)}
