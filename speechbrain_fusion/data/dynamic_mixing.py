"""New mixtures of talkers and a noise in every epoch, made when they are needed.

Levels are LibriMix's: every talker and the noise have a loudness of their own, what
would clip is turned down.

Source: Zeghidour & Grangier, "Wavesplit: End-to-End Speech Separation by Speaker
Clustering", IEEE/ACM TASLP 2021 (dynamic mixing); levels: Cosentino et al., "LibriMix",
arXiv 2005.11262.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechbrain_fusion.data.audio import AudioError, fit, read, resample
from speechbrain_fusion.data.batch import Example
from speechbrain_fusion.data.epoch_items import (
    PlannedItems,
    entry_in_turn,
    order_of_turn,
)
from speechbrain_fusion.data.librimix_layout import check_mode
from speechbrain_fusion.data.loudness import PEAK, to_loudness
from speechbrain_fusion.data.manifest import Entry, grouped, read_manifest
from speechbrain_fusion.data.mixtures import mixture_example, mixture_info
from speechbrain_fusion.data.options import (
    check_bounds,
    check_segment,
    check_speeds,
    check_within,
)
from speechbrain_fusion.data.source import Source, cut_speech, read_stretch


@dataclass(frozen=True)
class Part:
    """A talker or a noise.

    Attributes
    ----------
    entry : dict
        The recording, a line of a manifest.
    level : float
        Its loudness in LUFS.
    speed : int
        In percent of its own.
    place : float
        Where its stretch begins, from 0 to 1 of where it can.
    """

    entry: Entry
    level: float
    speed: int
    place: float


@dataclass(frozen=True)
class Plan:
    """Everything that a mixture follows from.

    Attributes
    ----------
    talkers : tuple of Part
        Who talks.
    noise : Part
        What is added.
    """

    talkers: tuple[Part, ...]
    noise: Part


class DynamicMixtures(PlannedItems[Plan]):
    """Seeded mixtures of recordings; item (epoch, index) is one mixture.

    The talkers of a mixture are always different ones. All noises come before any comes
    again, and all talkers too, but for those left over where their number is no
    multiple of a mixture's.

    Arguments
    ---------
    speech : Path or str
        Manifest of the talkers.
    noise : Path or str
        Manifest of the noises.
    rate : int
        Sample rate in Hz, not above that of the recordings.
    size : int
        Mixtures of an epoch.
    talkers : int
        Their number in a mixture.
    segment : float, optional
        Seconds of a mixture at most, from anywhere in the recordings. By default whole
        recordings that begin together.
    mode : str
        "min": no longer than the shortest recording; "max": shorter ones are padded.
    seed : int
        With epoch and index it determines a mixture.
    speech_level, noise_level : tuple of float
        Bounds in LUFS of each talker, measured over the whole recording, and of the
        noise.
    speeds : sequence of int
        In percent, of which each talker gets one.
    fixed : bool
        For validation and test: the same mixtures in every epoch.

    Raises
    ------
    AudioError
        If a manifest cannot be read or has too few talkers.
    ValueError
        For an option out of its range.

    Example
    -------
    >>> from speechbrain_fusion.data import prepare_recordings, write_demo_corpus
    >>> folder = getfixture("tmp_path")
    >>> corpus = write_demo_corpus(folder / "demo")
    >>> manifests = prepare_recordings(corpus, folder, rate=8000, segment=2.0)
    >>> files = manifests["speech_train"], manifests["noise_train"]
    >>> mixtures = DynamicMixtures(*files, 8000, size=10, talkers=3, segment=2.0)
    >>> mixtures[(1, 0)].signals["target"].shape
    torch.Size([3, 16000])
    """

    def __init__(
        self,
        speech: Path | str,
        noise: Path | str,
        rate: int,
        size: int,
        talkers: int = 2,
        segment: float | None = None,
        mode: str = "min",
        seed: int = 0,
        speech_level: Sequence[float] = (-33.0, -25.0),
        noise_level: Sequence[float] = (-38.0, -30.0),
        speeds: Sequence[int] = (100,),
        fixed: bool = False,
    ) -> None:
        check_mode(mode)
        check_segment(segment, rate)
        check_speeds(speeds)
        check_bounds("speech_level", speech_level)
        check_bounds("noise_level", noise_level)
        check_within("size", size, 1)
        check_within("talkers", talkers, 1)
        self.voices = [*grouped(read_manifest(speech).values(), "talker").values()]
        if len(self.voices) < talkers:
            raise AudioError(
                f"{speech}: {len(self.voices)} talkers, expected {talkers} at least"
            )
        self.noises = list(read_manifest(noise).values())
        self.rate, self.size, self.talkers, self.segment = rate, size, talkers, segment
        self.mode, self.seed, self.fixed = mode, seed, fixed
        self.speeds = [*speeds]
        self.speech_level, self.noise_level = speech_level, noise_level

    def _made(self, epoch: int, index: int) -> Example:
        """Mix an item."""
        plan = self.plan(epoch, index)
        signals = self.render(plan)
        names = "_".join(part.entry["name"] for part in plan.talkers)
        talkers = [part.entry["talker"] for part in plan.talkers]
        info = mixture_info(names, talkers, signals)
        info |= {"noise": plan.noise.entry["name"]}
        return mixture_example(f"mixture{index:05d}", signals, info)

    def seconds(self, key: tuple[int, int]) -> float:
        """Tell how long item (epoch, index) is, to two samples, without mixing it."""
        lengths = [
            part.entry["samples"] / part.entry["rate"] * 100 / part.speed
            for part in self.plan(*key).talkers
        ]
        whole = min(lengths) if self.mode == "min" else max(lengths)
        return whole if self.segment is None else min(whole, self.segment)

    def _drawn(self, epoch: int, index: int) -> Plan:
        """Draw a mixture."""
        # a stream for each kind of choice
        keys = [(stream, self.seed, epoch) for stream in (1, 2, 3)]
        rng = np.random.default_rng([*keys[0], index])
        groups = len(self.voices) // self.talkers
        turn, place = divmod(index, groups)
        order = order_of_turn(len(self.voices), (*keys[1], turn))
        chosen = order[place * self.talkers : (place + 1) * self.talkers]
        noise = entry_in_turn(self.noises, index, keys[2])
        return Plan(
            tuple(self._draw(self.voices[voice], rng) for voice in chosen),
            Part(
                noise,
                float(rng.uniform(self.noise_level[0], self.noise_level[1])),
                100,
                rng.uniform(),
            ),
        )

    def _draw(self, recordings: list[Entry], rng: np.random.Generator) -> Part:
        """Draw one of a talker's recordings, its level, speed and place."""
        return Part(
            recordings[rng.integers(len(recordings))],
            float(rng.uniform(self.speech_level[0], self.speech_level[1])),
            int(rng.choice(self.speeds)),
            rng.uniform(),
        )

    def render(self, plan: Plan) -> np.ndarray:
        """Mix what `plan` drew.

        Arguments
        ---------
        plan : Plan
            Talkers and noise.

        Returns
        -------
        np.ndarray
            Mixture, mixture without noise and each talker, float32
            [2 + talkers, time]; no mixture has a peak above 0.9.

        Raises
        ------
        AudioError
            If a recording has become silent, shorter or unreadable, naming it.
        """
        voices = [self._speak(part) for part in plan.talkers]
        sizes = [voice.size for voice in voices]
        samples = min(sizes) if self.mode == "min" else max(sizes)
        if self.segment is not None:
            samples = min(samples, round(self.segment * self.rate))
        talkers = np.stack(
            [
                self._cut(voice, samples, part.place)
                for voice, part in zip(voices, plan.talkers, strict=True)
            ]
        )
        clean = talkers.sum(0)
        signals = np.stack([clean + self._hiss(plan.noise, samples), clean, *talkers])
        return signals * np.float32(min(1, PEAK / np.abs(signals[0]).max()))

    def _speak(self, part: Part) -> np.ndarray:
        """Read a recording at the wanted level, rate and speed."""
        path = part.entry["file"]
        signal, file_rate = read(path)
        voice = to_loudness(signal[0], file_rate, part.level, path)
        voice = resample(voice, file_rate, self.rate)
        return resample(voice, part.speed, 100)

    def _cut(self, voice: np.ndarray, samples: int, place: float) -> np.ndarray:
        """Cut a segment where the talker does not pause, or pad at the end."""
        spare = voice.size - samples
        if spare <= 0:
            return fit(voice, samples)
        # whole recordings begin together, unless a pause is as long as the mixture
        first = 0.0 if self.segment is None else place

        def cut(at: int) -> np.ndarray:
            return voice[at : at + samples]

        return cut_speech(first, spare + 1, cut, lambda: voice)[0]

    def _hiss(self, part: Part, samples: int) -> np.ndarray:
        """Read a stretch of a noise at the wanted level."""
        entry, file_rate = part.entry, part.entry["rate"]
        start = part.place * entry["samples"] / file_rate
        frames = math.ceil(samples * file_rate / self.rate)
        source = Source(entry, start, azimuth=0.0)
        stretch = read_stretch(source, frames, file_rate, loop=True)
        noise = to_loudness(stretch, file_rate, part.level, entry["file"])
        return resample(noise, file_rate, self.rate)[:samples]
