"""Clips of speech and of noise, and their mixture at an SNR."""

import math
from collections.abc import Sequence

import numpy as np

from speechbrain_fusion.data.audio import AudioError, read, read_resampled, resample
from speechbrain_fusion.data.inspection import refuse_all
from speechbrain_fusion.data.manifest import Entry
from speechbrain_fusion.data.noise_parts import SEEN
from speechbrain_fusion.data.source import Source, cut_speech, read_stretch


def samples_at(entry: Entry, rate: int) -> int:
    """Count the samples of a recording at another rate.

    Example
    -------
    >>> samples_at({"samples": 44101, "rate": 44100}, 16000)
    16001
    """
    return -(-entry["samples"] * rate // entry["rate"])


def is_short(entry: Entry, seconds: float) -> bool:
    """Whether a recording has fewer samples than so many seconds.

    Example
    -------
    >>> is_short({"samples": 44099, "rate": 44100}, 1.0)
    True
    """
    return entry["samples"] < round(seconds * entry["rate"])


def read_clip(
    entry: Entry, place: float, samples: int, rate: int
) -> tuple[np.ndarray, int]:
    """Read a clip in which the talker does not pause, and nothing else of the file.

    Arguments
    ---------
    entry : dict
        The recording.
    place : float
        Where the clip is, from 0 to 1; if the talker pauses there, look further on.
    samples : int
        Length at the wanted rate, not more than the recording has.
    rate : int
        The wanted rate in Hz.

    Returns
    -------
    clip : np.ndarray
        float32 [samples].
    start : int
        Its first sample, at the wanted rate.

    Raises
    ------
    AudioError
        If the recording is silent, shorter than it was or unreadable, naming it.

    Example
    -------
    >>> import soundfile
    >>> path, speech = getfixture("tmp_path") / "a.wav", np.zeros(8000)
    >>> speech[6000:] = 0.1
    >>> soundfile.write(path, speech, 8000)
    >>> entry = {"file": str(path), "rate": 8000, "samples": 8000}
    >>> read_clip(entry, 0.0, 1000, 8000)[1] > 5000
    True
    """

    def cut(start: int) -> np.ndarray:
        return read_resampled(entry["file"], entry["rate"], rate, start, samples)[0]

    def whole() -> np.ndarray:
        return resample(read(entry["file"])[0][0], entry["rate"], rate)

    clip, start = cut_speech(place, samples_at(entry, rate) - samples + 1, cut, whole)
    refuse_silence(clip, entry)
    return clip, start


def refuse_silence(clip: np.ndarray, entry: Entry) -> None:
    """Refuse a clip [time] of a recording in which there is nothing at all.

    Raises
    ------
    AudioError
        Naming the recording.

    Example
    -------
    >>> refuse_silence(np.ones(8), {"file": "a.wav"})
    """
    if not clip.any():
        raise AudioError(f"{entry['file']}: silent, expected speech")


def read_noise(
    entry: Entry, place: float, samples: int, rate: int, loop: bool
) -> np.ndarray:
    """Read a stretch of a noise.

    Arguments
    ---------
    entry : dict
        The noise.
    place : float
        Where the stretch is, from 0 to 1.
    samples : int
        Length at the wanted rate.
    rate : int
        The wanted rate in Hz.
    loop : bool
        Let a noise that is too short begin again.

    Returns
    -------
    np.ndarray
        float32 [samples].

    Raises
    ------
    AudioError
        See `read_stretch`.

    Example
    -------
    >>> import soundfile
    >>> path = getfixture("tmp_path") / "hum.wav"
    >>> soundfile.write(path, np.full(8000, 0.1), 8000)
    >>> hum = {"file": str(path), "rate": 8000, "samples": 8000}
    >>> read_noise(hum, 0.5, 2000, 8000, loop=False).shape
    (2000,)
    """
    seconds = entry["samples"] / entry["rate"]
    spare = seconds - samples / rate
    loop = loop and spare < 0
    start = place * (seconds if loop else max(0.0, spare))
    return read_stretch(Source(entry, start, azimuth=0.0), samples, rate, loop=loop)


def at_snr(noise: np.ndarray, speech: np.ndarray, snr: float) -> np.ndarray:
    """Scale a noise such that the speech is `snr` dB above it.

    Arguments
    ---------
    noise, speech : np.ndarray
        Shape [time] or [ears, time], not silent.
    snr : float
        In dB, over the whole of both.

    Returns
    -------
    np.ndarray
        float32, as the noise.

    Example
    -------
    >>> at_snr(np.ones(4, "float32"), np.full(4, 0.5, "float32"), 20.0)
    array([0.05, 0.05, 0.05, 0.05], dtype=float32)
    """
    ratio = np.square(speech).sum() / np.square(noise).sum()
    return noise * np.float32(math.sqrt(ratio / 10 ** (snr / 10)))


def refuse_short_noises(noises: Sequence[Entry], needed: float, name: str) -> None:
    """Name the noises that are shorter than what they are mixed with.

    Arguments
    ---------
    noises : sequence of dict
        Their entries.
    needed : float
        Seconds.
    name : str
        Of their manifest.

    Raises
    ------
    AudioError
        With a line for each.

    Example
    -------
    >>> refuse_short_noises([{"file": "hum.wav", "seconds": 3.0}], 2.0, "noise_train")
    """
    short = [
        f"{entry['file']}: {entry['seconds']} s"
        + (" in its part" if entry.get("kind") == SEEN else "")
        for entry in noises
        if entry["seconds"] < needed
    ]
    wanted = f"the longest speech, {needed} s (loop, loop_noise in a YAML, begins them"
    refuse_all(short, f"noises are shorter than {wanted} again)", name)


def refuse_short_speech(speech: Sequence[Entry], needed: float, name: str) -> None:
    """Name the recordings that are shorter than a clip.

    Arguments
    ---------
    speech : sequence of dict
        Their entries.
    needed : float
        Seconds.
    name : str
        Of their manifest.

    Raises
    ------
    AudioError
        With a line for each.

    Example
    -------
    >>> refuse_short_speech([{"samples": 40000, "rate": 16000}], 2.0, "speech_train")
    """
    short = [f"{x['file']}: {x['seconds']} s" for x in speech if is_short(x, needed)]
    refuse_all(short, f"recordings are shorter than a clip (segment), {needed} s", name)
