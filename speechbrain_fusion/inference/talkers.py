"""Talkers stay on one output from chunk to chunk of a long recording.

A separator numbers its talkers anew whenever it is called. Two things tell who is who:

    chunk before     |---------------------|
                                       what both heard
    this chunk                         |---------------------|
    called with   |--A--|--B--|........|---------------------|
                  remembered, put before it

- the overlap, which holds both chunks' estimates, if in it all talkers are well heard;
- otherwise, as in a pause of any length, remembered stretches of the mixture with the
  estimates of then: for each talker the latest one in which it was well heard. They are
  put before the chunk, so that the separator hears the old and the new together.

Estimates are assigned to outputs so that their inner products with the known ones are
largest in all, which is where their squared distance is least.

Limits. A separator that exchanges talkers within one call is not corrected. A talker
who was never heard clearly yet, or of whom nothing is left in its estimate, is assigned
by what else is known. Who takes another's place for good (two voices over time, one
output) does so unnoticed: there are as many outputs as the separator has.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from speechbrain_fusion.nnet.level import SILENCE

# Share of the best so far, in power, at which a talker counts as well heard.
HEARD = 0.25
# And of the best of all talkers, below which a talker may be no more than leakage.
LEAKAGE = 0.01
# Frames of a stretch, over which loudness is averaged: a click is not a talker.
FRAMES = 40
# Part of a stretch that fades in, and out.
FADE = 0.005


class Stretch(NamedTuple):
    """A remembered part of a recording.

    Attributes
    ----------
    start : int
        When it was, in samples.
    mixture : torch.Tensor
        Shape [inputs, time].
    talkers : torch.Tensor
        What was separated from it, shape [talkers, time].
    """

    start: int
    mixture: Tensor
    talkers: Tensor


class Talkers:
    """Separate chunk by chunk and keep each talker on the same output.

    Arguments
    ---------
    separate : callable
        Maps a mixture [inputs, time] to talkers [talkers, time] in any order.
    stretch : int
        Samples of a stretch that is remembered; for each talker one.
    hop : int
        Stretches begin at multiples of it, and are as long as one.

    Example
    -------
    >>> talkers = Talkers(lambda mixture: mixture.flip(0), stretch=40)
    >>> chunk = torch.randn(2, 400)
    >>> first = talkers(0, chunk, None)
    >>> again = talkers(300, torch.cat([chunk[:, 300:], torch.randn(2, 300)], -1), 100)
    >>> torch.equal(again[:, :100], first[:, 300:])
    True
    """

    def __init__(
        self, separate: Callable[[Tensor], Tensor], stretch: int, hop: int = 1
    ) -> None:
        self.separate, self.stretch, self.hop = separate, stretch, hop
        self.previous: Tensor | None = None
        self.best: Tensor | None = None
        self.memory: list[Stretch | None] = []

    def __call__(self, start: int, chunk: Tensor, overlap: int | None) -> Tensor:
        """Separate the next chunk.

        Arguments
        ---------
        start : int
            When it begins, in samples.
        chunk : torch.Tensor
            Shape [inputs, time].
        overlap : int, optional
            Its first samples that are the last ones of the chunk before; None for the
            first chunk.

        Returns
        -------
        torch.Tensor
            Shape [talkers, time].
        """
        # nobody is heard in silence, whatever is put before it
        if self.previous is None or overlap is None or not audible(chunk[None]):
            found = self.separate(chunk)
        else:
            found = self._follow(chunk, self.previous[:, -overlap:])
        self._remember(start, chunk, found)
        self.previous = found
        return found

    def _follow(self, chunk: Tensor, known: Tensor) -> Tensor:
        """Separate a chunk whose beginning is known, in the order of then."""
        context = [] if self._tells(known) else self._recall()
        parts = [faded(stretch.mixture) for stretch in context]
        found = self.separate(torch.cat([*parts, chunk], -1))
        sizes = [part.shape[-1] for part in parts]
        *again, new = found.split([*sizes, chunk.shape[-1]], -1)
        pairs = [(s.talkers, y) for s, y in zip(context, again, strict=True)]
        order = assign([*pairs, (known, new[:, : known.shape[-1]])])
        return new[order]

    def _tells(self, known: Tensor) -> bool:
        """Say whether all talkers are well heard."""
        if self.best is None:
            return True
        heard = prominence(known) >= HEARD * self.best
        certain = self.best >= LEAKAGE * self.best.max()
        return bool((heard & certain).all())

    def _recall(self) -> list[Stretch]:
        """List the stretches that are remembered, in order, each once."""
        stretches = {s.start: s for s in self.memory if s is not None}
        return [stretches[start] for start in sorted(stretches)]

    def _remember(self, start: int, chunk: Tensor, found: Tensor) -> None:
        """Keep the latest stretch in which a talker is well heard, for each."""
        size = self.stretch
        if chunk.shape[-1] < size:
            return
        half = max(1, size // 2 // self.hop) * self.hop
        begins = range(0, chunk.shape[-1] - size + 1, half)
        scores = torch.stack([prominence(found[:, i : i + size]) for i in begins])
        if self.best is None:
            self.best = torch.zeros_like(scores[0])
            self.memory = [None] * len(found)
        self.best = torch.maximum(self.best, scores.max(0).values)
        for talker, score in enumerate(scores.T):
            heard = (score >= HEARD * self.best[talker]).nonzero()
            if len(heard) and self.best[talker] > 0:
                i = begins[int(heard[-1])]
                cut = slice(i, i + size)
                self.memory[talker] = Stretch(
                    start + i, chunk[:, cut].clone(), found[:, cut].clone()
                )


def audible(signals: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Say of each item, [batch, channels, time], whether it is not silent: [batch].

    Relative lengths [batch] tell what is not padding.

    Example
    -------
    >>> audible(torch.stack([torch.zeros(1, 9), torch.full((1, 9), 1e-6)]))
    tensor([False,  True])
    """
    power = signals.square().mean((1, 2))
    return (power if lengths is None else power / lengths.to(power)) >= SILENCE


def prominence(talkers: Tensor) -> Tensor:
    """Tell how well each talker is heard: its power times its share of all power.

    What leaks from a louder talker is little in share, a talker who speaks alone has
    all of it.

    Arguments
    ---------
    talkers : torch.Tensor
        Shape [talkers, time].

    Returns
    -------
    torch.Tensor
        Shape [talkers].

    Example
    -------
    >>> prominence(torch.tensor([[1.0] * 80, [0.5] * 80]))
    tensor([0.8000, 0.0500])
    """
    size = max(1, talkers.shape[-1] // FRAMES)
    whole = talkers[:, : talkers.shape[-1] // size * size]
    frames = whole.unflatten(-1, (-1, size)).square().mean(-1).sqrt()
    power = frames.mean(-1).square()
    return power.square() / power.sum().clamp(min=torch.finfo(power.dtype).tiny)


def assign(pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Find the order in which new estimates agree best with the known ones.

    Arguments
    ---------
    pairs : list of tuple of torch.Tensor
        Known and new estimates of the same time, shape [talkers, time] each; the last
        pair is that of the overlap. All weigh the same, but an overlap that is softer
        than what is remembered weighs less.

    Returns
    -------
    torch.Tensor
        Index of the new estimate of each known talker, shape [talkers].

    Example
    -------
    >>> known = torch.randn(3, 100)
    >>> assign([(known, known[[2, 0, 1]])])
    tensor([1, 2, 0])
    """
    powers = torch.stack([known.square().sum() for known, _ in pairs])
    if len(pairs) > 1:
        powers[-1] = powers[-1].clamp(min=powers[:-1].min())
    powers = powers.clamp(min=torch.finfo(powers.dtype).tiny)
    products = [known @ new.T for known, new in pairs]
    agreement = sum(p / power for p, power in zip(products, powers, strict=True))
    numbers = np.nan_to_num(torch.as_tensor(agreement).double().cpu().numpy())
    return torch.from_numpy(linear_sum_assignment(numbers, maximize=True)[1])


def faded(mixture: Tensor) -> Tensor:
    """Let a stretch [inputs, time] begin and end softly, which clicks otherwise.

    Example
    -------
    >>> faded(torch.ones(1, 400))[0, [0, 1, 2, -1]]
    tensor([0.3333, 0.6667, 1.0000, 0.3333])
    """
    size = max(1, round(FADE * mixture.shape[-1]))
    ramp = torch.arange(1, size + 1).to(mixture) / (size + 1)
    mixture = mixture.clone()
    mixture[:, :size] *= ramp
    mixture[:, -size:] *= ramp.flip(0)
    return mixture
