import subprocess
import sys
from pathlib import Path

import pytest
import torch
from speechbrain.utils.checkpoints import mark_as_saver, register_checkpoint_hooks
from torch import nn

from speechbrain_fusion.brains import Checkpointer
from tests.brains.toy import make_brain, train

FULL_DISK = """
import resource, signal, sys
import torch
from speechbrain_fusion.brains import Checkpointer

folder = sys.argv[1]
layer = torch.nn.Linear(64, 64)
checkpointer = Checkpointer(folder, {"layer": layer})
checkpointer.save_checkpoint(meta={"score": 1})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
torch.nn.init.zeros_(layer.weight)
checkpointer.save_checkpoint(meta={"score": 2})
"""

KILLED = """
import os, sys
import torch
from speechbrain.utils import checkpoints
from speechbrain_fusion.brains import Checkpointer

def die(obj, path):
    os._exit(9)

layers = {"first": torch.nn.Linear(2, 2), "second": torch.nn.Linear(2, 2)}
checkpointer = Checkpointer(sys.argv[1], layers)
checkpointer.add_recoverable("last", object(), custom_save_hook=die)
checkpointer.save_checkpoint()
"""


@register_checkpoint_hooks
class Unsaveable:
    """Something that cannot be written."""

    @mark_as_saver
    def save(self, path):
        Path(path).write_text("half of")
        raise OSError("no space left")


def run(program, folder):
    command = [sys.executable, "-c", program, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_checkpoint_is_complete_and_loads(tmp_path):
    layer, other = nn.Linear(3, 2), nn.Linear(3, 2)
    saved = Checkpointer(tmp_path, {"layer": layer}).save_checkpoint(meta={"score": 4})
    assert saved.paramfiles["layer"].is_file()
    reader = Checkpointer(tmp_path, {"layer": other})
    loaded = reader.recover_if_possible(max_key="score")
    assert (loaded.path, loaded.meta["score"]) == (saved.path, 4)
    assert torch.equal(layer.weight, other.weight)
    assert torch.equal(layer.bias, other.bias)


def test_checkpoints_of_one_second_do_not_collide(tmp_path):
    checkpointer = Checkpointer(tmp_path, {"layer": nn.Linear(1, 1)})
    paths = {checkpointer.save_checkpoint().path for _ in range(3)}
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in paths}
    assert len(paths) == 3


def test_a_named_checkpoint_is_replaced(tmp_path):
    layer = nn.Linear(1, 1)
    checkpointer = Checkpointer(tmp_path, {"layer": layer})
    for value in (1.0, 2.0):
        nn.init.constant_(layer.weight, value)
        checkpointer.save_checkpoint(name="best")
    nn.init.zeros_(layer.weight)
    checkpointer.recover_if_possible()
    assert [path.name for path in tmp_path.iterdir()] == ["CKPT+best"]
    assert layer.weight.item() == 2.0


def test_a_failed_save_leaves_the_earlier_checkpoint(tmp_path):
    layer = nn.Linear(3, 2)
    checkpointer = Checkpointer(tmp_path, {"layer": layer})
    first = checkpointer.save_checkpoint()
    weight = layer.weight.detach().clone()
    nn.init.zeros_(layer.weight)
    checkpointer.add_recoverable("bad", Unsaveable())
    with pytest.raises(OSError, match=f"{tmp_path}: checkpoint not written .*no space"):
        checkpointer.save_checkpoint()
    assert list(tmp_path.iterdir()) == [first.path]
    Checkpointer(tmp_path, {"layer": layer}).recover_if_possible()
    assert torch.equal(layer.weight, weight)


@pytest.mark.slow
def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path):
    done = run(FULL_DISK, tmp_path)
    assert done.returncode == 1
    assert f"OSError: {tmp_path}: checkpoint not written" in done.stderr
    (left,) = tmp_path.iterdir()
    layer = nn.Linear(64, 64)
    loaded = Checkpointer(tmp_path, {"layer": layer}).recover_if_possible()
    assert (loaded.path, loaded.meta["score"]) == (left, 1)
    assert layer.weight.abs().sum() > 0


@pytest.mark.slow
def test_what_a_killed_save_left_is_ignored_and_removed_by_the_next(tmp_path):
    assert run(KILLED, tmp_path).returncode == 9
    (left,) = tmp_path.iterdir()
    assert (left / "first.ckpt").is_file()
    checkpointer = Checkpointer(tmp_path, {"first": nn.Linear(2, 2)})
    assert checkpointer.recover_if_possible() is None
    saved = checkpointer.save_checkpoint()
    assert list(tmp_path.iterdir()) == [saved.path]


@pytest.mark.parametrize(
    "other", [nn.Linear(3, 4), nn.Conv1d(3, 2, 1), nn.Sequential(nn.Linear(3, 2))]
)
def test_the_checkpoint_of_another_model_is_named_in_one_line(tmp_path, other):
    saved = Checkpointer(tmp_path, {"model": nn.Linear(3, 2)}).save_checkpoint()
    with pytest.raises(ValueError, match="expected one saved with the same") as caught:
        Checkpointer(tmp_path, {"model": other}).recover_if_possible()
    message = str(caught.value)
    assert message.startswith(f"{saved.path}: not a checkpoint of this model")
    assert "output_folder" in message
    assert "\n" not in message


def test_a_checkpoint_without_a_part_is_named(tmp_path):
    layer = nn.Linear(1, 1)
    saved = Checkpointer(tmp_path, {"one": layer}).save_checkpoint()
    reader = Checkpointer(tmp_path, {"one": layer, "two": layer})
    with pytest.raises(ValueError, match="not a checkpoint of this model") as caught:
        reader.recover_if_possible()
    assert str(saved.path) in str(caught.value)
    assert "'two'" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04"])
def test_a_broken_file_is_an_error_that_names_the_folder(tmp_path, content):
    checkpointer = Checkpointer(tmp_path, {"layer": nn.Linear(3, 2)})
    saved = checkpointer.save_checkpoint()
    saved.paramfiles["layer"].write_bytes(content)
    with pytest.raises(ValueError, match="not a checkpoint") as caught:
        checkpointer.recover_if_possible()
    assert str(saved.path) in str(caught.value)


@pytest.mark.slow
def test_a_run_keeps_the_best_and_the_last_checkpoint(tmp_path):
    brain = make_brain(tmp_path, epochs=3)

    def falling(reference, estimate, lengths):
        return torch.full(estimate.shape[:1], 20.0 - len(brain.history.epochs))

    brain.hparams.valid_metrics = {"si_sdr": falling}
    train(brain)
    kept = brain.checkpointer.list_checkpoints()
    assert sorted(checkpoint.meta["epoch"] for checkpoint in kept) == [1, 3]
