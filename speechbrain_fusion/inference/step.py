"""A causal system as a function of one piece of the signal and of its state."""

import contextlib
import hashlib
import math
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechbrain_fusion.nnet.streaming import Memory

# takes a piece and the states before it; gives output and the states after it
Advance = Callable[[Tensor, Sequence[Tensor]], tuple[Tensor, ...]]
# TorchScript improves a recording in the first runs of it.
WARM_UP = 3
# Recordings of each system, by hops and batch, with the fingerprint of its weights.
# PyTorch never frees all of one, so that no stream may have its own.
_Recordings = dict[tuple[int, int], tuple[bytes, Advance]]
_RECORDED: WeakKeyDictionary[nn.Module, _Recordings] = WeakKeyDictionary()
# Systems that were seen to give in a stream what they give at once.
_CHECKED: WeakSet[nn.Module] = WeakSet()
# Pieces of the stream that they are checked by
PIECES = 4
# What is wanted of a system that is refused
MASKS = (
    "frames that are not the signal's to be masked, as current_memory().valid of "
    "speechbrain_fusion.nnet.streaming says (docs/howto/own_model.md)"
)
LATENCY = "the latency and hop of its layers, which hear no more"
OR_CHUNKS = "or one that says causal = False: it is then heard in chunks"
# PyTorch's recorder and exporter have one state for all threads.
RECORDING = threading.Lock()


class StepModel(nn.Module):
    """Process a signal piece by piece, with all that is remembered in between outside.

    A piece is one or more whole hops. What comes out of it is as long, and `delay`
    samples late: those before the signal's first are silence. With the hop that has to
    be heard before it can go in, that makes the system's `latency`.

    The states are tensors with the batch first, whose shapes follow from the batch
    alone. Zeros are the beginning; an item whose states are set to zero begins anew.

    Arguments
    ---------
    system : torch.nn.Module
        A causal `System`; it is set to evaluation.

    Attributes
    ----------
    system : torch.nn.Module
        The system.
    hop : int
        Samples of the shortest piece.
    delay : int
        Samples by which the output is behind the input.
    latency : int
        Algorithmic latency in samples, the sum of both.

    Raises
    ------
    ValueError
        If the system is not causal, does not tell its latency and hop, forgets what
        was before a piece, as layers do that know nothing of streams, or does not mask
        the frames before the signal and behind its end.

    Example
    -------
    >>> from speechbrain_fusion.models import BinauralTasNet
    >>> model = StepModel(BinauralTasNet(N=16, L=8, B=8, H=8, S=12, P=5, X=2, R=1))
    >>> model.hop, model.latency
    (4, 8)
    >>> states = model.initial_states(batch=3)
    >>> y, *states = model(torch.randn(3, 2, 20), *states)
    >>> y.shape
    torch.Size([3, 2, 20])
    """

    def __init__(self, system: nn.Module) -> None:
        super().__init__()
        name = type(system).__name__
        if not getattr(system, "causal", False):
            raise ValueError(f"{name}: expected a causal system, to process a stream")
        missing = [key for key in ("latency", "hop") if not hasattr(system, key)]
        if missing:
            raise ValueError(f"{name}: expected a system that has {missing}")
        self.system = system.eval()
        self.hop = int(system.hop)  # type: ignore[arg-type]
        self.latency = int(system.latency)  # type: ignore[arg-type]
        self.delay = self.latency - self.hop
        if self.delay < 0:
            raise ValueError(
                f"{name}: expected a latency of a hop or more, got {self.latency} and "
                f"a hop of {self.hop}"
            )
        self.inputs = int(system.inputs)  # type: ignore[arg-type]
        self.outputs = int(system.outputs)  # type: ignore[arg-type]
        if system not in _CHECKED:
            self._check_stream(name)
            _CHECKED.add(system)

    @torch.no_grad()
    def _check_stream(self, name: str) -> None:
        """Refuse a system whose stream is not what it makes of the whole signal."""
        # pieces of a window, and an end that fills no hop
        length = self.hop * max(2, math.ceil(self.latency / self.hop))
        time = PIECES * length + self.hop // 2
        seeded = torch.Generator().manual_seed(0)
        noise = torch.rand(1, self.inputs, time, generator=seeded)
        noise = noise.sub(0.5).to(self.like)
        with self._full_precision():
            whole = self.system.process(noise)  # type: ignore[operator]
        if whole.shape != (1, self.outputs, time):
            raise ValueError(
                f"{name}: expected process to return {(1, self.outputs, time)} for "
                f"{(1, self.inputs, time)}, got {tuple(whole.shape)}"
            )
        pieces, end = self._stream(noise, length)
        stream = torch.cat([pieces, end], -1)[..., self.delay :][..., :time]
        bound = max(1e-3, 16 * torch.finfo(whole.dtype).eps) * whole.abs().max()
        wrong = ((stream - whole).abs() > bound).flatten(0, 1).any(0)
        if not wrong.any():
            return
        once, *_ = self(noise[..., : PIECES * length], *self.initial_states())
        if ((pieces - once).abs() > bound).any():
            raise ValueError(
                f"{name}: gives in pieces what it does not give at once, expected "
                f"a system of this package's streaming layers, {OR_CHUNKS}"
            )
        parts = wrong.split([length, time - 2 * length, length])
        places = zip(("start", "middle", "end"), parts, strict=True)
        found = " and the ".join(place for place, part in places if part.any())
        wanted = LATENCY if parts[1].any() else MASKS
        raise ValueError(
            f"{name}: a stream differs from the whole signal at the {found}, first in "
            f"sample {int(wrong.int().argmax())} of {time}, expected {wanted}, "
            f"{OR_CHUNKS}"
        )

    def _stream(self, signal: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Pass a signal as a stream does: pieces of a length, and then the end."""
        parts: list[Tensor] = []
        states, time = self.initial_states(), signal.shape[-1]
        *pieces, rest = signal.tensor_split([*range(length, time + 1, length)], -1)
        for piece in pieces:
            # behind the first, which holds a window, nothing is to be masked
            y, *states = self._pass(piece, Memory(states, settled=bool(parts)))
            parts.append(y)
        rest = F.pad(rest, (0, -time % self.hop + self.delay))
        if not rest.shape[-1]:
            return torch.cat(parts, -1), parts[0][..., :0]
        samples = torch.tensor([time], device=rest.device)
        return torch.cat(parts, -1), self.finish(rest, samples, *states)

    def forward(self, chunk: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Process the next piece.

        Arguments
        ---------
        chunk : torch.Tensor
            Shape [batch, inputs, k * hop].
        *states : torch.Tensor
            What the piece before left, or `initial_states`.

        Returns
        -------
        tuple of torch.Tensor
            The output [batch, outputs, k * hop], and the states for the next piece.

        Raises
        ------
        ValueError
            If the piece is no multiple of the hop, or states are missing or too many.
        """
        return self._pass(chunk, Memory(states))

    def advance(self, chunk: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Do what `forward` does, for signals with `latency` samples behind them.

        Nothing is masked then, which takes less time. Takes the states as a sequence.
        """
        return self._pass(chunk, Memory(states, settled=True))

    def prepare(self, hops: int, batch: int = 1) -> Advance:
        """Make `advance` for pieces of one length; for few hops it takes half the time.

        The operations are recorded once (by TorchScript), and then done without Python.
        While a system has the same weights, what was recorded is returned again: until
        the process ends, PyTorch keeps of a recording 10 MB and what weights it holds.

        Arguments
        ---------
        hops : int
            Hops of each piece.
        batch : int
            Signals at a time.

        Returns
        -------
        callable
            `advance` for pieces [batch, inputs, hops * hop] of the type and on the
            device that the system has now, while its weights are those of now.
        """
        with RECORDING:
            kept = _RECORDED.setdefault(self.system, {})
            weights = fingerprint(self.system)
            if kept.get((hops, batch), (None,))[0] != weights:
                kept[hops, batch] = weights, self._record(hops, batch)
            return kept[hops, batch][1]

    @torch.inference_mode()
    def _record(self, hops: int, batch: int) -> Advance:
        chunk = self.like.new_zeros(batch, self.inputs, hops * self.hop)
        states = self.initial_states(batch)
        module, inputs = _Advance(self).eval(), (chunk, *states)
        with warnings.catch_warnings():
            # that lengths become constants is what is wanted
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(module, inputs, check_trace=False)
            recorded: Any = torch.jit.freeze(traced)
            for _ in range(WARM_UP):
                recorded(*inputs)
        return lambda piece, before: recorded(piece, *before)

    def finish(self, chunk: Tensor, samples: Tensor, *states: Tensor) -> Tensor:
        """Process the end of signals.

        Arguments
        ---------
        chunk : torch.Tensor
            What is left, followed by zeros: `delay` or more, up to whole hops. Shape
            [batch, inputs, k * hop].
        samples : torch.Tensor
            How many each signal had in all, without the zeros, integers, [batch].
        *states : torch.Tensor
            What the piece before left.

        Returns
        -------
        torch.Tensor
            Shape [batch, outputs, k * hop].

        Raises
        ------
        ValueError
            As `forward` does.
        """
        return self._pass(chunk, Memory(states, samples))[0]

    def _pass(self, chunk: Tensor, memory: Memory) -> tuple[Tensor, ...]:
        if self.system.training:
            raise ValueError("system: expected to be in evaluation, call eval()")
        with self._full_precision(), memory:
            y = self.system.process(chunk)  # type: ignore[operator]
        memory.check()
        return y, *memory.left

    def _full_precision(self) -> Any:
        """Leave autocast, so that states keep the system's own type."""
        device = self.like.device.type
        if torch.is_autocast_enabled(device):
            return torch.autocast(device, enabled=False)
        return contextlib.nullcontext()

    @property
    def like(self) -> Tensor:
        """A tensor of the system's type and device."""
        return next(self.system.parameters(), torch.zeros(()))

    @torch.no_grad()
    def initial_states(self, batch: int = 1) -> list[Tensor]:
        """Make the states with which signals begin.

        Arguments
        ---------
        batch : int
            Signals at a time.

        Returns
        -------
        list of torch.Tensor
            Zeros, the batch first.
        """
        memory = Memory()
        self._pass(self.like.new_zeros(1, self.inputs, self.hop), memory)
        return [
            state.new_zeros(batch, *state.shape[1:]).contiguous()
            for state in memory.left
        ]


def fingerprint(system: nn.Module) -> bytes:
    """Compute a digest of a system's weights, with their types and devices.

    Arguments
    ---------
    system : torch.nn.Module
        Whose parameters and buffers they are.

    Returns
    -------
    bytes
        Another one as soon as any value, type, shape or device is another.

    Example
    -------
    >>> layer = nn.Linear(2, 2)
    >>> before = fingerprint(layer)
    >>> layer.bias.data += 1
    >>> fingerprint(layer) == before
    False
    """
    digest = hashlib.sha256()
    for name, x in [*system.named_parameters(), *system.named_buffers()]:
        digest.update(f"{name} {x.dtype} {x.device} {tuple(x.shape)}".encode())
        values = x.detach().cpu().reshape(-1)
        digest.update(values.view(torch.uint8).numpy().data)
    return digest.digest()


class _Advance(nn.Module):
    """`advance` as a module's forward, which is what can be recorded."""

    def __init__(self, model: StepModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, chunk: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        return self.model.advance(chunk, states)
