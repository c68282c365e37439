"""Which items of a test are kept to listen to: the first, the worst and the best."""

import bisect
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speechbrain.utils.distributed import if_main_process
from torch import Tensor

from speechbrain_fusion.brains.processes import gather
from speechbrain_fusion.data.batch import Batch
from speechbrain_fusion.data.files import written_whole
from speechbrain_fusion.data.sampler import this_process
from speechbrain_fusion.metrics.info import metric_info
from speechbrain_fusion.metrics.table import MetricTable
from speechbrain_fusion.report.extremes import extremes
from speechbrain_fusion.report.run import example_file, write_example
from speechbrain_fusion.report.run_files import EXAMPLES, INDEX

EXTREMES = "extremes"
# So many of the worst items are kept, and so many of the best.
EACH = 2

Signals = dict[str, Tensor]


class Examples:
    """Keep the audio of a test's first items, and of its worst and best.

    The first ones are written as they come, the others when the test is over; until
    then so many of each are held in memory. Several processes keep the items that one
    would, as far as scores that differ in rounding put them in the same order; each
    writes its own, so that all need the folder.

    Arguments
    ---------
    folder : Path
        Where the audio goes; that of worst and best items to `extremes/` in it.
    rate : int
        Sample rate in Hz.
    first : int
        Number of first items; 0: none of all is kept.
    select : str
        The metric by which items are worst or best, if it is scored; else the first.

    Example
    -------
    >>> import torch
    >>> kept = Examples(getfixture("tmp_path"), rate=8000, first=1, select="snr")
    >>> ids, x = [*"abc"], torch.zeros(3, 1, 8)
    >>> batch = Batch(ids, {"mixture": x}, torch.ones(3), [{}] * 3)
    >>> kept.add(batch, batch.signals, {"snr": torch.tensor([2.0, 1.0, 3.0])})
    >>> kept.close(MetricTable())
    >>> sorted(str(p.relative_to(kept.folder)) for p in kept.folder.rglob("*.wav"))
    ['a_mixture.wav', 'extremes/b_mixture.wav', 'extremes/c_mixture.wav']
    """

    def __init__(self, folder: Path, rate: int, first: int, select: str) -> None:
        self.folder, self.rate, self.first, self.select = folder, rate, first, select
        # what the figure of the run shows
        self.drawn: Signals | None = None
        self.metric: str | None = None
        self._rank, self._world = this_process()
        self._seen = 0
        self._names: list[str] = []
        self._places: dict[str, int] = {}
        # how good an item is and its name, from the worst to the best
        self._ranked: list[tuple[float, str]] = []
        self._held: dict[str, Signals] = {}

    @classmethod
    def of(cls, hparams: Any) -> "Examples":
        """Make it for a run: see `EnhancementBrain` for its `hparams`."""
        folder, first = Path(hparams.output_folder, EXAMPLES), hparams.examples
        return cls(folder, hparams.sample_rate, first, hparams.select)

    def add(
        self, batch: Batch, signals: Mapping[str, Tensor], results: Mapping[str, Tensor]
    ) -> None:
        """Look at a batch.

        Arguments
        ---------
        batch : Batch
            Its items and lengths.
        signals : mapping of str to Tensor
            What there is to listen to, each [batch, channels, time].
        results : mapping of str to Tensor
            The estimates' metrics, each [batch] or [batch, channels].
        """
        if self.first < 1:
            return
        self._names = [*signals]
        time = next(iter(signals.values())).shape[-1]
        samples = (batch.lengths * time).round().long().tolist()
        goodness = self._goodness(results, len(batch))
        for item, (name, count) in enumerate(zip(batch.ids, samples, strict=True)):
            given = {key: x[item, :, :count] for key, x in signals.items()}
            self._add_item(name, given, goodness[item])

    def _goodness(self, results: Mapping[str, Tensor], items: int) -> list[float]:
        """Say how good each item is, on a scale where more is better."""
        if not results:
            return [math.nan] * items
        chosen = self.select if self.select in results else next(iter(results))
        self.metric = chosen
        scores = results[chosen].double().cpu().reshape(items, -1).mean(1)
        sign = -1.0 if metric_info(chosen).better == "lower" else 1.0
        return (sign * scores).tolist()

    def _add_item(self, name: str, signals: Signals, goodness: float) -> None:
        # an evaluation gives its items to the processes in turn
        place = self._seen * self._world + self._rank
        self._seen += 1
        if place < self.first:
            own = _copied(signals)
            self._places.setdefault(name, place)
            self.drawn = self.drawn or own
            write_example(self.folder, name, own, self.rate)
        if math.isfinite(goodness) and name not in self._held:
            bisect.insort(self._ranked, (goodness, name))
            del self._ranked[EACH:-EACH]
            if (goodness, name) in self._ranked:
                self._held[name] = _copied(signals)
            known = {name for _, name in self._ranked}
            self._held = {k: x for k, x in self._held.items() if k in known}

    def close(self, table: MetricTable) -> None:
        """Write what is left, and what was kept why; all processes take part.

        Arguments
        ---------
        table : MetricTable
            Scores and conditions of the items of all processes.
        """
        why = self._decide()
        for name, signals in self._held.items():
            if name in why and "first" not in why[name]:
                write_example(self.folder / EXTREMES, name, signals, self.rate)
        # all have written
        gather(None)
        if not if_main_process():
            return
        if why:
            self._write_index(why, table.state()["items"])
        self._remove_others(why)

    def _decide(self) -> dict[str, list[str]]:
        """Name the items that are kept, and why, from what every process knows."""
        states = gather((self._places, self._ranked))
        places = {name: place for state, _ in states for name, place in state.items()}
        goodness = {name: value for _, state in states for value, name in state}
        order = sorted(goodness, key=lambda name: (goodness[name], name))
        first = sorted(places, key=places.__getitem__)
        groups = {"first": first, **extremes(order, EACH)}
        why: dict[str, list[str]] = {}
        for reason, names in groups.items():
            for name in names:
                why.setdefault(name, []).append(reason)
        return why

    def _write_index(self, why: Mapping[str, list[str]], items: dict[str, Any]) -> None:
        entries = [
            {
                "id": name,
                "why": reasons,
                "files": self._files(name, reasons),
                **items.get(name, {}),
            }
            for name, reasons in why.items()
        ]
        better = metric_info(self.metric or "").better
        about = {"metric": self.metric, "better": better, "sample_rate": self.rate}
        with written_whole(self.folder / INDEX) as file:
            json.dump(_strict({**about, "items": entries}), file, indent=1)

    def _remove_others(self, why: Mapping[str, list[str]]) -> None:
        """Remove what an earlier test kept."""
        if not why:
            (self.folder / INDEX).unlink(missing_ok=True)
        kept = {
            self.folder / path
            for name, reasons in why.items()
            for path in self._files(name, reasons).values()
        }
        for folder in (self.folder, self.folder / EXTREMES):
            for path in {*folder.glob("*.wav")} - kept:
                path.unlink()

    def _files(self, name: str, reasons: Sequence[str]) -> dict[str, str]:
        folder = "" if "first" in reasons else EXTREMES
        return {key: str(Path(folder, example_file(name, key))) for key in self._names}


def _copied(signals: Mapping[str, Tensor]) -> Signals:
    """Take signals out of their batch, which need not be kept for them."""
    return {name: x.detach().cpu().clone() for name, x in signals.items()}


def _strict(value: Any) -> Any:
    """Replace what JSON does not have: NaN and inf by null, other things by text."""
    if isinstance(value, Mapping):
        return {str(key): _strict(x) for key, x in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(x) for x in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)
