"""Mixtures of talkers as training and evaluation take them, wherever they come from."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from speechbrain_fusion.data.audio import resample
from speechbrain_fusion.data.batch import Example
from speechbrain_fusion.data.listed import ListedItems
from speechbrain_fusion.data.manifest import Entry
from speechbrain_fusion.data.options import check_speeds
from speechbrain_fusion.data.source import PAUSE, TRIES

EPS = 1e-10


class Mixtures(ListedItems):
    """Listed mixtures, whole or in segments (see `ListedItems`).

    All signals of a mixture are cut at the same place, which is drawn again where a
    talker pauses. A mixture shorter than a segment is taken whole. Each talker may be
    played at another speed; the mixture is then made anew of them and its noise, and
    whole ones end where the fastest voice can. Of an entry in the manifest are used:
    samples at the wanted rate, talkers (a list of names) and, where known, snr in dB. A
    subclass says in `load` where the signals come from.

    Arguments
    ---------
    manifest, rate, segment, count, seed
        See `ListedItems`.
    speeds : sequence of int
        In percent, of which each talker gets one.

    Raises
    ------
    AudioError, ValueError
        What `ListedItems` raises; ValueError also for speeds that are not positive.

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
        speeds: Sequence[int] = (100,),
    ) -> None:
        super().__init__(manifest, rate, segment, count, seed)
        check_speeds(speeds)
        self.speeds = [*speeds]

    def _made(self, epoch: int, index: int) -> Example:
        """Load a mixture."""
        name, entry = self.pick(epoch, index)
        signals = self._draw(entry, np.random.default_rng([self.seed, epoch, index]))
        snr = entry.get("snr") if self.speeds == [100] else None
        info = mixture_info(name, entry["talkers"], signals, snr)
        return mixture_example(name, signals, info)

    def seconds(self, key: tuple[int, int]) -> float:
        """Tell how long item (epoch, index) is without loading it."""
        return self._samples(self.pick(*key)[1]) / self.rate

    @abstractmethod
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

    def _samples(self, entry: Entry) -> int:
        """Count the samples that an item gets of a mixture."""
        whole = entry["samples"] * 100 // self._fastest()
        if self.segment is None:
            return whole
        return min(whole, round(self.segment * self.rate))

    def _fastest(self) -> int:
        """Say which speed decides how much is loaded; the noise keeps its own."""
        return max(100, *self.speeds)

    def _draw(self, entry: Entry, rng: np.random.Generator) -> np.ndarray:
        """Load the mixture where, if anywhere, all talkers are heard."""
        samples = self._samples(entry)
        loaded = -(-samples * self._fastest() // 100)
        spare = entry["samples"] - loaded
        # a whole mixture has but one place
        for _ in range(TRIES if spare else 1):
            start = int(rng.integers(spare + 1))
            signals = self.load(entry, start, loaded)
            if np.square(signals[2:]).mean(-1).min() > PAUSE:
                break
        speeds = rng.choice(self.speeds, len(signals) - 2)
        return at_speeds(signals, speeds.tolist())[:, :samples]


def at_speeds(signals: np.ndarray, speeds: Sequence[int]) -> np.ndarray:
    """Play each talker of a mixture at a speed and mix again, with the same noise.

    Arguments
    ---------
    signals : np.ndarray
        Mixture, clean mixture and each talker, float32 [2 + talkers, time].
    speeds : sequence of int
        Of each talker, in percent.

    Returns
    -------
    np.ndarray
        Like `signals`, as long as the shortest of talkers and noise. If all are 100
        they stay as they are.

    Example
    -------
    >>> at_speeds(np.ones((4, 210), "float32"), [100, 105]).shape
    (4, 200)
    """
    if {*speeds} == {100}:
        return signals
    mixture, clean, *talkers = signals
    parts = [mixture - clean] + [
        resample(talker, speed, 100)
        for talker, speed in zip(talkers, speeds, strict=True)
    ]
    samples = min(part.size for part in parts)
    noise, *talkers = (part[:samples] for part in parts)
    clean = np.sum(talkers, axis=0)
    return np.stack([clean + noise, clean, *talkers])


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
