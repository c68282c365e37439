"""BSS Eval's signal-to-distortion ratio, which forgives a linear filter."""

import fast_bss_eval
import torch
from torch import Tensor
from torch.nn.functional import pad

from speechbrain_fusion.losses.signal import align
from speechbrain_fusion.metrics.signal import SILENCE

# Taps of the distortion filter that is not counted as an error, BSS Eval's choice.
FILTER_TAPS = 512
# White noise at -120 dB: a tone or a band-limited reference can be solved for as well.
LOADING = 1e-12


def sdr(reference: Tensor, estimate: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Signal-to-distortion ratio of separated signals by BSS Eval in dB.

    What a filter of 512 taps can make of the reference counts as signal, the rest of
    the estimate as distortion. The estimates stand in the order of the references.

    Arguments
    ---------
    reference : torch.Tensor
        The targets, shape [batch, time] or [batch, talkers, time].
    estimate : torch.Tensor
        Same shape.
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1], shape [batch]; None for all of it.

    Returns
    -------
    torch.Tensor
        In dB, float64, shape [batch] or [batch, talkers]. NaN where either signal is
        silent or not finite; about 120 dB where an estimate is perfect.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Notes
    -----
    Vincent, Gribonval, Févotte: "Performance measurement in blind audio source
    separation", IEEE TASLP 14(4), 2006. The package fast_bss_eval computes it:
    Scheibler, "SDR - medium rare with fast computations", ICASSP 2022.

    Example
    -------
    >>> talkers = torch.randn(1, 2, 8000, generator=torch.Generator().manual_seed(0))
    >>> late = 0.5 * talkers.roll(3, -1) + 0.05 * talkers.flip(1)
    >>> sdr(talkers, late).round()
    tensor([[20., 20.]], dtype=torch.float64)
    """
    s, y, count = align(reference.double(), estimate.double(), lengths)
    powers = [signal.square().sum(-1) for signal in (s, y)]
    scorable = torch.stack(
        [power.isfinite() & (power / count > SILENCE) for power in powers]
    ).all(0)
    # The package takes signals with a norm below 1e-6 for silence, and short ones wrap.
    target, output = (
        pad(
            torch.where(scorable[..., None], signal / power.sqrt()[..., None], 0.0),
            (0, max(0, FILTER_TAPS - signal.shape[-1])),
        )
        for signal, power in zip((s, y), powers, strict=True)
    )
    loss = fast_bss_eval.sdr_loss(output, target, FILTER_TAPS, load_diag=LOADING)
    return torch.where(scorable, -loss, torch.nan)
