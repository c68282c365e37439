"""Level of signals: networks hear all of them at one mean power."""

import torch
from torch import Tensor

from speechbrain_fusion.nnet.padding import blank
from speechbrain_fusion.nnet.precision import single

# Mean power of a signal that is taken for silence and stays as it is: -140 dB re 1.
SILENCE = 1e-14


def mean_power(signal: Tensor, count: Tensor | None) -> Tensor:
    """Average each item's square over its own samples.

    Arguments
    ---------
    signal : torch.Tensor
        Shape [batch, time].
    count : torch.Tensor or None
        Each item's own samples, shape [batch].

    Returns
    -------
    torch.Tensor
        float32 (or float64), shape [batch, 1].

    Example
    -------
    >>> mean_power(torch.tensor([[3.0, 4.0], [3.0, 4.0]]), torch.tensor([2, 1]))
    tensor([[12.5000],
            [ 9.0000]])
    """
    number = signal.shape[-1] if count is None else count.clamp(min=1).unsqueeze(-1)
    own = single(blank(signal, count))
    return own.square().sum(-1, keepdim=True) / number


def to_unit_power(signal: Tensor, count: Tensor | None) -> tuple[Tensor, Tensor]:
    """Bring each item to a mean power of 1, silence excepted.

    Arguments
    ---------
    signal : torch.Tensor
        Shape [batch, time].
    count : torch.Tensor or None
        Each item's own samples, shape [batch].

    Returns
    -------
    signal : torch.Tensor
        float32 (or float64), padding blanked, same shape.
    gain : torch.Tensor
        What it was multiplied by, shape [batch, 1].

    Example
    -------
    >>> to_unit_power(torch.full((1, 4), 0.5), None)[1]
    tensor([[2.]])
    """
    power = mean_power(signal, count)
    gain = torch.where(power > SILENCE, power.clamp(min=SILENCE).rsqrt(), 1.0)
    return single(blank(signal, count)) * gain, gain
