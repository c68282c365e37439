"""From a command line to the objects of a run, the same for every recipe.

    hparams, run_opts = start_run(sys.argv[1:], __file__)

What upstream lacks: YAMLs are found and read as `settings` says, torchrun works without
a GPU, and what a run was made of is kept whole.
"""

import atexit
import dataclasses
import gc
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from hyperpyyaml import load_hyperpyyaml
from hyperpyyaml.core import resolve_references
from speechbrain.core import create_experiment_directory
from speechbrain.utils.distributed import ddp_init_group, run_on_main
from speechbrain.utils.run_opts import RunOptions

from speechbrain_fusion.brains.settings import (
    check_keys,
    check_same_run,
    find_yaml,
    output_folder,
    resolve_include,
)
from speechbrain_fusion.data.files import written_whole
from speechbrain_fusion.nnet.processes import in_group
from speechbrain_fusion.report.run_files import COMMAND, ORIGIN, SETTINGS

# the second line of kept settings, by which their first is told from a comment
NO_LINT = "# yamllint disable\n"


def start_run(
    arguments: Sequence[str], recipe: Path | str
) -> tuple[dict[str, Any], RunOptions]:
    """Parse the command line, load the YAML and create the output folder.

    Arguments
    ---------
    arguments : sequence of str
        `sys.argv[1:]`: a YAML file, run options, and changes of its keys.
    recipe : Path or str
        The recipe's train.py.

    Returns
    -------
    hparams : dict
        The YAML's objects.
    run_opts : RunOptions
        What a Brain takes.

    Raises
    ------
    ValueError
        If the YAML does not exist, a key does not exist or is ambiguous, or the
        output folder holds a run with other settings.
    """
    parse = RunOptions.from_command_line_args
    file, run_opts, changes = parse(list(arguments))
    path = find_yaml(file, Path(recipe).parent)
    base, overrides = resolve_include(path, changes)
    check_keys(path, changes, arguments)
    run_opts = choose_backend(dataclasses.replace(run_opts, param_file=str(path)))
    ddp_init_group(run_opts)
    atexit.register(leave_group)
    if run_opts.debug and not run_opts.debug_persistently:
        # a run that is there already stays as it is
        overrides["output_folder"] = str(output_folder(base, overrides) / "debug")
    with open(base, encoding="utf-8") as stream:
        hparams = load_hyperpyyaml(stream, overrides, overrides_must_match=False)
    folder = Path(hparams["output_folder"])
    if not run_opts.test_only:
        run_on_main(check_same_run, [folder, base, overrides])
    create_experiment_directory(str(folder))
    run_on_main(_keep_recipe, [Path(recipe), folder])
    # an evaluation leaves the settings of the training as they are
    if not run_opts.test_only:
        run_on_main(_keep_settings, [folder, base, overrides])
        run_on_main(_keep_command, [folder, Path(recipe), arguments])
    return hparams, run_opts


def leave_group() -> None:
    """Leave the other processes, if there are any and all went well.

    To be called before the interpreter ends, which threads of the group would abort:
    they may still hold tensors of the last messages.

    Example
    -------
    >>> leave_group()
    """
    failed = getattr(sys, "last_value", None) is not None
    if in_group() and not failed:
        torch.distributed.destroy_process_group()
        # what still holds the group
        gc.collect()


def _keep_recipe(recipe: Path, folder: Path) -> None:
    """Keep the recipe's script with the run; upstream keeps its caller, this file."""
    kept = folder / recipe.name
    # a run's own script may be what runs
    if not (kept.exists() and kept.samefile(recipe)):
        shutil.copy(recipe, folder)
    (folder / Path(__file__).name).unlink(missing_ok=True)


def _keep_settings(folder: Path, base: Path, changes: dict[str, Any]) -> None:
    """Keep a run's settings, whole: upstream's file is empty while it is written."""
    with (
        open(base, encoding="utf-8") as stream,
        written_whole(folder / SETTINGS) as file,
    ):
        # settings that a run has kept say already what they were made of
        first, second = stream.readline(), stream.readline()
        if not (first.startswith(ORIGIN) and second == NO_LINT):
            file.write(f"{ORIGIN}{base}\n{NO_LINT}")
        stream.seek(0)
        shutil.copyfileobj(resolve_references(stream, changes), file)


def _keep_command(folder: Path, recipe: Path, arguments: Sequence[str]) -> None:
    """Keep the command line that trained, as it is typed in the repository's root.

    A recipe that was copied out of the package is named by its own folder.
    """
    processes = int(os.environ.get("WORLD_SIZE", 1))
    start = f"torchrun --nproc_per_node={processes}" if processes > 1 else "python"
    parts = recipe.resolve().parts[-3:]
    script = Path(*parts[parts[0] != "recipes" :])
    with written_whole(folder / COMMAND) as file:
        file.write(f"{start} {shlex.join([str(script), *map(str, arguments)])}\n")


def choose_backend(run_opts: RunOptions) -> RunOptions:
    """Choose gloo for several processes where there is no GPU.

    Upstream's default, NCCL, stops there with "Not enough GPUs".

    Raises
    ------
    ValueError
        If there are GPUs, but fewer than processes, naming both numbers.

    Example
    -------
    >>> choose_backend(RunOptions()).distributed_backend  # not under torchrun
    'nccl'
    """
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    gpus = torch.cuda.device_count()
    chosen = "distributed_backend" in run_opts.overridden_args
    if "LOCAL_RANK" not in os.environ or chosen:
        return run_opts
    if gpus and run_opts.device != "cpu":
        if gpus < processes:
            raise ValueError(
                f"{processes} processes but {gpus} GPUs: expected --nproc_per_node of "
                f"at most {gpus}, or --device cpu"
            )
        return run_opts
    return dataclasses.replace(
        run_opts,
        distributed_backend="gloo",
        device="cpu",
        overridden_args=run_opts.overridden_args | {"distributed_backend", "device"},
    )
