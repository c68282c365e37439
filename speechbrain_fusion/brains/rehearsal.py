"""What is wrong with a YAML's settings, and what its metrics lack, before training."""

import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from speechbrain_fusion.metrics.info import metric_info
from speechbrain_fusion.metrics.table import evaluate

LOSS = "loss"


def check_names(hparams: Any) -> None:
    """Refuse weights that fit no loss or are all 0, and a name that is taken.

    Arguments
    ---------
    hparams : namespace
        losses and loss_weights: see `EnhancementBrain`.

    Raises
    ------
    ValueError
        Naming the key and what was expected.

    Example
    -------
    >>> from types import SimpleNamespace
    >>> given = {"losses": {"snr": None}, "loss_weights": {"snr": 1.0}}
    >>> check_names(SimpleNamespace(**given))
    """
    check_weights(hparams.losses, hparams.loss_weights)
    if not any(hparams.loss_weights.values()):
        raise ValueError("loss_weights: expected one that is not 0")
    if LOSS in hparams.losses and len(hparams.losses) > 1:
        raise ValueError(
            f"losses: {LOSS} is what their sum is called, name it otherwise"
        )


def check_weights(
    losses: Iterable[str], weights: Mapping[str, float], kind: str = ""
) -> None:
    """Refuse weights that are not those of the losses, or no numbers.

    Arguments
    ---------
    losses : iterable of str
        Names of the losses.
    weights : mapping of str to float
        Of each loss.
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
    for name, weight in weights.items():
        if not isinstance(weight, Real) or not math.isfinite(weight):
            raise ValueError(
                f"{kind}loss_weights: expected finite numbers, got {name}: {weight}"
            )


def white_noise(rate: int, channels: int = 1) -> Tensor:
    """Make two signals of a second, always the same: [2, 1, channels, rate].

    Example
    -------
    >>> white_noise(8000).shape
    torch.Size([2, 1, 1, 8000])
    """
    generator = torch.Generator().manual_seed(0)
    return torch.randn((2, 1, channels, rate), generator=generator)


def rehearse(hparams: Any, channels: int = 1) -> list[str]:
    """Score a second of noise with the metrics of validation and of a test.

    Arguments
    ---------
    hparams : namespace
        select, valid_metrics, metrics, table_by, table_metrics and sample_rate: see
        `EnhancementBrain`.
    channels : int
        Of the signals that are scored.

    Returns
    -------
    list of str
        Names of what validation measures; one function may give several.

    Raises
    ------
    ImportError
        If a metric needs a library that is not there.
    ValueError
        If one does not know the rate, for `select` or `table_metrics` that are not
        measured, or a `table_by` or `sample_rate` of another kind.

    Example
    -------
    >>> from types import SimpleNamespace
    >>> from speechbrain_fusion.metrics import si_sdr
    >>> given = {"metrics": {"si_sdr": si_sdr}, "valid_metrics": {"si_sdr": si_sdr}}
    >>> rehearse(SimpleNamespace(sample_rate=8000, select="si_sdr", **given))
    ['si_sdr']
    """
    rate, by = hparams.sample_rate, getattr(hparams, "table_by", None)
    if not isinstance(rate, Integral) or rate < 1:
        raise ValueError(f"sample_rate: expected a whole number of Hz, got {rate!r}")
    if not isinstance(by, str | None):
        raise ValueError(f"table_by: expected the name of a condition, got {by!r}")
    noise = white_noise(int(rate), channels)
    scored = noise[0], noise.sum(0), torch.ones(1)
    valid = [*evaluate(hparams.valid_metrics, *scored)]
    _check_select(hparams.select, valid)
    known = [*evaluate(hparams.metrics, *scored)]
    listed = hparams.table_metrics if hasattr(hparams, "table_metrics") else ()
    if unknown := sorted({*listed} - {*known}):
        raise ValueError(f"table_metrics: expected some of {known}, got {unknown}")
    return valid


def _check_select(select: str, measured: list[str]) -> None:
    if LOSS in measured:
        raise ValueError(f"valid_metrics: expected no metric named {LOSS}")
    if select not in [*measured, LOSS]:
        raise ValueError(
            f"select: expected one of valid_metrics, {measured}, or {LOSS}, "
            f"got {select!r}"
        )
    if select != LOSS and metric_info(select).better == "lower":
        raise ValueError(
            f"select: expected a metric of which more is better, got {select!r}"
        )
