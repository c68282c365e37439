"""ONNX files from the command line run in onnxruntime."""

from pathlib import Path

import numpy as np
import pytest
import torch

from speechbrain_fusion.inference.load import load
from tests.commands.conftest import RATE
from tests.commands.shell import run

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.slow
def test_the_step_is_a_stream(here, models):
    from speechbrain_fusion.inference.onnx_stream import OnnxStream

    ran = run("export", "--model", models.binaural, "-o", "step.onnx")
    assert (ran.code, ran.err) == (0, "")
    assert ran.text == "step written to step.onnx\n"
    stream = OnnxStream("step.onnx")
    signal = np.random.default_rng(0).standard_normal((2, 500)).astype("f4")
    out = np.concatenate([stream.step(signal), stream.flush()], -1)
    whole = load(models.binaural).enhance(torch.from_numpy(signal), RATE).numpy()
    np.testing.assert_allclose(out[:, stream.latency :], whole, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["offline", "binaural"])
def test_the_offline_model_takes_any_length(here, models, name):
    folder = getattr(models, name)
    assert run("export", "--model", folder, "-o", "m.onnx", "--offline", "-q").code == 0
    model = load(folder)
    signals = torch.randn(1, model.system.inputs, 1234)
    session = onnxruntime.InferenceSession("m.onnx")
    [out] = session.run(None, {"signals": signals.numpy()})
    torch.testing.assert_close(
        torch.from_numpy(out), model(signals), atol=1e-4, rtol=1e-4
    )


@pytest.mark.slow
def test_what_cannot_be_exported_is_told(here, models):
    Path("there.onnx").write_bytes(b"mine")
    ran = run("export", "--model", models.binaural, "-o", "there.onnx")
    assert (ran.code, Path("there.onnx").read_bytes()) == (2, b"mine")
    assert "there.onnx: exists; --force overwrites it" in ran.errors[0]
    ran = run("export", "--model", models.offline, "-o", "x.onnx", "--step")
    assert ran.code == 2
    assert "--step needs a causal model" in ran.errors[0]
    assert not Path("x.onnx").exists()
    ran = run("export", "--model", "nowhere", "-o", "x.onnx")
    assert ran.code == 2
    assert "nowhere: no such folder" in ran.errors[0]
