"""Weights as tensors and nothing else, which are those of the model."""

import os
import pickle
import struct
import subprocess
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from speechbrain_fusion.inference import BinauralEnhancer, load
from speechbrain_fusion.inference.weights import read_weights
from tests.inference.model_folders import change_yaml, make_folder


class Touch:
    """Unpickled, it makes a file."""

    def __reduce__(self):
        return subprocess.call, (["touch", "RAN"],)


class Ask:
    """Unpickled, it takes what memory it is told to."""

    def __init__(self, kind, *sizes):
        self.told = kind, sizes

    def __reduce__(self):
        return self.told


class Hide(OrderedDict):
    """Unpickled, it is a plain one that says it were empty."""

    def __reduce__(self):
        return OrderedDict, (), {"items": OrderedDict}, None, iter(self.items())


def save(thing, path):
    torch.save(thing, path)


def repack(path, compression=zipfile.ZIP_STORED, **changes):
    """Write an archive anew, with other content of some of its parts."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in parts.items():
            archive.writestr(name, changes.get(Path(name).stem, data))


def state_of(path):
    return torch.load(path, weights_only=True)


HOSTILE = {
    "a pickle": lambda path: path.write_bytes(pickle.dumps(Touch())),
    "a pickle of tensors": lambda path: path.write_bytes(pickle.dumps(state_of(path))),
    "an object": lambda path: save(Touch(), path),
    "an object among tensors": lambda path: save(
        {**state_of(path), "a": Touch()}, path
    ),
    "an object in the archive": lambda p: repack(p, data=pickle.dumps(Touch())),
    "an object in the old format": lambda path: torch.save(
        {"a": Touch()}, path, _use_new_zipfile_serialization=False
    ),
    "a whole module": lambda path: save(torch.nn.Linear(1, 1), path),
    "a script": lambda path: torch.jit.save(
        torch.jit.script(torch.nn.Linear(1, 1)), str(path)
    ),
    "the old format": lambda path: torch.save(
        state_of(path), path, _use_new_zipfile_serialization=False
    ),
    "no bytes": lambda path: path.write_bytes(b""),
    "noise": lambda path: path.write_bytes(os.urandom(5000)),
    "another archive": lambda path: zipfile.ZipFile(path, "w").close(),
    "half of it": lambda path: path.write_bytes(path.read_bytes()[:3000]),
    "all but its end": lambda path: path.write_bytes(path.read_bytes()[:-30]),
    "a hole in it": lambda path: repack(path, data=b""),
    "a compressed archive": lambda path: repack(path, zipfile.ZIP_DEFLATED),
    "a tensor": lambda path: save(torch.ones(3), path),
    "a list": lambda path: save([torch.ones(3)], path),
    "numbers": lambda path: save({"a": 1.0}, path),
    "tensors in tensors' place": lambda path: save({"a": {"b": torch.ones(1)}}, path),
    "names that are numbers": lambda path: save({1: torch.ones(1)}, path),
    "names that ring": lambda path: save({"a\x07": torch.ones(1)}, path),
    "a sparse tensor": lambda path: save({"a": torch.eye(3).to_sparse()}, path),
    "complex numbers": lambda path: save({"a": torch.ones(1) * 1j}, path),
    "nowhere": lambda path: save({"a": torch.ones(1, device="meta")}, path),
    "eight bits": lambda path: save({"a": torch.ones(1).to(torch.float8_e4m3fn)}, path),
    "one number seen often": lambda path: save(
        {"a": torch.ones(1).expand(10**6)}, path
    ),
    "shared memory": lambda path: save(
        dict.fromkeys(map(str, range(99)), torch.ones(1000)), path
    ),
    "nan": lambda path: save(
        {k: v * torch.nan for k, v in state_of(path).items()}, path
    ),
    "infinity": lambda path: save(
        {k: v / 0 if v.is_floating_point() else v for k, v in state_of(path).items()},
        path,
    ),
    "nothing": lambda path: save({}, path),
    "memory": lambda path: save({"a": Ask(torch.Tensor, 2**17, 2**17)}, path),
    "bytes": lambda path: save({"a": Ask(bytearray, 2**36)}, path),
    "bytes that are dropped": lambda path: save([Ask(bytearray, 2**36), 1], path),
    "an object that is hidden": lambda path: save(Hide({"a": 1.0}), path),
}


@pytest.mark.parametrize("spoil", HOSTILE.values(), ids=HOSTILE)
def test_weights_are_tensors_or_refused(spoil, folder):
    path = folder / "model.ckpt"
    spoil(path)
    for way in (load, BinauralEnhancer.from_hparams):
        with pytest.raises(ValueError, match=r"model\.ckpt: ") as caught:
            way(folder)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"model\.ckpt: "):
        load(folder, trust=True)
    assert not any(Path().iterdir())


@pytest.mark.parametrize(
    ("kind", "name"), [(torch.Tensor, "torch Tensor"), (set, "set")]
)
def test_only_what_makes_up_tensors_is_called(kind, name, tmp_path):
    """Of all that torch itself allows: some of it takes memory without end."""
    torch.save({"a": Ask(kind)}, tmp_path / "a.ckpt")
    torch.load(tmp_path / "a.ckpt", weights_only=True)
    with pytest.raises(ValueError, match=rf"a\.ckpt: .*{name}' is refused, expected"):
        read_weights(tmp_path / "a.ckpt")


def test_parameters_are_read_as_tensors_are(tmp_path):
    state = OrderedDict(a=torch.nn.Parameter(torch.ones(3)), b=torch.zeros(2).half())
    torch.save(state, tmp_path / "a.ckpt")
    assert torch.equal(read_weights(tmp_path / "a.ckpt")["a"], torch.ones(3))


@pytest.mark.slow
def test_damaged_weights_are_refused_or_read(original, tmp_path):
    """Any byte may be another; parameters are never other than they were."""
    good, path = (original / "model.ckpt").read_bytes(), tmp_path / "model.ckpt"
    random, state = np.random.default_rng(0), read_weights(original / "model.ckpt")
    places = random.integers(len(good), size=300)
    # the pickle is where it hurts
    start = good.index(b"data.pkl")
    places[::2] = random.integers(start, start + 2000, size=150)
    messages = []
    for place in places:
        damaged = bytearray(good)
        damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        try:
            read = read_weights(path)
            assert all(torch.equal(read[name], state[name]) for name in state)
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 50
    for message in messages:
        assert message.startswith(f"{path}: ")
        assert message.isprintable()


def test_such_a_pickle_would_have_run(folder):
    """The test above is worth something."""
    HOSTILE["a pickle"](folder / "model.ckpt")
    pickle.loads((folder / "model.ckpt").read_bytes())
    assert Path("RAN").exists()


def test_all_that_does_not_fit_is_listed(folder):
    path = folder / "model.ckpt"
    state = state_of(path)
    names = [*state]
    state["more"] = torch.ones(1)
    state[names[1]] = torch.ones(3, 1, 4)
    del state[names[0]]
    torch.save(state, path)
    message = rf"model\.ckpt: not the parameters .*missing: {names[0]}; unexpected: mo"
    message += rf"re; different: {names[1]} \[3, 1, 4\], expected \["
    with pytest.raises(ValueError, match=message):
        load(folder)
    # then SpeechBrain loads
    with pytest.raises(RuntimeError, match="size mismatch"):
        load(folder, trust=True)


def test_settings_that_have_no_parameters_are_checked_too(tmp_path):
    folder = make_folder(tmp_path, "shared_latent")
    change_yaml(folder, "hop: 64", "hop: 32")
    with pytest.raises(ValueError, match=r"speech\._extra_state is \[64.0, .* \[32.0,"):
        load(folder)


def two_in_one(shown, hidden):
    """Join two archives: zipfile finds the first of them, torch the other.

    One looks for the table of parts in front of the end, the other where the end says.
    """
    ends = [data.rindex(b"PK\5\6") for data in (shown, hidden)]
    said = [
        [*struct.unpack("<4s4H2LH", data[i : i + 22])]
        for data, i in zip((shown, hidden), ends, strict=True)
    ]
    assert said[0][3] == said[1][3]
    assert said[0][5] == said[1][5]
    end = struct.pack("<4s4H2LH", *said[0][:6], said[1][6], said[0][7])
    return hidden[: ends[1]] + shown[: ends[0]] + end


def test_what_is_checked_is_what_is_read(tmp_path):
    """A file may be one archive for who checks it, and another for who reads it."""
    path = tmp_path / "model.ckpt"
    for value in (1.0, 2.0):
        save({"weight": torch.full((2,), value)}, tmp_path / f"{value}")
    repack(tmp_path / "1.0")
    repack(tmp_path / "2.0")
    shown, hidden = ((tmp_path / f"{x}").read_bytes() for x in (1.0, 2.0))
    path.write_bytes(two_in_one(shown, hidden))
    assert state_of(path)["weight"].tolist() == [2.0, 2.0]
    assert read_weights(path)["weight"].tolist() == [1.0, 1.0]
