"""Binaural scenes, rendered when they are needed.

A scene is a talker at an azimuth and one or more interferers: noises or other talkers
from other azimuths, or a noise that comes from many directions at once. Each source is
convolved with the head-related (or binaural room) responses of its direction, and the
interferers are scaled so that the ratio of the powers summed over both ears is the
drawn SNR. Everything follows from (seed, epoch, index) alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.fft
import torch
from torch.utils.data import Dataset

from speechbrain_fusion.data.audio import AudioError, read, resample
from speechbrain_fusion.data.batch import Example
from speechbrain_fusion.data.head import HeadResponses, circular
from speechbrain_fusion.data.manifest import Entry, read_manifest

# A stretch whose mean power is below this (-80 dBFS) counts as a pause.
PAUSE = 1e-8
TRIES = 20
TARGETS = ("full", "direct")


@dataclass(frozen=True)
class Source:
    """A stretch of a recording that comes from one direction."""

    entry: Entry
    start: float
    azimuth: float


@dataclass(frozen=True)
class Scene:
    """What is heard from where: everything that a rendering follows from."""

    target: Source
    interferers: tuple[Source, ...]
    kind: str
    snr: float
    level: float
    seconds: float


class BinauralScenes(Dataset):
    """Seeded binaural scenes; item (epoch, index) is one rendered scene.

    Arguments
    ---------
    speech : Path or str
        Manifest of the talkers.
    noise : Path or str
        Manifest of the noises.
    responses : HeadResponses
        The head, or the head in its room, at the wanted rate.
    size : int
        Scenes of an epoch.
    segment : float
        Seconds of a scene at most; a shorter recording makes a shorter scene.
    seed : int
        With epoch and index it determines a scene.
    snr : tuple of float
        Bounds in dB of the SNR over both ears.
    interferers : tuple of int
        Bounds of the number of point interferers.
    talker_share : float
        Share of scenes whose interferers are talkers.
    diffuse_share : float
        Share of the other scenes whose noise is diffuse.
    directions : int
        Directions of a diffuse noise, evenly spaced.
    separation : float
        Degrees at least between the target and any point interferer.
    target_azimuths : sequence of float, optional
        Where the talker may be, in degrees (90 is left); by default anywhere.
    interferer_azimuths : sequence of float, optional
        The same for point interferers.
    target_part : str
        Target of the training: the talker's "full" image at the ears or, for room
        responses, its "direct" part.
    level : tuple of float
        Bounds in dBFS of the mixture's level (RMS over both ears).
    fixed : bool
        For validation and test: the epoch changes nothing, and recordings and noises
        are taken in turn, so that all are heard equally often.

    Raises
    ------
    AudioError
        If a manifest cannot be read.
    ValueError
        For an option out of its range or an azimuth that was not measured.
    """

    def __init__(
        self,
        speech: Path | str,
        noise: Path | str,
        responses: HeadResponses,
        size: int,
        segment: float = 4.0,
        seed: int = 0,
        snr: Sequence[float] = (-6.0, 6.0),
        interferers: Sequence[int] = (1, 2),
        talker_share: float = 0.0,
        diffuse_share: float = 0.25,
        directions: int = 12,
        separation: float = 30.0,
        target_azimuths: Sequence[float] | None = None,
        interferer_azimuths: Sequence[float] | None = None,
        target_part: str = "full",
        level: Sequence[float] = (-33.0, -23.0),
        fixed: bool = False,
    ) -> None:
        self.speech = list(read_manifest(speech).values())
        self.noise = list(read_manifest(noise).values())
        self.responses, self.size, self.seed, self.fixed = responses, size, seed, fixed
        self.segment = _within("segment", segment, 1 / responses.rate)
        self.directions = int(_within("directions", directions, 1))
        self.snr = _bounds("snr", snr)
        self.level = _bounds("level", level)
        self.interferers = _bounds("interferers", interferers)
        _within("interferers", self.interferers[0], 1)
        self.talker_share = _within("talker_share", talker_share, 0, 1)
        self.diffuse_share = _within("diffuse_share", diffuse_share, 0, 1)
        self.separation = _within("separation", separation, 0, 180)
        self.target_azimuths = _azimuths("target", responses, target_azimuths)
        self.interferer_azimuths = _azimuths(
            "interferer", responses, interferer_azimuths
        )
        if target_part not in TARGETS:
            raise ValueError(
                f"target_part: expected one of {TARGETS}, got {target_part!r}"
            )
        self.direct = responses.direct() if target_part == "direct" else None
        for azimuth in self.target_azimuths:
            if (_distance(self.interferer_azimuths, azimuth) < separation).all():
                raise ValueError(
                    f"separation: no interferer azimuth is {separation} degrees from "
                    f"the target azimuth {azimuth}"
                )
        if talker_share > 0 and len({entry["talker"] for entry in self.speech}) < 2:
            raise ValueError(f"talker_share: {speech} has only one talker")

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: tuple[int, int]) -> Example:
        """Render scene `index` of an epoch, given as (epoch, index)."""
        epoch, index = key
        scene = self.plan(epoch, index)
        mixture, target = self.render(scene)
        return Example(
            id=f"scene{index:05d}",
            signals={
                "mixture": torch.from_numpy(mixture),
                "target": torch.from_numpy(target),
            },
            info={
                "noise": scene.kind,
                "snr": round(scene.snr, 2),
                "azimuth": scene.target.azimuth,
                "talker": scene.target.entry["talker"],
            },
        )

    def plan(self, epoch: int, index: int) -> Scene:
        """Draw a scene.

        Arguments
        ---------
        epoch : int
            Counts from one; without effect on fixed scenes.
        index : int
            Place in the epoch.

        Returns
        -------
        Scene
            Always the same for the same seed, epoch and index.
        """
        epoch = 0 if self.fixed else epoch
        rng = np.random.default_rng([self.seed, epoch, index])
        entry = self._pick(self.speech, rng, index)
        seconds = min(self.segment, entry["samples"] / entry["rate"])
        start = rng.uniform(0, entry["samples"] / entry["rate"] - seconds)
        target = Source(entry, start, float(rng.choice(self.target_azimuths)))
        kind, interferers = self._draw_interferers(target, rng, index)
        return Scene(
            target,
            interferers,
            kind,
            float(rng.uniform(*self.snr)),
            float(rng.uniform(*self.level)),
            seconds,
        )

    def _pick(self, entries: list[Entry], rng: np.random.Generator, turn: int) -> Entry:
        """Choose an entry at random or, for fixed scenes, in turn."""
        drawn = int(rng.integers(len(entries)))
        return entries[turn % len(entries) if self.fixed else drawn]

    def _draw_interferers(
        self, target: Source, rng: np.random.Generator, index: int
    ) -> tuple[str, tuple[Source, ...]]:
        """Draw what disturbs, and name it."""
        # one further when the pairs would come again, so that all meet all noises
        pairs = math.lcm(len(self.speech), len(self.noise))
        noise = self._pick(self.noise, rng, index + index // pairs)
        talkers, diffuse = rng.uniform(size=2) < (self.talker_share, self.diffuse_share)
        count = int(rng.integers(self.interferers[0], self.interferers[1] + 1))
        if talkers:
            own = target.entry["talker"]
            others = [entry for entry in self.speech if entry["talker"] != own]
            entries = [others[rng.integers(len(others))] for _ in range(count)]
        else:
            entries = [noise] * (self.directions if diffuse else count)
        if diffuse and not talkers:
            place = rng.uniform(0, 360) + np.arange(self.directions) * (
                360 / self.directions
            )
            azimuths = [_nearest(self.responses.azimuth, azimuth) for azimuth in place]
        else:
            apart = _distance(self.interferer_azimuths, target.azimuth)
            far = self.interferer_azimuths[apart >= self.separation]
            azimuths = [float(rng.choice(far)) for _ in range(count)]
        sources = tuple(
            Source(entry, rng.uniform(0, entry["samples"] / entry["rate"]), azimuth)
            for entry, azimuth in zip(entries, azimuths, strict=True)
        )
        return "talker" if talkers else noise["name"], sources

    def render(self, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
        """Render a scene.

        Arguments
        ---------
        scene : Scene
            What `plan` drew.

        Returns
        -------
        mixture : np.ndarray
            float32 [2, time].
        target : np.ndarray
            The talker alone at the two ears, float32 [2, time].

        Raises
        ------
        AudioError
            If a recording has become silent, shorter or unreadable, naming it.
        """
        samples = round(scene.seconds * self.responses.rate)
        speech = _stretch(scene.target, samples, self.responses.rate, loop=False)
        image = self._place([(speech, scene.target.azimuth)], self.responses)
        noise = self._place(
            [
                (_stretch(source, samples, self.responses.rate, True), source.azimuth)
                for source in scene.interferers
            ],
            self.responses,
        )
        gain = math.sqrt(
            np.square(image).sum() / np.square(noise).sum() / 10 ** (scene.snr / 10)
        )
        mixture = image + gain * noise
        target = image
        if self.direct is not None:
            target = self._place([(speech, scene.target.azimuth)], self.direct)
        common = _common_gain(mixture, scene.level)
        return common * mixture, common * target

    def _place(
        self, sources: list[tuple[np.ndarray, float]], responses: HeadResponses
    ) -> np.ndarray:
        """Sum sources [time] convolved with their directions' responses: [2, time].

        By FFT: the sum is taken over spectra, one inverse transform does for all.
        """
        samples = sources[0][0].size
        size = scipy.fft.next_fast_len(
            samples + responses.responses.shape[-1] - 1, real=True
        )
        signals = np.stack([signal for signal, _ in sources])
        heads = np.stack([responses.at(azimuth) for _, azimuth in sources])
        spectra = scipy.fft.rfft(signals, size)[:, None] * scipy.fft.rfft(heads, size)
        return scipy.fft.irfft(spectra.sum(0), size)[:, :samples].astype(np.float32)


def _bounds(name: str, bounds: Sequence[float]) -> tuple:
    """Check a pair of finite numbers in ascending order."""
    if (
        len(bounds) != 2
        or not all(math.isfinite(bound) for bound in bounds)
        or bounds[0] > bounds[1]
    ):
        raise ValueError(
            f"{name}: expected two finite numbers in ascending order, got {bounds}"
        )
    return tuple(bounds)


def _within(name: str, value: float, low: float, high: float = math.inf) -> float:
    """Check that an option is in its range."""
    if not low <= value <= high:
        raise ValueError(f"{name}: expected {low:g} to {high:g}, got {value}")
    return value


def _azimuths(
    name: str, responses: HeadResponses, wanted: Sequence[float] | None
) -> np.ndarray:
    """Check the wanted azimuths, or take all that were measured."""
    if wanted is None:
        return responses.azimuth
    if not len(wanted):
        raise ValueError(f"{name}_azimuths: expected at least one, got none")
    for azimuth in wanted:
        responses.at(azimuth)
    return np.asarray(wanted, dtype=float) % 360


def _distance(azimuths: np.ndarray, azimuth: float) -> np.ndarray:
    """Degrees between directions, 0 to 180."""
    return np.abs(circular(azimuths - azimuth))


def _nearest(azimuths: np.ndarray, azimuth: float) -> float:
    return float(azimuths[_distance(azimuths, azimuth).argmin()])


def _common_gain(mixture: np.ndarray, level: float) -> np.float32:
    """One gain for both ears: to the level in dBFS, but never into clipping."""
    rms = math.sqrt(np.square(mixture).mean())
    return np.float32(min(10 ** (level / 20) / rms, 0.99 / np.abs(mixture).max()))


def _stretch(source: Source, samples: int, rate: int, loop: bool) -> np.ndarray:
    """Read a stretch [samples] at a rate; if it is a pause, look further on."""
    path, file_rate = source.entry["file"], source.entry["rate"]
    total, frames = source.entry["samples"], math.ceil(samples * file_rate / rate)
    if not loop:
        frames = min(frames, total)
    span = total if loop else total - frames + 1

    def stretch(start: int) -> np.ndarray:
        signal = _read_looped(path, start % span, frames, total)
        return _fit(resample(signal, file_rate, rate), samples)

    first = round(source.start * file_rate)
    for attempt in range(TRIES):
        # the drawn place first, then evenly on through the recording
        signal = stretch(first + attempt * span // TRIES)
        if np.square(signal).mean() > PAUSE:
            return signal
    # soft all along or sounding in few places: around the peak, which was prepared
    peak = int(np.abs(read(path)[0][0]).argmax())
    signal = stretch(min(max(peak - frames // 2, 0), span - 1))
    if not np.square(signal).mean() > 0:
        raise AudioError(f"{path}: silent, expected audio")
    return signal


def _read_looped(path: str, start: int, frames: int, total: int) -> np.ndarray:
    """Read frames of a mono file from a place on, beginning again at its end."""
    parts, missing = [], frames
    while missing > 0:
        asked = min(missing, total - start)
        part = read(path, start, asked)[0][0]
        if part.size < asked:
            raise AudioError(f"{path}: shorter than when it was prepared")
        parts.append(part)
        missing, start = missing - part.size, 0
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _fit(signal: np.ndarray, samples: int) -> np.ndarray:
    """Cut or zero-pad to a number of samples."""
    return np.pad(signal[:samples], (0, max(samples - signal.size, 0)))
