"""Noisy mixtures, and beside them clean speech of other utterances."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from speechbrain_fusion.data.audio import PEAK, AudioError, read_resampled
from speechbrain_fusion.data.batch import Example
from speechbrain_fusion.data.clips import (
    at_snr,
    read_clip,
    read_noise,
    refuse_short_noises,
    refuse_short_speech,
    samples_at,
)
from speechbrain_fusion.data.epoch_items import PlannedItems, entry_in_turn, in_turn
from speechbrain_fusion.data.manifest import Entry, read_manifest
from speechbrain_fusion.data.options import (
    check_bounds,
    check_segment,
    check_snr,
    check_within,
    epoch_size,
)
from speechbrain_fusion.data.rooms import read_response, reverberate

PURE_NOISE = "noise alone"
"""The condition of an item without speech."""


@dataclass(frozen=True)
class Recipe:
    """Everything that an item follows from.

    Attributes
    ----------
    speech, noise : dict
        The recordings of the mixture, lines of manifests.
    place, noise_place, clean_place, added_place : float
        Where stretches begin, from 0 to 1 of where they can.
    snr : float
        Of the mixture, in dB.
    room : dict or None
        The room impulse response.
    clean : dict or None
        The recording of the clean clip.
    pure_noise : bool
        Whether the mixture has no speech.
    added : dict or None
        The recording of the noise that is added to the mixture.
    added_snr : float
        Of the mixture over that, in dB.
    """

    speech: Entry
    place: float
    noise: Entry
    noise_place: float
    snr: float
    room: Entry | None
    clean: Entry | None
    clean_place: float
    pure_noise: bool
    added: Entry | None
    added_place: float
    added_snr: float


class NoisySpeech(PlannedItems[Recipe]):
    """Seeded mixtures of speech and noise, in rooms; unpaired unless told otherwise.

    Training has {"mixture"} and, given clean recordings, {"clean"}: a clip of another
    utterance. A share of the items are noise alone, at the level that it would have.
    Paired items have {"mixture", "target"} and always speech.

    Speech recorded in a room (room in its entry) stays in it, other speech is put into
    the rooms given. The target is dry: of a version of a recording (clean_file in its
    entry) the clean version at the version's RMS, else the recording; in a simulated
    room that is the direct path. The SNR is that of the reverberant speech.

    In training every recording, noise and room comes once before any comes again, and
    SNR and places are drawn. Fixed items are the same in every epoch: recordings are
    evenly spaced, and each is heard at all SNRs, with all else the same.

    With bounds for it, unpaired items have "added", too: another noise recording (the
    next in turn), above which the item's mixture is so many dB, drawn uniformly.

    Arguments
    ---------
    speech : Path or str
        Manifest of the recordings that are noisy.
    noise : Path or str
        Manifest of the noises, or of parts of them (first, samples).
    rate : int
        Sample rate in Hz, not above that of the recordings.
    clean : Path or str, optional
        Manifest of clean recordings, unpaired; has no effect on paired items.
    rooms : Path or str, optional
        Manifest of impulse responses.
    size : int, optional
        Items of an epoch; by default as many as recordings or, if fixed, as recordings
        times SNRs.
    segment : float, optional
        Seconds of an item, exactly; None for whole recordings, which only paired items
        may be.
    seed : int
        With epoch and index it determines an item.
    snr : sequence of float
        In dB, of which each item has one.
    pure_noise : float
        Share of items without speech: by place in the epoch, as evenly as can be. Of
        10 items in a row 0.3 makes 3.
    room_share : float
        How probable it is that speech is put into a room.
    loop : bool
        Let a noise that is too short begin again; otherwise it is refused.
    paired : bool
        For testing, and for supervised training.
    fixed : bool
        For validation and test.
    span : float, optional
        Seconds of an item at most, where recordings are taken whole.
    added_snr : pair of float, optional
        Least and largest SNR in dB of an unpaired item's mixture over "added"; None for
        items without it. Has no effect on paired items.

    Raises
    ------
    AudioError
        If a manifest cannot be read, a recording or noise is shorter than an item, or
        there is no other clean recording than the mixture's own.
    ValueError
        For an option out of its range.

    Example
    -------
    >>> from speechbrain_fusion.data import prepare_recordings, write_demo_corpus
    >>> folder = getfixture("tmp_path")
    >>> corpus = write_demo_corpus(folder / "demo")
    >>> manifests = prepare_recordings(corpus, folder, rate=8000, segment=2.0)
    >>> files = manifests["speech_train"], manifests["noise_train"]
    >>> mixtures = NoisySpeech(*files, 8000, clean=manifests["speech_valid"])
    >>> {name: [*x.shape] for name, x in mixtures[(1, 0)].signals.items()}
    {'mixture': [1, 16000], 'clean': [1, 16000]}
    >>> sum(mixtures[(1, index)].info["pure_noise"] for index in range(10))
    3
    """

    def __init__(
        self,
        speech: Path | str,
        noise: Path | str,
        rate: int,
        clean: Path | str | None = None,
        rooms: Path | str | None = None,
        size: int | None = None,
        segment: float | None = 2.0,
        seed: int = 0,
        snr: Sequence[float] = (-5, 0, 5),
        pure_noise: float = 0.3,
        room_share: float = 1.0,
        loop: bool = False,
        paired: bool = False,
        fixed: bool = False,
        span: float | None = None,
        added_snr: tuple[float, float] | None = None,
    ) -> None:
        check_snr(snr)
        if added_snr is not None:
            check_bounds("added_snr", added_snr)
        for name, share in {"pure_noise": pure_noise, "room_share": room_share}.items():
            check_within(name, share, 0, 1)
        if pure_noise == 1:
            raise ValueError("pure_noise: expected less than 1, some items with speech")
        if segment is None and not paired:
            raise ValueError("segment: expected seconds of unpaired items, got None")
        for seconds in (segment, span):
            check_segment(seconds, rate)
        self.speech, self.noises = _entries(speech), _entries(noise)
        self.clean = [] if paired else _entries(clean)
        self.rooms = _entries(rooms)
        self.size = epoch_size(size, len(self.speech) * (len(snr) if fixed else 1))
        self.rate, self.segment, self.span, self.seed = rate, segment, span, seed
        self.snr, self.room_share, self.loop = [*snr], room_share, loop
        self.paired, self.fixed = paired, fixed
        self.added_snr = None if paired else added_snr
        # exact, so that the pattern of 0.3 does not drift
        self.pure_noise = Fraction(0 if paired else str(pure_noise))
        self._refuse_short(Path(speech).stem, Path(noise).stem)
        self._refuse_own()

    def _refuse_short(self, speech: str, noise: str) -> None:
        """Name the recordings and the noises that are too short."""
        if self.segment is not None:
            refuse_short_speech(self.speech, self.segment, speech)
            refuse_short_speech(self.clean, self.segment, "clean")
        needed = max(self._samples(entry) for entry in self.speech) / self.rate
        if not self.loop:
            refuse_short_noises(self.noises, needed, noise)

    def _refuse_own(self) -> None:
        """Refuse clean speech that leaves nothing but a mixture's own utterance."""
        said = {_utterance(entry) for entry in self.clean}
        if len(said) == 1 and said & {_utterance(entry) for entry in self.speech}:
            raise AudioError(
                f"{self.clean[0]['file']}: the only clean recording, and also that of "
                "a mixture; expected two utterances at least"
            )

    def _made(self, epoch: int, index: int) -> Example:
        """Make an item."""
        plan = self.plan(epoch, index)
        info = self._info(plan)
        names = [info["speech"] or "none", info["noise"], f"{plan.snr:g}"]
        return Example(
            id="_".join([f"{index:05d}", *names]),
            signals={
                k: torch.from_numpy(x)[None] for k, x in self.render(plan).items()
            },
            info=info,
        )

    def _info(self, plan: Recipe) -> dict[str, Any]:
        spoken = {} if plan.pure_noise else plan.speech
        room = {} if plan.pure_noise else plan.room or plan.speech
        return {
            "speech": spoken.get("name", ""),
            "talker": spoken.get("talker", ""),
            "noise": plan.noise["name"],
            "room": room.get("room", ""),
            "version": spoken.get("version", ""),
            "snr": plan.snr,
            "condition": PURE_NOISE if plan.pure_noise else f"{plan.snr:+g} dB",
            "pure_noise": plan.pure_noise,
            "added": plan.added["name"] if plan.added else "",
            "length": self._samples(plan.speech),
        }

    def seconds(self, key: tuple[int, int]) -> float:
        """Tell how long item (epoch, index) is without making it."""
        return self._samples(self.plan(*key).speech) / self.rate

    def _drawn(self, epoch: int, index: int) -> Recipe:
        """Draw an item."""
        pure, number, count = self._kind(index)
        turn, condition = divmod(number, len(self.snr)) if self.fixed else (number, 0)
        # all items of a turn share everything but the SNR
        drawn = (turn, int(pure)) if self.fixed else (index,)
        rng = np.random.default_rng([1, self.seed, epoch, *drawn])
        places = [float(place) for place in rng.uniform(size=4)]
        # a stream for each kind of choice
        keys = [(stream, self.seed, epoch, int(pure)) for stream in range(2, 6)]
        if self.fixed:
            snr, turns = self.snr[condition], -(-count // len(self.snr))
            speech = self.speech[turn * len(self.speech) // turns]
        else:
            snr = float(rng.choice(self.snr))
            speech = entry_in_turn(self.speech, turn, keys[0])
        noise = entry_in_turn(self.noises, turn, keys[1])
        room = None
        if self.rooms and not speech.get("room") and places[3] < self.room_share:
            room = entry_in_turn(self.rooms, turn, keys[2])
        clean = self._unrelated(speech, turn, keys[3])
        added, place, over = self._add(noise, turn, keys[1], [6, *keys[1][1:3], *drawn])
        mixed = speech, places[0], noise, places[1], snr, room
        return Recipe(*mixed, clean, places[2], pure, added, place, over)

    def _add(
        self, noise: Entry, turn: int, order: tuple[int, ...], key: list[int]
    ) -> tuple[Entry | None, float, float]:
        """Draw the noise that is added, its place and the SNR over it."""
        if self.added_snr is None:
            return None, 0.0, 0.0
        rng = np.random.default_rng(key)
        first = in_turn(len(self.noises), turn + 1, order)
        following = _from(self.noises, first)
        others = (x for x in following if _recording(x) != _recording(noise))
        place, snr = float(rng.uniform()), float(rng.uniform(*self.added_snr))
        return next(others, noise), place, snr

    def _kind(self, index: int) -> tuple[bool, int, int]:
        """Say whether an item is noise alone, and which of how many of its kind."""
        before, then, all_ = (
            int(self.pure_noise * place) for place in (index, index + 1, self.size)
        )
        if then > before:
            return True, before, all_
        return False, index - before, self.size - all_

    def _unrelated(
        self, speech: Entry, number: int, key: tuple[int, ...]
    ) -> Entry | None:
        """Choose a clean recording of another utterance."""
        if not self.clean:
            return None
        first = in_turn(len(self.clean), number, key)
        following = _from(self.clean, first)
        return next(x for x in following if _utterance(x) != _utterance(speech))

    def render(self, plan: Recipe) -> dict[str, np.ndarray]:
        """Make what `plan` drew.

        Arguments
        ---------
        plan : Recipe
            The recordings and how to mix them.

        Returns
        -------
        dict of str to np.ndarray
            float32 [time] each; mixture and target are turned down together where the
            mixture would clip.

        Raises
        ------
        AudioError
            If a recording has become silent, shorter or unreadable, naming it.
        """
        heard, target = self._speak(plan)
        places = plan.noise_place, heard.size, self.rate
        noise = at_snr(read_noise(plan.noise, *places, self.loop), heard, plan.snr)
        mixture = noise if plan.pure_noise else heard + noise
        gain = np.float32(min(1.0, PEAK / np.abs(mixture).max()))
        if self.paired:
            return {"mixture": gain * mixture, "target": gain * target}
        made = {"mixture": gain * mixture}
        if plan.clean is not None:
            place = plan.clean_place, heard.size, self.rate
            made["clean"] = read_clip(plan.clean, *place)[0]
        if plan.added is not None:
            places = plan.added_place, heard.size, self.rate
            added = read_noise(plan.added, *places, self.loop)
            made["added"] = at_snr(added, made["mixture"], plan.added_snr)
        return made

    def _samples(self, entry: Entry) -> int:
        """Count the samples of an item."""
        if self.segment is not None:
            return round(self.segment * self.rate)
        whole = samples_at(entry, self.rate)
        return whole if self.span is None else min(whole, round(self.span * self.rate))

    def _speak(self, plan: Recipe) -> tuple[np.ndarray, np.ndarray]:
        """Read the speech as it is heard, and dry; unpaired, the first for both."""
        entry, samples = plan.speech, self._samples(plan.speech)
        if self.paired and "clean_file" in entry:
            clean = {**entry, "file": entry["clean_file"]}
            dry, start = read_clip(clean, plan.place, samples, self.rate)
            place = entry["rate"], self.rate, start, samples
            heard = read_resampled(entry["file"], *place)[0]
            if not heard.any():
                raise AudioError(f"{entry['file']}: silent where clean speech is")
            # versions have other levels
            dry = dry * np.sqrt(np.square(heard).sum() / np.square(dry).sum())
        else:
            # unpaired, a clean version is not even read
            heard, _ = read_clip(entry, plan.place, samples, self.rate)
            dry = heard
        if plan.room is not None:
            heard = reverberate(heard, read_response(plan.room["file"], self.rate))
        return heard, dry


def _entries(manifest: Path | str | None) -> list[Entry]:
    return [] if manifest is None else list(read_manifest(manifest).values())


def _from(entries: Sequence[Entry], first: int) -> Iterator[Entry]:
    """Go round through entries, from one on."""
    return (entries[(first + step) % len(entries)] for step in range(len(entries)))


def _utterance(entry: Entry) -> str:
    return str(entry.get("utterance", entry["file"]))


def _recording(noise: Entry) -> str:
    return str(noise.get("noise", noise["file"]))
