"""Every metric by its name: what one pair of signals scores, or why it has no score."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from speechbrain_fusion.data.audio import resample
from speechbrain_fusion.metrics.binaural import ild_error, itd_error
from speechbrain_fusion.metrics.composite import composite
from speechbrain_fusion.metrics.mbstoi import mbstoi
from speechbrain_fusion.metrics.perceptual import SHORTEST_STOI, estoi, pesq, stoi
from speechbrain_fusion.metrics.separation import sdr
from speechbrain_fusion.metrics.signal import SILENCE, si_sdr, snr

# Reference, estimate, rate in Hz; signals [1, time] or [1, channels, time].
Score = Callable[[Tensor, Tensor, int], Tensor | Mapping[str, Tensor]]
COMPOSITE = ("csig", "cbak", "covl", "llr", "wss", "segsnr")


class Scorer(NamedTuple):
    """How a metric is computed, and what it needs.

    `quality` is for those that are defined at 8 and 16 kHz alone; `channels` is how
    many there must be, None for any number; `shortest` is in seconds.
    """

    score: Score
    quality: bool = False
    channels: int | None = None
    shortest: float = 0.0


class Scored(NamedTuple):
    """Values by metric, [1] or [1, channels]; of the metrics without one, the reason.

    What was not computed at the signals' own rate is in `rates`, in Hz.
    """

    values: dict[str, Tensor]
    reasons: dict[str, str]
    rates: dict[str, int]


# One process each: `evaluation` spreads items, not metrics, over processes.
SHORTEST_PESQ = 0.25
SHORTEST_CUES = 0.032
_COMPOSITE = Scorer(partial(composite, jobs=1), True, None, SHORTEST_PESQ)
SCORERS = {
    "si_sdr": Scorer(lambda s, y, rate: si_sdr(s, y)),
    "sdr": Scorer(lambda s, y, rate: sdr(s, y)),
    "snr": Scorer(lambda s, y, rate: snr(s, y)),
    "pesq": Scorer(partial(pesq, jobs=1), True, None, SHORTEST_PESQ),
    "stoi": Scorer(partial(stoi, jobs=1), shortest=SHORTEST_STOI),
    "estoi": Scorer(partial(estoi, jobs=1), shortest=SHORTEST_STOI),
    **dict.fromkeys(COMPOSITE, _COMPOSITE),
    "mbstoi": Scorer(mbstoi, channels=2, shortest=SHORTEST_STOI),
    "ild_error": Scorer(ild_error, channels=2, shortest=SHORTEST_CUES),
    "itd_error": Scorer(itd_error, channels=2, shortest=SHORTEST_CUES),
}


def known_metrics(names: Sequence[str]) -> list[str]:
    """Check metrics' names; "composite" stands for its six.

    Raises
    ------
    ValueError
        If one is not known, naming those that are.

    Example
    -------
    >>> known_metrics(["snr", "composite", "snr"])
    ['snr', 'csig', 'cbak', 'covl', 'llr', 'wss', 'segsnr']
    """
    known = (*SCORERS, "composite")
    for name in names:
        if name not in known:
            raise ValueError(f"unknown metric {name!r}, expected of {', '.join(known)}")
    spelt = (COMPOSITE if name == "composite" else (name,) for name in names)
    return list(dict.fromkeys(name for group in spelt for name in group))


def quality_rate(rate: int) -> int | None:
    """Say at which rate PESQ and the composite measures score signals of a rate.

    Those from 16 kHz up are scored wideband at 16 kHz, others narrowband at 8 kHz.

    Example
    -------
    >>> quality_rate(44100), quality_rate(11025), quality_rate(6000)
    (16000, 8000, None)
    """
    return next((each for each in (16000, 8000) if each <= rate), None)


def score_signals(
    reference: Tensor,
    estimate: Tensor,
    rate: int,
    metrics: Sequence[str] | None = None,
) -> Scored:
    """Score one estimate by several metrics.

    Arguments
    ---------
    reference : torch.Tensor
        The target, shape [channels, time].
    estimate : torch.Tensor
        Same shape.
    rate : int
        Sample rate in Hz.
    metrics : sequence of str, optional
        Names of `SCORERS`; by default all that fit the number of channels.

    Returns
    -------
    Scored
        A value or a reason for each metric.

    Raises
    ------
    ValueError
        If a metric is not known or the shapes do not fit.

    Example
    -------
    >>> noise = torch.randn(1, 1600, generator=torch.Generator().manual_seed(0))
    >>> scored = score_signals(noise, 0.9 * noise, 16000, ["snr", "stoi"])
    >>> scored.values["snr"].round(), scored.reasons
    (tensor([20.], dtype=torch.float64), {'stoi': 'shorter than 0.41 s'})
    """
    channels = len(reference)
    if metrics is None:
        metrics = [x for x in SCORERS if SCORERS[x].channels in (None, channels)]
    names = known_metrics(metrics)
    pair = torch.stack([reference, estimate]).double()
    scored = Scored({}, {}, {})
    for scorer, wanted in _groups(names).items():
        _apply(scorer, wanted, pair, rate, scored)
    for name in names:
        if name not in scored.reasons and not scored.values[name].isfinite().all():
            scored.reasons[name] = _reason(pair, scored.values[name])
    in_order = {name: scored.values[name] for name in names}
    return scored._replace(values=in_order)


def _groups(names: Sequence[str]) -> dict[Scorer, list[str]]:
    """Group metrics by what computes them together."""
    composite = any(name in COMPOSITE for name in names)
    groups: dict[Scorer, list[str]] = {}
    for name in names:
        # PESQ is a part of the composite measures, and takes most of their time
        within = composite and name == "pesq"
        groups.setdefault(_COMPOSITE if within else SCORERS[name], []).append(name)
    return groups


def _apply(
    scorer: Scorer, names: Sequence[str], pair: Tensor, rate: int, scored: Scored
) -> None:
    """Add a scorer's values, or say why it does not apply."""
    at = quality_rate(rate) if scorer.quality else rate
    reason = _refusal(scorer, pair, rate, at)
    if reason or at is None:
        # as wide as scores would be, so that tables take both
        width = [len(pair[0])] if scorer.channels is None and len(pair[0]) > 1 else []
        nothing = torch.full([1, *width], torch.nan, dtype=pair.dtype)
        scored.values.update(dict.fromkeys(names, nothing))
        scored.reasons.update(dict.fromkeys(names, reason))
        return
    if at != rate:
        pair = torch.from_numpy(resample(pair.numpy(), rate, at)).double()
        scored.rates.update(dict.fromkeys(names, at))
    signals = pair[:, :1] if pair.shape[1] == 1 else pair[:, None]
    values = scorer.score(signals[0], signals[1], at)
    results = values if isinstance(values, Mapping) else {names[0]: values}
    scored.values.update({name: results[name] for name in names})


def _refusal(scorer: Scorer, pair: Tensor, rate: int, at: int | None) -> str:
    if scorer.channels not in (None, pair.shape[1]):
        return f"needs {scorer.channels} channels, got {pair.shape[1]}"
    if at is None:
        return f"needs a rate from 8000 Hz up, got {rate} Hz"
    if pair.shape[-1] < scorer.shortest * rate:
        return f"shorter than {scorer.shortest:.2g} s"
    return ""


def _reason(pair: Tensor, values: Tensor) -> str:
    """Say why a metric has no finite value, from what can be seen in the signals."""
    silent = (pair.square().mean(-1) <= SILENCE).any(1)
    for name, quiet in zip(("reference", "estimate"), silent.tolist(), strict=True):
        if quiet:
            return f"the {name} is silent"
    if values.isinf().any():
        return "without any error: infinite"
    return "no speech found, or too little of it"
