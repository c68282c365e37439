"""What is wrong with a YAML's settings, and what a test lacks, before any training."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from speechbrain_fusion.metrics.info import metric_info
from speechbrain_fusion.metrics.table import evaluate

LOSS = "loss"


def check_names(hparams: Any) -> None:
    """Refuse a criterion or weights that nothing of the YAML belongs to.

    Arguments
    ---------
    hparams : namespace
        select, valid_metrics, losses and loss_weights: see `EnhancementBrain`.

    Raises
    ------
    ValueError
        Naming the key and what was expected.

    Example
    -------
    >>> from types import SimpleNamespace
    >>> given = {"select": "loss", "valid_metrics": {}, "losses": {"snr": None}}
    >>> check_names(SimpleNamespace(loss_weights={"snr": 1.0}, **given))
    """
    known, chosen = list(hparams.valid_metrics), hparams.select
    if chosen not in [*known, LOSS]:
        raise ValueError(
            f"select: expected one of valid_metrics, {known}, or {LOSS}, got {chosen!r}"
        )
    if LOSS in known:
        raise ValueError(f"valid_metrics: expected no metric named {LOSS}")
    if chosen != LOSS and metric_info(chosen).better == "lower":
        raise ValueError(
            f"select: expected a metric of which more is better, got {chosen!r}"
        )
    check_weights(hparams.losses, hparams.loss_weights)
    if not any(hparams.loss_weights.values()):
        raise ValueError("loss_weights: expected one that is not 0")


def check_weights(
    losses: Iterable[str], weights: Iterable[str], kind: str = ""
) -> None:
    """Refuse weights that are not those of the losses.

    Arguments
    ---------
    losses, weights : iterable of str
        Names of the losses, and of what has a weight.
    kind : str
        What the YAML's key `loss_weights` begins with.

    Raises
    ------
    ValueError
        Naming the key and what was expected.

    Example
    -------
    >>> check_weights({"snr": None}, {"snr": 1.0})
    """
    expected, given = sorted(losses), sorted(weights)
    if expected != given:
        raise ValueError(f"{kind}loss_weights: expected keys {expected}, got {given}")


def white_noise(rate: int, channels: int = 1) -> Tensor:
    """Make two signals of a second, always the same: [2, 1, channels, rate].

    Example
    -------
    >>> white_noise(8000).shape
    torch.Size([2, 1, 1, 8000])
    """
    generator = torch.Generator().manual_seed(0)
    return torch.randn((2, 1, channels, rate), generator=generator)


def rehearse(hparams: Any, channels: int = 1) -> None:
    """Score a second of noise with the metrics of a test.

    Arguments
    ---------
    hparams : namespace
        metrics, table_metrics and sample_rate: see `EnhancementBrain`.
    channels : int
        Of the signals that are scored.

    Raises
    ------
    ImportError
        If a metric needs a library that is not there.
    ValueError
        If one does not know the rate, or for unknown `table_metrics`.

    Example
    -------
    >>> from types import SimpleNamespace
    >>> from speechbrain_fusion.metrics import si_sdr
    >>> given = {"metrics": {"si_sdr": si_sdr}, "table_metrics": ["si_sdr"]}
    >>> rehearse(SimpleNamespace(sample_rate=8000, **given))
    """
    noise = white_noise(hparams.sample_rate, channels)
    known = [*evaluate(hparams.metrics, noise[0], noise.sum(0), torch.ones(1))]
    listed = hparams.table_metrics if hasattr(hparams, "table_metrics") else ()
    if unknown := sorted({*listed} - {*known}):
        raise ValueError(f"table_metrics: expected some of {known}, got {unknown}")
