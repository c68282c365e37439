"""Signals of any length in constant memory.

A causal system runs as a stream: what comes out is what it makes of the whole signal,
of silence too. Any other hears chunks, which overlap and are cross-faded where they do:

    |---------------------|
                      |---------------------|
                                    |---------------------|    the last reaches back
    the weights of two chunks sum to one

At its ends, where a system has not heard what comes before or after, a chunk has a
weight near zero. A system that normalizes the level of its input does so chunk by chunk
and undoes it. A chunk that begins or ends in silence has a lower level than the speech
in it, by no more than 10 log10(chunk / overlap) dB where that has half of the weight:
6 dB by default. A chunk of silence (a mean power under -140 dB) stays silence. Chunks
begin where a system's frames do, so that all of them have the frames of the whole.

Separated talkers stay on their outputs: see `speechbrain_fusion.inference.talkers`.
"""

import functools
import math
from collections.abc import Iterable, Iterator
from typing import cast

import torch
from torch import Tensor, nn

from speechbrain_fusion.inference.streaming import Stream
from speechbrain_fusion.inference.talkers import Talkers, audible
from speechbrain_fusion.models.system import System

# Seconds: what one call processes, what is remembered of each talker, and what a causal
# system takes at once. With chunks of 4.5 seconds every published system stays below
# 1 GiB, of which PyTorch takes more than half.
CHUNK, STRETCH, BLOCK = 4.5, 1.5, 1.0
# Share of a chunk that is the next one's too.
OVERLAP = 0.25
# Chunks that an accelerator processes at once; a processor gains nothing by several.
TOGETHER = 8


def process_long(
    system: System,
    blocks: Iterable[Tensor],
    rate: int,
    chunk: float = CHUNK,
    overlap: float | None = None,
) -> Iterator[Tensor]:
    """Process a signal of any length that comes in blocks of any size.

    Arguments
    ---------
    system : System
        In evaluation mode.
    blocks : iterable of torch.Tensor
        Shape [inputs, time] or [batch, inputs, time] each, of any length.
    rate : int
        Sample rate of the system in Hz.
    chunk : float
        Seconds that a system that is not causal hears at once. What is no longer is
        processed whole. Without effect on a causal one, as the overlap.
    overlap : float, optional
        Seconds that two chunks share, a third of the chunk at most; by default a
        quarter.

    Yields
    ------
    torch.Tensor
        Shape [outputs, time] or [batch, outputs, time], on the device of the blocks;
        together as many samples as came in.

    Raises
    ------
    ValueError
        If the chunk is too short for the overlap, the blocks do not fit the system, or
        that is in training.

    Example
    -------
    >>> from speechbrain_fusion.models import BinauralTasNet
    >>> system = BinauralTasNet(N=16, L=8, B=8, H=8, S=12, P=5, causal=False).eval()
    >>> blocks = torch.randn(2, 20000).split(300, -1)
    >>> sum(out.shape[-1] for out in process_long(system, blocks, 8000, 1.0, 0.25))
    20000
    """
    _check_mode(system)
    overlap = OVERLAP * chunk if overlap is None else overlap
    if not (math.isfinite(chunk) and math.isfinite(overlap)):
        raise ValueError(
            f"chunk, overlap: expected finite seconds, got {chunk}, {overlap}"
        )
    hop = getattr(system, "hop", 1)
    if system.causal:
        # whole hops take the least time
        return _in_stream(system, blocks, whole_hops(BLOCK * rate, hop))
    size, step = round(chunk * rate), whole_hops((chunk - overlap) * rate, hop)
    if not 0 < size - step <= size // 3:
        raise ValueError(
            f"overlap: expected a third of the chunk of {chunk} s at most, and more "
            f"than a hop of {hop} samples, got {overlap} s"
        )
    chunks = overlapping(blocks, size, step, hop)
    if system.task == "separate" and system.outputs > 1:
        stretch = min(whole_hops(STRETCH * rate, hop), size)
        processed = _separated(system, chunks, stretch, hop)
    else:
        processed = ((start, _take_turns(system, chunk)) for start, chunk in chunks)
    return cross_fade(processed, size - step)


def whole_hops(samples: float, hop: int) -> int:
    """Round up to whole hops: at least one.

    Example
    -------
    >>> whole_hops(100, 32), whole_hops(96, 32), whole_hops(0.1, 1)
    (128, 96, 1)
    """
    return max(1, math.ceil(round(samples, 3) / hop)) * hop


def process_array(
    system: System,
    signal: Tensor,
    rate: int,
    chunk: float = CHUNK,
    overlap: float | None = None,
) -> Tensor:
    """Process a whole signal as `process_long` does.

    Takes its arguments, and

    signal : torch.Tensor
        Shape [inputs, time] or [batch, inputs, time].

    Returns
    -------
    torch.Tensor
        Shape [outputs, time] or [batch, outputs, time].

    Raises
    ------
    ValueError
        If the chunk is too short for the overlap, the signal does not fit the system,
        or that is in training.

    Example
    -------
    >>> from speechbrain_fusion.models import BinauralTasNet
    >>> system = BinauralTasNet(N=16, L=8, B=8, H=8, S=12, P=5, causal=False).eval()
    >>> process_array(system, torch.randn(3, 2, 20000), 8000, 1.0, 0.25).shape
    torch.Size([3, 2, 20000])
    """
    outputs = [*process_long(system, [signal], rate, chunk, overlap)]
    if outputs:
        return torch.cat(outputs, -1)
    return signal.new_zeros(*signal.shape[:-2], system.outputs, 0)


@torch.inference_mode()
def process_batch(
    system: System, signals: Tensor, lengths: Tensor | None = None
) -> Tensor:
    """Process a batch at once, on the system's device.

    Silent items stay silent, unless the system is causal: it does as in a stream, which
    cannot know that nothing will follow.

    Arguments
    ---------
    system : System
        In evaluation mode.
    signals : torch.Tensor
        Shape [batch, inputs, time].
    lengths : torch.Tensor, optional
        Relative lengths in (0, 1], shape [batch].

    Returns
    -------
    torch.Tensor
        Shape [batch, outputs, time], on the device of the signals.

    Raises
    ------
    ValueError
        If the signals do not fit the system, or that is in training.

    Example
    -------
    >>> from speechbrain_fusion.models import TwoBranchEnhancer
    >>> system = TwoBranchEnhancer(units=2, groups=1).eval()
    >>> process_batch(system, torch.zeros(1, 1, 1000)).count_nonzero()
    tensor(0)
    """
    if signals.dim() != 3 or signals.shape[1] != system.inputs:
        raise ValueError(
            f"expected [batch, inputs {system.inputs}, time], got "
            f"{tuple(signals.shape)}"
        )
    _check_mode(system)
    heard = audible(signals, lengths)
    if system.causal:
        heard = torch.ones_like(heard)
    if not heard.any():
        return signals.new_zeros(len(signals), system.outputs, signals.shape[-1])
    like = _like(system)
    inputs = signals.to(like)
    # lengths as they are: lower precisions would cut items off
    outputs = system.process(
        inputs, None if lengths is None else lengths.to(like.device)
    )
    outputs = outputs.to(signals)
    return outputs.where(heard.view(-1, 1, 1), 0.0)


def _check_mode(system: System) -> None:
    """Refuse a system whose results would depend on what shares a batch."""
    if getattr(system, "training", False):
        raise ValueError("expected a system in evaluation mode: call its eval()")


def _in_stream(system: System, blocks: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """Process by a causal system and take its delay away."""
    streams: list[Stream] = []
    late, like = 0, _like(system)
    for block in cut(blocks, size):
        items = block.reshape(-1, *block.shape[-2:]).split(together(system))
        if not streams:
            streams = [Stream(cast(nn.Module, system), len(few)) for few in items]
            late = streams[0].latency
        steps = [
            stream.step(few.to(like))
            for stream, few in zip(streams, items, strict=True)
        ]
        out = torch.cat(steps).to(block).view(*block.shape[:-2], -1, block.shape[-1])
        yield out[..., late:]
        late = max(0, late - block.shape[-1])
    if streams:
        rest = torch.cat([stream.flush() for stream in streams]).to(block)
        yield rest.view(*block.shape[:-2], *rest.shape[-2:])[..., late:]


def together(system: System) -> int:
    """Tell how many chunks a system processes at once, on its device.

    Example
    -------
    >>> from speechbrain_fusion.models import TwoBranchEnhancer
    >>> together(TwoBranchEnhancer(units=2, groups=1))
    1
    """
    return 1 if _like(system).device.type == "cpu" else TOGETHER


def _like(system: System) -> Tensor:
    """Return a tensor of the device and type in which a system computes."""
    parameters = getattr(system, "parameters", lambda: iter(()))
    return next(parameters(), torch.zeros(0))


def _take_turns(system: System, chunk: Tensor) -> Tensor:
    """Process an item, or a few at once."""
    if chunk.dim() == 2:
        return process_batch(system, chunk.unsqueeze(0)).squeeze(0)
    few = together(system)
    return torch.cat([process_batch(system, items) for items in chunk.split(few)])


def _separated(
    system: System, chunks: Iterable[tuple[int, Tensor]], stretch: int, hop: int
) -> Iterator[tuple[int, Tensor]]:
    """Separate talkers and keep each on its output, for each item."""
    items: list[Talkers] = []
    end = 0
    for start, chunk in chunks:
        batch = chunk.reshape(-1, *chunk.shape[-2:])
        if not items:
            separate = functools.partial(_take_turns, system)
            items = [Talkers(separate, stretch, hop) for _ in batch]
        found = [
            talkers(start, mixture, end - start)
            for talkers, mixture in zip(items, batch, strict=True)
        ]
        end = start + chunk.shape[-1]
        yield start, torch.stack(found).view(*chunk.shape[:-2], -1, chunk.shape[-1])


def cut(blocks: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """Cut a signal that comes in blocks into blocks of one size, the last excepted.

    Example
    -------
    >>> blocks = torch.arange(10).split([1, 6, 0, 3])
    >>> [block.tolist() for block in cut(blocks, 4)]
    [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    """
    held: list[Tensor] = []
    missing = size
    for block in blocks:
        while block.shape[-1] >= missing:
            yield torch.cat([*held, block[..., :missing]], -1)
            block, held, missing = block[..., missing:], [], size
        if block.shape[-1]:
            held.append(block)
            missing -= block.shape[-1]
    if held:
        yield torch.cat(held, -1)


def overlapping(
    blocks: Iterable[Tensor], size: int, step: int, hop: int = 1
) -> Iterator[tuple[int, Tensor]]:
    """Cut a signal that comes in blocks into chunks that overlap.

    Arguments
    ---------
    blocks : iterable of torch.Tensor
        Shape [..., time] each.
    size : int
        Samples of a chunk. If there are no more in all, there is one chunk of them.
    step : int
        Samples from one chunk to the next, at least half of the size.
    hop : int
        Chunks begin at multiples of it, as the step is one. The last one begins no
        later than it has to in order to be complete, and may be longer by less than a
        hop.

    Yields
    ------
    start : int
        Of the chunk, in samples.
    chunk : torch.Tensor
        Shape [..., size].

    Example
    -------
    >>> chunks = overlapping(torch.arange(12).split(5), 6, 4)
    >>> [(start, chunk.tolist()) for start, chunk in chunks]
    [(0, [0, 1, 2, 3, 4, 5]), (4, [4, 5, 6, 7, 8, 9]), (6, [6, 7, 8, 9, 10, 11])]
    """
    # what is held begins at `begin`, the next chunk at `start`
    begin = start = 0
    held: Tensor | None = None
    for block in cut(blocks, step):
        held = block if held is None else torch.cat([held, block], -1)
        if begin + held.shape[-1] >= start + size:
            # the last chunk reaches back no further than the one before
            held, begin = held[..., start - begin :], start
            yield start, held[..., :size]
            start += step
    if held is None:
        return
    end = begin + held.shape[-1]
    if start == 0:
        yield 0, held
    elif start - step + size < end:
        last = (end - size) // hop * hop
        yield last, held[..., last - begin :]


def cross_fade(chunks: Iterable[tuple[int, Tensor]], shared: int) -> Iterator[Tensor]:
    """Join chunks that overlap.

    Arguments
    ---------
    chunks : iterable of tuple
        Start in samples and chunk, shape [..., time]; each shares at least `shared`
        samples with the one before, and is three times as long.
    shared : int
        Samples over which one chunk fades into the next, in the middle of those that
        they share.

    Yields
    ------
    torch.Tensor
        The signal, shape [..., time] each.

    Example
    -------
    >>> chunks = overlapping([torch.arange(12.0)], 6, 4)
    >>> torch.cat([*cross_fade(chunks, 2)])
    tensor([ 0.,  1.,  2.,  3.,  4.,  5.,  6.,  7.,  8.,  9., 10., 11.])
    """
    previous: Tensor | None = None
    begin = done = 0
    steps = (torch.arange(shared) + 0.5) / shared
    rise = (steps * torch.pi / 2).sin().square()
    for start, chunk in chunks:
        if previous is not None:
            seam = (start + begin + previous.shape[-1] - shared) // 2
            yield previous[..., done - begin : seam - begin]
            old = previous[..., seam - begin :][..., :shared]
            new = chunk[..., seam - start :][..., :shared]
            yield old + rise.to(chunk) * (new - old)
            done = seam + shared
        previous, begin = chunk, start
    if previous is not None:
        yield previous[..., done - begin :]
