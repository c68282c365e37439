"""From a command line to the objects of a run, the same for every recipe.

    hparams, run_opts = start_run(sys.argv[1:], __file__)

What upstream's parsing lacks: a YAML is found beside train.py from any folder, a YAML
may be another one with changes (`!include:` at its root), a key cannot be taken for an
abbreviated run option, and torchrun works without a GPU.
"""

import atexit
import dataclasses
import gc
import io
import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import ruamel.yaml
import torch
from hyperpyyaml import load_hyperpyyaml
from hyperpyyaml.core import recursive_update, resolve_references
from speechbrain.core import create_experiment_directory
from speechbrain.utils.distributed import ddp_init_group, run_on_main
from speechbrain.utils.run_opts import RunOptions

from speechbrain_fusion.data.files import written_whole

INCLUDE = "!include:"
# how a key without a value is written
NOTHING = "value:"
# What may differ when a run is taken up again: how long, where, and what is shown
MAY_CHANGE = {
    "number_of_epochs",
    "epoch_counter",
    "lr_annealing",
    "speech_epochs",
    "speech_epoch_counter",
    "speech_lr_annealing",
    "output_folder",
    "save_folder",
    "demo_folder",
    "checkpointer",
    "train_logger",
    "eval_loader",
    "metrics",
    "references",
    "table_by",
    "table_metrics",
    "examples",
    "published",
    "published_for",
    # stage one: where it is kept
    "speech_checkpointer",
    "speech_train_logger",
}


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
    # of the YAMLs alone: they may add keys, a command line may not
    _, own = resolve_include(path, {})
    typed = dict.fromkeys([*_typed_keys(arguments), *_load_changes(changes)])
    check_keys(list(dict.fromkeys([*_load_tree(base), *own])), typed, path)
    run_opts = choose_backend(dataclasses.replace(run_opts, param_file=str(path)))
    ddp_init_group(run_opts)
    atexit.register(leave_group)
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
    if torch.distributed.is_initialized() and not failed:
        torch.distributed.destroy_process_group()
        # what still holds the group
        gc.collect()


def _keep_recipe(recipe: Path, folder: Path) -> None:
    """Keep the recipe's script with the run; upstream keeps its caller, this file."""
    shutil.copy(recipe, folder)
    (folder / Path(__file__).name).unlink(missing_ok=True)


def _keep_settings(folder: Path, base: Path, changes: dict[str, Any]) -> None:
    """Keep a run's settings, whole: upstream's file is empty while it is written."""
    with (
        open(base, encoding="utf-8") as stream,
        written_whole(folder / "hyperparams.yaml") as file,
    ):
        file.write(f"# From {base}\n# yamllint disable\n")
        shutil.copyfileobj(resolve_references(stream, changes), file)


def _keep_command(folder: Path, recipe: Path, arguments: Sequence[str]) -> None:
    """Keep the command line that trained, as it is typed in the repository's root."""
    processes = int(os.environ.get("WORLD_SIZE", 1))
    start = f"torchrun --nproc_per_node={processes}" if processes > 1 else "python"
    script = Path(*recipe.resolve().parts[-3:])
    with written_whole(folder / "command.txt") as file:
        file.write(f"{start} {shlex.join([str(script), *map(str, arguments)])}\n")


def find_yaml(file: str, beside: Path) -> Path:
    """Find a YAML file in the current folder or else in the recipe's.

    Raises
    ------
    ValueError
        If it is in neither, naming those that exist.

    Example
    -------
    >>> recipe = getfixture("tmp_path")
    >>> (recipe / "hparams").mkdir()
    >>> (recipe / "hparams" / "small.yaml").touch()
    >>> find_yaml("hparams/small.yaml", recipe).name
    'small.yaml'
    """
    for path in (Path(file), beside / file):
        if path.is_file():
            return path.resolve()
    known = sorted(str(p.relative_to(beside)) for p in beside.glob("hparams/*.yaml"))
    raise ValueError(f"{file}: no such file here or in {beside}, which has {known}")


def resolve_include(path: Path, changes: Any) -> tuple[Path, dict[str, Any]]:
    """Follow a YAML that is another one with changes.

    A YAML whose root has the tag `!include:other.yaml` stands for that file with its
    keys changed or added, as `!include:` does inside a YAML; the command line's changes
    come on top.

    Arguments
    ---------
    path : Path
        A YAML file.
    changes : str or dict
        Changes of its keys, as upstream's parser gives them.

    Returns
    -------
    path : Path
        The file at the end of the chain.
    changes : dict
        All changes and additions of keys together.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> _ = (folder / "base.yaml").write_text("fuse: both")
    >>> _ = (folder / "back.yaml").write_text("!include:base.yaml {fuse: back}")
    >>> path, changes = resolve_include(folder / "back.yaml", {"lr": 0.1})
    >>> path.name, changes
    ('base.yaml', {'fuse': 'back', 'lr': 0.1})
    """
    tree = _load_tree(path)
    changes = _load_changes(changes)
    tag = tree.tag.value or ""
    if not tag.startswith(INCLUDE):
        return path, changes
    own = dict(tree) if isinstance(tree, dict) else {}
    recursive_update(own, changes, must_match=False)
    return resolve_include(path.parent / tag.removeprefix(INCLUDE), own)


def check_keys(keys: Sequence[str], changes: Iterable[str], path: Path) -> None:
    """Refuse keys that do not exist or that upstream would take for a run option.

    Raises
    ------
    ValueError
        Naming the key and the file.
    """
    unknown = sorted(set(changes) - set(keys))
    if unknown:
        raise ValueError(f"{path}: no such key: {unknown}, expected one of {keys}")
    options = {field.name for field in dataclasses.fields(RunOptions)}
    for key in set(keys) - options:
        taken = sorted(option for option in options if option.startswith(key))
        if taken:
            raise ValueError(
                f"{path}: the key {key!r} is a prefix of the run option {taken[0]!r}, "
                f"so --{key} would set that: choose another name"
            )


def check_same_run(folder: Path, base: Path, changes: dict[str, Any]) -> None:
    """Refuse to go on with a run under settings that it was not begun with.

    Upstream would take its checkpoints up, and mix two corpora or two models.

    Arguments
    ---------
    folder : Path
        The output folder.
    base : Path
        The YAML of this run.
    changes : dict
        Changes of its keys.

    Raises
    ------
    ValueError
        If the folder has checkpoints and another configuration, naming the keys.
    """
    begun = folder / "hyperparams.yaml"
    if not begun.is_file() or not any(folder.rglob("CKPT+*")):
        return
    with open(base, encoding="utf-8") as stream:
        now = _as_text(ruamel.yaml.YAML().load(resolve_references(stream, changes)))
    then = _as_text(_load_tree(begun))
    differing = sorted(
        key
        for key in (now.keys() | then.keys()) - MAY_CHANGE
        # runs that were begun before a key existed lack it: null is nothing as well
        if now.get(key, NOTHING) != then.get(key, NOTHING)
    )
    if differing:
        raise ValueError(
            f"{folder}: holds a run with other {', '.join(differing)}; expected the "
            "settings it was begun with: choose another output_folder or remove it"
        )


def _as_text(tree: Any) -> dict[str, str]:
    """Write each key of a YAML out on its own, tags and all."""
    texts = {}
    for key, value in tree.items():
        stream = io.StringIO()
        ruamel.yaml.YAML().dump({"value": value}, stream)
        # comments are none of the settings
        lines = stream.getvalue().splitlines()
        texts[key] = "\n".join(
            line for line in lines if line.strip() and not line.lstrip().startswith("#")
        )
    return texts


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


def _typed_keys(arguments: Sequence[str]) -> list[str]:
    """List the keys on a command line that are no run options.

    Upstream takes an abbreviated run option for the option, then ignores it.
    """
    options = {field.name for field in dataclasses.fields(RunOptions)}
    names = [a[2:].partition("=")[0] for a in arguments if a.startswith("--")]
    return [name for name in names if name not in options]


def _load_changes(text: Any) -> dict[str, Any]:
    """Load the changes of a command line, if upstream's parser has not."""
    if isinstance(text, dict):
        return text
    try:
        changes = ruamel.yaml.YAML().load(text) or {}
    except ruamel.yaml.error.YAMLError as error:
        raise ValueError(f"{_in_one_line(error)}: expected --key=value") from error
    if not isinstance(changes, dict):
        raise ValueError(f"{changes}: expected --key=value")
    return changes


def _load_tree(path: Path) -> Any:
    """Load a YAML with its tags, or name the place where it is none."""
    try:
        tree = ruamel.yaml.YAML().load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ruamel.yaml.error.YAMLError) as error:
        raise ValueError(
            f"{path}: not a readable YAML file ({_in_one_line(error)})"
        ) from error
    if not isinstance(tree, dict | ruamel.yaml.comments.TaggedScalar):
        raise ValueError(f"{path}: expected a YAML file of keys, got {tree!r}")
    return tree


def _in_one_line(error: Exception) -> str:
    return " ".join(f"{error}".split())
