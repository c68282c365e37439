"""Facts of a model folder: what they may be, and what the model itself says."""

import json

import pytest
import torch

from speechbrain_fusion.inference import BinauralEnhancer, load
from speechbrain_fusion.inference.config import describe, read_config

WRONG = {
    "task": ["dance", None, ["enhance"], "separate"],
    "sample_rate": [0, -1, 1e4, "8000", True, 10**30, 16000, None],
    "inputs": [0, 1, True, 10**9, "2"],
    "outputs": [3, None],
    "causal": [1, "yes", False],
    "latency": [0, 9, 1.5, 10**9, None],
    "precision": ["float64", 3],
    "name": [3, "a" * 2000, "\x1b[2J", None],
    "corpus": [["a"], "\x07"],
    "metrics": [
        [],
        {"a": 1},
        {"a": {"b": "c"}},
        {"\x1b": {}},
        {"a": {"b": True}},
        {"a": {"b": 10**400}},
    ],
    "versions": [[], {"torch": 2}, {"torch": "\n"}],
    "seed": [1.5, "1", 2**70],
    "created": [3],
}


@pytest.mark.parametrize(
    ("key", "value"),
    [(key, value) for key, values in WRONG.items() for value in values],
)
def test_facts_that_cannot_be_are_named(key, value, folder):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    for way in (load, BinauralEnhancer.from_hparams):
        with pytest.raises(ValueError, match=r"config\.json: ") as caught:
            way(folder)
        assert len(str(caught.value)) < 600
        assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "{",
            "[]",
            "3",
            "null",
            "[" * 100_000,
            '{"a": ' * 9000,
            "{" + " " * 10**6,
        ),
        *('{"seed": NaN}', '{"seed": 1e999}', "9" * 5000, "\ud800", "{}", '{"a": 1}'),
    ],
)
def test_a_config_that_is_none_is_named(text, folder):
    path = folder / "config.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ValueError, match=r"config\.json: "):
        load(folder)


def test_unknown_facts_are_left_out(folder):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "later": "\x1b[2J"}))
    assert "later" not in load(folder).config


def test_a_causal_network_says_its_latency(folder):
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), "latency": None}
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"config\.json: latency: expected samples of"):
        read_config(path)
    system = torch.nn.Identity()
    system.task, system.causal, system.inputs, system.outputs = "enhance", True, 1, 1
    system.process = lambda signals, lengths=None: signals
    with pytest.raises(ValueError, match="Identity: causal, expected a latency"):
        describe(system)
