"""One table for the metrics of all recipes: a row per item, a summary, a comparison.

Two systems are scored: "unprocessed", the mixture as it comes, and "enhanced", the
network's output; beside them a table may have reference systems. A positive gain is
better, also for errors, whose gain is unprocessed - enhanced. All means and the gain
are taken over the items that were scored for every system: a metric's NaN and inf are
counted, never averaged.
"""

import copy
import csv
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from speechbrain_fusion.data.files import written_whole
from speechbrain_fusion.metrics.info import gain, metric_info

Condition = str | float
Metric = Callable[..., Tensor | Mapping[str, Tensor]]
Figures = dict[str, float]
Scores = dict[str, list[dict[str, float]]]
NUMBER = re.compile(r"([-+]?\d+(?:\.\d+)?)")
SYSTEMS = ("unprocessed", "enhanced")
MEAN = "mean"


def evaluate(
    metrics: Mapping[str, Metric | None],
    reference: Tensor,
    estimate: Tensor,
    lengths: Tensor | None = None,
) -> dict[str, Tensor]:
    """Score a batch with every metric.

    Arguments
    ---------
    metrics : mapping of str to callable
        Called as metric(reference, estimate, lengths=lengths); a sample rate or other
        options are bound before (`!name:` in YAML). One that returns a dict is several
        metrics, by its keys; None is left out.
    reference : torch.Tensor
        The targets, shape [batch, time] or [batch, ears, time].
    estimate : torch.Tensor
        Same shape.
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1], shape [batch]; None for all of it.

    Returns
    -------
    dict of str to torch.Tensor
        Each metric's values, shape [batch] or [batch, ears].

    Raises
    ------
    ValueError
        If one is no function, naming it.

    Example
    -------
    >>> import torch
    >>> from speechbrain_fusion.metrics.signal import snr
    >>> evaluate({"snr": snr}, torch.ones(1, 8), 0.9 * torch.ones(1, 8))["snr"].round()
    tensor([20.], dtype=torch.float64)
    """
    results: dict[str, Tensor] = {}
    for name, metric in metrics.items():
        if metric is None:
            continue
        if not callable(metric):
            raise ValueError(
                f"metrics: {name}: expected a function or null, got {metric!r}"
            )
        values: Any = metric(reference, estimate, lengths=lengths)
        results |= values if isinstance(values, Mapping) else {name: values}
    return results


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _figures(
    metric: str, scores: Sequence[Mapping[str, float]], systems: Sequence[str]
) -> Figures:
    """Average what was scored for every system that the items have scores of."""
    present = [name for name in systems if any(name in item for item in scores)]
    scored = [
        item
        for item in scores
        if all(math.isfinite(item.get(name, math.nan)) for name in present)
    ]
    means = dict.fromkeys(systems, math.nan)
    means |= {name: _mean([item[name] for item in scored]) for name in present}
    better = gain(metric, means["unprocessed"], means["enhanced"])
    return {**means, "gain": better, "scored": len(scored), "total": len(scores)}


def _by_numbers(value: Condition) -> list[tuple[int, float, str]]:
    """Sort numbers, also those inside names, by size: "-5 dB" before "+10 dB"."""
    parts = [value] if isinstance(value, float | int) else NUMBER.split(str(value))
    return [
        (0, float(part), "")
        if isinstance(part, float | int) or NUMBER.fullmatch(part)
        else (1, 0.0, part)
        for part in parts
    ]


def write_json(path: Path | str, content: Mapping[str, Any]) -> None:
    """Write figures for people and programs; the file appears whole or not at all.

    Example
    -------
    >>> path = getfixture("tmp_path") / "figures.json"
    >>> write_json(path, {"items": 2})
    >>> json.loads(path.read_text())
    {'items': 2}
    """
    with written_whole(path) as file:
        json.dump(content, file, indent=2)
        file.write("\n")


def finite(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Replace NaN and inf, which JSON does not have, by None.

    Example
    -------
    >>> finite({"gain": math.nan, "scored": 2.0})
    {'gain': None, 'scored': 2.0}
    """
    return {
        key: None if isinstance(x, float) and not math.isfinite(x) else x
        for key, x in figures.items()
    }


class MetricTable:
    """Scores of items, by system, metric and channel.

    Adding an item's scores again replaces them, so that the tables of several
    processes, whose samplers may have doubled an item, merge into one without doubles.

    Arguments
    ---------
    channels : sequence of str
        Names of the channels of metrics with [batch, channels] values; empty for
        systems with one channel.
    references : sequence of str
        Further systems that may be scored, to compare with.

    Example
    -------
    >>> import torch
    >>> table, conditions = MetricTable(), [{"noise": "wind"}]
    >>> table.add("unprocessed", ["a"], conditions, {"snr": torch.tensor([[0.0, 2.0]])})
    >>> table.add("enhanced", ["a"], conditions, {"snr": torch.tensor([[5.0, 6.0]])})
    >>> table.summary()["snr"]["mean"]["gain"]
    4.5
    """

    def __init__(
        self,
        channels: Sequence[str] = ("left", "right"),
        references: Sequence[str] = (),
    ) -> None:
        self.channels, self.references = tuple(channels), tuple(references)
        self.systems = (*SYSTEMS, *references)
        self._items: dict[str, dict[str, Any]] = {}

    def __len__(self) -> int:
        return len(self._items)

    def add(
        self,
        system: str,
        ids: Sequence[str],
        conditions: Sequence[Mapping[str, Condition]],
        results: Mapping[str, Tensor],
    ) -> None:
        """Add a batch of one system's scores.

        Arguments
        ---------
        system : str
            "unprocessed", "enhanced" or one of the references.
        ids : sequence of str
            The items' names.
        conditions : sequence of mapping
            What each item is, e.g. its noise kind and SNR.
        results : mapping of str to torch.Tensor
            Each metric's values, shape [batch] or [batch, channels].

        Raises
        ------
        ValueError
            If the system is unknown or the sizes do not fit.
        """
        if system not in self.systems:
            raise ValueError(f"system must be one of {self.systems}, got {system!r}")
        if len(conditions) != len(ids):
            raise ValueError(f"{len(ids)} ids but {len(conditions)} conditions")
        scores = {name: self._listed(name, x, len(ids)) for name, x in results.items()}
        for index, (name, condition) in enumerate(zip(ids, conditions, strict=True)):
            item = self._items.setdefault(name, {"conditions": {}, "scores": {}})
            item["conditions"].update(condition)
            for metric, values in scores.items():
                systems = item["scores"].setdefault(metric, {})
                systems[system] = values[index]

    def _listed(self, name: str, values: Tensor, items: int) -> list[list[float]]:
        values = values.detach().double().cpu()
        columns = 1 if values.dim() == 1 else max(1, len(self.channels))
        if values.dim() > 2 or values.shape not in ((items,), (items, columns)):
            raise ValueError(
                f"{name}: expected [{items}] or [{items}, {max(1, len(self.channels))}]"
                f" values, got {tuple(values.shape)}"
            )
        return values.view(items, columns).tolist()

    def state(self) -> dict[str, Any]:
        """Return the table as a plain dict of lists, strings and numbers."""
        items = copy.deepcopy(self._items)
        names = {"channels": self.channels, "references": self.references}
        return {name: list(each) for name, each in names.items()} | {"items": items}

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> "MetricTable":
        """Make a table of what `state` returned."""
        table = cls(state["channels"], state["references"])
        table.merge(state)
        return table

    def merge(self, other: "MetricTable | Mapping[str, Any]") -> None:
        """Take over the items of another table or of its state.

        Raises
        ------
        ValueError
            If the channels differ.
        """
        state = other.state() if isinstance(other, MetricTable) else other
        for name in ("channels", "references"):
            ours, theirs = getattr(self, name), tuple(state[name])
            if ours != theirs:
                raise ValueError(f"{name} differ: {ours}, {theirs}")
        for name, theirs in state["items"].items():
            item = self._items.setdefault(name, {"conditions": {}, "scores": {}})
            item["conditions"].update(theirs["conditions"])
            for metric, systems in theirs["scores"].items():
                item["scores"].setdefault(metric, {}).update(systems)

    def metrics(self) -> list[str]:
        """List the metrics, in the order they were added."""
        names = (name for item in self._items.values() for name in item["scores"])
        return list(dict.fromkeys(names))

    def _suffixes(self, values: Sequence[float]) -> tuple[str, ...]:
        if len(values) == 1:
            return ("",)
        return tuple(f"_{channel}" for channel in self.channels)

    def _cells(self, item: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
        for metric, systems in item["scores"].items():
            for system in self.systems:
                values = systems.get(system, [])
                for suffix, value in zip(self._suffixes(values), values, strict=False):
                    yield f"{metric}_{system}{suffix}", value

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a flat dict per item, by id: conditions, then every score.

        Returns
        -------
        list of dict
            Keys id, the conditions' names and <metric>_<system>[_<channel>].
        """
        return [
            {"id": name, **item["conditions"], **dict(self._cells(item))}
            for name, item in sorted(self._items.items())
        ]

    def write_csv(self, path: Path | str) -> None:
        """Write a row per item; what the file held before stays until all is written.

        Arguments
        ---------
        path : Path or str
            The file. What could not be scored is "nan", what was never added empty.
        """
        rows = self.to_rows()
        columns = list(dict.fromkeys(key for row in rows for key in row)) or ["id"]
        with written_whole(path) as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    def _scores(self, metric: str, items: Sequence[Mapping[str, Any]]) -> Scores:
        """Collect each channel's scores, and their mean's, as system -> value."""
        systems = [x["scores"][metric] for x in items if metric in x["scores"]]
        wide = any(len(values) > 1 for x in systems for values in x.values())
        scores: Scores = {
            channel: [{name: values[i] for name, values in x.items()} for x in systems]
            for i, channel in enumerate(self.channels if wide else ())
        }
        means = [{name: _mean(values) for name, values in x.items()} for x in systems]
        return {**scores, MEAN: means}

    def summary(self) -> dict[str, dict[str, Figures]]:
        """Average every metric over the items, per channel and over the channels.

        Returns
        -------
        dict
            metric -> channel or "mean" -> unprocessed, enhanced, each reference, gain,
            scored, total.
            An item counts in "mean" if all its channels were scored. A system that
            was never added has NaN and is not asked for.
        """
        items = list(self._items.values())
        return {
            metric: {
                channel: _figures(metric, scores, self.systems)
                for channel, scores in self._scores(metric, items).items()
            }
            for metric in self.metrics()
        }

    def by(self, condition: str, metric: str) -> dict[Condition, Figures]:
        """Average a metric, channels together, per value of a condition.

        Arguments
        ---------
        condition : str
            A condition's name, e.g. "noise".
        metric : str
            A metric's name.

        Returns
        -------
        dict
            value -> as in `summary`; values in order.

        Raises
        ------
        ValueError
            If no item has the condition, or the metric.
        """
        groups: dict[Condition, list[Mapping[str, Any]]] = {}
        for item in self._items.values():
            if condition in item["conditions"] and metric in item["scores"]:
                groups.setdefault(item["conditions"][condition], []).append(item)
        if not groups:
            raise ValueError(f"no item has condition {condition!r} and {metric!r}")
        order = sorted(groups, key=_by_numbers)
        return {
            x: _figures(metric, self._scores(metric, groups[x])[MEAN], self.systems)
            for x in order
        }

    def report(self) -> dict[str, Any]:
        """Return the summary with units, for JSON: None stands for no figure."""
        metrics = {
            metric: {
                **metric_info(metric)._asdict(),
                "channels": {name: finite(x) for name, x in channels.items()},
            }
            for metric, channels in self.summary().items()
        }
        return {"items": len(self), "metrics": metrics}

    def write_json(self, path: Path | str) -> None:
        """Write the summary with units; null stands where there is no figure.

        Arguments
        ---------
        path : Path or str
            The file; what it held before stays until all is written.
        """
        write_json(path, self.report())
