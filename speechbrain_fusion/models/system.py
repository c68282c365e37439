"""What every system offers once it is trained: one way to call it, and its facts.

`speechbrain_fusion.inference` knows systems by this alone.
"""

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class System(Protocol):
    """A network that maps signals to signals, whatever it is made of.

    Attributes
    ----------
    task : str
        "enhance" or "separate".
    inputs : int
        Channels that go in together: two ears, or one where each channel of a recording
        is processed on its own.
    outputs : int
        Signals that come out for them: as many, or the talkers.
    causal : bool
        Whether no output sample depends on an input sample more than `latency` - 1
        samples later. A causal system has `latency`, its algorithmic latency in
        samples, and `hop`, the samples from one of its frames to the next. Any other
        may have `hop` too: chunks of long signals then begin where its frames do.

    Example
    -------
    >>> from speechbrain_fusion.models import BinauralTasNet
    >>> isinstance(BinauralTasNet(N=16, L=8, B=8, H=8, S=12, P=5), System)
    True
    """

    task: str
    inputs: int
    outputs: int
    causal: bool

    def process(self, signals: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map [batch, inputs, time] to [batch, outputs, time]; lengths are relative."""
        ...
