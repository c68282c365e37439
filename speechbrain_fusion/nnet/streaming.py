"""Memory of causal layers: in pieces, a signal gives what it gives at once.

Offline, a causal layer puts zeros before its input, or adds up frames that overlap.
Within a `Memory` it puts the end of the piece before there, or adds what that piece
left over::

    offline     0 0 0 x x x x x x        `pad_past` puts zeros before the signal,
    piece 1     0 0 0 x x x              zeros before its first piece,
    piece 2           x x x x x x        and the end of the piece before else

States are tensors with the batch first. All begin as zeros, and layers take and leave
them in the order in which they are called. A memory belongs to the thread that uses it.
"""

import functools
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class Memory:
    """What the layers of a causal network remember of the signal so far.

    Pieces are whole hops, each of which completes one frame. The first frames of the
    stream may hold too few samples to be frames of the signal; layers must not remember
    those, since offline there are zeros in their place.

    Arguments
    ---------
    states : sequence of torch.Tensor, optional
        What the layers left of the piece before; by default this is the first, and
        they begin with zeros.
    samples : torch.Tensor, optional
        Of each item's signal, shape [batch], if it ends within this piece.
    settled : bool
        Whether all frames are known to be the signal's, and its output has begun, so
        that nothing needs to be masked.

    Attributes
    ----------
    left : list of torch.Tensor
        The states for the next piece.
    valid : torch.Tensor or None
        One where a frame is the signal's, zero else, shape [batch, frames]; None if
        all are.

    Example
    -------
    >>> memory = Memory()
    >>> with memory:
    ...     first = pad_past(torch.tensor([[1.0, 2.0, 3.0]]), 2)
    >>> with Memory(memory.left):
    ...     second = pad_past(torch.tensor([[4.0, 5.0]]), 2)
    >>> first, second
    (tensor([[0., 0., 1., 2., 3.]]), tensor([[2., 3., 4., 5.]]))
    """

    def __init__(
        self,
        states: Sequence[Tensor] | None = None,
        samples: Tensor | None = None,
        settled: bool = False,
    ) -> None:
        self._states, self._samples, self._settled = states, samples, settled
        self._outer: Memory | None = None
        self._early = self._frames = 0
        self._masks: dict[tuple[int, int], Tensor] = {}
        self.left: list[Tensor] = []
        self.valid: Tensor | None = None

    def __enter__(self) -> "Memory":
        """Let this thread's layers use it."""
        self._outer, _LOCAL.memory = _LOCAL.memory, self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the layers back what they used before."""
        _LOCAL.memory = self._outer

    def take(
        self, like: Tensor, shape: Sequence[int], dtype: torch.dtype | None = None
    ) -> Tensor:
        """Return the next state, or zeros if this is the first piece.

        Arguments
        ---------
        like : torch.Tensor
            Gives device and precision of the zeros.
        shape : sequence of int
            Of the state.
        dtype : torch.dtype, optional
            Its precision, if another.

        Returns
        -------
        torch.Tensor
            What a layer left of the piece before.

        Raises
        ------
        ValueError
            If there are states, but fewer.
        """
        if self._states is None:
            return like.new_zeros(shape, dtype=dtype)
        if len(self.left) == len(self._states):
            raise ValueError(
                f"states: expected more than {len(self._states)}, as the first piece "
                "left them"
            )
        return self._states[len(self.left)]

    def leave(self, state: Tensor) -> None:
        """Keep a state, in place of the one taken last."""
        self.left.append(state)

    def check(self) -> None:
        """Refuse states that no layer has taken.

        Raises
        ------
        ValueError
            If there are any.
        """
        if self._states is not None and len(self._states) > len(self.left):
            raise ValueError(
                f"states: expected {len(self.left)}, got {len(self._states)}"
            )

    def begin(
        self, x: Tensor, size: int, hop: int, early: int, count: Callable
    ) -> Tensor:
        """Put the past before a piece, so that each hop completes a frame; count them.

        Arguments
        ---------
        x : torch.Tensor
            Shape [batch, ..., time], whole hops.
        size, hop : int
            Samples of a frame and from one to the next.
        early : int
            How many first frames of the stream are none of the signal's.
        count : callable
            Tells the frames of signals of as many samples, [batch] to [batch].

        Returns
        -------
        torch.Tensor
            Shape [batch, ..., size - hop + time].

        Raises
        ------
        ValueError
            If the piece is not one hop or several.
        """
        frames = x.shape[-1] // hop
        if frames * hop != x.shape[-1] or not frames:
            raise ValueError(
                f"a piece: expected a multiple of {hop} samples, got {x.shape[-1]}"
            )
        self._before = self.take(x, x.shape[:1], torch.int64)
        self.leave(self._before + frames)
        self._early, self._frames, own = early, frames, None
        if early and not self._settled:
            own = self.number >= early
        if self._samples is not None:
            end = early + count(self._samples).unsqueeze(1)
            own = self.number < end if own is None else own & (self.number < end)
        self.valid = None if own is None else own.to(x.dtype)
        return self.pad_past(x, size - hop, -1, masked=False)

    def pad_past(
        self, x: Tensor, frames: int, axis: int, masked: bool = True
    ) -> Tensor:
        """Do what `pad_past` does; unless masked, all of `x` is remembered."""
        shape = list(x.shape)
        shape[axis] = frames
        past = self.take(x, shape)
        if masked and self.valid is not None:
            x = x * self._mask(x.dim(), axis)
        wide = torch.cat([past, x], axis)
        self.leave(last(wide, frames, axis))
        return wide

    def overlap(self, y: Tensor, time: int) -> Tensor:
        """Do what `overlap` does."""
        rest = self.take(y, [*y.shape[:-1], y.shape[-1] - time])
        y = y + F.pad(rest, (0, time))
        self.leave(y[..., time:])
        return y[..., :time]

    def accumulate(self, x: Tensor, axis: int) -> Tensor:
        """Sum along the frames, from the first of the stream on.

        Arguments
        ---------
        x : torch.Tensor
            Shape [batch, ...].
        axis : int
            Of the frames, counted from behind.

        Returns
        -------
        torch.Tensor
            Same shape.
        """
        shape = list(x.shape)
        shape[axis] = 1
        before = self.take(x, shape)
        if self.valid is not None:
            x = x * self._mask(x.dim(), axis).to(x.dtype)
        sums = before + x.cumsum(axis)
        self.leave(last(sums, 1, axis))
        return sums

    def _mask(self, axes: int, axis: int) -> Tensor:
        """Shape the mask of frames for a tensor, and keep it for others like that."""
        if (axes, axis) not in self._masks:
            assert self.valid is not None
            self._masks[axes, axis] = along(self.valid, axes, axis)
        return self._masks[axes, axis]

    @functools.cached_property
    def number(self) -> Tensor:
        """Of each frame in the stream, integers from 0, shape [batch, frames]."""
        steps = torch.arange(self._frames, device=self._before.device)
        return self._before.unsqueeze(1) + steps

    @property
    def heard(self) -> Tensor:
        """Count the signal's frames up to each one, 1 at least, [batch, frames]."""
        return (self.number + (1 - self._early)).clamp(min=1)

    def silence_start(self, y: Tensor, hops: int) -> Tensor:
        """Silence the first hops of the stream in its output [batch, ..., time]."""
        if self._settled:
            return y
        started = (self.number >= hops).to(y.dtype)
        apart = y.unflatten(-1, (started.shape[1], -1))
        return (apart * along(started, apart.dim(), -2)).flatten(-2)


class _Local(threading.local):
    """The memory of each thread; dynamo traces this, but no context variable."""

    memory: Memory | None = None


_LOCAL = _Local()


def current_memory() -> Memory | None:
    """Return the memory within which this thread is, or None.

    Example
    -------
    >>> current_memory() is None
    True
    >>> with Memory() as memory:
    ...     current_memory() is memory
    True
    """
    return _LOCAL.memory


def pad_past(x: Tensor, frames: int, axis: int = -1) -> Tensor:
    """Put the past before a signal: zeros or, within a `Memory`, what was heard last.

    Arguments
    ---------
    x : torch.Tensor
        Shape [batch, ...].
    frames : int
        How many to put before; with none the signal stays as it is.
    axis : int
        Of the frames, counted from behind.

    Returns
    -------
    torch.Tensor
        `frames` longer along the axis.

    Example
    -------
    >>> pad_past(torch.ones(1, 2), 3)
    tensor([[0., 0., 0., 1., 1.]])
    """
    if not frames:
        return x
    if _LOCAL.memory is not None:
        return _LOCAL.memory.pad_past(x, frames, axis)
    return F.pad(x, [0, 0] * (-axis - 1) + [frames, 0])


def overlap(y: Tensor, time: int) -> Tensor:
    """Cut what reaches beyond a signal's end; within a `Memory` the next piece has it.

    Arguments
    ---------
    y : torch.Tensor
        Overlapped frames, shape [batch, ..., time or more].
    time : int
        Samples of the signal, or of its piece.

    Returns
    -------
    torch.Tensor
        Shape [batch, ..., time].

    Example
    -------
    >>> overlap(torch.tensor([[1.0, 2.0, 3.0]]), 2)
    tensor([[1., 2.]])
    >>> memory = Memory()
    >>> with memory:
    ...     first = overlap(torch.tensor([[1.0, 2.0, 3.0]]), 2)
    >>> with Memory(memory.left):
    ...     overlap(torch.tensor([[1.0, 2.0, 3.0]]), 2)
    tensor([[4., 2.]])
    """
    if _LOCAL.memory is not None:
        return _LOCAL.memory.overlap(y, time)
    return y[..., :time]


def along(mask: Tensor, axes: int, axis: int) -> Tensor:
    """Shape a mask [batch, frames] for a tensor's axis, counted from behind.

    Example
    -------
    >>> along(torch.ones(2, 5), axes=4, axis=-2).shape
    torch.Size([2, 1, 5, 1])
    """
    between, behind = [None] * (axes + axis - 1), [None] * (-axis - 1)
    index = (slice(None), *between, slice(None), *behind)
    return mask[index]


def last(x: Tensor, count: int, axis: int) -> Tensor:
    """Cut the last of an axis, which is counted from behind.

    Example
    -------
    >>> last(torch.arange(6).view(1, 3, 2), 2, axis=-2)
    tensor([[[2, 3],
             [4, 5]]])
    """
    # not `narrow`: what begins at a negative index is one operation when exported
    index: tuple[Any, ...] = (..., slice(-count, None), *[slice(None)] * (-axis - 1))
    return x[index]
