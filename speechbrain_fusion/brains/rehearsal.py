"""What a test needs is tried before anything is trained."""

from typing import Any

import torch
from torch import Tensor

from speechbrain_fusion.metrics.table import evaluate


def white_noise(rate: int) -> Tensor:
    """Make two signals of a second that are always the same, [2, 1, 1, rate].

    Example
    -------
    >>> white_noise(8000).shape
    torch.Size([2, 1, 1, 8000])
    """
    generator = torch.Generator().manual_seed(0)
    return torch.randn((2, 1, 1, rate), generator=generator)


def rehearse(hparams: Any) -> None:
    """Score a second of noise with the metrics of a test.

    Arguments
    ---------
    hparams : namespace
        metrics, table_metrics and sample_rate: see `EnhancementBrain`.

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
    noise = white_noise(hparams.sample_rate)
    known = [*evaluate(hparams.metrics, noise[0], noise.sum(0), torch.ones(1))]
    if unknown := sorted(set(hparams.table_metrics) - set(known)):
        raise ValueError(f"table_metrics: expected some of {known}, got {unknown}")
