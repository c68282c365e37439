"""Whether an ONNX graph gives what PyTorch does, at lengths that were not recorded."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from speechbrain_fusion.inference.onnx_stream import GOES_ON, open_session
from speechbrain_fusion.inference.step import StepModel
from speechbrain_fusion.messages import first_line

TOLERANCE = 1e-4
"""Difference to PyTorch that is allowed, for signals of power 0.01."""

# Batch and samples of the signals compared: shorter and longer than the recorded one,
# of no hop's or chunk's multiple.
SHAPES = ((1, 5237), (3, 9941))
# Hops of the chunks compared, one after another.
HOPS = (1, 4, 2, 1, 7)


def check_offline(system: Any, data: bytes) -> None:
    """Compare whole signals.

    Arguments
    ---------
    system : System
        In evaluation, on the CPU.
    data : bytes
        Its graph.

    Raises
    ------
    RuntimeError
        If results differ, naming the system.
    """
    session = _open(system, data)
    for batch, samples in SHAPES:
        signals = _noise(batch, system.inputs, samples)
        with torch.no_grad():
            expected = system.process(signals)
        (found,) = _run(session, system, {"signals": signals})
        _compare(system, expected, found, f"{batch} signals of {samples} samples")


def check_step(step: StepModel, data: bytes) -> None:
    """Compare chunks of streams to their ends.

    Arguments
    ---------
    step : StepModel
        Of a system on the CPU.
    data : bytes
        Its graph.

    Raises
    ------
    RuntimeError
        If results differ, naming the system.
    """
    session = _open(step.system, data)
    for batch in (1, 3):
        _check_stream(step, session, batch)


@torch.no_grad()
def _check_stream(step: StepModel, session: Any, batch: int) -> None:
    states = step.initial_states(batch)
    own: list[Any] = [*states]
    total = 0
    for hops in HOPS:
        chunk = _noise(batch, step.inputs, hops * step.hop)
        total += chunk.shape[-1]
        y, *states = step(chunk, *states)
        found, *own = _run(session, step.system, _feeds(chunk, GOES_ON, own))
        _compare(step.system, y, found, f"a step of {hops} hops")
    # the end comes within the last hop
    chunk = _noise(batch, step.inputs, 8 * step.hop)
    inside = step.hop // 2
    chunk[..., inside:] = 0.0
    samples = torch.full((batch,), total + inside)
    y = step.finish(chunk, samples, *states)
    found = _run(session, step.system, _feeds(chunk, total + inside, own))[0]
    _compare(step.system, y, found, "the end of a stream")


def _feeds(chunk: Tensor, samples: int, states: list[Any]) -> dict[str, Any]:
    own = {f"state_{i}": state for i, state in enumerate(states)}
    return {"chunk": chunk, "samples": np.full(len(chunk), samples), **own}


def _noise(*shape: int) -> Tensor:
    return 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _open(system: Any, data: bytes) -> Any:
    try:
        return open_session(data)
    except Exception as error:
        raise _refusal(system, first_line(error)) from error


def _run(session: Any, system: Any, feeds: dict[str, Any]) -> list[np.ndarray]:
    """Run a graph on tensors or arrays."""
    try:
        return session.run(None, {key: np.asarray(x) for key, x in feeds.items()})
    except Exception as error:
        raise _refusal(system, first_line(error)) from error


def _compare(system: Any, expected: Tensor, found: np.ndarray, what: str) -> None:
    if tuple(expected.shape) != found.shape:
        shapes = f"expected {tuple(expected.shape)}, got {found.shape}"
        raise _refusal(system, f"{what}: {shapes}")
    error = float(np.abs(expected.numpy() - found).max())
    if not error <= TOLERANCE:
        raise _refusal(system, f"{what}: differs by {error:.1e}")


def _refusal(system: Any, reason: str) -> RuntimeError:
    name = type(system).__name__
    return RuntimeError(
        f"{name}: its ONNX graph is not what PyTorch computes: {reason}"
    )
