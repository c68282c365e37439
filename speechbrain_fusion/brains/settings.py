"""A run's settings: a YAML, those that it stands on, and the command line's changes.

What upstream's parsing lacks: a YAML is found beside train.py from any folder, a YAML
may be another one with changes (`!include:` at its root), a key cannot be taken for an
abbreviated run option, and a run goes on under the settings it was begun with alone.
"""

import dataclasses
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ruamel.yaml
from hyperpyyaml.core import recursive_update, resolve_references
from ruamel.yaml.scalarbool import ScalarBoolean
from speechbrain.utils.run_opts import RunOptions

from speechbrain_fusion.messages import unwrapped
from speechbrain_fusion.report.run_files import SETTINGS

INCLUDE = "!include:"
# how a key without a value is written
NOTHING = "value:"
# What may differ when a run is taken up again: how long, where, and what is shown
MAY_CHANGE = {
    "number_of_epochs",
    "skip_nonfinite_grads",
    "epoch_counter",
    "lr_annealing",
    "speech_epochs",
    "speech_epoch_counter",
    "speech_lr_annealing",
    "stop_after",
    "checkpointer",
    "train_logger",
    "eval_loader",
    "metrics",
    "references",
    "table_by",
    "table_metrics",
    "examples",
    "tensorboard",
    "published",
    "published_for",
    # stage one: where it is kept
    "speech_checkpointer",
    "speech_train_logger",
}
# ... also within another key: what is written where
PLACES = ("output_folder", "save_folder", "demo_folder")
# ... and of a loader's options those that do not change what it gives
LOADER, LOADING = "train_loader", ("num_workers", "prefetch_factor", "pin_memory")


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


def resolve_include(
    path: Path, changes: Any, seen: Sequence[Path] = ()
) -> tuple[Path, dict[str, Any]]:
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
    seen : sequence of Path
        Files that led to it.

    Returns
    -------
    path : Path
        The file at the end of the chain.
    changes : dict
        All changes and additions of keys together.

    Raises
    ------
    ValueError
        If a file is no YAML of keys, stands on itself, or includes one in a value that
        is not there, naming it.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> _ = (folder / "base.yaml").write_text("fuse: both")
    >>> _ = (folder / "back.yaml").write_text("!include:base.yaml {fuse: back}")
    >>> path, changes = resolve_include(folder / "back.yaml", {"lr": 0.1})
    >>> path.name, changes
    ('base.yaml', {'fuse': 'back', 'lr': 0.1})
    """
    tree = load_tree(path)
    changes = _load_changes(changes)
    _place_includes(tree, path)
    tag = tree.tag.value or ""
    if not tag.startswith(INCLUDE):
        return path, changes
    own = dict(tree) if isinstance(tree, dict) else {}
    recursive_update(own, changes, must_match=False)
    chain, other = [*seen, path.resolve()], path.parent / tag.removeprefix(INCLUDE)
    if other.resolve() in chain:
        raise ValueError(
            f"{chain[0]}: expected YAMLs that end in one without {INCLUDE} at its "
            f"root, got {' -> '.join(x.name for x in [*chain, other])}"
        )
    return resolve_include(other, own, chain)


def _place_includes(tree: Any, path: Path) -> None:
    """Say of the YAMLs that values include where they lie: beside this one."""
    values = tree.values() if isinstance(tree, dict) else tree
    for value in values if isinstance(tree, dict | list) else ():
        tag = getattr(getattr(value, "tag", None), "value", None) or ""
        if tag.startswith(INCLUDE):
            place = path.resolve().parent / tag.removeprefix(INCLUDE)
            if not place.is_file():
                raise ValueError(f"{path}: {tag}: no such file: {place}")
            value.yaml_set_ctag(ruamel.yaml.Tag(suffix=f"{INCLUDE}{place}"))
        _place_includes(value, path)


def check_keys(path: Path, changes: Any, arguments: Sequence[str]) -> None:
    """Refuse keys that do not exist, text in place of numbers, and hidden run options.

    Arguments
    ---------
    path : Path
        A YAML file.
    changes : str or dict
        Changes of its keys, as upstream's parser gives them.
    arguments : sequence of str
        The command line that they are from.

    Raises
    ------
    ValueError
        Naming the key and the file.

    Example
    -------
    >>> path = getfixture("tmp_path") / "base.yaml"
    >>> _ = path.write_text("fuse: both")
    >>> check_keys(path, "fuse: back", ["base.yaml", "--fuse=back"])
    """
    # of the YAMLs alone: they may add keys, a command line may not
    base, own = resolve_include(path, {})
    given = {**load_tree(base), **own}
    keys = list(given)
    changes = _load_changes(changes)
    if unknown := sorted({*_typed_keys(arguments), *changes} - {*keys}):
        raise ValueError(f"{path}: no such key: {unknown}, expected one of {keys}")
    _check_values(arguments, changes)
    _check_kinds(given, changes)
    options = {field.name for field in dataclasses.fields(RunOptions)}
    for key in set(keys) - options:
        taken = sorted(option for option in options if option.startswith(key))
        if taken:
            raise ValueError(
                f"{path}: the key {key!r} is a prefix of the run option {taken[0]!r}, "
                f"so --{key} would set that: choose another name"
            )


def output_folder(base: Path, changes: dict[str, Any]) -> Path:
    """Say where a run's folder will be.

    Example
    -------
    >>> base = getfixture("tmp_path") / "base.yaml"
    >>> _ = base.write_text("{name: small, output_folder: !ref results/<name>}")
    >>> str(output_folder(base, {"name": "large"}))
    'results/large'
    """
    return Path(_resolved(base, changes)["output_folder"])


def _resolved(base: Path, changes: dict[str, Any]) -> Any:
    """Load a YAML with its changes and all references resolved, but make nothing."""
    with open(base, encoding="utf-8") as stream:
        return ruamel.yaml.YAML().load(resolve_references(stream, changes))


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
    begun = folder / SETTINGS
    if not begun.is_file():
        return
    tree = _resolved(base, changes)
    kept = [x["checkpoints_dir"] for x in _mappings(tree) if "checkpoints_dir" in x]
    places = [folder, *map(Path, kept)]
    if not any(any(place.rglob("CKPT+*")) for place in places):
        return
    now, then = _as_text(tree), _as_text(load_tree(begun))
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
    """Write out each key of a YAML on its own, tags and all, as far as it counts."""
    texts = {}
    _leave_out(tree, PLACES)
    _leave_out(tree.get(LOADER), LOADING)
    for key, value in tree.items():
        stream = io.StringIO()
        ruamel.yaml.YAML().dump({"value": value}, stream)
        # comments are none of the settings
        lines = stream.getvalue().splitlines()
        texts[key] = "\n".join(
            line for line in lines if line.strip() and not line.lstrip().startswith("#")
        )
    return texts


def _mappings(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield all mappings of a tree, however deep they are."""
    if isinstance(tree, dict):
        yield tree
    if isinstance(tree, dict | list):
        for value in tree.values() if isinstance(tree, dict) else tree:
            yield from _mappings(value)


def _leave_out(tree: Any, names: Sequence[str]) -> None:
    """Remove keys from all mappings of a tree."""
    for mapping in [*_mappings(tree)]:
        for name in names:
            mapping.pop(name, None)


def _typed_keys(arguments: Sequence[str]) -> list[str]:
    """List the keys on a command line that are no run options.

    Upstream takes an abbreviated run option for the option, then ignores it.
    """
    options = {field.name for field in dataclasses.fields(RunOptions)}
    names = [a[2:].partition("=")[0] for a in arguments if a.startswith("--")]
    return [name for name in names if name not in options]


def _check_values(arguments: Sequence[str], changes: dict[str, Any]) -> None:
    """Refuse values that are read as something else than was typed."""
    for word, following in zip(arguments, [*arguments[1:], None], strict=True):
        key, given, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or key not in changes:
            continue
        if following is None and not given:
            raise ValueError(f"{word}: expected a value behind it")
        value = value if given else str(following)
        if re.match(r"[^'\"\[{].*\s#", value):
            raise ValueError(
                f"--{key}={value}: what is behind # is a comment in YAML, quote it: "
                f"--{key}='\"{value}\"'"
            )
        if isinstance(changes[key], str) and changes[key].startswith(f"{value} "):
            rest = changes[key].removeprefix(f"{value} ")
            raise ValueError(
                f"--{key}={value}: expected an option behind it, got {rest!r}"
            )


def _check_kinds(given: dict[str, Any], changes: dict[str, Any]) -> None:
    """Refuse text where a YAML has a number or a truth value.

    It would fail far from here, or be true: "no" is text, and text is true.
    """
    for key, value in changes.items():
        was = given[key]
        if not isinstance(value, str) or not isinstance(was, int | float):
            continue
        # a tuple, which HyperPyYAML reads by itself, not this parser
        if re.fullmatch(r"\(.*\)", value):
            continue
        kind, like = "a number", str(was)
        if isinstance(was, bool | ScalarBoolean):
            kind, like = "true or false", str(bool(was)).lower()
        raise ValueError(f"--{key}={value}: expected {kind}, as {key}: {like}")


def _load_changes(text: Any) -> dict[str, Any]:
    """Load the changes of a command line, if upstream's parser has not."""
    if isinstance(text, dict):
        return text
    try:
        changes = ruamel.yaml.YAML().load(text) or {}
    except ruamel.yaml.error.YAMLError as error:
        raise ValueError(f"{unwrapped(error)}: expected --key=value") from error
    if not isinstance(changes, dict):
        raise ValueError(f"{changes}: expected --key=value")
    return changes


def load_tree(path: Path) -> Any:
    """Load a YAML with its tags.

    Raises
    ------
    ValueError
        If it is none of keys, naming the file and the place.

    Example
    -------
    >>> path = getfixture("tmp_path") / "base.yaml"
    >>> _ = path.write_text("fuse: both")
    >>> dict(load_tree(path))
    {'fuse': 'both'}
    """
    try:
        tree = ruamel.yaml.YAML().load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ruamel.yaml.error.YAMLError) as error:
        raise ValueError(
            f"{path}: not a readable YAML file ({unwrapped(error)})"
        ) from error
    if not isinstance(tree, dict | ruamel.yaml.comments.TaggedScalar):
        raise ValueError(f"{path}: expected a YAML file of keys, got {tree!r}")
    return tree
