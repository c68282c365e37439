"""Mixtures of talkers as training and evaluation take them, wherever they come from."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from speechbrain_fusion.data.batch import Example
from speechbrain_fusion.data.manifest import Entry, read_manifest
from speechbrain_fusion.data.source import PAUSE, TRIES

EPS = 1e-10


class Mixtures(Dataset):
    """Listed mixtures, whole or in segments; items are (epoch, index).

    Training takes segments: the mixtures in an order that follows from the seed and the
    epoch, each once before any comes again, all signals of one cut at the same place,
    which is drawn again where a talker pauses. A mixture shorter than a segment is
    taken whole. Without a segment mixtures are whole and the same in every epoch; where
    fewer are wanted than there are, evenly spaced ones.

    Arguments
    ---------
    manifest : Path or str
        The mixtures: samples at the wanted rate, talkers (a list of names) and, where
        known, snr in dB.
    rate : int
        Sample rate in Hz.
    segment : float, optional
        Seconds; by default whole mixtures.
    count : int, optional
        Mixtures of an epoch, by default all.
    seed : int
        With epoch and index it determines a segment.

    Raises
    ------
    AudioError
        If the manifest cannot be read.
    ValueError
        For a segment or a count that is not positive, or more whole mixtures than
        there are.

    Example
    -------
    >>> from speechbrain_fusion.data.manifest import write_manifest
    >>> path = getfixture("tmp_path") / "mixtures.json"
    >>> write_manifest(path, {"1-1-1_2-1-1": {"samples": 9, "talkers": ["1", "2"]}})
    >>> class Ones(Mixtures):
    ...     def load(self, entry, start, samples):
    ...         return np.ones((4, samples), "float32")
    >>> Ones(path, 8000)[(1, 0)].signals["target"].shape
    torch.Size([2, 9])
    """

    def __init__(
        self,
        manifest: Path | str,
        rate: int,
        segment: float | None = None,
        count: int | None = None,
        seed: int = 0,
    ) -> None:
        entries = list(read_manifest(manifest).items())
        if segment is not None and not segment * rate >= 1:
            raise ValueError(f"segment: expected a sample at least, got {segment} s")
        size = len(entries) if count is None else count
        if size < 1 or (segment is None and size > len(entries)):
            most = "any number" if segment else f"1 to {len(entries)}"
            raise ValueError(f"{manifest}: expected {most} of mixtures, got {count}")
        if segment is None:
            entries = [entries[place * len(entries) // size] for place in range(size)]
        self.entries, self.size, self.rate = entries, size, rate
        self.segment, self.seed = segment, seed

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: tuple[int, int]) -> Example:
        """Load mixture `index` of an epoch, given as (epoch, index)."""
        name, entry = self._pick(*key)
        signals = self._draw(entry, np.random.default_rng([self.seed, *key]))
        info = mixture_info(name, entry["talkers"], signals, entry.get("snr"))
        return mixture_example(name, signals, info)

    def seconds(self, key: tuple[int, int]) -> float:
        """Tell how long item (epoch, index) is without loading it."""
        return self._samples(self._pick(*key)[1]) / self.rate

    def load(self, entry: Entry, start: int, samples: int) -> np.ndarray:
        """Load a part of a mixture.

        Arguments
        ---------
        entry : dict
            The mixture in the manifest.
        start : int
            First sample at the wanted rate.
        samples : int
            Number of samples.

        Returns
        -------
        np.ndarray
            Mixture, clean mixture and each talker, float32 [2 + talkers, samples].
        """
        raise NotImplementedError

    def _samples(self, entry: Entry) -> int:
        """Count the samples that an item takes of a mixture."""
        if self.segment is None:
            return entry["samples"]
        return min(entry["samples"], round(self.segment * self.rate))

    def _pick(self, epoch: int, index: int) -> tuple[str, Entry]:
        """Choose a mixture; in training all of them before one comes again."""
        if self.segment is None:
            return self.entries[index]
        return self.entries[in_turn(len(self.entries), index, (self.seed, epoch))]

    def _draw(self, entry: Entry, rng: np.random.Generator) -> np.ndarray:
        """Load the mixture where, if anywhere, all talkers are heard."""
        samples = self._samples(entry)
        spare = entry["samples"] - samples
        # a whole mixture has but one place
        for _ in range(TRIES if spare else 1):
            start = int(rng.integers(spare + 1))
            signals = self.load(entry, start, samples)
            if np.square(signals[2:]).mean(-1).min() > PAUSE:
                break
        return signals


def in_turn(size: int, index: int, key: tuple[int, ...]) -> int:
    """Choose one of `size` things such that each comes once before any comes again.

    Arguments
    ---------
    size : int
        How many there are.
    index : int
        The place in the sequence of choices.
    key : tuple of int
        The seed of the orders, of which every round has its own.

    Returns
    -------
    int
        0 to size - 1.

    Example
    -------
    >>> sorted(in_turn(3, index, (7,)) for index in range(3, 6))
    [0, 1, 2]
    """
    turn, place = divmod(index, size)
    return int(np.random.default_rng([*key, turn]).permutation(size)[place])


def mixture_example(name: str, signals: np.ndarray, info: dict[str, Any]) -> Example:
    """Make an example of a mixture, its clean mixture and its talkers.

    Arguments
    ---------
    name : str
        Of the mixture.
    signals : np.ndarray
        Mixture, clean mixture and each talker, float32 [2 + talkers, time].
    info : dict
        What is known of it.

    Returns
    -------
    Example
        "mixture" and "clean" [1, time], "target" [talkers, time].

    Example
    -------
    >>> example = mixture_example("a", np.zeros((5, 8), "float32"), {})
    >>> {kind: tuple(signal.shape) for kind, signal in example.signals.items()}
    {'mixture': (1, 8), 'clean': (1, 8), 'target': (3, 8)}
    """
    mixture, clean, target = torch.from_numpy(signals).split(
        [1, 1, len(signals) - 2], dim=0
    )
    return Example(name, {"mixture": mixture, "clean": clean, "target": target}, info)


def mixture_info(
    name: str, talkers: list[str], signals: np.ndarray, snr: float | None = None
) -> dict[str, Any]:
    """List what is known of a mixture, for tables.

    Arguments
    ---------
    name : str
        Of the mixture.
    talkers : list of str
        Their names.
    signals : np.ndarray
        Mixture, clean mixture and each talker, float32 [2 + talkers, time].
    snr : float, optional
        All talkers against the noise in dB, by default that of the signals.

    Returns
    -------
    dict
        mixture, talkers (as one word), length in samples and snr.

    Example
    -------
    >>> mixture_info("1-1-1_2-1-1", ["1", "2"], np.zeros((4, 80)), snr=-1.5)
    {'mixture': '1-1-1_2-1-1', 'talkers': '1_2', 'length': 80, 'snr': -1.5}
    """
    return {
        "mixture": name,
        "talkers": "_".join(talkers),
        "length": signals.shape[-1],
        "snr": speech_to_noise(*signals[:2]) if snr is None else round(snr, 2),
    }


def speech_to_noise(mixture: np.ndarray, clean: np.ndarray) -> float:
    """Compute the ratio of all talkers together to the noise, in dB.

    Arguments
    ---------
    mixture, clean : np.ndarray
        The mixture and the mixture without noise, [time].

    Returns
    -------
    float
        In dB, to two decimals.

    Example
    -------
    >>> clean = np.ones(100)
    >>> speech_to_noise(1.1 * clean, clean)
    20.0
    """
    noise = np.subtract(mixture, clean, dtype=np.float64)
    # as in LibriMix's tables; it bounds the ratio where there is no noise
    ratio = np.square(clean, dtype=np.float64).mean() / (np.square(noise).mean() + EPS)
    return round(float(10 * np.log10(ratio + EPS)), 2)
