"""What a model folder holds, and that it is whole or not there."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from speechbrain_fusion.inference import folder as folders
from speechbrain_fusion.inference import halve, load, write_model
from tests.inference.model_folders import (
    FACTS,
    RATE,
    TASKS,
    YAMLS,
    make_folder,
    make_run,
)

FILES = ["README.md", "config.json", "hyperparams.yaml", "model.ckpt"]


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("kind", YAMLS)
def test_what_is_loaded_is_what_was_written(kind, tmp_path):
    path, network = make_run(tmp_path, kind)
    model = load(write_model(tmp_path / "model", path, network, FACTS))
    assert type(model).__name__ == TASKS.get(kind, "SpeechEnhancer")
    noisy = torch.randn(2, network.inputs, 1003)
    with torch.inference_mode():
        expected = network.process(noisy)
    assert torch.equal(model(noisy), expected)
    state = model.system.state_dict()
    assert [*state] == [*network.state_dict()]
    assert all(torch.equal(state[k], v) for k, v in network.state_dict().items())


def test_a_folder_has_what_is_needed_and_nothing_else(tmp_path):
    folder = make_folder(tmp_path)
    assert listed(folder) == FILES
    yaml = (folder / "hyperparams.yaml").read_text()
    keys = [line.partition(":")[0] for line in yaml.splitlines() if line[:1].isalpha()]
    assert keys == ["sample_rate", "model", "modules", "pretrainer"]
    # values, not references to other keys
    assert "fuse: back" in yaml
    assert "&" not in yaml
    for name in FILES[:3]:
        assert str(tmp_path) not in (folder / name).read_text()


def test_weights_are_tensors_alone(tmp_path):
    folder = make_folder(tmp_path, "shared_latent")
    state = torch.load(folder / "model.ckpt", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    assert "speech._extra_state" in state


def test_the_config_says_what_is_known(tmp_path):
    config = json.loads((make_folder(tmp_path) / "config.json").read_text())
    seen = {"task": "enhance", "inputs": 2, "outputs": 2, "causal": True, "latency": 8}
    assert config.items() >= {**FACTS, **seen, "sample_rate": RATE}.items()
    assert config["precision"] == "float32"
    assert config["versions"]["torch"] == torch.__version__
    assert {*config["versions"]} == {
        *("speechbrain-fusion", "speechbrain", "torch", "python"),
    }
    assert config["created"].endswith("Z")


def test_a_network_that_is_not_causal_has_no_latency(tmp_path):
    config = json.loads(
        (make_folder(tmp_path, "three_talkers") / "config.json").read_text()
    )
    assert (config["causal"], config["latency"]) == (False, None)
    assert (config["task"], config["outputs"]) == ("separate", 3)


def test_the_card_says_what_how_and_how_well(tmp_path):
    card = (make_folder(tmp_path) / "README.md").read_text()
    for part in (
        "library_name: speechbrain",
        "# small",
        "2 channels together at 8000 Hz, causal, 8 samples (1 ms) of latency",
        "inference.load(",
        "| si_sdr (dB) | 0.500 | 4.000 |",
        "- corpus: demo",
        "## Limits",
    ):
        assert part in card


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = make_folder(tmp_path)
    (folder / "leftover.txt").touch()
    assert make_folder(tmp_path, "mask") == folder
    assert listed(folder) == FILES
    assert load(folder).config["inputs"] == 1
    assert listed(tmp_path) == ["model", "run"]


def test_a_full_disk_leaves_the_folder_as_it_was(tmp_path, monkeypatch):
    folder = make_folder(tmp_path)
    before = (folder / "model.ckpt").read_bytes()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folders.torch, "save", full)
    with pytest.raises(OSError, match=r"model not written: No space left.*model"):
        make_folder(tmp_path, "mask")
    assert listed(tmp_path) == ["model", "run"]
    assert (folder / "model.ckpt").read_bytes() == before


@pytest.mark.parametrize("names", [["thesis.tex"], ["config.json", "thesis.tex"]])
def test_what_is_no_model_folder_is_not_replaced(tmp_path, names):
    (tmp_path / "model").mkdir()
    for name in names:
        (tmp_path / "model" / name).touch()
    with pytest.raises(ValueError, match="model: holds something else, expected a mod"):
        make_folder(tmp_path)
    assert listed(tmp_path / "model") == names


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(5, "Input/output error"), r"model not written: Input/output .*model"),
        (KeyboardInterrupt("stop"), "stop"),
    ],
)
def test_a_folder_that_cannot_be_replaced_stays(error, message, tmp_path, monkeypatch):
    folder, rename = make_folder(tmp_path), Path.rename

    def fail_once(path, target):
        if path.name != "model" and target == folder:
            monkeypatch.undo()
            raise error
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_once)
    with pytest.raises(type(error), match=message):
        make_folder(tmp_path, "mask")
    assert listed(tmp_path) == ["model", "run"]
    assert load(folder).config["inputs"] == 2


def test_a_link_to_a_folder_stays_one(tmp_path):
    folder = make_folder(tmp_path / "real")
    (tmp_path / "model").symlink_to(folder)
    make_folder(tmp_path, "mask")
    assert (tmp_path / "model").is_symlink()
    assert load(folder).config["inputs"] == 1
    assert listed(tmp_path) == ["model", "real", "run"]


@pytest.mark.parametrize("kind", ["binaural", "shared_latent"])
def test_half_precision_is_smaller_and_loads_in_single(kind, tmp_path):
    folder = make_folder(tmp_path, kind)
    small = halve(folder, tmp_path / "half")
    sizes = [(x / "model.ckpt").stat().st_size for x in (small, folder)]
    assert sizes[0] < sizes[1]
    model, whole = load(small), load(folder)
    assert model.config == {**whole.config, "precision": "float16"}
    state = whole.system.state_dict()
    for name, value in model.system.state_dict().items():
        assert value.dtype == state[name].dtype
        torch.testing.assert_close(value, state[name], atol=1e-3, rtol=1e-3)
    noisy = torch.randn(whole.system.inputs, 500)
    torch.testing.assert_close(
        model.enhance(noisy, RATE), whole.enhance(noisy, RATE), atol=0.02, rtol=0.02
    )


def test_half_precision_can_be_written_at_once(tmp_path):
    path, network = make_run(tmp_path, "mask")
    folder = write_model(tmp_path / "model", path, network, FACTS, half=True)
    kinds = {x.dtype for x in torch.load(folder / "model.ckpt").values()}
    assert kinds == {torch.float16, torch.int64}


def test_numbers_may_be_of_numpy_and_those_that_are_not_finite_are_none(tmp_path):
    path, network = make_run(tmp_path, "mask")
    means = {"noisy": np.float32(1.5), "enhanced": np.float64(3.0), "other": math.nan}
    facts = {**FACTS, "metrics": {"snr": means}, "seed": np.int64(3)}
    folder = write_model(tmp_path / "model", path, network, facts)
    config = json.loads((folder / "config.json").read_text())
    assert config["metrics"] == {"snr": {"noisy": 1.5, "enhanced": 3.0, "other": None}}
    assert config["seed"] == 3


@pytest.mark.parametrize(("value", "half"), [(1e5, True), (math.nan, False)])
def test_parameters_that_would_not_be_finite_are_named(value, half, tmp_path):
    path, network = make_run(tmp_path, "mask")
    with torch.no_grad():
        next(network.parameters()).fill_(value)
    with pytest.raises(ValueError, match=r"encoder.*: expected finite values in"):
        write_model(tmp_path / "model", path, network, FACTS, half)
    assert not (tmp_path / "model").exists()


def test_a_network_that_is_no_system_is_named(tmp_path):
    path, _ = make_run(tmp_path, "mask")
    with pytest.raises(ValueError, match="Linear is no system: expected task, inputs"):
        write_model(tmp_path / "model", path, nn.Linear(1, 1), FACTS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sample_rate: 8000",
        "sample_rate: 8000\nmodules: {a: !new:torch.nn.PReLU {}, b: 1}",
        "modules: {a: !new:torch.nn.PReLU {}}",
        "sample_rate: [8000\n",
    ],
)
def test_a_yaml_that_is_no_run_is_named(text, tmp_path):
    _, network = make_run(tmp_path, "mask")
    (tmp_path / "odd.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"odd\.yaml: expected the resolved YAML"):
        write_model(tmp_path / "model", tmp_path / "odd.yaml", network, FACTS)
