"""One talker in one noise, mixed when it is needed."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from speechbrain_fusion.data.audio import PEAK, AudioError, read, resample
from speechbrain_fusion.data.batch import Example
from speechbrain_fusion.data.clips import (
    at_snr,
    read_noise,
    refuse_short_noises,
    refuse_silence,
    samples_at,
)
from speechbrain_fusion.data.epoch_items import PlannedItems, entry_in_turn
from speechbrain_fusion.data.manifest import Entry, grouped, read_manifest
from speechbrain_fusion.data.options import (
    check_bounds,
    check_segment,
    check_snr,
    epoch_size,
)
from speechbrain_fusion.data.source import cut_speech


@dataclass(frozen=True)
class Recipe:
    """Everything that a mixture follows from.

    Attributes
    ----------
    speech, noise : dict
        The recordings, lines of manifests.
    place, noise_place : float
        Where their stretches begin, from 0 to 1 of where they can.
    snr : float
        In dB.
    gain : float
        Of the mixture, in dB.
    """

    speech: Entry
    place: float
    noise: Entry
    noise_place: float
    snr: float
    gain: float


class SpeechInNoise(PlannedItems[Recipe]):
    """Seeded mixtures of speech and noise; item (epoch, index) is one mixture.

    In training every utterance and every noise comes once before any comes again, a
    segment is drawn again where the talker pauses, and SNR and places are drawn.
    Fixed mixtures are whole utterances, the same in every epoch; kinds of noise and
    SNRs take turns, so that every condition has equally many.

    Arguments
    ---------
    speech : Path or str
        Manifest of the utterances.
    noise : Path or str
        Manifest of the noises; may say of each which stretch of its file it is (first,
        samples) and of which kind.
    rate : int
        Sample rate in Hz, not above that of the recordings.
    size : int, optional
        Mixtures of an epoch; by default every utterance once or, if fixed, in every
        condition.
    segment : float, optional
        Seconds of a mixture at most; by default whole utterances.
    seed : int
        With epoch and index it determines a mixture.
    snr : sequence of float
        In dB, of which each mixture has one.
    gain : tuple of float
        Bounds in dB of a gain of the mixture, drawn for each: a causal network must do
        with any level.
    loop : bool
        Let a noise that is too short begin again; otherwise it is refused.
    fixed : bool
        For validation and test.

    Raises
    ------
    AudioError
        If a manifest cannot be read, or a noise is shorter than what it is mixed with.
    ValueError
        For an option out of its range.

    Example
    -------
    >>> from speechbrain_fusion.data import prepare_recordings, write_demo_corpus
    >>> folder = getfixture("tmp_path")
    >>> corpus = write_demo_corpus(folder / "demo")
    >>> manifests = prepare_recordings(corpus, folder, rate=8000, segment=2.0)
    >>> files = manifests["speech_train"], manifests["noise_train"]
    >>> SpeechInNoise(*files, 8000, segment=2.0)[(1, 0)].signals["mixture"].shape
    torch.Size([1, 16000])
    """

    def __init__(
        self,
        speech: Path | str,
        noise: Path | str,
        rate: int,
        size: int | None = None,
        segment: float | None = None,
        seed: int = 0,
        snr: Sequence[float] = (-5, 0, 5, 10),
        gain: Sequence[float] = (0.0, 0.0),
        loop: bool = False,
        fixed: bool = False,
    ) -> None:
        check_segment(segment, rate)
        check_snr(snr)
        check_bounds("gain", gain)
        self.speech = list(read_manifest(speech).values())
        self.kinds = grouped(read_manifest(noise).values(), "kind", otherwise="")
        self.noises = [x for entries in self.kinds.values() for x in entries]
        self.conditions = list(itertools.product(sorted(self.kinds), snr))
        each = len(self.conditions) if fixed else 1
        self.size = epoch_size(size, len(self.speech) * each)
        self.rate, self.segment, self.seed, self.fixed = rate, segment, seed, fixed
        self.snr, self.gain, self.loop = [*snr], gain, loop
        if not loop:
            self._refuse_short(noise)

    def _refuse_short(self, manifest: Path | str) -> None:
        """Name the noises that are shorter than what they are mixed with."""
        longest = max(entry["seconds"] for entry in self.speech)
        needed = longest if self.segment is None else min(longest, self.segment)
        refuse_short_noises(self.noises, needed, Path(manifest).stem)

    def _made(self, epoch: int, index: int) -> Example:
        """Mix an item."""
        plan = self.plan(epoch, index)
        mixture, target = self.render(plan)
        names = [plan.speech["name"], plan.noise["name"], f"{plan.snr:g}"]
        info = {
            "speech": plan.speech["name"],
            "talker": plan.speech.get("talker", ""),
            "noise": plan.noise["name"],
            "kind": plan.noise.get("kind", ""),
            "snr": plan.snr,
            "condition": f"{plan.noise.get('kind', '')} {plan.snr:+g} dB".strip(),
            "length": mixture.size,
        }
        return Example(
            id="_".join([f"{index:05d}", *names]),
            signals={
                "mixture": torch.from_numpy(mixture)[None],
                "target": torch.from_numpy(target)[None],
            },
            info=info,
        )

    def seconds(self, key: tuple[int, int]) -> float:
        """Tell how long item (epoch, index) is without mixing it."""
        return self._samples(self.plan(*key).speech) / self.rate

    def _drawn(self, epoch: int, index: int) -> Recipe:
        """Draw a mixture."""
        # a stream for each kind of choice
        keys = [(stream, self.seed, epoch) for stream in (1, 2, 3)]
        rng = np.random.default_rng([*keys[0], index])
        turn, condition = divmod(index, len(self.conditions))
        if self.fixed:
            kind, snr = self.conditions[condition]
            speech = self.speech[index * len(self.speech) // self.size]
            noise = entry_in_turn(self.kinds[kind], turn, keys[2])
        else:
            snr = float(rng.choice(self.snr))
            speech = entry_in_turn(self.speech, index, keys[1])
            noise = entry_in_turn(self.noises, index, keys[2])
        places = rng.uniform(), rng.uniform()
        gain = float(rng.uniform(self.gain[0], self.gain[1]))
        return Recipe(speech, places[0], noise, places[1], snr, gain)

    def render(self, plan: Recipe) -> tuple[np.ndarray, np.ndarray]:
        """Mix what `plan` drew.

        Arguments
        ---------
        plan : Recipe
            Speech, noise and how to mix them.

        Returns
        -------
        mixture, target : np.ndarray
            float32 [time]; turned down together where the mixture would clip.

        Raises
        ------
        AudioError
            If a recording has become silent, shorter or unreadable, naming it.
        """
        target = self._speak(plan.speech, plan.place)
        places = plan.noise_place, target.size, self.rate
        noise = at_snr(read_noise(plan.noise, *places, self.loop), target, plan.snr)
        gain = 10 ** (plan.gain / 20)
        gain = min(gain, PEAK / np.abs(target + noise).max())
        return np.float32(gain) * (target + noise), np.float32(gain) * target

    def _samples(self, entry: Entry) -> int:
        """Count the samples of an utterance's mixture."""
        whole = samples_at(entry, self.rate)
        return (
            whole
            if self.segment is None
            else min(whole, round(self.segment * self.rate))
        )

    def _speak(self, entry: Entry, place: float) -> np.ndarray:
        """Read an utterance, or a segment in which the talker does not pause."""
        signal, file_rate = read(entry["file"])
        if signal.shape[1] != entry["samples"]:
            raise AudioError(f"{entry['file']}: another length than when prepared")
        whole, samples = resample(signal[0], file_rate, self.rate), self._samples(entry)
        span = whole.size - samples + 1

        def cut(at: int) -> np.ndarray:
            return whole[at : at + samples]

        segment, _ = cut_speech(place, span, cut, lambda: whole)
        refuse_silence(segment, entry)
        return segment
