"""PESQ, STOI and ESTOI, item by item in parallel.

The scores are those of the packages pesq and pystoi. An item that cannot be scored
(too short, silent, not finite, no speech found) gives NaN and stops nothing.
"""

import contextlib
import functools
import math
import warnings
from collections.abc import Callable, Iterator

import joblib
import numpy as np
import pystoi
import torch
from pesq import PesqError
from pesq import pesq as pesq_score
from torch import Tensor

from speechbrain_fusion.losses.signal import check_pair
from speechbrain_fusion.metrics.signal import SILENCE
from speechbrain_fusion.nnet.padding import valid_samples

Score = Callable[[np.ndarray, np.ndarray], float]

PESQ_MODES = {8000: "nb", 16000: "wb"}
# The ITU code overruns a table of 50 utterances, which are at least 0.4 s apart.
LONGEST_PESQ = 20.0
# Seconds of sound for each process: less is scored before the process has started.
WORTH_A_PROCESS = 10.0
# 31 frames of 256 samples, half overlapping, at 10 kHz.
SHORTEST_STOI = 0.4096


def _scorable(reference: np.ndarray, estimate: np.ndarray) -> bool:
    powers = [np.mean(np.square(x)) if x.size else 0.0 for x in (reference, estimate)]
    return all(math.isfinite(power) and power > SILENCE for power in powers)


def _pesq_part(reference: np.ndarray, estimate: np.ndarray, rate: int) -> float:
    if not _scorable(reference, estimate):
        return math.nan
    try:
        return float(pesq_score(rate, reference, estimate, PESQ_MODES[rate]))
    except (PesqError, ValueError):
        return math.nan


def _pesq_item(reference: np.ndarray, estimate: np.ndarray, rate: int) -> float:
    parts = max(1, math.ceil(reference.size / (LONGEST_PESQ * rate)))
    pairs = zip(
        np.array_split(reference, parts), np.array_split(estimate, parts), strict=True
    )
    scores = np.array([_pesq_part(*pair, rate) for pair in pairs])
    scored = scores[~np.isnan(scores)]
    return float(scored.mean()) if scored.size else math.nan


@contextlib.contextmanager
def _fixed_random_state() -> Iterator[None]:
    """Keep NumPy's global state: pystoi's extended measure adds noise drawn from it.

    The noise has the size of rounding errors; with it fixed a score is repeatable.
    """
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _stoi_item(
    reference: np.ndarray, estimate: np.ndarray, rate: int, extended: bool
) -> float:
    too_short = reference.size < SHORTEST_STOI * rate
    if too_short or not _scorable(reference, estimate):
        return math.nan
    with warnings.catch_warnings(), _fixed_random_state():
        warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)
        try:
            return float(pystoi.stoi(reference, estimate, rate, extended=extended))
        except RuntimeWarning:
            return math.nan


def _score_items(
    score: Score,
    reference: Tensor,
    estimate: Tensor,
    rate: int,
    lengths: Tensor | None,
    jobs: int | None,
) -> Tensor:
    check_pair(reference, estimate, lengths)
    leading = reference.shape[:-1]
    counts = valid_samples(reference, lengths).view(-1, *[1] * (len(leading) - 1))
    pairs = [
        (s[:count], y[:count])
        for s, y, count in zip(
            reference.detach().double().cpu().flatten(0, -2).numpy(),
            estimate.detach().double().cpu().flatten(0, -2).numpy(),
            counts.expand(leading).flatten().tolist(),
            strict=True,
        )
    ]
    if jobs is None:
        seconds = sum(s.size for s, _ in pairs) / rate
        jobs = min(joblib.cpu_count(), int(seconds / WORTH_A_PROCESS))
    workers = max(1, min(jobs, len(pairs)))
    scores = joblib.Parallel(workers)(joblib.delayed(score)(*pair) for pair in pairs)
    values = torch.tensor(scores, dtype=torch.float64, device=reference.device)
    return values.view(leading)


def pesq(
    reference: Tensor,
    estimate: Tensor,
    rate: int,
    lengths: Tensor | None = None,
    jobs: int | None = None,
) -> Tensor:
    """Perceptual evaluation of speech quality (MOS-LQO).

    Wideband at 16 kHz, narrowband at 8 kHz. Recordings over 20 s are scored in equal
    parts of at most that, and the scores averaged: the ITU code crashes on more than
    50 utterances.

    Arguments
    ---------
    reference : torch.Tensor
        The target, shape [batch, time] or [batch, ears, time].
    estimate : torch.Tensor
        Same shape.
    rate : int
        Sample rate, 8000 or 16000 Hz.
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1], shape [batch]; None for all of it.
    jobs : int, optional
        Processes; 1 stays in this one, None takes one per 10 s of sound and at most
        one per CPU.

    Returns
    -------
    torch.Tensor
        float64, shape [batch] or [batch, ears]; NaN where there is no score.

    Raises
    ------
    ValueError
        If the shapes do not fit or PESQ does not know the rate.

    Notes
    -----
    ITU-T P.862 (2001), P.862.1 (narrowband mapping), P.862.2 (wideband).

    Example
    -------
    >>> noise = torch.randn(1, 16000, generator=torch.Generator().manual_seed(0))
    >>> pesq(noise, noise, 16000, jobs=1).round(decimals=2)
    tensor([4.6400], dtype=torch.float64)
    """
    if rate not in PESQ_MODES:
        raise ValueError(
            f"PESQ knows 8000 (nb) and 16000 Hz (wb), got {rate} Hz: leave it out "
            "(in a YAML's metrics, pesq: null)"
        )
    score = functools.partial(_pesq_item, rate=rate)
    return _score_items(score, reference, estimate, rate, lengths, jobs)


def stoi(
    reference: Tensor,
    estimate: Tensor,
    rate: int,
    lengths: Tensor | None = None,
    extended: bool = False,
    jobs: int | None = None,
) -> Tensor:
    """Short-time objective intelligibility.

    Arguments
    ---------
    reference : torch.Tensor
        The target, shape [batch, time] or [batch, ears, time].
    estimate : torch.Tensor
        Same shape.
    rate : int
        Sample rate in Hz; other rates than 10 kHz are resampled to it.
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1], shape [batch]; None for all of it.
    extended : bool
        ESTOI instead.
    jobs : int, optional
        Processes; 1 stays in this one, None takes one per 10 s of sound and at most
        one per CPU.

    Returns
    -------
    torch.Tensor
        float64, shape [batch] or [batch, ears]; NaN where there is no score, which
        takes 0.41 s of speech.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Notes
    -----
    Taal, Hendriks, Heusdens, Jensen: "An algorithm for intelligibility prediction of
    time-frequency weighted noisy speech", IEEE TASLP 19(7), 2011.

    Example
    -------
    >>> noise = torch.randn(1, 16000, generator=torch.Generator().manual_seed(0))
    >>> stoi(noise, noise, 16000, jobs=1).round(decimals=2)
    tensor([1.], dtype=torch.float64)
    """
    score = functools.partial(_stoi_item, rate=rate, extended=extended)
    return _score_items(score, reference, estimate, rate, lengths, jobs)


def estoi(
    reference: Tensor,
    estimate: Tensor,
    rate: int,
    lengths: Tensor | None = None,
    jobs: int | None = None,
) -> Tensor:
    """STOI, extended to noise that fluctuates.

    Arguments
    ---------
    reference : torch.Tensor
        The target, shape [batch, time] or [batch, ears, time].
    estimate : torch.Tensor
        Same shape.
    rate : int
        Sample rate in Hz; other rates than 10 kHz are resampled to it.
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1], shape [batch]; None for all of it.
    jobs : int, optional
        Processes; 1 stays in this one, None takes one per 10 s of sound and at most
        one per CPU.

    Returns
    -------
    torch.Tensor
        float64, shape [batch] or [batch, ears]; NaN where there is no score.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Notes
    -----
    Jensen, Taal: "An algorithm for predicting the intelligibility of speech masked by
    modulated noise maskers", IEEE TASLP 24(11), 2016.

    Example
    -------
    >>> noise = torch.randn(1, 16000, generator=torch.Generator().manual_seed(0))
    >>> estoi(noise, noise, 16000, jobs=1).round(decimals=2)
    tensor([1.], dtype=torch.float64)
    """
    return stoi(reference, estimate, rate, lengths, extended=True, jobs=jobs)
