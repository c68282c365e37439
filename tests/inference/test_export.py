"""Exported models give what PyTorch gives, whatever the length and the batch."""

import math
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from speechbrain_fusion.inference.export import export_offline, export_step
from speechbrain_fusion.inference.onnx_stream import OnnxStream
from speechbrain_fusion.inference.step import StepModel
from speechbrain_fusion.models import BinauralTasNet, UnifiedSeparator
from speechbrain_fusion.models.mask import MaskEnhancer
from speechbrain_fusion.models.shared_latent import SharedLatentEnhancer
from speechbrain_fusion.models.speech_autoencoder import SpeechAutoencoder
from speechbrain_fusion.models.two_branch import TwoBranchEnhancer
from speechbrain_fusion.models.unified import ConvTasNetMasker
from speechbrain_fusion.nnet import DPRNNMasker, SepFormerMasker
from speechbrain_fusion.nnet.exporting import exporting

pytest.importorskip("onnx", reason="export needs onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="graphs need onnxruntime")


def binaural(**options: object) -> nn.Module:
    sizes = {"N": 16, "L": 8, "B": 8, "H": 8, "S": 12, "P": 5, "X": 2, "R": 2}
    return BinauralTasNet(**(sizes | options))


def unified(make: Callable[[int], nn.Module], **options: object) -> nn.Module:
    return UnifiedSeparator(make(1), make(2), channels=16, kernel_size=8, **options)


def tcn_masker(causal: bool = False) -> Callable[[int], nn.Module]:
    return lambda masks: ConvTasNetMasker(16, masks, 6, 7, 9, 3, 2, 1, causal)


def dprnn(masks: int) -> nn.Module:
    return DPRNNMasker(16, masks, blocks=1, hidden=4, chunk=10)


def sepformer(masks: int) -> nn.Module:
    return SepFormerMasker(16, masks, 1, layers=1, heads=2, feedforward=16, chunk=10)


def two_branch(**options: object) -> nn.Module:
    sizes = {"channels": 8, "experts": 4, "kernels": (5, 3), "groups": 1, "units": 2}
    return TwoBranchEnhancer(64, 32, squeezed=6, **(sizes | options))


def shared(**options: object) -> nn.Module:
    speech = SpeechAutoencoder((64, 32), 16, channels=(12, 10, 8), kernel=3)
    return SharedLatentEnhancer(speech, channels=(14, 12, 10, 8), kernel=3, **options)


CAUSAL: dict[str, Callable[[], nn.Module]] = {
    "fusion": binaural,
    "long kernels": lambda: binaural(P=128, share_norms=True),
    "bias for the mask": lambda: binaural(encoder_bias="mask"),
    "no bias": lambda: binaural(encoder_bias="none", eps=1e-14),
    "stft": lambda: binaural(encoding="stft"),
    "stft without padding": lambda: binaural(encoding="stft", stft_pad=False),
    "causal separation": lambda: unified(tcn_masker(causal=True)),
}
CAUSAL_SLOW: dict[str, Callable[[], nn.Module]] = {
    "causal two-branch": lambda: two_branch(causal=True),
    "cumulative norm": lambda: two_branch(causal=True, norm="cumulative"),
}
WHOLE: dict[str, Callable[[], nn.Module]] = {
    "not causal": lambda: binaural(causal=False),
    "stft, not causal": lambda: binaural(causal=False, encoding="stft"),
    "other sharing": lambda: binaural(share="cross_stitch", mask_activation="relu"),
    "concat": lambda: binaural(share="concat", output_activation="tanh"),
    "separation": lambda: unified(tcn_masker()),
    "separation alone": lambda: unified(tcn_masker(), separation_only=True),
    "dprnn": lambda: unified(dprnn),
    "sepformer": lambda: unified(sepformer),
    "shared latents": shared,
    "shared latents, noisy phase": lambda: shared(noisy_phase=True),
    "ratio mask": lambda: MaskEnhancer("ratio", (64, 32), 16, 0.5, (12, 8), 3),
    "complex mask": lambda: MaskEnhancer("complex", (64, 32), 16, 0.5, (12, 8), 3),
}
WHOLE_SLOW: dict[str, Callable[[], nn.Module]] = {
    "two-branch": two_branch,
    "layer norm": lambda: two_branch(norm="layer", branches="magnitude"),
}


def cases(quick: dict, slow: dict) -> list:
    marked = [pytest.param(make, id=name) for name, make in quick.items()]
    for name, make in slow.items():
        marked.append(pytest.param(make, id=name, marks=pytest.mark.slow))
    return marked


def trained(make: Callable[[], nn.Module]) -> nn.Module:
    """Make a system whose parameters and statistics are those of no beginning."""
    system = make().eval()
    for name, tensor in [*system.named_parameters(), *system.named_buffers()]:
        if tensor.is_floating_point() and "window" not in name:
            known = "analysis" in name or "synthesis" in name
            tensor.data += 0.0 if known else 0.05 * torch.rand_like(tensor)
    return system


def noise(*shape: int) -> Tensor:
    return 0.1 * torch.randn(shape)


def run(path: Path, **feeds: Tensor) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {name: x.numpy() for name, x in feeds.items()})


@pytest.mark.slow
@pytest.mark.parametrize("make", cases(WHOLE | CAUSAL, WHOLE_SLOW | CAUSAL_SLOW))
def test_signals_of_any_length_and_batch_come_out_as_in_pytorch(
    make: Callable[[], nn.Module], tmp_path: Path
) -> None:
    system = trained(make)
    path = export_offline(system, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for batch, samples in [(1, 8003), (2, 12345), (3, 1001), (1, 129), (4, 64)]:
        signals = noise(batch, system.inputs, samples)
        (found,) = session.run(None, {"signals": signals.numpy()})
        with torch.no_grad():
            expected = system.process(signals).numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("samples", [1, 3, 9])
def test_a_signal_shorter_than_a_window_comes_out_as_in_pytorch(
    samples: int, tmp_path: Path
) -> None:
    system = trained(binaural)
    path = export_offline(system, tmp_path / "model.onnx")
    signals = noise(1, 2, samples)
    found = run(path, signals=signals)[0]
    np.testing.assert_allclose(found, system(signals).detach().numpy(), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("make", cases(CAUSAL, CAUSAL_SLOW))
def test_hundreds_of_steps_of_any_size_come_out_as_in_pytorch(
    make: Callable[[], nn.Module], tmp_path: Path
) -> None:
    system = trained(make)
    step = StepModel(system)
    path = export_step(system, tmp_path / "step.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    states = step.initial_states(2)
    own = [state.numpy() for state in states]
    for number in range(300):
        chunk = noise(2, step.inputs, (1, 1, 2, 5)[number % 4] * step.hop)
        with torch.no_grad():
            expected, *states = step(chunk, *states)
        feeds = {f"state_{i}": state for i, state in enumerate(own)}
        feeds |= {"chunk": chunk.numpy(), "samples": np.full(2, 2**62)}
        found, *own = session.run(None, feeds)
        np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-4)


@pytest.mark.slow
def test_the_clarity_configuration_streams_by_onnx(tmp_path: Path) -> None:
    system = trained(lambda: BinauralTasNet(share_norms=True))
    stream = OnnxStream(export_step(system, tmp_path / "step.onnx", rate=8000))
    signal = noise(2, 8000)
    parts = [stream.step(part.numpy()) for part in signal.split(16, dim=-1)]
    found = np.concatenate([*parts, stream.flush()], -1)
    with torch.no_grad():
        expected = system.process(signal[None])[0].numpy()
    assert stream.latency == math.ceil(0.002 * 8000)
    np.testing.assert_allclose(found[:, stream.latency :], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("make", cases(WHOLE | CAUSAL, WHOLE_SLOW | CAUSAL_SLOW))
def test_layers_compute_the_same_while_exported(make: Callable[[], nn.Module]) -> None:
    system, signals = trained(make), noise(2, make().inputs, 1001)
    with torch.no_grad():
        expected = system.process(signals)
        with exporting():
            found = system.process(signals)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_the_file_tells_what_the_model_is(tmp_path: Path) -> None:
    path = export_step(binaural(), tmp_path / "step.onnx", rate=16000.0)
    facts = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    assert facts == {
        "kind": "step",
        "task": "enhance",
        "inputs": "2",
        "outputs": "2",
        "causal": "true",
        "latency": "8",
        "hop": "4",
        "delay": "4",
        "sample_rate": "16000",
    }


@pytest.mark.parametrize("rate", [0, -8000, 16000.5, "16000"])
def test_a_rate_that_no_recording_has_is_refused(rate: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rate: expected a whole number of 1000 to"):
        export_step(binaural(), tmp_path / "step.onnx", rate=rate)
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_states_have_names_and_shapes_with_an_open_batch(tmp_path: Path) -> None:
    path = export_step(binaural(), tmp_path / "step.onnx")
    session = onnxruntime.InferenceSession(path)
    first, samples, *states = session.get_inputs()
    assert (first.name, first.shape) == ("chunk", ["batch", 2, "time"])
    assert (samples.name, samples.shape) == ("samples", ["batch"])
    expected = [f"state_{i}" for i in range(len(states))]
    assert [state.name for state in states] == expected
    assert all(
        state.shape[0] == "batch" and all(isinstance(n, int) for n in state.shape[1:])
        for state in states
    )
    outputs = [output.name for output in session.get_outputs()]
    assert outputs == ["processed", *(f"next_{name}" for name in expected)]


@pytest.mark.slow
def test_export_leaves_the_model_as_it_is(tmp_path: Path) -> None:
    system = binaural().train().double()
    before = {name: x.clone() for name, x in system.state_dict().items()}
    export_offline(system, tmp_path / "model.onnx")
    assert system.training
    assert all(torch.equal(x, before[name]) for name, x in system.state_dict().items())


@pytest.mark.slow
def test_threads_export_one_after_another_and_disturb_nobody(tmp_path: Path) -> None:
    """An STFT is another one while it is exported."""
    system, signals = trained(lambda: binaural(encoding="stft")), noise(1, 2, 500)
    with torch.no_grad():
        expected = system.process(signals)
    done, wrong = threading.Event(), []

    def export(number: int) -> None:
        try:
            export_offline(system, tmp_path / f"{number}.onnx")
        except Exception as error:
            wrong.append(error)

    def listen() -> None:
        with torch.no_grad():
            while not done.is_set():
                try:
                    torch.testing.assert_close(system.process(signals), expected)
                except Exception as error:
                    wrong.append(error)

    threads = [threading.Thread(target=export, args=(i,)) for i in range(3)]
    listener = threading.Thread(target=listen)
    for thread in [listener, *threads]:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    listener.join()
    assert not wrong
    assert len([*tmp_path.iterdir()]) == 3


@pytest.mark.slow
def test_export_is_quiet(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export_offline(binaural(), tmp_path / "model.onnx")
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_an_existing_file_is_kept_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_text("precious")
    with pytest.raises(ValueError, match=r"model\.onnx: exists"):
        export_offline(binaural(), path)
    assert path.read_text() == "precious"
    export_offline(binaural(), path, force=True)
    assert path.stat().st_size > 1000


def test_a_full_disk_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "model.onnx"
    path.write_text("precious")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"not written: No space left.*model\.onnx"):
        export_offline(Odd(torch.neg), path, force=True)
    assert path.read_text() == "precious"
    assert [*tmp_path.iterdir()] == [path]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a folder, expected the name of a file"):
        export_offline(binaural(), tmp_path, force=True)


def test_a_step_needs_a_causal_system(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a causal system"):
        export_step(binaural(causal=False), tmp_path / "step.onnx")
    assert not [*tmp_path.iterdir()]


def test_what_is_no_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a System.* got Linear"):
        export_offline(nn.Linear(2, 2), tmp_path / "model.onnx")


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named_with_its_extra(
    missing: str, tmp_path: Path, hide_library: Callable[[str], None]
) -> None:
    hide_library(missing)
    with pytest.raises(ImportError, match=r"speechbrain-fusion\[export\]"):
        export_offline(binaural(), tmp_path / "model.onnx")


class Odd(nn.Module):
    """A system that a trace does not tell all of, or nothing."""

    task, inputs, outputs, causal = "enhance", 1, 1, False

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.change = change

    def process(self, signals: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.change(signals)


def by_length(x: Tensor) -> Tensor:
    return x if int(x.shape[-1]) > 6000 else -x


def a_little_by_length(x: Tensor) -> Tensor:
    return x if int(x.shape[-1]) > 6000 else 1.01 * x


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (by_length, "is not what PyTorch computes: 1 signals of 5237 samples: differs"),
        (a_little_by_length, "1 signals of 5237 samples: differs by [1-9]"),
        (lambda x: torch.special.bessel_j1(x), "not to be exported to ONNX"),
    ],
    ids=["a branch", "a branch of little effect", "an unknown operation"],
)
def test_what_cannot_be_exported_is_named_and_not_written(
    change: Callable[[Tensor], Tensor], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match=f"Odd: .*{reason}"):
        export_offline(Odd(change), tmp_path / "model.onnx")
    assert not [*tmp_path.iterdir()]


class Moody(BinauralTasNet):
    """A causal system that does otherwise where a piece is of an odd number of hops."""

    def forward(self, noisy: Tensor, lengths: Tensor | None = None) -> Tensor:
        enhanced = super().forward(noisy, lengths)
        odd = int(noisy.shape[-1]) // self.hop % 2
        return 1.01 * enhanced if odd else enhanced


@pytest.mark.slow
def test_a_step_that_depends_on_the_pieces_length_is_named_and_not_written(
    tmp_path: Path,
) -> None:
    model = Moody(N=16, L=8, B=8, H=8, S=12, P=5, X=2, R=1).eval()
    with pytest.raises(RuntimeError, match=r"Moody: .*a step of \d hops: differs"):
        export_step(model, tmp_path / "step.onnx")
    assert not [*tmp_path.iterdir()]
