"""CSIG, CBAK and COVL: ratings of speech, background and the whole, and their parts.

All are linear in PESQ and in three measures of frames of 30 ms: LLR, WSS and segmental
SNR.

The coefficients are those of the Matlab code that comes with Loizou's book; they are
what the literature reports. The article that it names (Hu & Loizou, 2008, table VII)
has others, and other predictors: its CSIG, for one, has no WSS. The code is for
narrowband PESQ; the literature takes wideband PESQ at 16 kHz, and so does this.

Sources: Loizou, "Speech Enhancement: Theory and Practice", CRC Press, 2nd edition,
2013, chapter 11, and its code; Hu & Loizou, "Evaluation of Objective Quality Measures
for Speech Enhancement", IEEE TASLP 16(1), 2008.
"""

import torch
from torch import Tensor

from speechbrain_fusion.metrics.frame_measures import frame_measures
from speechbrain_fusion.metrics.perceptual import pesq

WEIGHTS = {
    "csig": {"": 3.093, "llr": -1.029, "pesq": 0.603, "wss": -0.009},
    "cbak": {"": 1.634, "pesq": 0.478, "wss": -0.007, "segsnr": 0.063},
    "covl": {"": 1.594, "pesq": 0.805, "llr": -0.512, "wss": -0.007},
}
RATINGS = (1.0, 5.0)


def composite(
    reference: Tensor,
    estimate: Tensor,
    rate: int,
    lengths: Tensor | None = None,
    jobs: int | None = None,
) -> dict[str, Tensor]:
    """Predict how listeners rate signal, background and overall quality.

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
        Processes for PESQ, as `pesq` takes them.

    Returns
    -------
    dict of str to torch.Tensor
        "csig", "cbak" and "covl" (1 to 5), and their parts "llr", "wss", "segsnr" (dB)
        and "pesq" (MOS-LQO), each float64, shape [batch] or [batch, ears]; a rating is
        NaN where any part is.

    Raises
    ------
    ValueError
        If the shapes do not fit or PESQ does not know the rate.

    Notes
    -----
    See this module for sources and the choice of coefficients, and `frame_measures`.

    Example
    -------
    >>> noise = torch.randn(1, 16000, generator=torch.Generator().manual_seed(0))
    >>> scores = composite(noise, noise, 16000, jobs=1)
    >>> {name: round(score.item(), 2) for name, score in scores.items()}
    ... # doctest: +NORMALIZE_WHITESPACE
    {'csig': 5.0, 'cbak': 5.0, 'covl': 5.0, 'llr': 0.0, 'wss': 0.0, 'segsnr': 35.0,
     'pesq': 4.64}
    """
    parts = frame_measures(reference, estimate, rate, lengths)
    parts["pesq"] = pesq(reference, estimate, rate, lengths, jobs)
    return {name: _rating(weights, parts) for name, weights in WEIGHTS.items()} | parts


def _rating(weights: dict[str, float], parts: dict[str, Tensor]) -> Tensor:
    rating = torch.full_like(parts["pesq"], weights[""])
    for name, part in parts.items():
        rating = rating + weights.get(name, 0.0) * part
    return rating.clamp(*RATINGS)
