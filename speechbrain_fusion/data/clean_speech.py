"""Clips of clean speech."""

from pathlib import Path

import numpy as np
import torch

from speechbrain_fusion.data.batch import Example
from speechbrain_fusion.data.clips import read_clip, refuse_short_speech
from speechbrain_fusion.data.epoch_items import PlannedItems, entry_in_turn
from speechbrain_fusion.data.manifest import Entry, read_manifest
from speechbrain_fusion.data.options import check_segment, epoch_size


class CleanSpeech(PlannedItems[tuple[Entry, float]]):
    """Clips of clean speech in which the talker does not pause.

    In training every recording comes once before any comes again. Fixed clips are the
    same in every epoch, from evenly spaced recordings. Of a recording nothing but the
    clip is read.

    Arguments
    ---------
    speech : Path or str
        Manifest of the recordings.
    rate : int
        Sample rate in Hz, not above that of the recordings.
    size : int, optional
        Clips of an epoch; by default one of each recording.
    segment : float
        Seconds of a clip.
    seed : int
        With epoch and index it determines a clip.
    fixed : bool
        For validation.

    Raises
    ------
    AudioError
        If the manifest cannot be read, or a recording is shorter than a clip.
    ValueError
        For an option out of its range.

    Example
    -------
    >>> from speechbrain_fusion.data import prepare_recordings, write_demo_corpus
    >>> folder = getfixture("tmp_path")
    >>> corpus = write_demo_corpus(folder / "demo")
    >>> manifests = prepare_recordings(corpus, folder, rate=8000, segment=2.0)
    >>> CleanSpeech(manifests["speech_train"], 8000)[(1, 0)].signals["clean"].shape
    torch.Size([1, 16000])
    """

    def __init__(
        self,
        speech: Path | str,
        rate: int,
        size: int | None = None,
        segment: float = 2.0,
        seed: int = 0,
        fixed: bool = False,
    ) -> None:
        check_segment(segment, rate)
        self.speech = list(read_manifest(speech).values())
        self.size = epoch_size(size, len(self.speech))
        self.rate, self.segment, self.seed, self.fixed = rate, segment, seed, fixed
        refuse_short_speech(self.speech, segment, Path(speech).stem)

    def _made(self, epoch: int, index: int) -> Example:
        """Read a clip."""
        entry, place = self.plan(epoch, index)
        samples = round(self.segment * self.rate)
        clip, _ = read_clip(entry, place, samples, self.rate)
        talker = entry.get("talker", "")
        return Example(
            id=f"{index:05d}_{entry['name']}",
            signals={"clean": torch.from_numpy(clip)[None]},
            info={"speech": entry["name"], "talker": talker, "length": samples},
        )

    def _drawn(self, epoch: int, index: int) -> tuple[Entry, float]:
        """Draw a recording, and the place in it from 0 to 1."""
        place = float(np.random.default_rng([1, self.seed, epoch, index]).uniform())
        if self.fixed:
            return self.speech[index * len(self.speech) // self.size], place
        return entry_in_turn(self.speech, index, (2, self.seed, epoch)), place
