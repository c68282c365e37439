"""Binaural scenes that others have rendered: pairs of a mixture and a target file."""

import numpy as np
import torch

from speechbrain_fusion.data.audio import read_resampled
from speechbrain_fusion.data.batch import Example
from speechbrain_fusion.data.listed import ListedItems
from speechbrain_fusion.data.manifest import Entry
from speechbrain_fusion.data.source import TRIES, sounds

INFO = ("noise", "interferer", "snr", "talker")


class RenderedScenes(ListedItems):
    """Segments of rendered scenes, or the whole scenes (see `ListedItems`).

    A segment lies in the stretch where the target speaks or, where that is shorter,
    holds all of it and what is heard around it; one that falls into a pause is drawn
    again. A scene shorter than a segment is taken whole. Mixture and target, left and
    right are filtered alike when the rate changes, and their level stays as it is in
    the files.

    Of an entry in the manifest are used: file and target (paths of the two files), rate
    in Hz (the wanted one or more), samples, first and last (samples between which the
    target speaks) and, where known, noise, interferer, snr and talker.

    Takes the arguments of `ListedItems`.

    Example
    -------
    >>> import soundfile
    >>> from speechbrain_fusion.data.manifest import write_manifest
    >>> folder = getfixture("tmp_path")
    >>> noise = 0.1 * np.random.default_rng(0).standard_normal((44100, 2))
    >>> scene = {kind: str(folder / f"{kind}.wav") for kind in ("file", "target")}
    >>> for path in scene.values():
    ...     soundfile.write(path, noise, 44100)
    >>> place = {"rate": 44100, "samples": 44100, "first": 0, "last": 44100}
    >>> write_manifest(folder / "scenes.json", {"S1": scene | place})
    >>> RenderedScenes(folder / "scenes.json", 8000)[(1, 0)].signals["target"].shape
    torch.Size([2, 8000])
    """

    def _made(self, epoch: int, index: int) -> Example:
        """Read a scene."""
        name, entry = self.pick(epoch, index)
        if self.segment is None:
            start, samples = 0, self._count(entry["samples"], entry)
            target = self._read(entry, "target", start, samples)
        else:
            rng = np.random.default_rng([self.seed, epoch, index])
            start, target = self._draw(entry, rng)
        mixture = self._read(entry, "file", start, target.shape[-1])
        known = {key: entry[key] for key in INFO if entry.get(key) is not None}
        return Example(
            id=name,
            signals={
                "mixture": torch.from_numpy(mixture),
                "target": torch.from_numpy(target),
            },
            info={"scene": name, **known},
        )

    def _draw(self, entry: Entry, rng: np.random.Generator) -> tuple[int, np.ndarray]:
        """Draw a place where the target speaks, and read the target there."""
        assert self.segment is not None
        total = self._count(entry["samples"], entry)
        samples = min(round(self.segment * self.rate), total)
        first, last = (self._count(entry[key], entry) for key in ("first", "last"))
        bounds = np.clip(sorted((first, last - samples)), 0, total - samples)
        for _ in range(TRIES):
            start = int(rng.integers(bounds[0], bounds[1] + 1))
            target = self._read(entry, "target", start, samples)
            if sounds(target):
                break
        return start, target

    def _count(self, samples: int, entry: Entry) -> int:
        """Convert a number of samples to the wanted rate."""
        return -(-samples * self.rate // entry["rate"])

    def _read(self, entry: Entry, kind: str, start: int, samples: int) -> np.ndarray:
        return read_resampled(entry[kind], entry["rate"], self.rate, start, samples)
