"""Streams by ONNX Runtime equal those by PyTorch, and need none."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import speechbrain_fusion.inference.onnx_stream as onnx_stream
from speechbrain_fusion.inference.export import export_offline, export_step
from speechbrain_fusion.inference.onnx_stream import OnnxStream
from speechbrain_fusion.inference.streaming import Stream
from tests.inference.causal_systems import make

pytest.importorskip("onnx", reason="export needs onnx")
pytest.importorskip("onnxruntime", reason="graphs need onnxruntime")


# by the names in `causal_systems`; states of cumulative norms are of double precision
EARS = "learned_back"
NAMES = [
    *(EARS, "stft_back", "stft_unpadded", "separator"),
    "branches_magnitude_cumulative",
    pytest.param("branches_both_batch", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def files(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, tuple[nn.Module, Path]]:
    """Systems and their steps, each exported once it is asked for."""

    class Exported(dict):
        def __missing__(self, name: str) -> tuple[nn.Module, Path]:
            torch.manual_seed(0)
            system = make(name)
            path = tmp_path_factory.mktemp("steps") / "step.onnx"
            self[name] = system, export_step(system, path, rate=8000)
            return self[name]

    return Exported()


def cut(signal: torch.Tensor, seed: int) -> tuple[torch.Tensor, ...]:
    """Cut a signal at random, also into pieces of nothing."""
    rng = np.random.default_rng(seed)
    places = np.sort(rng.integers(0, signal.shape[-1] + 1, 12)).tolist()
    return torch.tensor_split(signal, places, dim=-1)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("samples", [1, 57, 400, 1003])
def test_steps_and_flush_equal_those_of_the_stream_by_pytorch(
    name: str, samples: int, files: dict
) -> None:
    system, path = files[name]
    own, other = Stream(system, batch=2), OnnxStream(path, batch=2)
    signal = 0.1 * torch.randn(2, system.inputs, samples)
    for part in cut(signal, samples):
        expected, found = own.step(part), other.step(part.numpy())
        np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-5)
    np.testing.assert_allclose(other.flush(), own.flush().numpy(), rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_whole_stream_equals_the_whole_signal(name: str, files: dict) -> None:
    system, path = files[name]
    stream = OnnxStream(path)
    signal = 0.1 * torch.randn(system.inputs, 1357)
    parts = [stream.step(part.numpy()) for part in cut(signal, 0)]
    found = np.concatenate([*parts, stream.flush()], -1)[..., stream.latency :]
    expected = system.process(signal[None])[0].detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_stream_that_is_reset_begins_anew(files: dict) -> None:
    stream = OnnxStream(files[EARS][1])
    signal = np.random.default_rng(0).standard_normal((2, 203)).astype(np.float32)
    first = stream.step(signal), stream.flush()
    stream.reset()
    for before, again in zip(first, (stream.step(signal), stream.flush()), strict=True):
        np.testing.assert_array_equal(before, again)


def test_a_stream_has_the_facts_of_its_system(files: dict) -> None:
    system, path = files[EARS]
    stream = OnnxStream(path)
    facts = stream.inputs, stream.outputs, stream.latency, stream.hop, stream.rate
    assert facts == (2, 2, system.latency, system.hop, 8000)


def test_nothing_was_heard_and_silence_comes_out(files: dict) -> None:
    stream = OnnxStream(files[EARS][1])
    np.testing.assert_array_equal(stream.flush(), np.zeros((1, 2, stream.latency)))


def test_a_single_signal_needs_no_batch_and_no_channels(files: dict) -> None:
    stream = OnnxStream(files["separator"][1])
    assert stream.step(np.zeros(100)).shape == (2, 100)
    assert OnnxStream(files[EARS][1]).step(np.zeros((2, 100))).shape == (
        2,
        100,
    )


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        (np.zeros((3, 100)), "expected .*inputs 2, time.* got .3, 100."),
        (np.zeros((2, 2, 100)), "expected .batch 1"),
        (np.zeros((2, 100), np.int16), "floating-point samples, got int16"),
        (np.full((2, 100), np.nan), "finite samples"),
        (np.full((2, 100), 1e300), "finite samples"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_wrong_signal_is_refused_and_nothing_happens(
    signal: np.ndarray, message: str, files: dict
) -> None:
    stream, other = (OnnxStream(files[EARS][1]) for _ in range(2))
    with pytest.raises(ValueError, match=message):
        stream.step(signal)
    good = np.random.default_rng(0).standard_normal((2, 50))
    np.testing.assert_array_equal(stream.step(good), other.step(good))


def test_an_ended_stream_takes_nothing_more(files: dict) -> None:
    stream = OnnxStream(files[EARS][1])
    stream.flush()
    for more in (lambda: stream.step(np.zeros((2, 8))), stream.flush):
        with pytest.raises(ValueError, match="have ended, reset"):
            more()


@pytest.mark.parametrize("content", [None, b"", b"no graph at all"])
def test_what_is_no_model_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "step.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"step\.onnx: expected"):
        OnnxStream(path)


@pytest.mark.slow
def test_an_offline_model_is_no_step(tmp_path: Path) -> None:
    path = export_offline(make(EARS), tmp_path / "model.onnx")
    with pytest.raises(ValueError, match="expected a model that export_step wrote"):
        OnnxStream(path)


def test_a_batch_of_none_is_refused(files: dict) -> None:
    with pytest.raises(ValueError, match="batch: expected 1 or more"):
        OnnxStream(files[EARS][1], batch=0)


def test_without_onnxruntime_the_extra_is_named(
    files: dict, hide_library: Callable[[str], None]
) -> None:
    path = files[EARS][1]
    hide_library("onnxruntime")
    with pytest.raises(ImportError, match=r"speechbrain-fusion\[export\]"):
        OnnxStream(path)


@pytest.mark.slow
def test_the_file_runs_by_itself_without_pytorch(files: dict, tmp_path: Path) -> None:
    source = Path(onnx_stream.__file__).read_text(encoding="utf-8")
    (tmp_path / "onnx_stream.py").write_text(source, encoding="utf-8")
    script = (
        "import sys, numpy, onnx_stream\n"
        "stream = onnx_stream.OnnxStream(sys.argv[1])\n"
        "assert stream.step(numpy.zeros((2, 100))).shape == (2, 100)\n"
        "assert 'torch' not in sys.modules\n"
    )
    command = [sys.executable, "-c", script, str(files[EARS][1])]
    subprocess.run(command, check=True, cwd=tmp_path)
