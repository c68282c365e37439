"""Streams: what comes in by any cutting comes out whole, `latency` samples late."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechbrain_fusion.inference.step import StepModel
from speechbrain_fusion.inference.streaming import Stream
from speechbrain_fusion.models import BinauralTasNet, TwoBranchEnhancer
from tests.inference.causal_systems import (
    KINDS,
    SYSTEMS,
    TASNET,
    assert_near,
    make,
    offline,
)


def run(stream, signal, sizes):
    """Pass a signal in parts of given sizes, the last of which is repeated."""
    parts, start = [], 0
    sizes = iter(sizes)
    size = next(sizes)
    while start < signal.shape[-1]:
        part = signal[..., start : start + size]
        parts.append(stream.step(part))
        assert parts[-1].shape[-1] == part.shape[-1]
        start, size = start + size, next(sizes, size or 1)
    return torch.cat([*parts, stream.flush()], -1)


def random_sizes(longest):
    while True:
        yield random.choice([0, 1, 1, 2, 3, 7, 31, longest])


@pytest.mark.parametrize("name", SYSTEMS)
def test_any_cutting_gives_what_the_whole_signal_gives(name):
    random.seed(0)
    system = make(name)
    stream = Stream(system, batch=2)
    assert stream.latency == system.latency
    for time in (8 * stream.hop + 5, 13 * stream.hop, 1 + stream.latency):
        signal = torch.randn(2, system.inputs, time)
        y = run(stream, signal, random_sizes(4 * stream.hop + 3))
        assert y.shape == (2, system.outputs, time + stream.latency)
        assert (y[..., : stream.latency] == 0).all()
        assert_near(y[..., stream.latency :], offline(system, signal))
        stream.reset()


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_cuts_of_any_length_found_by_hypothesis(name):
    system = make(name)
    stream = Stream(system)

    @settings(max_examples=12, deadline=None, database=None, derandomize=True)
    @given(st.integers(1, 6 * system.latency), st.lists(st.integers(0, 99), min_size=1))
    def check(time, sizes):
        signal = torch.randn(1, system.inputs, time)
        y = run(stream, signal, [*sizes, 31])
        stream.reset()
        assert_near(y[..., stream.latency :], offline(system, signal))

    check()


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_one_sample_a_step_and_all_at_once(name):
    system = make(name)
    stream = Stream(system)
    for time in (1, stream.hop, stream.latency + 1):
        signal = torch.randn(1, stream.inputs, time)
        expected = offline(system, signal)
        for size in (1, time):
            y = run(stream, signal, [size])
            stream.reset()
            assert_near(y[..., stream.latency :], expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("odd", [0, 3])
def test_steps_that_are_prepared_for_give_the_same(name, odd):
    random.seed(0)
    system = make(name).requires_grad_(True)
    size = 3 * system.hop + odd
    stream = Stream(system, batch=2, block=size)
    signal = torch.randn(2, system.inputs, 20 * size + 7)
    expected = offline(system, signal)
    for sizes in ([size], [1, 5, *[size] * 9, 2, 2 * size, size]):
        y = run(stream, signal, sizes)
        assert_near(y[..., stream.latency :], expected)
        stream.reset()


@pytest.mark.slow
def test_items_that_are_prepared_for_begin_anew_alone():
    system = make("learned_both")
    stream, sizes = Stream(system, batch=2, block=4 * system.hop), 4 * system.hop
    old, new = torch.randn(2, 2, 8 * sizes), torch.randn(1, 2, 8 * sizes)
    stream.step(old[..., :-sizes])
    stream.reset([1])
    parts = torch.stack([torch.zeros_like(new[0]), new[0]]).split(sizes, -1)
    y = torch.cat([*map(stream.step, parts), stream.flush()], -1)[1:]
    assert_near(y[..., stream.latency :], offline(system, new))


def test_a_thousand_hops_in_a_step():
    system = make("learned_both")
    signal = torch.randn(1, 2, 10_007)
    y = run(Stream(system), signal, [6_001])
    assert_near(y[..., system.latency :], offline(system, signal))


def test_nothing_in_gives_silence_of_the_latency():
    for name in KINDS:
        stream = Stream(make(name), batch=2)
        assert stream.step(torch.zeros(2, stream.inputs, 0)).shape[-1] == 0
        y = stream.flush()
        assert y.shape == (2, stream.outputs, stream.latency)
        assert (y == 0).all()


def test_unpadded_frames_that_never_fill_give_a_finite_end():
    stream = Stream(make("stft_unpadded"))
    y = run(stream, torch.randn(1, 2, 5), [2])
    assert y.shape[-1] == 5 + stream.latency
    assert y.isfinite().all()


# -- latency ---------------------------------------------------------------------------


def test_the_clarity_configuration_is_two_milliseconds_late():
    stream = Stream(BinauralTasNet(share_norms=True))
    assert stream.latency / 8000 == 0.002


def test_the_latency_of_spectra_is_their_window():
    stream = Stream(TwoBranchEnhancer(320, 160, 2, 2, units=1, groups=1, causal=True))
    assert stream.latency / 16000 == 0.020


@pytest.mark.parametrize("name", KINDS)
def test_output_comes_as_soon_as_it_may(name):
    """The first sample of a hop needs `latency` samples from itself on."""
    system = make(name)
    signal = torch.randn(1, system.inputs, 8 * system.latency)
    place = 4 * system.latency - 1
    changed = torch.cat([signal[..., :place], signal[..., place:] + 9], -1)
    difference = offline(system, signal) - offline(system, changed)
    first = int(difference.abs().sum((0, 1)).nonzero()[0])
    # windows of spectra begin with zero
    assert 0 <= first - (place - system.latency + 1) <= 2
    one, other = Stream(system), Stream(system)
    same = [each.step(x[..., :place]) for each, x in ((one, signal), (other, changed))]
    assert torch.equal(*same)


# -- several streams -------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "prepared"),
    [(name, False) for name in (*KINDS, "branches_both_cumulative", "long_taps")]
    + [("learned_both", True), ("stft_both", True)],
)
def test_streams_of_a_batch_begin_and_end_when_they_want(name, prepared):
    random.seed(1)
    system = make(name)
    stream = Stream(system, batch=3, block=system.hop + 1 if prepared else None)
    length, begin = 9 * stream.hop + 1, 2 * stream.hop + stream.hop // 2 + 1
    signals = torch.randn(3, stream.inputs, length)
    parts = [stream.step(signals[..., :begin])]
    stream.reset([1])
    start = begin
    while start < length:
        size = random.choice([1, 3, stream.hop, stream.hop + 1])
        parts.append(stream.step(signals[..., start : start + size]))
        start += size
    ends = stream.flush([2, 0])
    assert ends.shape == (2, stream.outputs, stream.latency)
    late = torch.cat(parts, -1)
    for item, end in ((2, ends[0]), (0, ends[1])):
        y = torch.cat([late[item], end], -1)[..., stream.latency :]
        assert_near(y, offline(system, signals[item : item + 1])[0])
    stream.reset([0, 2])
    more = torch.randn(3, stream.inputs, stream.hop)
    ends = [stream.step(more)[1:2], stream.flush()[1:2]]
    y = torch.cat([late[1:2, :, begin:], *ends], -1)
    own = torch.cat([signals[1:2, :, begin:], more[1:2]], -1)
    assert_near(y[..., stream.latency :], offline(system, own))


def test_streams_of_one_system_are_independent():
    system = make("stft_both")
    model = StepModel(system)
    streams = [Stream(model), Stream(system), Stream(model)]
    signals = torch.randn(3, 1, 2, 100)
    parts = [[], [], []]
    for start in range(0, 100, 7):
        for i, stream in enumerate(streams):
            parts[i].append(stream.step(signals[i, ..., start : start + 7]))
    for i, stream in enumerate(streams):
        y = torch.cat([*parts[i], stream.flush()], -1)
        assert_near(y[..., stream.latency :], offline(system, signals[i]))


def test_buffers_may_be_used_again_at_once():
    system = make("learned_both")
    stream, signal = Stream(system), torch.randn(1, 2, 120)
    buffer, parts = torch.empty(1, 2, 10), []
    for part in signal.split(10, -1):
        buffer.copy_(part)
        y = stream.step(buffer)
        parts.append(y.clone())
        y.fill_(9), buffer.fill_(9)
    y = torch.cat([*parts, stream.flush()], -1)[..., stream.latency :]
    assert_near(y, offline(system, signal))


# -- shapes, types, devices ------------------------------------------------------------


def test_a_single_stream_needs_no_axis_for_its_batch():
    stream = Stream(make("learned_both"))
    assert stream.step(torch.randn(2, 30)).shape == (2, 30)
    assert stream.flush([]).shape == (0, 2, stream.latency)
    assert stream.flush().shape == (2, stream.latency)
    stream = Stream(make("branches_both_layer"))
    assert stream.step(torch.randn(30)).shape == (30,)
    assert stream.flush().shape == (stream.latency,)
    stream = Stream(make("separator"))
    assert stream.step(torch.randn(30)).shape == (2, 30)


def test_a_system_of_double_precision_streams_in_it():
    system = make("learned_both").double()
    signal = torch.randn(1, 2, 100)
    y = run(Stream(system), signal, [13])
    assert y.dtype == torch.float64
    whole = offline(system, signal.double())
    torch.testing.assert_close(y[..., system.latency :], whole, atol=1e-12, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("block", [None, 13])
def test_streams_run_where_the_system_is(name, block):
    system, signal = make(name), torch.randn(1, SYSTEMS[name]().inputs, 500)
    expected = offline(system, signal)
    y = run(Stream(system.cuda(), block=block), signal, [13])
    assert y.is_cuda
    torch.testing.assert_close(
        y[..., system.latency :].cpu(), expected, atol=1e-3, rtol=0
    )


def test_streaming_sets_the_system_to_evaluation():
    system = BinauralTasNet(**TASNET).train()
    Stream(system)
    assert not system.training


# -- what cannot be --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(1, 3, 10), r"expected \[batch 1, inputs 2, time\], got \(1, 3"),
        (torch.zeros(2, 2, 10), r"expected \[batch 1, inputs 2, time\], got \(2, 2"),
        (torch.zeros(3, 10), "expected"),
        (torch.zeros(10), "expected"),
        (torch.zeros(1, 1, 2, 10), "expected"),
        (torch.tensor(0.0), "expected"),
        (torch.zeros(1, 2, 10, dtype=torch.int16), "floating-point"),
        (torch.full((1, 2, 10), torch.nan), "finite"),
        (torch.tensor([torch.inf, -torch.inf]).view(1, 2, 1), "finite"),
    ],
)
def test_samples_that_cannot_be_are_refused_and_leave_the_stream_as_it_was(x, message):
    system, signal = make("learned_both"), torch.randn(1, 2, 60)
    stream = Stream(system)
    first = stream.step(signal[..., :31])
    with pytest.raises(ValueError, match=message):
        stream.step(x)
    y = torch.cat([first, stream.step(signal[..., 31:]), stream.flush()], -1)
    assert_near(y[..., stream.latency :], offline(system, signal))


@pytest.mark.parametrize(("x", "message"), [([[0.0], [0.0]], "got list"), (1, "int")])
def test_samples_of_another_kind_are_named(x, message):
    with pytest.raises(ValueError, match=f"a tensor or an array.*{message}"):
        Stream(make("learned_both")).step(x)


def test_samples_of_more_than_double_precision_are_refused():
    with pytest.raises(ValueError, match="stream: expected float64 at most, got float"):
        Stream(make("learned_both")).step(np.zeros((2, 9), np.longdouble))


@pytest.mark.parametrize("kind", [np.float32, np.float64, ">f4"])
def test_arrays_in_arrays_out(kind):
    system, signal = make("learned_both"), torch.randn(2, 90)
    stream = Stream(system)
    array = signal.numpy().astype(kind)
    array.setflags(write=False)
    # backwards in memory
    parts = [stream.step(x[:, ::-1][:, ::-1]) for x in np.split(array, [7, 50], -1)]
    y = np.concatenate([*parts, stream.flush()], -1)
    assert y.dtype == np.float32
    assert y.shape == (2, 90 + stream.latency)
    found = torch.from_numpy(y[:, stream.latency :])[None]
    assert_near(found, offline(system, signal[None]))


def test_very_loud_samples_are_finite():
    stream = Stream(make("learned_both"))
    assert stream.step(torch.full((2, 4), 3e38)).shape == (2, 4)


def test_a_signal_that_has_ended_must_be_reset():
    system, signal = make("learned_both"), torch.randn(2, 2, 60)
    stream = Stream(system, batch=2)
    stream.step(signal)
    stream.flush([1])
    for again in (lambda: stream.step(signal), stream.flush):
        with pytest.raises(ValueError, match=r"\[1\] have ended, reset them"):
            again()
    stream.reset([1])
    stream.flush()
    with pytest.raises(ValueError, match=r"\[0, 1\] have ended"):
        stream.step(signal)
    stream.reset()
    y = run(stream, signal, [7])
    assert_near(y[..., stream.latency :], offline(system, signal))


@pytest.mark.parametrize("items", [[2], [-1], [0, 0]])
def test_items_that_are_not_there_are_named(items):
    stream = Stream(make("learned_both"), batch=2)
    for method in (stream.reset, stream.flush):
        with pytest.raises(ValueError, match="items: expected different ones from 0"):
            method(items)


def test_systems_that_cannot_stream_are_named():
    with pytest.raises(ValueError, match="BinauralTasNet: expected a causal"):
        Stream(BinauralTasNet(**TASNET, causal=False))
    with pytest.raises(ValueError, match="batch: expected 1 or more, got 0"):
        Stream(make("learned_both"), batch=0)
    with pytest.raises(ValueError, match="block: expected 1 or more, got 0"):
        Stream(make("learned_both"), block=0)
