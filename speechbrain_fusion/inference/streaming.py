"""Streams through causal systems: any number of samples in, as many out.

Systems work hop by hop, streams sample by sample. What does not fill a hop waits, and
so does as much of the output, which is thus always exactly `latency` samples late::

    in      x0 x1 x2 | x3 x4 x5 x6 x7 | x8 ...
    out      0  0  0 |  0  0  0  0  0 | y0 ...         with a latency of 8
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from speechbrain_fusion.inference.step import StepModel
from speechbrain_fusion.nnet.options import check_sizes

Samples = TypeVar("Samples", Tensor, np.ndarray)
# Hops from which on states are copied, and do not hold the whole piece in memory.
MANY_HOPS = 8


class Stream:
    """Pass signals through a causal system while they are being heard.

    The steps' results and what `flush` returns are, one after another and without their
    first `latency` samples, what the system makes of the whole signal, to rounding,
    wherever it is cut.

    Arguments
    ---------
    system : torch.nn.Module
        A causal `System`, which is set to evaluation, or a `StepModel`. Its weights,
        type and device are those of the stream; it must not be moved meanwhile.
    batch : int
        Signals at a time, each with a beginning and an end of its own.
    block : int, optional
        Samples of the steps to come: these then take half to two thirds of the time,
        which matters where they are short. To prepare for them takes seconds, which
        later streams of the same system, block and batch are spared; its weights must
        not change meanwhile. Other steps may be taken as well.

    Attributes
    ----------
    latency : int
        Samples by which the output is late: the system's algorithmic latency.
    hop : int
        Samples between two frames. Steps of a multiple of it take the least time.
    inputs, outputs : int
        Channels that go in and come out.
    batch : int
        Signals at a time.

    Raises
    ------
    ValueError
        If the system is not causal, or the batch or the block is empty.

    Example
    -------
    >>> from speechbrain_fusion.models import BinauralTasNet
    >>> system = BinauralTasNet(N=16, L=8, B=8, H=8, S=12, P=5, X=2, R=1)
    >>> stream, signal = Stream(system), torch.randn(2, 1000)
    >>> parts = [stream.step(part) for part in signal.split(37, dim=-1)]
    >>> y = torch.cat([*parts, stream.flush()], -1)[:, stream.latency :]
    >>> whole = system.process(signal[None])[0]
    >>> torch.allclose(y, whole, atol=1e-5)
    True
    """

    def __init__(
        self, system: nn.Module, batch: int = 1, block: int | None = None
    ) -> None:
        check_sizes(batch=batch, block=1 if block is None else block)
        self._model = system if isinstance(system, StepModel) else StepModel(system)
        self.batch = batch
        self.hop, self.latency = self._model.hop, self._model.latency
        self.inputs, self.outputs = self._model.inputs, self._model.outputs
        self._dims, self._in_numpy = 3, False
        self._ended: set[int] = set()
        self._samples: list[int] = []
        self._lanes: list[Tensor] = []
        # a step that is no multiple of the hop completes one hop more or less
        few, odd = divmod(block or 0, self.hop)
        counts = {few, few + (odd > 0)} - {0}
        self._prepared = {n: self._model.prepare(n, batch) for n in sorted(counts)}
        self.reset()

    def step(self, x: Samples) -> Samples:
        """Take the next samples, and return as many.

        Arguments
        ---------
        x : torch.Tensor or numpy.ndarray
            Any number of samples, none too: shape [batch, inputs, time]; of a single
            stream also [inputs, time] and, where there is one input, [time].

        Returns
        -------
        torch.Tensor or numpy.ndarray
            As `x`, but in the system's type, a tensor on its device; shape [batch,
            outputs, time], or [outputs, time] or [time] where `x` is (with several
            outputs [outputs, time] for both).

        Raises
        ------
        ValueError
            If it is neither, the shape is another, samples are not finite or no
            floating-point numbers, or a signal has ended. Nothing has happened to the
            stream then.
        """
        if self._ended:
            raise ValueError(
                f"stream: signals {sorted(self._ended)} have ended, reset them first"
            )
        with torch.inference_mode():
            y = self._step(self._check(_as_tensor(x)))
        self._dims, self._in_numpy = x.ndim, isinstance(x, np.ndarray)
        # outside, so that it may be changed in place
        return self._like_input(y.clone())

    def _step(self, part: Tensor) -> Tensor:
        groups = self._by_phase(range(self.batch))
        if len(groups) == 1:
            y, self._lanes = self._advance(part, self._lanes, *groups)
        else:
            y = part.new_empty(self.batch, self.outputs, part.shape[-1])
            for phase, items in groups.items():
                lanes = [lane[items] for lane in self._lanes]
                y[items], lanes = self._advance(part[items], lanes, phase)
                self._replace(items, lanes)
        self._samples = [samples + part.shape[-1] for samples in self._samples]
        return y

    def flush(self, items: Iterable[int] | None = None) -> Any:
        """End the signals, and return what is left.

        Arguments
        ---------
        items : iterable of int, optional
            Which of the batch end; by default all. The others wait until these are
            `reset`.

        Returns
        -------
        torch.Tensor or numpy.ndarray
            The last `latency` samples, [items, outputs, latency], as the last step's:
            with as many axes, and an array if that was one.

        Raises
        ------
        ValueError
            If a signal has ended already, or there is no such one.
        """
        chosen = self._choose(items)
        ended = sorted(self._ended.intersection(chosen))
        if ended:
            raise ValueError(f"stream: signals {ended} have ended, reset them first")
        with torch.inference_mode():
            y = self._lanes[0].new_zeros(self.batch, self.outputs, self.latency)
            for phase, group in self._by_phase(chosen).items():
                y[group] = self._finish(phase, group)
        self._ended.update(chosen)
        return self._like_input(y.clone()[chosen])

    @torch.inference_mode()
    def reset(self, items: Iterable[int] | None = None) -> None:
        """Begin anew.

        Arguments
        ---------
        items : iterable of int, optional
            Which of the batch do; by default all.

        Raises
        ------
        ValueError
            If there is no such item.
        """
        if items is None:
            states, like = self._model.initial_states(self.batch), self._model.like
            # what waits for a hop to be full, and output that waits; see `_advance`
            sizes = [(self.batch, n, self.hop) for n in (self.inputs, self.outputs)]
            self._lanes = [*(like.new_zeros(size) for size in sizes), *states]
            self._samples, self._ended = [0] * self.batch, set()
            return
        chosen = self._choose(items)
        self._replace(chosen, [torch.zeros_like(x[chosen]) for x in self._lanes])
        self._ended.difference_update(chosen)
        for item in chosen:
            self._samples[item] = 0

    def _advance(
        self, x: Tensor, lanes: Sequence[Tensor], phase: int
    ) -> tuple[Tensor, list[Tensor]]:
        """Pass samples of signals whose last hop has `phase` samples so far.

        These are the last `phase` of what waits to go in; the last hop - `phase` of the
        other wait to go out.
        """
        waiting, ready, *states = lanes
        hop, time = self.hop, x.shape[-1]
        hops = (phase + time) // hop
        piece = x
        if phase or time % hop:
            wide = torch.cat([waiting, x], -1)
            start = hop - phase
            piece, waiting = wide[..., start : start + hops * hop], wide[..., -hop:]
        if not hops:
            return ready[..., phase : phase + time], [waiting, ready, *states]
        if min(self._samples) >= self.latency:
            advance = self._prepared.get(hops) if len(x) == self.batch else None
            y, *states = (advance or self._model.advance)(piece, states)
        else:
            y, *states = self._model(piece, *states)
        y = torch.cat([ready, y], -1)
        lanes = [waiting, y[..., -hop:], *states]
        if hops > MANY_HOPS:
            lanes = [lane.clone() for lane in lanes]
        return y[..., phase : phase + time], lanes

    def _finish(self, phase: int, items: list[int]) -> Tensor:
        """Return the last `latency` samples of signals of one phase."""
        waiting, ready, *states = (lane[items] for lane in self._lanes)
        samples = torch.tensor([self._samples[item] for item in items])
        samples = samples.to(waiting.device)
        missing = -phase % self.hop + self._model.delay
        rest = waiting[..., self.hop - phase :]
        piece = torch.cat([rest, rest.new_zeros(*rest.shape[:2], missing)], -1)
        if piece.shape[-1]:
            last = self._model.finish(piece, samples, *states)
            ready = torch.cat([ready, last], -1)
        y = ready[..., phase : phase + self.latency]
        # what was never begun is silent to its end
        return y * (samples > 0).to(y.dtype)[:, None, None]

    def _by_phase(self, items: Iterable[int]) -> dict[int, list[int]]:
        """Group items by how many samples of their last hop they have."""
        groups: dict[int, list[int]] = {}
        for item in items:
            groups.setdefault(self._samples[item] % self.hop, []).append(item)
        return groups

    def _replace(self, items: list[int], lanes: Sequence[Tensor]) -> None:
        """Put new lanes in the place of some items': in new memory, others see it."""
        copies = [lane.clone() for lane in self._lanes]
        for copy, lane in zip(copies, lanes, strict=True):
            copy[items] = lane
        self._lanes = copies

    def _choose(self, items: Iterable[int] | None) -> list[int]:
        chosen = [*range(self.batch)] if items is None else [*items]
        known = set(chosen).issubset(range(self.batch))
        if not known or len(set(chosen)) < len(chosen):
            raise ValueError(
                f"items: expected different ones from 0 to {self.batch - 1}, got "
                f"{chosen}"
            )
        return chosen

    def _check(self, x: Tensor) -> Tensor:
        """Return samples as [batch, inputs, time], of the system's type and device."""
        wanted = self.batch, self.inputs
        full = x[(None,) * (3 - x.dim())] if self.batch == 1 and x.dim() < 3 else x
        if full.dim() != 3 or full.shape[:2] != wanted:
            raise ValueError(
                f"stream: expected [batch {wanted[0]}, inputs {wanted[1]}, time], got "
                f"{tuple(x.shape)}"
            )
        if not x.is_floating_point():
            raise ValueError(f"stream: expected floating-point samples, got {x.dtype}")
        full = full.to(self._lanes[0])
        # a sum is soon made, and is not finite if one sample is not
        if not math.isfinite(full.sum()) and not full.isfinite().all():
            raise ValueError("stream: expected finite samples, got NaN or infinity")
        return full

    def _like_input(self, y: Tensor) -> Any:
        """Return as what the last input was, with as many axes."""
        if self._dims < 3 and len(y):
            y = y[0, 0] if self._dims == 1 and self.outputs == 1 else y[0]
        return y.cpu().numpy() if self._in_numpy else y


def _as_tensor(x: Any) -> Tensor:
    if isinstance(x, np.ndarray):
        if x.dtype.itemsize > 8:
            raise ValueError(f"stream: expected float64 at most, got {x.dtype}")
        # a copy: it may be read-only, step backwards or have its bytes the other way
        return torch.from_numpy(x.astype(x.dtype.newbyteorder("=")))
    if isinstance(x, Tensor):
        return x
    raise ValueError(f"stream: expected a tensor or an array, got {type(x).__name__}")
