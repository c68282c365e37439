"""Binaural scenes, rendered when they are needed.

A scene is a talker at an azimuth and one or more interferers: noises or other talkers
from other azimuths, or a noise that comes from many directions at once. Each source is
convolved with the head-related (or binaural room) responses of its direction, and the
interferers are scaled so that the ratio of the powers summed over both ears is the
drawn SNR.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.fft
import torch

from speechbrain_fusion.data.audio import PEAK
from speechbrain_fusion.data.batch import Example
from speechbrain_fusion.data.clips import at_snr
from speechbrain_fusion.data.epoch_items import PlannedItems, entry_in_turn
from speechbrain_fusion.data.head import HeadResponses, circular
from speechbrain_fusion.data.manifest import Entry, grouped, read_manifest
from speechbrain_fusion.data.options import check_bounds, check_segment, check_within
from speechbrain_fusion.data.source import Source, read_stretch
from speechbrain_fusion.nnet.options import check_option

TARGETS = ("full", "direct")


@dataclass(frozen=True)
class Scene:
    """What is heard from where: everything that a rendering follows from.

    Attributes
    ----------
    target : Source
        The talker to enhance.
    interferers : tuple of Source
        What else is heard.
    kind : str
        The noise's kind, by which tables are made.
    snr : float
        In dB, over both ears.
    level : float
        Of the mixture in dBFS, RMS over both ears.
    seconds : float
        How long it is.
    """

    target: Source
    interferers: tuple[Source, ...]
    kind: str
    snr: float
    level: float
    seconds: float


class BinauralScenes(PlannedItems[Scene]):
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
        Bounds of the number of point interferers. A recording shorter than the scene
        begins again at its end, a talker's too.
    talker_share : float
        Share of scenes whose interferers are talkers.
    diffuse_share : float
        Share of the other scenes whose noise is diffuse.
    directions : int
        Directions of a diffuse noise, evenly spaced over the measured ones (half a
        circle, where that was measured) and at most as many.
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
        For validation and test: the epoch changes nothing, and talkers and noises are
        taken in turn, so that all are heard equally often.

    Raises
    ------
    AudioError
        If a manifest cannot be read.
    ValueError
        For an option out of its range or an azimuth that was not measured.

    Example
    -------
    >>> from speechbrain_fusion.data import load_responses, prepare_recordings
    >>> from speechbrain_fusion.data import write_demo_corpus
    >>> folder = getfixture("tmp_path")
    >>> corpus = write_demo_corpus(folder / "demo")
    >>> manifests = prepare_recordings(corpus, folder, rate=8000, segment=2.0)
    >>> files = manifests["speech_train"], manifests["noise_train"]
    >>> head = load_responses("sphere", 8000)
    >>> scenes = BinauralScenes(*files, head, size=10, segment=2.0)
    >>> scenes[(1, 0)].signals["mixture"].shape
    torch.Size([2, 16000])
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
        check_option("target_part", target_part, TARGETS)
        self.speech = list(read_manifest(speech).values())
        self.noise = list(read_manifest(noise).values())
        self.responses, self.size, self.seed, self.fixed = responses, size, seed, fixed
        self.segment, self.snr, self.level = segment, snr, level
        self.directions = min(int(directions), responses.azimuth.size)
        self.interferers, self.separation = interferers, separation
        self.talker_share, self.diffuse_share = talker_share, diffuse_share
        self.target_azimuths = _azimuths("target", responses, target_azimuths)
        self.interferer_azimuths = _azimuths(
            "interferer", responses, interferer_azimuths
        )
        self.direct = responses.direct() if target_part == "direct" else None
        self._check_options()
        self._check_separation()
        self._group_talkers()
        if talker_share > 0 and len(self.talkers) < 2:
            raise ValueError(f"talker_share: {speech} has only one talker")

    def _check_options(self) -> None:
        """Refuse options out of their ranges."""
        check_segment(self.segment, self.responses.rate, whole=False)
        check_within("directions", self.directions, 1)
        for name in ("snr", "level", "interferers"):
            check_bounds(name, getattr(self, name))
        check_within("interferers", self.interferers[0], 1)
        for name in ("talker_share", "diffuse_share"):
            check_within(name, getattr(self, name), 0, 1)
        check_within("separation", self.separation, 0, 180)

    def _group_talkers(self) -> None:
        """Group recordings by talker, both in an order that follows from the seed."""
        order = np.random.default_rng(self.seed).permutation(len(self.speech))
        groups = grouped((self.speech[place] for place in order), "talker")
        self.talkers = [*groups.values()]
        places: dict[str, list[int]] = {talker: [] for talker in groups}
        for place, entry in enumerate(self.speech):
            places[entry["talker"]].append(place)
        # how many recordings of others come before each of a talker's own
        self._others_before = {
            talker: np.array(own) - np.arange(len(own))
            for talker, own in places.items()
        }

    def _check_separation(self) -> None:
        """Refuse a target azimuth from which no interferer is far enough."""
        for azimuth in self.target_azimuths:
            apart = _distance(self.interferer_azimuths, azimuth)
            if (apart < self.separation).all():
                raise ValueError(
                    f"separation: no interferer azimuth is {self.separation} degrees "
                    f"from the target azimuth {azimuth}"
                )

    def _made(self, epoch: int, index: int) -> Example:
        """Render a scene."""
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

    def _drawn(self, epoch: int, index: int) -> Scene:
        """Draw a scene."""
        rng = np.random.default_rng([self.seed, epoch, index])
        entry = self._pick_speech(rng, index)
        seconds = min(self.segment, entry["samples"] / entry["rate"])
        start = rng.uniform(0, entry["samples"] / entry["rate"] - seconds)
        target = Source(entry, start, float(rng.choice(self.target_azimuths)))
        kind, interferers = self._draw_interferers(target, rng, index)
        return Scene(
            target,
            interferers,
            kind,
            float(rng.uniform(self.snr[0], self.snr[1])),
            float(rng.uniform(self.level[0], self.level[1])),
            seconds,
        )

    def _pick_speech(self, rng: np.random.Generator, index: int) -> Entry:
        """Choose a recording at random or, for fixed scenes, talkers in turn."""
        if not self.fixed:
            return self.speech[rng.integers(len(self.speech))]
        recordings = self.talkers[index % len(self.talkers)]
        return recordings[index // len(self.talkers) % len(recordings)]

    def _pick_noise(self, rng: np.random.Generator, index: int) -> Entry:
        """Choose a noise at random or, for fixed scenes, each once in every round."""
        if not self.fixed:
            return self.noise[rng.integers(len(self.noise))]
        # an order for each round, so that noises are not tied to talkers
        return entry_in_turn(self.noise, index, (self.seed,))

    def _draw_interferers(
        self, target: Source, rng: np.random.Generator, index: int
    ) -> tuple[str, tuple[Source, ...]]:
        """Draw what disturbs, and name it."""
        talkers, diffuse = rng.uniform(size=2) < (self.talker_share, self.diffuse_share)
        count = int(rng.integers(self.interferers[0], self.interferers[1] + 1))
        if talkers:
            kind, entries = "talker", self._draw_talkers(target, count, rng)
        else:
            entries = self._draw_noises(1 if diffuse else count, rng, index)
            names = {entry["name"] for entry in entries}
            kind = names.pop() if len(names) == 1 else "mixed"
        if diffuse and not talkers:
            entries = entries * self.directions
            azimuths = self._draw_everywhere(rng)
        else:
            azimuths = self._draw_apart(target.azimuth, count, rng)
        sources = tuple(
            Source(entry, rng.uniform(0, entry["samples"] / entry["rate"]), azimuth)
            for entry, azimuth in zip(entries, azimuths, strict=True)
        )
        return kind, sources

    def _draw_talkers(
        self, target: Source, count: int, rng: np.random.Generator
    ) -> list[Entry]:
        """Draw recordings of other talkers."""
        before = self._others_before[target.entry["talker"]]
        drawn = [rng.integers(len(self.speech) - len(before)) for _ in range(count)]
        return [self.speech[x + np.searchsorted(before, x, "right")] for x in drawn]

    def _draw_noises(
        self, count: int, rng: np.random.Generator, index: int
    ) -> list[Entry]:
        """Draw a noise for each place; fixed scenes have one, to be listed by."""
        return [self._pick_noise(rng, index) for _ in range(count)]

    def _draw_everywhere(self, rng: np.random.Generator) -> list[float]:
        """Space a diffuse noise evenly over the measured directions."""
        measured, count = self.responses.azimuth, self.directions
        steps = np.arange(count) * (measured.size / count)
        places = np.rint(rng.uniform(0, measured.size) + steps).astype(int)
        return [float(measured[place % measured.size]) for place in places]

    def _draw_apart(
        self, azimuth: float, count: int, rng: np.random.Generator
    ) -> list[float]:
        """Draw directions that are far enough from the target's."""
        apart = _distance(self.interferer_azimuths, azimuth)
        far = self.interferer_azimuths[apart >= self.separation]
        return [float(rng.choice(far)) for _ in range(count)]

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
        samples, rate = round(scene.seconds * self.responses.rate), self.responses.rate
        speech = read_stretch(scene.target, samples, rate, loop=False)
        image = self._place([(speech, scene.target.azimuth)], self.responses)
        disturbing = [
            (read_stretch(source, samples, rate, loop=True), source.azimuth)
            for source in scene.interferers
        ]
        noise = self._place(disturbing, self.responses)
        mixture = image + at_snr(noise, image, scene.snr)
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


def _common_gain(mixture: np.ndarray, level: float) -> np.float32:
    """One gain for both ears: to the level in dBFS, but never into clipping."""
    rms = math.sqrt(np.square(mixture).mean())
    return np.float32(min(10 ** (level / 20) / rms, PEAK / np.abs(mixture).max()))
