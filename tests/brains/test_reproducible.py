import os
import random
import re
import runpy
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from speechbrain_fusion.brains import Checkpointer
from speechbrain_fusion.data import BinauralScenes, prepare_recordings
from speechbrain_fusion.data.hrir import rigid_sphere
from tests.brains import processes, toy
from tests.brains.common import parameters
from tests.brains.toy import make_brain, train
from tests.conftest import write_noise, write_voice
from tests.recipes.test_binaural import ROOT, TRAIN, make_arguments

# two workers and dropout; an epoch has 6 steps
SHAKY = {
    "model": toy.Forgetful,
    "workers": 2,
    "options": {"ckpt_interval_steps": 2},
}
# no further processes, whose start takes longer than the scores of two items
ALONE = {"OMP_NUM_THREADS": "1", "LOKY_MAX_CPU_COUNT": "1"}
RESULTS = ("test_items.csv", "test_summary.json", "history.json")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run never killed."""
    run = toy.Run(tmp_path_factory.mktemp("whole"), **SHAKY)
    assert processes.run_processes(run)
    return run


# three in four calls are of the writing of a checkpoint
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_run_killed_at_random_calls_ends_as_one_never_killed(tmp_path, whole, seed):
    (left,) = processes.load_ranks(whole.folder)
    killed = toy.Run(tmp_path, **SHAKY)
    assert processes.kill_and_finish(killed, [left["calls"]], seed) > 0
    assert torch.equal(
        processes.load_ranks(tmp_path)[0]["parameters"], left["parameters"]
    )
    for name in RESULTS:
        assert (tmp_path / name).read_bytes() == (whole.folder / name).read_bytes()


def test_what_a_killed_deletion_left_is_removed_by_the_next_save(tmp_path):
    checkpointer = Checkpointer(tmp_path, {"layer": nn.Linear(1, 1)})
    first = checkpointer.save_checkpoint()
    (first.path / "CKPT.yaml").unlink()
    second = checkpointer.save_checkpoint()
    assert list(tmp_path.iterdir()) == [second.path]


def test_a_late_save_reads_the_folder_as_often_as_the_first(tmp_path, monkeypatch):
    checkpointer, reads = Checkpointer(tmp_path, {"layer": nn.Linear(1, 1)}), []
    whole = checkpointer.list_checkpoints
    monkeypatch.setattr(
        checkpointer, "list_checkpoints", lambda: reads.append(len(counts)) or whole()
    )
    counts = []
    for _ in range(4):
        checkpointer.save_and_keep_only()
        counts.append(reads.count(len(counts)))
    assert counts == [counts[0]] * 4


@dataclass(frozen=True)
class Recipe:
    """The recipe's script, run in a folder of its own."""

    folder: Path
    recordings: Path

    def arguments(self):
        """Write its command line: two epochs of nine steps."""
        changes = {
            "number_of_epochs": 2,
            "scene_counts": "{train: 9, valid: 2, test: 2}",
            "train_loader": "{batch_size: 1, num_workers: 2}",
            "examples": 0,
            "ckpt_interval_steps": 1,
        }
        return [str(TRAIN), *make_arguments("fusion", self.recordings, **changes)]

    def __call__(self):
        """Be the process that runs it."""
        os.chdir(self.folder)
        os.environ |= ALONE
        sys.argv = self.arguments()
        runpy.run_path(str(TRAIN), run_name="__main__")
        return {}

    def start(self):
        """Start it as a user does, as a group of processes."""
        self.folder.mkdir()
        # every step shows at once
        changes = {"PYTHONPATH": ROOT, "TQDM_MININTERVAL": "0", **ALONE}
        return subprocess.Popen(
            [sys.executable, *self.arguments()],
            cwd=self.folder,
            env={**os.environ, **changes},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def results(self):
        """Return the files it leaves."""
        return [(self.folder / "out" / name).read_bytes() for name in RESULTS]


def steps(lines):
    """Read the steps off a progress bar of nine, line by line."""
    found = (re.search(r"(\d)/9 \[", line) for line in lines)
    return (int(match[1]) for match in found if match)


@pytest.fixture(scope="module")
def whole_recipe(tmp_path_factory):
    """The recipe, never killed, on two talkers a split and five noises."""
    sounds = tmp_path_factory.mktemp("recordings")
    for seed, split in enumerate(["train", "valid", "test"] * 2):
        write_voice(sounds / f"speech/{split}/talker{seed}/0.wav", 1.5, seed)
    for seed in range(5):
        write_noise(sounds / f"noise/noise{seed}.flac", 2.0, seed)
    recipe = Recipe(tmp_path_factory.mktemp("recipe"), sounds)
    assert processes.run_processes(recipe)
    return recipe


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_the_recipe_killed_at_random_calls_gives_the_same_table(
    tmp_path, whole_recipe, seed
):
    (left,) = processes.load_ranks(whole_recipe.folder)
    killed = Recipe(tmp_path, whole_recipe.recordings)
    assert processes.kill_and_finish(killed, [left["calls"]], seed) > 0
    assert killed.results() == whole_recipe.results()


@pytest.mark.slow
def test_the_recipe_killed_in_the_middle_of_an_epoch_gives_the_same_table(
    tmp_path, whole_recipe
):
    killed = Recipe(tmp_path / "killed", whole_recipe.recordings)
    process, last = killed.start(), random.Random(0).randrange(2, 6)
    assert any(step >= last for step in steps(process.stderr))
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert processes.run_processes(killed)
    first, *_ = steps((killed.folder / "log0.txt").read_text().splitlines())
    assert first > 0
    assert killed.results() == whole_recipe.results()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 4])
def test_workers_change_nothing(tmp_path, workers):
    def final(count):
        brain = make_brain(tmp_path / f"{count}", 2, toy.Forgetful)
        return train(brain, workers=count)

    none, some = final(0), final(workers)
    assert torch.equal(parameters(none), parameters(some))
    assert none.history.epochs == some.history.epochs


@pytest.mark.slow
def test_workers_that_mix_scenes_change_nothing(tmp_path, recordings):
    manifests = prepare_recordings(recordings, tmp_path, rate=toy.RATE, segment=0.5)
    head = rigid_sphere(toy.RATE, range(0, 360, 30))

    def final(workers):
        scenes = [
            BinauralScenes(
                manifests[f"speech_{split}"],
                manifests[f"noise_{split}"],
                head,
                size=6,
                segment=0.5,
                seed=1,
                fixed=split != "train",
            )
            for split in ("train", "valid")
        ]
        brain = make_brain(tmp_path / f"{workers}", 2, toy.Forgetful)
        return train(brain, 2, 3, *scenes, workers=workers)

    none, *others = (final(workers) for workers in (0, 1, 4))
    for other in others:
        assert torch.equal(parameters(none), parameters(other))
        assert none.history.epochs == other.history.epochs
