"""Any length in constant memory: what comes out is what a whole file gives, or near."""

import functools

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import assume, given, settings
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from speechbrain_fusion.inference.batches import process_padded
from speechbrain_fusion.inference.long_audio import (
    CHUNK,
    OVERLAP,
    cross_fade,
    cut,
    overlapping,
    process_array,
    process_batch,
    process_long,
    whole_hops,
)
from tests.inference.stub_systems import Bands, Levelled, Through
from tests.models.test_system import SYSTEMS

# so low that networks take little time
RATE = 250
SIZE, STEP = round(CHUNK * RATE), round((1 - OVERLAP) * CHUNK * RATE)
CAUSAL = [name for name in SYSTEMS if SYSTEMS[name]().causal]
OTHERS = [name for name in SYSTEMS if name not in CAUSAL]


def in_pieces(signal: torch.Tensor, seed: int = 0) -> list[torch.Tensor]:
    """Cut a signal at random."""
    random = torch.Generator().manual_seed(seed)
    cuts = torch.randint(0, signal.shape[-1], (7,), generator=random).sort().values
    return list(signal.tensor_split(cuts, -1))


@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize("samples", [1, 64, 1003])
def test_causal_systems_give_what_they_give_for_the_whole(name, samples):
    system = SYSTEMS[name]().eval()
    signal = torch.randn(system.inputs, samples)
    with torch.inference_mode():
        whole = system.process(signal.unsqueeze(0)).squeeze(0)
    out = torch.cat([*process_long(system, in_pieces(signal), RATE)], -1)
    torch.testing.assert_close(out, whole, atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", CAUSAL)
def test_channels_of_a_causal_system_are_processed_each_on_its_own(name):
    system = SYSTEMS[name]().eval()
    signals = torch.randn(3, system.inputs, 601)
    out = process_array(system, signals, RATE)
    for signal, processed in zip(signals, out, strict=True):
        alone = process_array(system, signal, RATE)
        torch.testing.assert_close(processed, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("samples", [1, SIZE])
def test_what_fits_into_a_chunk_is_processed_whole(name, samples):
    system = SYSTEMS[name]().eval()
    signal = torch.randn(system.inputs, samples)
    with torch.inference_mode():
        whole = system.process(signal.unsqueeze(0)).squeeze(0)
    out = torch.cat([*process_long(system, in_pieces(signal), RATE)], -1)
    assert torch.equal(out, whole)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("samples", [SIZE + 1, SIZE + STEP])
def test_chunks_give_as_many_samples_as_there_were(name, samples):
    system = SYSTEMS[name]().eval()
    signals = torch.randn(2, system.inputs, samples)
    out = process_array(system, signals, RATE)
    assert out.shape == (2, system.outputs, samples)
    assert out.isfinite().all()


def test_blocks_of_any_size_give_the_same():
    system = Levelled()
    signal = torch.randn(1, 30011)
    whole = process_array(system, signal, RATE)
    out = torch.cat([*process_long(system, in_pieces(signal), RATE)], -1)
    assert torch.equal(out, whole)


@given(
    samples=st.integers(1, 200),
    size=st.integers(6, 40),
    part=st.floats(0.01, 1 / 3),
    hop=st.integers(1, 4),
    seed=st.integers(0, 99),
)
@settings(max_examples=100, deadline=None)
def test_weights_sum_to_one_and_nothing_is_shifted(samples, size, part, hop, seed):
    step = whole_hops(size - max(1, int(part * size)), hop)
    assume(step < size)
    signal = torch.arange(1.0, samples + 1)
    chunks = list(overlapping(in_pieces(signal, seed), size, step, hop))
    for start, chunk in chunks:
        assert start % hop == 0
        assert min(size, samples) <= len(chunk) < size + hop
        assert torch.equal(chunk, signal[start : start + len(chunk)])
    torch.testing.assert_close(torch.cat([*cross_fade(chunks, size - step)]), signal)


def test_chunks_are_all_of_one_length_and_none_is_needless():
    system = Through()
    process_array(system, torch.randn(1, SIZE + STEP), RATE)
    assert system.calls == [(1, 1, SIZE)] * 2
    process_array(system, torch.randn(1, SIZE + STEP + 1), RATE)
    assert system.calls[2:] == [(1, 1, SIZE)] * 3


def test_many_channels_take_turns():
    system = Through()
    signals = torch.randn(7, 1, 10000)
    assert torch.equal(process_array(system, signals, RATE), signals)
    assert max(shape[0] for shape in system.calls) == 1


@pytest.mark.parametrize("system", [Levelled(), Through(gain=0.5)])
def test_a_stationary_signal_is_stationary_across_seams(system):
    rate = 4000
    signal = 0.1 * torch.randn(1, 120 * rate)
    out = process_array(system, signal, rate)
    products, powers = (
        (x * signal).unflatten(-1, (-1, rate)).sum(-1) for x in (out, signal)
    )
    gains = products / powers
    assert (gains.max() - gains.min()) / gains.mean() < 0.1


def test_level_and_length_are_kept_whatever_the_level():
    signal = torch.randn(1, 40 * RATE)
    out = process_array(Levelled(), signal, RATE)
    for gain in (1e-4, 10.0):
        scaled = process_array(Levelled(), gain * signal, RATE)
        torch.testing.assert_close(scaled, gain * out, rtol=1e-3, atol=1e-6 * gain)


@pytest.mark.parametrize("begin", [5.0, 9.0, 9.5, 10.0, 10.4, 10.5, 12.0])
def test_loud_speech_after_silence_is_heard_at_its_level(begin):
    """A chunk of little speech and much silence has a low level, not a great share."""
    signal = torch.zeros(1, 40 * RATE)
    signal[:, round(begin * RATE) :] = torch.randn(1, 40 * RATE - round(begin * RATE))
    out = process_array(Levelled(), signal, RATE)
    assert not out[:, : round(begin * RATE)].any()
    loud = slice(round(begin * RATE), None)
    frames = (out[:, loud] * signal[:, loud]).split(RATE // 4, -1)
    powers = signal[:, loud].square().split(RATE // 4, -1)
    gains = torch.tensor(
        [y.sum() / x.sum() for y, x in zip(frames, powers, strict=True)]
    )
    # of tanh: 0.61 at the level of the whole, 0.37 if that is taken for 6 dB less
    assert gains.min() > 0.37 - 0.05
    assert gains.max() < 0.61 + 0.1


@pytest.mark.parametrize("name", OTHERS)
def test_silence_between_speech_stays_silent(name):
    system = SYSTEMS[name]().eval()
    signal = torch.randn(system.inputs, 40 * RATE)
    signal[:, 10 * RATE : 35 * RATE] = 0
    out = process_array(system, signal, RATE)
    assert out[:, : 10 * RATE].any()
    # of all chunks that hold nothing else
    assert not out[:, 18 * RATE : 30 * RATE].any()


def test_a_silent_channel_stays_silent_beside_another():
    class Humming(Through):
        def process(self, signals, lengths=None):
            return signals + 1.0

    signals = torch.stack([torch.zeros(1, 20 * RATE), torch.randn(1, 20 * RATE)])
    out = process_array(Humming(), signals, RATE)
    assert not out[0].any()
    torch.testing.assert_close(out[1], signals[1] + 1.0)


@pytest.mark.parametrize("name", CAUSAL)
def test_what_a_causal_system_makes_of_silence_does_not_depend_on_the_length(name):
    system = SYSTEMS[name]().eval()
    for parameter in system.parameters():
        # biases too
        torch.nn.init.normal_(parameter, 0.1, 0.1)
    long = process_array(system, torch.zeros(system.inputs, SIZE + RATE), RATE)
    short = process_batch(system, torch.zeros(1, system.inputs, SIZE - RATE))[0]
    # what comes later is heard in the last window
    own = slice(SIZE - RATE - system.latency)
    torch.testing.assert_close(short[:, own], long[:, own], atol=1e-5, rtol=1e-4)


def test_what_is_quiet_does_not_depend_on_the_padding():
    system, loud = Through(), torch.randn(1, 1, 4000)
    quiet = 1.3e-7 * torch.ones(1, 1, 400)
    (alone,), (padded, _) = (
        process_padded(system, x) for x in ([quiet], [quiet, loud])
    )
    assert torch.equal(alone, quiet)
    assert torch.equal(padded, quiet)


@pytest.mark.parametrize("samples", [SIZE - 1, SIZE + 1])
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_in_training_is_refused_whatever_the_length(name, samples):
    system = SYSTEMS[name]().train()
    before = {key: value.clone() for key, value in system.state_dict().items()}
    signal = torch.randn(1, system.inputs, samples)
    for process in (process_batch, functools.partial(process_array, rate=RATE)):
        with pytest.raises(ValueError, match=r"in evaluation mode: call its eval\(\)"):
            process(system, signal)
    assert all(torch.equal(before[k], v) for k, v in system.state_dict().items())


@pytest.mark.parametrize("name", [name for name in OTHERS if name != "dprnn"])
def test_chunks_of_noise_give_nearly_what_the_whole_gives(name):
    """Of enhancers: the outputs of an untrained separator are not talkers."""
    system = SYSTEMS[name]().eval()
    signal = torch.randn(system.inputs, 20 * RATE)
    with torch.inference_mode():
        whole = system.process(signal.unsqueeze(0)).squeeze(0)
    out = process_array(system, signal, RATE)
    error = (out - whole).square().sum() / whole.square().sum()
    assert error < 0.01


def test_separated_items_of_a_batch_keep_their_talkers_each():
    signals = torch.randn(3, 1, 30 * RATE)
    out = process_array(Bands(), signals, RATE)
    low = torch.fft.rfft(out).abs().split(30 * RATE // 4, -1)[0].sum(-1)
    # each item has one output with all of the low band
    assert (low.min(-1).values < 0.2 * low.max(-1).values).all()


def test_gradients_are_not_kept_and_modes_not_changed():
    system = SYSTEMS["mask"]().eval()
    blocks = torch.randn(1, 3000).split(1000, -1)
    for out in process_long(system, blocks, RATE):
        assert not out.requires_grad
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()


def test_nothing_in_gives_nothing_out():
    assert process_array(Through(), torch.zeros(1, 0), RATE).shape == (1, 0)
    assert [*process_long(Through(), [], RATE)] == []


@pytest.mark.parametrize("overlap", [0.0, -1.0, 3.0, 8.0])
def test_overlaps_that_are_not_possible_are_refused_at_once(overlap):
    with pytest.raises(ValueError, match="overlap: expected"):
        process_long(Through(), [], RATE, 8.0, overlap)


@pytest.mark.parametrize("name", SYSTEMS)
def test_another_number_of_channels_is_refused(name):
    system = SYSTEMS[name]().eval()
    for shape in ((system.inputs + 1, 100), (2, system.inputs + 1, 100)):
        with pytest.raises(ValueError, match=rf"inputs {system.inputs}, time\], got"):
            process_array(system, torch.randn(shape), RATE)


def test_a_system_in_training_is_refused():
    with pytest.raises(ValueError, match="eval"):
        process_long(SYSTEMS["mask"](), [], RATE)


def test_systems_compute_in_their_own_type():
    system = SYSTEMS["mask"]().double().eval()
    out = process_batch(system, torch.randn(1, 1, 3000))
    assert out.dtype == torch.float32


def test_blocks_are_cut_without_a_sample_lost():
    signal = torch.arange(101)
    blocks = list(cut(in_pieces(signal), 10))
    assert [len(block) for block in blocks] == [10] * 10 + [1]
    assert torch.equal(torch.cat(blocks), signal)


class Watch(TorchDispatchMode):
    """Counts the storages of all tensors that are made and still held."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[StorageWeakRef] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for x in tree_leaves(result):
            if isinstance(x, torch.Tensor):
                self.seen.append(StorageWeakRef(x.untyped_storage()))
        return result

    def held(self) -> int:
        self.seen = [each for each in self.seen if not each.expired()]
        return len({each.cdata for each in self.seen})


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [Through, Bands, SYSTEMS[CAUSAL[0]]], ids=["chunks", "talkers", "stream"]
)
def test_no_more_is_held_of_a_long_signal(make):
    system = make()
    if isinstance(system, torch.nn.Module):
        system.eval()
    blocks = (torch.randn(system.inputs, SIZE // 3) for _ in range(120))
    with Watch() as watch:
        held = [watch.held() for _ in process_long(system, blocks, RATE)]
    assert len(held) > 30
    assert max(held[10:]) <= max(held[:10])
