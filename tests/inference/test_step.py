"""A system as a function of piece and state gives what it gives of the whole signal."""

import gc
import threading
import weakref

import pytest
import torch
import torch.nn.functional as F

from speechbrain_fusion.inference.long_audio import process_array
from speechbrain_fusion.inference.step import StepModel
from speechbrain_fusion.models import BinauralTasNet, ConvTasNetMasker, UnifiedSeparator
from speechbrain_fusion.nnet.filterbank import complete_frames
from speechbrain_fusion.nnet.streaming import current_memory
from tests.inference.causal_systems import (
    KINDS,
    SYSTEMS,
    TASNET,
    assert_near,
    make,
    offline,
)


def pieces_of(signal, hop):
    """Cut whole hops at random, and return what is left too."""
    pieces, start = [], 0
    while start + hop <= signal.shape[-1]:
        longest = (signal.shape[-1] - start) // hop
        length = hop * int(torch.randint(1, min(longest, 12) + 1, ()))
        pieces.append(signal[..., start : start + length])
        start += length
    return pieces, signal[..., start:]


@torch.inference_mode()
def in_threads(work, count=4):
    """Call it with 0, 1, ... at the same time."""
    threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def by_steps(model, signal, states=None):
    states = model.initial_states(len(signal)) if states is None else states
    pieces, rest = pieces_of(signal, model.hop)
    parts = []
    for piece in pieces:
        y, *states = model(piece, *states)
        parts.append(y)
    silence = -rest.shape[-1] % model.hop + model.delay
    samples = torch.full((len(signal),), signal.shape[-1])
    parts.append(model.finish(F.pad(rest, (0, silence)), samples, *states))
    return torch.cat(parts, -1)


@pytest.mark.slow
@pytest.mark.parametrize("name", SYSTEMS)
def test_pieces_give_what_the_whole_signal_gives(name):
    system = make(name)
    model = StepModel(system)
    assert model.delay + model.hop == model.latency == system.latency
    for hops, more in ((0, 1), (1, 0), (1, 1), (2, 0), (9, 0), (30, model.hop - 1)):
        time = model.hop * hops + more
        if name == "stft_unpadded" and time < system.latency:
            continue
        signal = torch.randn(2, system.inputs, time)
        y = by_steps(model, signal)
        assert (y[..., : model.delay] == 0).all()
        found = y[..., model.delay : model.delay + time]
        assert_near(found, offline(system, signal))


@pytest.mark.parametrize(
    "name", [*KINDS, "no_bias", "branches_both_layer", "branches_both_cumulative"]
)
def test_quiet_pieces_give_what_the_whole_signal_gives(name):
    # as loud as what an epsilon adds may be
    system = make(name)
    signal = 1e-4 * torch.randn(1, system.inputs, 12 * system.hop)
    y, expected = by_steps(StepModel(system), signal), offline(system, signal)
    found = y[..., system.latency - system.hop :][..., : signal.shape[-1]]
    assert (found - expected).norm() < 1e-4 * expected.norm()


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_what_is_remembered_matters(name):
    model = StepModel(make(name))
    signal = torch.randn(1, model.inputs, 20 * model.hop)
    with torch.inference_mode():
        _, *states = model(signal, *model.initial_states())
        for i, state in enumerate(states):
            if not state.is_floating_point():
                continue
            changed = [*states[:i], state + 0.5, *states[i + 1 :]]
            one, other = (
                torch.cat([model(signal, *each)[0]], -1) for each in (states, changed)
            )
            assert (one - other).abs().max() > 1e-6, i


@pytest.mark.slow
@pytest.mark.parametrize("name", SYSTEMS)
def test_states_have_one_shape_whatever_the_piece_with_the_batch_first(name):
    model = StepModel(make(name))
    initial = model.initial_states(batch=3)
    shapes = [state.shape for state in initial]
    assert {shape[0] for shape in shapes} == {3}
    assert all((state == 0).all() for state in initial)
    assert [x.shape[1:] for x in model.initial_states(1)] == [s[1:] for s in shapes]
    for hops in (1, 2, 7, 50):
        with torch.inference_mode():
            piece = torch.randn(3, model.inputs, hops * model.hop)
            y, *states = model(piece, *initial)
        assert y.shape == (3, model.outputs, hops * model.hop)
        assert [state.shape for state in states] == shapes
        assert [state.dtype for state in states] == [x.dtype for x in initial]


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_nothing_is_remembered_but_in_the_states(name):
    model = StepModel(make(name))
    signals = torch.randn(3, 2, model.inputs, 6 * model.hop)
    alone = [by_steps(model, signal) for signal in signals[:2]]
    torch.manual_seed(1)
    states = [model.initial_states(2) for _ in range(2)]
    parts = [[], []]
    with torch.inference_mode():
        for piece in signals.split(model.hop, -1):
            for i in (0, 1):
                before = [state.clone() for state in states[i]]
                y, *after = model(piece[i], *states[i])
                again, *_ = model(piece[i], *states[i])
                assert torch.equal(y, again)
                assert all(map(torch.equal, before, states[i]))
                states[i] = after
                parts[i].append(y)
    for part, expected in zip(parts, alone, strict=True):
        assert_near(torch.cat(part, -1), expected[..., : 6 * model.hop])


@pytest.mark.parametrize("name", KINDS)
def test_an_item_of_a_batch_is_on_its_own(name):
    model = StepModel(make(name))
    signal = torch.randn(2, model.inputs, 8 * model.hop)
    with torch.inference_mode():
        first, *states = model(signal, *model.initial_states(2))
        # the second item begins anew, which is to set its states to zero
        fresh = [state.clone() for state in states]
        for state in fresh:
            state[1] = 0
        y, *_ = model(signal, *fresh)
        alone, *_ = model(signal[:1], *(state[:1] for state in states))
    assert_near(y[1], first[1])
    assert_near(y[0], alone[0])


@pytest.mark.slow
def test_threads_do_not_hear_each_other():
    model = StepModel(make("learned_both"))
    signals = torch.randn(4, 1, 2, 400)
    expected = [offline(model.system, signal) for signal in signals]
    found = {}

    def work(i):
        for _ in range(3):
            found[i] = by_steps(model, signals[i])[..., model.delay :][..., :400]
            offline(model.system, signals[i])

    in_threads(work)
    for i, whole in enumerate(expected):
        assert_near(found[i], whole)


def test_gradients_go_through_states():
    model = StepModel(make("learned_both"))
    signal = torch.randn(1, 2, 80, requires_grad=True)
    _, *states = model(signal[..., :40], *model.initial_states())
    second, *_ = model(signal[..., 40:], *states)
    (gradient,) = torch.autograd.grad(second[..., :4].sum(), signal)
    whole = model.system.process(signal)[..., 36:40].sum()
    torch.testing.assert_close(gradient, torch.autograd.grad(whole, signal)[0])


# -- prepared --------------------------------------------------------------------------


def advanced(advance, model, piece):
    with torch.inference_mode():
        return advance(piece, model.initial_states(len(piece)))[0]


@pytest.mark.slow
def test_a_system_is_prepared_once_for_each_number_of_hops_and_batch():
    system = make("learned_both")
    prepared = StepModel(system).prepare(2)
    assert StepModel(system).prepare(2) is prepared
    others = StepModel(system).prepare(3), StepModel(system).prepare(2, batch=3)
    assert prepared not in others
    assert StepModel(make("learned_both")).prepare(2) is not prepared


@pytest.mark.slow
@pytest.mark.parametrize("name", ["learned_both", "branches_magnitude_batch"])
def test_weights_that_have_changed_are_those_of_what_is_prepared_next(name):
    system = make(name)
    model, piece = StepModel(system), torch.randn(1, system.inputs, 2 * system.hop)
    before = advanced(model.prepare(2), model, piece)
    for parameter in system.parameters():
        # which leaves no trace in the parameter
        parameter.data.mul_(1.5)
    after = advanced(model.prepare(2), model, piece)
    assert not torch.equal(before, after)
    assert_near(after, advanced(model.advance, model, piece))
    system.double()
    after = advanced(model.prepare(2), model, piece.double())
    assert_near(after, advanced(model.advance, model, piece.double()), 1e-12)


@pytest.mark.slow
def test_what_is_prepared_does_not_keep_the_system():
    system = make("learned_both")
    prepared, alive = StepModel(system).prepare(1), weakref.ref(system)
    del system
    gc.collect()
    assert prepared is not None
    assert alive() is None


@pytest.mark.slow
def test_threads_prepare_one_after_another():
    system, found = make("learned_both"), {}
    model = StepModel(system)
    pieces = torch.randn(4, 1, 2, 8)
    expected = [advanced(model.advance, model, piece) for piece in pieces]

    def work(i):
        advance = StepModel(system).prepare(2)
        found[i] = [advanced(advance, model, pieces[i]) for _ in range(20)]

    in_threads(work)
    for i, piece in enumerate(expected):
        for y in found[i]:
            assert_near(y, piece)


# -- what cannot be --------------------------------------------------------------------


def test_systems_that_hear_the_future_are_named():
    masker = ConvTasNetMasker(8, 2, 6, 7, 9, 3, 2, 1)
    with pytest.raises(ValueError, match="UnifiedSeparator: expected a causal"):
        StepModel(UnifiedSeparator(masker, masker, 8))
    with pytest.raises(ValueError, match="BinauralTasNet: expected a causal"):
        StepModel(BinauralTasNet(**TASNET, causal=False))
    system = torch.nn.Identity()
    system.causal, system.latency = True, 8
    with pytest.raises(ValueError, match=r"Identity: expected .*\['hop'\]"):
        StepModel(system)


def test_pieces_and_states_that_do_not_fit_are_refused():
    model = StepModel(make("learned_both"))
    states, piece = model.initial_states(), torch.randn(1, 2, 8)
    for time in (0, 3, 9):
        with pytest.raises(ValueError, match="expected a multiple of 4 samples"):
            model(torch.randn(1, 2, time), *states)
    with pytest.raises(ValueError, match="states: expected more than 6"):
        model(piece, *states[:-1])
    with pytest.raises(ValueError, match="states: expected 7, got 8"):
        model(piece, *states, states[-1])
    with pytest.raises(ValueError, match="2 ears"):
        model(torch.randn(1, 3, 8), *states)
    # and the layers are offline again
    assert current_memory() is None
    model.system.train()
    with pytest.raises(ValueError, match="evaluation"):
        model(piece, *states)


class OwnLayers(torch.nn.Module):
    """Causal offline, of layers that know nothing of pieces."""

    task, causal, latency, hop = "enhance", True, 16, 16
    inputs = outputs = 1

    def __init__(self, last):
        super().__init__()
        self.encode = torch.nn.Conv1d(1, 4, 16, stride=16)
        self.last = last
        self.decode = torch.nn.ConvTranspose1d(4, 1, 16, stride=16)

    def process(self, signals, lengths=None):
        time = signals.shape[-1]
        latent = self.encode(complete_frames(signals, 16, 16)).mT
        latent = self.last(latent)[0] if isinstance(self.last, torch.nn.GRU) else latent
        if isinstance(self.last, torch.nn.Conv1d):
            latent = self.last(F.pad(latent.mT, (2, 0))).mT
        return self.decode(latent.mT)[..., :time]


def test_systems_that_forget_are_named():
    for last in (torch.nn.GRU(4, 4, batch_first=True), torch.nn.Conv1d(4, 4, 3)):
        with pytest.raises(ValueError, match="OwnLayers: gives in pieces what it does"):
            StepModel(OwnLayers(last))
        with pytest.raises(ValueError, match=r"causal = False: it is then heard in"):
            process_array(OwnLayers(last).eval(), torch.randn(1, 6000), 1000)
    # each frame on its own: nothing is to be remembered
    StepModel(OwnLayers(torch.nn.Identity()))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_systems_of_other_precisions_are_not_taken_for_forgetful(kind):
    for name in ("learned_both", "separator"):
        StepModel(make(name).to(kind))


@pytest.mark.parametrize("name", KINDS)
def test_streams_are_the_same_within_autocast(name):
    system, piece = make(name), torch.randn(1, make(name).inputs, 960)
    model = StepModel(system)
    expected, *_ = model(piece, *model.initial_states())
    with torch.autocast("cpu", torch.bfloat16):
        found, *_ = model(piece, *model.initial_states())
    assert torch.equal(found, expected)
