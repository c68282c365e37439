"""Head-related impulse responses from files: SOFA (AES69) and NumPy archives.

Azimuths are counter-clockwise from the front, 90 degrees at the left ear. A file
whose azimuths its own responses contradict is refused.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.head import ANGLE_TOLERANCE, HeadResponses
from speechbrain_fusion.data.sphere import rigid_sphere
from speechbrain_fusion.extras import import_extra

NPZ_KEYS = ("azimuth_deg", "ir", "fs")
SOFA_KEYS = ("SourcePosition", "Data_IR", "Data_SamplingRate", "ReceiverPosition")
# Fractional delays ring; this many samples of room keep the ringing apart.
DELAY_MARGIN = 64


def _check_keys(values: dict[str, Any], keys: tuple) -> None:
    """Refuse a file that lacks a key, or has other than numbers there."""
    for key in keys:
        if values.get(key) is None:
            raise ValueError(f"no key {key}; expected {', '.join(keys)}")
        numbers = np.asarray(values[key])
        if numbers.dtype.kind not in "iuf" or not np.isfinite(numbers).all():
            raise ValueError(f"{key}: expected finite numbers, found others (or NaN)")


def _check_shapes(values: dict[str, Any], directions: int, keys: tuple) -> None:
    """Refuse what is no set of two-eared responses, naming the key at fault."""
    responses, rate = np.shape(values[keys[1]]), np.asarray(values[keys[2]])
    if len(responses) != 3 or responses[1] != 2 or 0 in responses:
        raise ValueError(
            f"{keys[1]} has shape {responses}; expected (directions, 2 ears, taps)"
        )
    if directions != responses[0]:
        raise ValueError(
            f"{keys[0]} has {directions} directions; expected {responses[0]}, as "
            f"{keys[1]} has"
        )
    if rate.size != 1 or rate.item() <= 0 or rate.item() % 1:
        raise ValueError(
            f"{keys[2]} is {rate.tolist()}; expected one positive whole number of Hz"
        )


def _check_sounding(azimuth: np.ndarray, responses: np.ndarray) -> None:
    silent = ~responses.any(axis=-1).all(axis=-1)
    if silent.any():
        raise ValueError(
            f"all-zero response at azimuth {azimuth[silent][0]:g}; "
            "expected sound at both ears"
        )


def _check_sides(head: HeadResponses, clockwise: bool) -> None:
    """Refuse a head whose nearer ear is, on average, the softer or the later one."""
    side = np.sin(np.deg2rad(head.azimuth))
    lateral = np.abs(side) > 0.1
    if not lateral.any():
        return
    responses, sign = head.responses[lateral].astype(float), np.sign(side[lateral])
    energy, onset = (responses**2).sum(-1), head.onsets()[lateral]
    level = np.mean(sign * 10 * np.log10(energy[:, 0] / energy[:, 1]))
    lead = np.mean(sign * (onset[:, 1] - onset[:, 0])) / head.rate
    # Room for sets of aligned onsets or of equal levels.
    if level < -0.5 or lead < -50e-6:
        raise ValueError(
            "responses contradict the azimuths: the ear nearer to the source leads by "
            f"{level:.1f} dB and {1e6 * lead:.0f} us on average, expected more than 0; "
            f"if the azimuths are mirrored, say clockwise: {str(not clockwise).lower()}"
        )


def _read_npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in NPZ_KEYS if key in archive}


def _read_sofa(path: Path) -> dict[str, Any]:
    sofar = import_extra("sofar", "sofa", f"{path} needs sofar")
    return vars(sofar.read_sofa(str(path), verify=False, verbose=False))


def _cartesian(values: dict[str, Any], key: str, default: ArrayLike) -> np.ndarray:
    """Positions or directions of a SOFA object, shape [count, 3]."""
    position = np.asarray(values.get(key, default), dtype=float)
    # Receivers may have a third axis, for measurements; the ears stay where they are.
    position = np.atleast_2d(position[..., 0] if position.ndim == 3 else position)
    if position.shape[1] != 3:
        raise ValueError(f"{key} has shape {position.shape}; expected (count, 3)")
    kind = values.get(f"{key}_Type", "cartesian")
    if kind == "cartesian":
        return position
    if kind != "spherical":
        raise ValueError(f"{key}_Type is {kind}; expected cartesian or spherical")
    azimuth, elevation = np.deg2rad(position[:, :2]).T
    level = np.cos(elevation)
    unit = [level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)]
    return position[:, 2:] * np.stack(unit, axis=1)


def _sofa_directions(values: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Azimuth and elevation of the sources from the listener, in degrees."""
    source = _cartesian(values, "SourcePosition", ())
    x, y, z = (source - _cartesian(values, "ListenerPosition", (0, 0, 0))).T
    # Room responses often turn the head instead of moving the source.
    ahead = _cartesian(values, "ListenerView", (1, 0, 0)).T
    azimuth = np.arctan2(y, x) - np.arctan2(ahead[1], ahead[0])
    elevation = np.arctan2(z, np.hypot(x, y))
    azimuth, elevation = np.broadcast_arrays(azimuth, elevation)
    return np.rad2deg(azimuth), np.rad2deg(elevation)


def _sofa_ears(values: dict[str, Any]) -> list[int]:
    """Find the left and the right receiver."""
    y = _cartesian(values, "ReceiverPosition", ())[:, 1]
    if len(y) != 2 or not y.min() < 0 < y.max():
        raise ValueError(
            f"ReceiverPosition has y = {y.tolist()}; expected one ear on the left "
            "(y > 0) and one on the right (y < 0)"
        )
    return [int(y.argmax()), int(y.argmin())]


def _delayed(responses: np.ndarray, delay: np.ndarray) -> np.ndarray:
    """Responses later by delays in samples, whole or not, [directions, ears]."""
    if not delay.any():
        return responses
    taps = responses.shape[-1] + math.ceil(delay.max()) + DELAY_MARGIN
    phase = -2j * np.pi * np.fft.rfftfreq(taps) * delay[..., None]
    return np.fft.irfft(np.fft.rfft(responses, taps) * np.exp(phase), taps)


def _at_elevation(values: dict[str, Any], elevation: float) -> tuple:
    """Azimuths in degrees, and the indices of their directions in the file."""
    azimuth, elevations = _sofa_directions(values)
    _check_shapes(values, len(azimuth), SOFA_KEYS)
    level = np.flatnonzero(np.abs(elevations - elevation) <= ANGLE_TOLERANCE)
    if not len(level):
        raise ValueError(
            f"no direction at elevation {elevation:g}; SourcePosition has "
            f"{elevations.min():g} to {elevations.max():g} degrees"
        )
    return azimuth[level], level


def _from_sofa(values: dict[str, Any], elevation: float) -> tuple:
    """Azimuths, responses [directions, 2 (left, right), taps] and rate."""
    _check_keys({"Data_Delay": 0.0, **values}, (*SOFA_KEYS, "Data_Delay"))
    azimuth, level = _at_elevation(values, elevation)
    responses = np.asarray(values["Data_IR"], dtype=float)
    rate = np.asarray(values["Data_SamplingRate"]).item()
    delay = np.broadcast_to(values.get("Data_Delay", 0.0), responses.shape[:2])
    if delay.min() < 0 or delay.max() > rate:
        raise ValueError("Data_Delay: expected 0 samples to 1 second")
    delayed = _delayed(responses[level], delay[level])
    return azimuth, delayed[:, _sofa_ears(values)], rate


def _from_npz(values: dict[str, Any], elevation: float) -> tuple:
    """Azimuths, responses [directions, 2 (left, right), taps] and rate."""
    _check_keys(values, NPZ_KEYS)
    azimuth = np.atleast_1d(values["azimuth_deg"]).astype(float)
    if azimuth.ndim != 1:
        raise ValueError(
            f"azimuth_deg has shape {azimuth.shape}; expected (directions,)"
        )
    _check_shapes(values, len(azimuth), NPZ_KEYS)
    if abs(elevation) > ANGLE_TOLERANCE:
        raise ValueError(f"no direction at elevation {elevation:g}; .npz has only 0")
    return azimuth, values["ir"], values["fs"].item()


# By suffix: what reads a file, and what finds the horizontal directions in it.
FORMATS = {".npz": (_read_npz, _from_npz), ".sofa": (_read_sofa, _from_sofa)}


def _read(path: Path) -> dict[str, Any]:
    """Values of a file by key."""
    if path.suffix.lower() not in FORMATS:
        raise AudioError(
            f"{path}: unknown kind of responses; expected 'sphere' or a file "
            f"{' or '.join(FORMATS)}"
        )
    if not path.is_file():
        raise AudioError(f"{path}: no such file; expected head-related responses")
    try:
        return FORMATS[path.suffix.lower()][0](path)
    except ImportError:
        raise
    # A broken file fails in the libraries' zip, netCDF or NumPy parts, each its way.
    except Exception as error:
        raise AudioError(f"{path}: not a readable {path.suffix} ({error})") from error


def _load(path: Path, elevation: float, clockwise: bool) -> HeadResponses:
    values = _read(path)
    try:
        azimuth, responses, rate = FORMATS[path.suffix.lower()][1](values, elevation)
        _check_sounding(azimuth, responses)
        head = HeadResponses.from_directions(
            -azimuth if clockwise else azimuth, responses, rate, str(path)
        )
        _check_sides(head, clockwise)
    except ValueError as error:
        raise AudioError(f"{path}: {error}") from error
    return head


def load_responses(
    source: str | Path, rate: int, elevation: float = 0.0, clockwise: bool = False
) -> HeadResponses:
    """Load the responses of a head around one elevation, at a sample rate.

    Arguments
    ---------
    source : str or Path
        "sphere" (rigid, every 5 degrees, needs no file), a `.sofa` file, or an `.npz`
        file with keys `azimuth_deg` [directions], `ir` [directions, 2 (left, right),
        taps] and `fs` (Hz).
    rate : int
        The wanted rate in Hz.
    elevation : float
        Of the directions to keep, degrees; other than 0 in `.sofa` files only.
    clockwise : bool
        Whether the file's azimuths run clockwise, against its convention.

    Returns
    -------
    HeadResponses
        At the wanted rate, with the gain of the file's responses.

    Raises
    ------
    AudioError
        If the file is missing, broken, of another shape than expected, has silent or
        infinite responses or no direction at the elevation, or if its responses
        contradict its azimuths; it names the file and what was expected.
    ValueError
        If an argument does not fit.
    ImportError
        If a `.sofa` file is asked for without sofar.

    Example
    -------
    >>> load_responses("sphere", 8000).responses.shape
    (72, 2, 96)
    """
    if str(source) != "sphere":
        return _load(Path(source), elevation, clockwise).resampled(rate)
    if elevation or clockwise:
        raise ValueError("sphere: expected elevation 0 and clockwise False")
    return rigid_sphere(rate)
