"""Arrays in and out of trained models: kind, level, length and rate stay."""

import io
import math

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from speechbrain_fusion.inference import (
    BinauralEnhancer,
    SpeechEnhancer,
    SpeechSeparator,
    load,
)
from speechbrain_fusion.inference import model as base
from speechbrain_fusion.inference.batches import process_padded
from speechbrain_fusion.inference.long_audio import process_array
from speechbrain_fusion.models import BinauralTasNet
from tests.inference.model_folders import RATE, TASKS, YAMLS, make_folder, make_run


class Wire(nn.Module):
    """A system that changes nothing, and remembers what it was given."""

    causal, latency = True, 1

    def __init__(self, inputs: int = 1, task: str = "enhance", gain: float = 1.0):
        super().__init__()
        self.task, self.inputs, self.outputs = task, inputs, inputs
        self.gain = nn.Parameter(torch.tensor(gain))
        self.given: list[tuple[int, ...]] = []

    def process(self, signals, lengths=None):
        self.given.append(tuple(signals.shape))
        return self.gain * signals


class Halves(Wire):
    """A system that gives two talkers, one half as loud."""

    def __init__(self):
        super().__init__(task="separate")
        self.outputs = 2

    def process(self, signals, lengths=None):
        return torch.cat([signals, 0.5 * signals], 1)


def wired(kind=SpeechEnhancer, rate=RATE, **options):
    return kind({"model": Wire(**options)}, {"sample_rate": rate})


def tone(rate: int, seconds: float = 0.5, hertz: float = 440.0) -> torch.Tensor:
    """A tone that begins and ends softly."""
    time = torch.arange(int(seconds * rate), dtype=torch.float64) / rate
    fade = (math.pi * time / seconds).sin().square()
    return (0.3 * fade * (2 * math.pi * hertz * time).sin()).float()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Every system as a loaded model."""
    root = tmp_path_factory.mktemp("models")
    return {kind: load(make_folder(root / kind, kind)) for kind in YAMLS}


def run(model, signal, rate):
    separate = isinstance(model, SpeechSeparator)
    return (model.separate if separate else model.enhance)(signal, rate)


def run_batch(model, signals, rates):
    separate = isinstance(model, SpeechSeparator)
    return (model.separate_batch if separate else model.enhance_batch)(signals, rates)


def suited(model, time: int) -> torch.Tensor:
    """A signal of the channels that a model takes."""
    channels = 1 if isinstance(model, SpeechSeparator) else 2
    return torch.randn(channels, time)


@pytest.mark.slow
@pytest.mark.parametrize("kind", YAMLS)
@pytest.mark.parametrize("rate", [RATE, 44100])
@pytest.mark.parametrize("time", [1, 2, 17, 900])
def test_shape_and_rate_stay_at_any_length(kind, rate, time, models):
    model = models[kind]
    signal = suited(model, time)
    result = run(model, signal, rate)
    assert result.shape == (max(2, model.system.outputs), time)
    assert result.isfinite().all()


@pytest.mark.parametrize("kind", YAMLS)
def test_at_the_models_rate_a_signal_is_what_the_network_makes_of_it(kind, models):
    model = models[kind]
    signal = suited(model, 801)
    items = signal.view(-1, model.system.inputs, 801)
    with torch.inference_mode():
        expected = model.system.process(items).view(-1, 801)
    assert torch.equal(run(model, signal, RATE), expected)


@pytest.mark.parametrize("kind", YAMLS)
def test_padded_batches_give_what_each_gives_alone(kind, models):
    model = models[kind]
    signals = [suited(model, time) for time in (700, 31, 700, 1, 456, 512)]
    rates = [RATE, RATE, 16000, 44100, 11025, RATE]
    batch = run_batch(model, signals, rates)
    for signal, rate, result in zip(signals, rates, batch, strict=True):
        alone = run(model, signal, rate)
        torch.testing.assert_close(result, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["two_branch", "shared_latent", "mask"])
@pytest.mark.parametrize("factor", [0.01, 30.0])
def test_these_networks_do_the_same_at_any_level(kind, factor, models):
    """Those that bring signals to one level inside: see their papers."""
    signal = torch.randn(1, 2000)
    loud = run(models[kind], factor * signal, RATE) / factor
    expected = run(models[kind], signal, RATE)
    torch.testing.assert_close(loud, expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e4])
@pytest.mark.parametrize("rate", [RATE, 48000])
def test_nothing_is_normalised_around_a_network(factor, rate):
    signal = factor * tone(rate)
    result = wired(gain=0.5).enhance(signal, rate)
    torch.testing.assert_close(result, 0.5 * signal, atol=2e-4 * factor, rtol=0)


@pytest.mark.parametrize(
    "rate", [8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000]
)
def test_resampling_delays_nothing_and_keeps_the_length(rate):
    signal = tone(rate)[: int(0.5 * rate) - 1]
    result = wired().enhance(signal, rate)
    assert result.shape == signal.shape
    torch.testing.assert_close(result, signal, atol=1e-4, rtol=0)


@pytest.mark.parametrize("rate", [RATE, 44100])
def test_what_is_between_the_ears_stays(rate):
    ears = torch.stack([tone(rate), 0.25 * tone(rate).roll(7)])
    result = wired(BinauralEnhancer, inputs=2).enhance(ears, rate)
    torch.testing.assert_close(result, ears, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16, ">f4"])
@pytest.mark.parametrize("shape", [(300,), (1, 300), (3, 300)])
def test_arrays_stay_arrays_of_their_type(kind, shape):
    signal = np.random.default_rng(0).uniform(-1, 1, shape).astype(kind)
    before = signal.copy()
    result = wired().enhance(signal, RATE)
    assert isinstance(result, np.ndarray)
    assert (result.dtype, result.shape) == (signal.dtype, shape)
    np.testing.assert_array_equal(signal, before)
    np.testing.assert_allclose(result, signal, atol=1e-3)


@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.bfloat16])
def test_tensors_stay_tensors_of_their_type(kind):
    signal = torch.rand(2, 300).to(kind)
    result = wired().enhance(signal, RATE)
    assert (result.dtype, result.shape) == (kind, (2, 300))


def test_arrays_of_any_layout_are_taken():
    signal = np.random.default_rng(0).normal(size=(400, 2))
    expected = wired().enhance(np.ascontiguousarray(signal.T), RATE)
    np.testing.assert_array_equal(wired().enhance(signal.T, RATE), expected)
    backwards = wired().enhance(signal.T[:, ::-1], RATE)
    np.testing.assert_array_equal(backwards, expected[:, ::-1])


def test_results_can_be_trained_on():
    weight = torch.ones((), requires_grad=True)
    signal = torch.rand(100, requires_grad=True)
    for rate in (RATE, 16000):
        result = wired().enhance(signal, rate)
        assert not result.requires_grad
        (weight * result).square().sum().backward()


def test_one_talker_each(models):
    model = SpeechSeparator({"model": Halves()}, {"sample_rate": RATE})
    for signal in (torch.rand(50), torch.rand(1, 50), np.random.rand(50)):  # noqa: NPY002
        talkers = model.separate(signal, RATE)
        assert talkers.shape == (2, 50)
        assert type(talkers) is type(signal)
    assert models["three_talkers"].separate(torch.rand(99), 16000).shape == (3, 99)


def test_one_channel_comes_back_as_it_came():
    model = wired(task="enhance")
    assert model.enhance(torch.rand(9), RATE).shape == (9,)
    assert model.enhance(torch.rand(1, 9), RATE).shape == (1, 9)


def test_parameters_are_frozen_in_evaluation(models):
    for model in models.values():
        assert not model.training
        assert not any(module.training for module in model.modules())
        assert not any(p.requires_grad for p in model.parameters())


def test_like_lengths_are_computed_together(monkeypatch):
    monkeypatch.setattr(base, "CHUNK", 0.1)
    model = wired()
    signals = [torch.rand(time) for time in (100, 800, 90, 400, 390, 700)]
    results = model.enhance_batch(signals, RATE)
    assert all(torch.equal(a, b) for a, b in zip(results, signals, strict=True))
    assert sorted(model.system.given) == [
        *((1, 1, 700), (1, 1, 800), (2, 1, 100), (2, 1, 400)),
    ]
    assert model.enhance_batch([], RATE) == []


@pytest.mark.parametrize("kind", ["binaural", "binaural_stft", "talkers", "mask"])
def test_long_arrays_are_processed_in_constant_memory(kind, models, monkeypatch):
    model = models[kind]
    signal = suited(model, 2 * RATE)
    whole = run(model, signal, RATE)
    monkeypatch.setattr(base, "CHUNK", 1.0)
    asked = []

    def process(system, item, rate):
        asked.append((*item.shape, rate))
        return process_array(system, item, rate, 1.0, 0.25)

    monkeypatch.setattr(base, "process_array", process)
    short = suited(model, 500)
    long, alone = run_batch(model, [signal, short], RATE)
    assert {*asked} == {(model.system.inputs, 2 * RATE, RATE)}
    torch.testing.assert_close(alone, run(model, short, RATE))
    assert long.shape == whole.shape
    if model.system.causal:
        torch.testing.assert_close(long, whole, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rate", [RATE, 11025])
@pytest.mark.parametrize("kind", ["binaural", "mask"])
def test_files_and_bytes_give_what_arrays_give(kind, rate, models, tmp_path):
    model, signal = models[kind], 0.1 * torch.randn(2, 3000)
    soundfile.write(tmp_path / "noisy.wav", signal.T.numpy(), rate, "FLOAT")
    expected = model.enhance(signal, rate).numpy()
    written = model.enhance_file(tmp_path / "noisy.wav", tmp_path / "clean.wav")
    assert written == tmp_path / "clean.wav"
    np.testing.assert_allclose(soundfile.read(written)[0].T, expected, atol=1e-5)
    data = model.enhance_bytes((tmp_path / "noisy.wav").read_bytes())
    found, found_rate = soundfile.read(io.BytesIO(data))
    assert found_rate == rate
    np.testing.assert_allclose(found.T, expected, atol=1e-5)


def test_talkers_get_a_file_each(models, tmp_path):
    model, signal = models["talkers"], 0.1 * torch.randn(3000)
    soundfile.write(tmp_path / "noisy.wav", signal.numpy(), RATE, "FLOAT")
    written = model.separate_file(tmp_path / "noisy.wav", tmp_path / "talker.wav")
    assert [path.name for path in written] == ["talker_1.wav", "talker_2.wav"]
    expected = model.separate(signal, RATE).numpy()
    found = [soundfile.read(path)[0] for path in written]
    np.testing.assert_allclose(np.stack(found), expected, atol=1e-5)
    parts = model.separate_bytes((tmp_path / "noisy.wav").read_bytes())
    read = [soundfile.read(io.BytesIO(part))[0] for part in parts]
    np.testing.assert_array_equal(read, found)


@pytest.mark.parametrize("kind", ["mask", "talkers"])
def test_of_many_files_the_broken_ones_are_named(kind, models, tmp_path, capfd):
    model = models[kind]
    for name, time in {"a.wav": 300, "b.wav": 3000, "c.wav": 200}.items():
        soundfile.write(tmp_path / name, 0.1 * np.ones(time), RATE)
    (tmp_path / "b.wav").write_bytes(b"RIFF")
    names = ("a.wav", "b.wav", "c.wav", "d.wav")
    paths, outputs = [tmp_path / x for x in names], [tmp_path / "o" / x for x in names]
    files = model.separate_files if kind == "talkers" else model.enhance_files
    failures = files(paths, outputs, progress=False)
    assert [path.name for path, _ in failures] == ["b.wav", "d.wav"]
    stems = {path.stem[0] for path in (tmp_path / "o").iterdir()}
    assert stems == {"a", "c"}
    assert not capfd.readouterr().err


def test_causal_models_stream(models):
    model = models["binaural"]
    stream, signal = model.stream(), torch.randn(2, 300)
    parts = [stream.step(part) for part in signal.split(70, -1)] + [stream.flush()]
    out = torch.cat(parts, -1)[:, stream.latency :]
    torch.testing.assert_close(out, model.enhance(signal, RATE), atol=1e-5, rtol=1e-4)
    assert stream.latency == model.config["latency"]
    with pytest.raises(ValueError, match="causal"):
        models["mask"].stream()


BAD = {
    "no samples": (torch.zeros(1, 0), "at least one sample and one channel"),
    "no samples at all": (np.zeros(0), "at least one sample"),
    "no channels": (torch.zeros(0, 9), "at least one sample and one channel"),
    "three axes": (
        torch.zeros(1, 1, 9),
        r"\[time\] or \[channels, time\], got \(1, 1,",
    ),
    "a number": (np.array(1.0), r"\[time\] or \[channels, time\], got \(\)"),
    "int16": (np.ones(9, np.int16), "floating-point samples, got int16: divide"),
    "bytes": (torch.ones(9, dtype=torch.uint8), "floating-point samples, got torch.ui"),
    "complex": (np.ones(9) * 1j, "floating-point samples, got complex"),
    "texts": (np.array(["a"]), "floating-point samples"),
    "a list": ([0.0, 0.0], "NumPy array or PyTorch tensor, got <class 'list'>"),
    "nothing": (None, "NumPy array or PyTorch tensor"),
    "a path": ("noisy.wav", "NumPy array or PyTorch tensor"),
    "nan": (torch.tensor([0.0, math.nan]), "finite samples"),
    "infinity": (np.array([0.0, -math.inf]), "finite samples"),
    "too large": (np.array([1e300]), "finite samples"),
    "the wrong way round": (np.zeros((900, 2)), "the wrong way round"),
}


@pytest.mark.parametrize(("signal", "message"), BAD.values(), ids=BAD)
def test_what_is_no_signal_is_refused(signal, message):
    model = wired()
    with pytest.raises(ValueError, match=message):
        model.enhance(signal, RATE)
    with pytest.raises(ValueError, match=message):
        model.enhance_batch([torch.rand(9), signal], RATE)


@pytest.mark.parametrize(
    "rate", [0, -8000, 999, 10**7, 8000.5, "8000", None, math.nan, math.inf, True]
)
def test_what_is_no_rate_is_refused(rate):
    with pytest.raises(
        ValueError, match="rate: expected a whole number of 1000 to 768"
    ):
        wired().enhance(torch.rand(9), rate)


def test_rates_are_one_or_as_many_as_signals():
    signals = [torch.rand(9), torch.rand(9)]
    with pytest.raises(ValueError, match="rates: expected 2, one a signal, got 1"):
        wired().enhance_batch(signals, [RATE])


def test_a_wrong_number_of_channels_is_named(models):
    for signal in (torch.rand(900), torch.rand(1, 900), torch.rand(3, 900)):
        with pytest.raises(ValueError, match=r"expected 2 channels, got [13]"):
            models["binaural"].enhance(signal, RATE)
    with pytest.raises(ValueError, match="expected 1 channels, got 2"):
        models["talkers"].separate(torch.rand(2, 900), RATE)


def test_forward_takes_batches_as_speechbrain_does(tmp_path):
    _, network = make_run(tmp_path, "mask")
    model = SpeechEnhancer({"model": network}, {"sample_rate": RATE})
    batch, lengths = torch.randn(2, 1, 600), torch.tensor([1.0, 0.5])
    out = model(batch, lengths)
    torch.testing.assert_close(
        out[1, :, :300], model(batch[1:, :, :300])[0], atol=1e-5, rtol=1e-4
    )


def test_every_kind_of_system_has_its_class(models):
    for kind, model in models.items():
        assert type(model).__name__ == TASKS.get(kind, "SpeechEnhancer")


@pytest.mark.parametrize("kind", [np.array, torch.tensor, list])
def test_rates_may_be_an_array(kind):
    signals = [torch.rand(9), torch.rand(7)]
    found = wired().enhance_batch(signals, kind([RATE, RATE]))
    assert [len(x) for x in found] == [9, 7]


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_items_of_a_batch_keep_their_ends_in_low_precision(kind):
    system = BinauralTasNet(N=8, L=16, B=4, H=4, S=6, P=3, X=1, R=1).to(kind).eval()
    signals = [torch.randn(1, 2, time).to(kind) for time in (15900, 16000)]
    with torch.inference_mode():
        short, _ = process_padded(system, signals)
        alone = system.process(signals[0])
    assert short[..., -12:].abs().amax() > 0.1 * alone[..., -12:].abs().amax()


@pytest.mark.parametrize("options", [{"chunk": math.nan}, {"overlap": math.inf}])
def test_chunks_are_of_a_time(options, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(100), RATE)
    with pytest.raises(ValueError, match="chunk, overlap: expected finite seconds"):
        wired().enhance_file(tmp_path / "a.wav", tmp_path / "b.wav", **options)
