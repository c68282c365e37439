import shutil
from pathlib import Path

import pytest
import torch
from speechbrain.utils.run_opts import RunOptions

from speechbrain_fusion.brains import start_run
from speechbrain_fusion.brains.launch import choose_backend

pytestmark = pytest.mark.usefixtures("alone")


@pytest.mark.slow
def test_a_run_gets_objects_options_and_a_folder(recipe):
    arguments = ["hparams/base.yaml", "--size=5", "--device", "cpu"]
    hparams, options = start_run(arguments, recipe)
    assert hparams["net"].in_features == 5
    assert hparams["output_folder"] == "results/base"
    assert options.device == "cpu"
    assert options.param_file == str(recipe.parent / "hparams" / "base.yaml")
    assert Path("results/base/train.py").read_text() == recipe.read_text()
    assert Path("results/base/log.txt").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("home", ["recipes/binaural", "work/mine"])
def test_the_command_is_kept_as_it_would_be_typed(recipe, tmp_path, home):
    folder = tmp_path / home
    shutil.copytree(recipe.parent, folder)
    start_run(
        ["hparams/base.yaml", "--name=two words", "--device=cpu"], folder / "train.py"
    )
    # a recipe of the repository from its root, another from beside its folder
    script = f"{home.removeprefix('work/')}/train.py"
    kept = Path("results/two words/command.txt").read_text()
    assert (
        kept == f"python {script} hparams/base.yaml '--name=two words' --device=cpu\n"
    )


@pytest.mark.slow
def test_an_evaluation_keeps_the_command_of_the_training(recipe):
    start_run(["hparams/base.yaml", "--size=5"], recipe)
    kept = Path("results/base/command.txt").read_text()
    start_run(["hparams/base.yaml", "--size=5", "--test_only"], recipe)
    assert Path("results/base/command.txt").read_text() == kept


def backend(**changes):
    chosen = choose_backend(RunOptions(**changes))
    return chosen.distributed_backend, chosen.device


def processes(monkeypatch, count, gpus):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(count))


def test_one_process_keeps_the_defaults(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert backend() == ("nccl", None)


@pytest.mark.parametrize("count", [1, 2])
def test_processes_without_a_gpu_talk_by_gloo(monkeypatch, count):
    processes(monkeypatch, count, 0)
    assert backend() == ("gloo", "cpu")


@pytest.mark.parametrize(("count", "gpus"), [(2, 1), (4, 3)])
def test_more_processes_than_gpus_are_refused(monkeypatch, count, gpus):
    processes(monkeypatch, count, gpus)
    with pytest.raises(ValueError, match=f"{count} processes but {gpus} GPUs"):
        backend()


@pytest.mark.parametrize(("count", "gpus"), [(1, 1), (2, 2), (2, 8)])
def test_processes_with_a_gpu_for_each_keep_nccl(monkeypatch, count, gpus):
    processes(monkeypatch, count, gpus)
    assert backend() == ("nccl", None)


def test_processes_told_to_use_the_cpu_talk_by_gloo(monkeypatch):
    processes(monkeypatch, 2, 2)
    assert backend(device="cpu", overridden_args={"device"}) == ("gloo", "cpu")


def test_the_choice_of_the_user_stands(monkeypatch):
    processes(monkeypatch, 2, 0)
    chosen = {"distributed_backend": "mpi", "overridden_args": {"distributed_backend"}}
    assert backend(**chosen) == ("mpi", None)


def test_a_run_can_be_evaluated_by_what_it_kept(recipe):
    start_run(["hparams/base.yaml", "--size=5"], recipe)
    script, settings = Path("results/base/train.py"), "results/base/hyperparams.yaml"
    before = Path(settings).read_text()
    hparams, _ = start_run([settings, "--test_only"], script)
    assert hparams["net"].in_features == 5
    assert script.read_text() == recipe.read_text()
    # and trained on: what the settings were made of is still known
    start_run([settings], script)
    assert Path(settings).read_text() == before
    assert before.startswith(f"# From {recipe.parent / 'hparams' / 'base.yaml'}\n")


def test_a_comment_that_begins_as_an_origin_is_none(recipe):
    text = (recipe.parent / "hparams" / "base.yaml").read_text()
    base = recipe.parent / "hparams" / "cited.yaml"
    base.write_text(f"# From Luo & Mesgarani, 2019\n{text}")
    hparams, _ = start_run(["hparams/cited.yaml"], recipe)
    kept = Path(hparams["output_folder"], "hyperparams.yaml").read_text()
    assert kept.startswith(f"# From {base}\n")


@pytest.mark.slow
def test_settings_are_kept_whole_or_stay_as_they_were(recipe, monkeypatch):
    start_run(["hparams/base.yaml"], recipe)
    settings = Path("results/base/hyperparams.yaml")
    before = settings.read_text()

    def full(source, target):
        target.write("name:")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("speechbrain_fusion.brains.launch.shutil.copyfileobj", full)
    with pytest.raises(OSError, match=r"No space left"):
        start_run(["hparams/base.yaml"], recipe)
    assert settings.read_text() == before


def test_debugging_leaves_a_run_as_it_is(recipe):
    first, _ = start_run(["hparams/base.yaml"], recipe)
    settings = Path(first["output_folder"], "hyperparams.yaml")
    before = settings.read_bytes()
    second, _ = start_run(["hparams/base.yaml", "--size=5", "--debug"], recipe)
    assert second["output_folder"] == f"{first['output_folder']}/debug"
    assert settings.read_bytes() == before
    kept = ["hparams/base.yaml", "--debug", "--debug_persistently"]
    assert start_run(kept, recipe)[0]["output_folder"] == first["output_folder"]
