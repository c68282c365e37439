"""Trained models as ONNX: whole signals, or a stream step by step.

Files hold what any ONNX runtime needs. Two kinds of graph are written:

    offline     signals [batch, inputs, time] -> processed [batch, outputs, time]

    step        chunk [batch, inputs, k * hop]     processed [batch, outputs, k * hop]
                samples [batch], int64          ->
                state_0, state_1, ...              next_state_0, next_state_1, ...

Batch, time and k are open. A stream begins with zeros for all states, whose shapes the
graph's inputs tell, and hands each `next_state_i` in as `state_i` with the next chunk.
What comes out is `delay` samples late. Where a signal ends within a chunk, which zeros
follow, `samples` is how many it had in all; before, any number it does not reach
(`GOES_ON`). `inference.onnx_stream` does all that with NumPy alone.

Facts are in the file's metadata: kind, task, inputs, outputs, causal, sample_rate (if
it is known), name, and of causal systems latency, hop and delay, in samples.

Every graph is compared with PyTorch at other lengths than the recorded one, and no file
is written of one that differs.
"""

import contextlib
import copy
import io
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from speechbrain_fusion import __version__
from speechbrain_fusion.data.files import written_whole
from speechbrain_fusion.extras import import_extra
from speechbrain_fusion.inference.config import describe
from speechbrain_fusion.inference.limits import check_rate
from speechbrain_fusion.inference.onnx_check import check_offline, check_step
from speechbrain_fusion.inference.onnx_operators import OPSET, operators
from speechbrain_fusion.inference.onnx_stream import GOES_ON
from speechbrain_fusion.inference.step import RECORDING, StepModel
from speechbrain_fusion.inference.targets import check_target
from speechbrain_fusion.messages import first_line
from speechbrain_fusion.models.system import System
from speechbrain_fusion.nnet.exporting import exporting
from speechbrain_fusion.nnet.streaming import Memory

# Samples and hops of the signals that are recorded.
TRACE_SAMPLES, TRACE_HOPS = 8003, 3
# Two, since sizes of one are broadcast.
TRACE_BATCH = 2

Axes = dict[str, dict[int, str]]


def export_offline(
    model: nn.Module, path: Path | str, force: bool = False, rate: int | None = None
) -> Path:
    """Write a system as an ONNX file that takes whole signals of any length.

    Arguments
    ---------
    model : torch.nn.Module
        What `inference.load` returns, or a `System`. It stays as it is.
    path : Path or str
        The file to write.
    force : bool
        Whether it may exist.
    rate : int, optional
        Sampling rate in Hz, for the metadata; by default the model's, if it has one.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ImportError
        Without onnx and onnxruntime, naming the extra to install.
    ValueError
        If the file exists, the model is no system, or the rate none of a recording.
    RuntimeError
        If the system has layers that cannot be exported, or the graph gives other
        results than PyTorch; nothing is written then.

    Example
    -------
    >>> from speechbrain_fusion.models import BinauralTasNet
    >>> model = BinauralTasNet(N=16, L=8, B=8, H=8, S=12, P=5, X=2, R=1)
    >>> path = export_offline(model, getfixture("tmp_path") / "a.onnx", rate=16000)
    >>> import onnxruntime
    >>> session = onnxruntime.InferenceSession(path)
    >>> session.run(None, {"signals": torch.randn(3, 2, 1001).numpy()})[0].shape
    (3, 2, 1001)
    """
    path = _new_file(path, force)
    system = _copy_of_system(model)
    facts = {"kind": "offline", **_facts(model, system, rate)}
    signals = torch.zeros(TRACE_BATCH, system.inputs, TRACE_SAMPLES)
    axes = {name: {0: "batch", 2: "time"} for name in ("signals", "processed")}
    data = _record(_Whole(system).eval(), (signals,), ["signals"], ["processed"], axes)
    check_offline(system, data)
    return _write(path, data, facts)


def export_step(
    model: nn.Module, path: Path | str, force: bool = False, rate: int | None = None
) -> Path:
    """Write a causal system as an ONNX file that takes a stream hop by hop.

    Takes the arguments of `export_offline`, and returns and raises the same.

    Raises
    ------
    ValueError
        Also if the system is not causal.

    Example
    -------
    >>> from speechbrain_fusion.inference.onnx_stream import OnnxStream
    >>> from speechbrain_fusion.models import BinauralTasNet
    >>> model = BinauralTasNet(N=16, L=8, B=8, H=8, S=12, P=5, X=2, R=1)
    >>> path = export_step(model, getfixture("tmp_path") / "step.onnx")
    >>> stream = OnnxStream(path)
    >>> stream.step(torch.randn(2, 100).numpy()).shape, stream.latency
    ((2, 100), 8)
    """
    path = _new_file(path, force)
    system = _copy_of_system(model)
    step, facts = StepModel(system), {"kind": "step", **_facts(model, system, rate)}
    states = step.initial_states(TRACE_BATCH)
    ins = ["chunk", "samples", *(f"state_{i}" for i in range(len(states)))]
    outs = ["processed", *(f"next_state_{i}" for i in range(len(states)))]
    axes: Axes = {name: {0: "batch"} for name in [*ins, *outs]}
    axes["chunk"][2] = axes["processed"][2] = "time"
    chunk = torch.zeros(TRACE_BATCH, step.inputs, TRACE_HOPS * step.hop)
    samples = torch.full((TRACE_BATCH,), GOES_ON)
    data = _record(_Step(system).eval(), (chunk, samples, *states), ins, outs, axes)
    check_step(step, data)
    return _write(path, data, facts)


class _Whole(nn.Module):
    """A system's `process` as a module."""

    def __init__(self, system: nn.Module) -> None:
        super().__init__()
        self.system: Any = system

    def forward(self, signals: Tensor) -> Tensor:
        return self.system.process(signals)


class _Step(nn.Module):
    """A causal system's step, which ends where `samples` say."""

    def __init__(self, system: nn.Module) -> None:
        super().__init__()
        self.system: Any = system

    def forward(
        self, chunk: Tensor, samples: Tensor, *states: Tensor
    ) -> tuple[Tensor, ...]:
        with Memory(states, samples) as memory:
            y = self.system.process(chunk)
        return y, *memory.left


def _record(
    module: _Whole | _Step,
    inputs: tuple[Tensor, ...],
    ins: Sequence[str],
    outs: Sequence[str],
    axes: Axes,
) -> bytes:
    """Trace a module, and return its graph."""
    name = type(module.system).__name__
    try:
        with _as_export() as folder:
            torch.onnx.export(
                module,
                inputs,
                folder / "graph.onnx",
                dynamo=False,
                opset_version=OPSET,
                input_names=ins,
                output_names=outs,
                dynamic_axes=axes,
            )
            return (folder / "graph.onnx").read_bytes()
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        reason = f"not to be exported to ONNX: {first_line(error)}"
        raise RuntimeError(f"{name}: {reason}") from error


@contextlib.contextmanager
def _as_export() -> Iterator[Path]:
    """Have layers and exporter do as exporting wants; yield a folder for a while."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(RECORDING)
        stack.enter_context(torch.no_grad())
        stack.enter_context(exporting())
        stack.enter_context(operators())
        stack.enter_context(warnings.catch_warnings())
        # that branches are recorded as taken, which `onnx_check` looks into
        warnings.simplefilter("ignore")
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        yield Path(stack.enter_context(tempfile.TemporaryDirectory()))


def _new_file(path: Path | str, force: bool) -> Path:
    """Refuse early what cannot be written."""
    check_target(Path(path), force)
    _onnx()
    return Path(path)


def _onnx() -> Any:
    need = "export to ONNX needs onnx and onnxruntime"
    import_extra("onnxruntime", "export", need)
    return import_extra("onnx", "export", need)


def _copy_of_system(model: nn.Module) -> Any:
    """Return a model's system in evaluation, as float32 on the CPU."""
    system = getattr(model, "system", model)
    if not isinstance(system, nn.Module) or not isinstance(system, System):
        raise ValueError(
            "model: expected a System or what inference.load returns, got "
            f"{type(model).__name__}"
        )
    return copy.deepcopy(system).to("cpu", torch.float32).eval()


def _facts(model: Any, system: Any, rate: int | None) -> dict[str, str]:
    """Describe a system, for the metadata of its file."""
    facts = describe(system)
    facts["causal"] = str(bool(system.causal)).lower()
    facts["hop"] = getattr(system, "hop", None) if system.causal else None
    if None not in (facts["latency"], facts["hop"]):
        facts["delay"] = facts["latency"] - facts["hop"]
    rate = getattr(model, "rate", None) if rate is None else rate
    facts["sample_rate"] = None if rate is None else check_rate(rate)
    config = getattr(model, "config", {})
    facts["name"] = config.get("name") if isinstance(config, Mapping) else None
    return {key: str(value) for key, value in facts.items() if value is not None}


def _write(path: Path, data: bytes, facts: Mapping[str, str]) -> Path:
    """Write a graph with its facts."""
    onnx = _onnx()
    graph = onnx.load_from_string(data)
    graph.producer_name, graph.producer_version = "speechbrain-fusion", __version__
    graph.doc_string = __doc__
    onnx.helper.set_model_props(graph, dict(facts))
    with written_whole(path, "wb") as file:
        file.write(graph.SerializeToString())
    return path
