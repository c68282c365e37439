"""What a recipe's YAML and the changes of a command line are made into.

An option is how it is typed, where to look in what is built, and what is found there.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hyperpyyaml import load_hyperpyyaml
from speechbrain.utils.run_opts import RunOptions

from speechbrain_fusion.brains.settings import check_keys, resolve_include
from tests.recipes.running import command_line

Built = dict[str, Any]
Option = tuple[Any, Callable[[Built], Any], Any]


def load_yaml(recipe: Path, name: str, folder: Path, **changes: Any) -> Built:
    """Build a YAML's objects as a run does, but no run."""
    arguments = command_line(name, {"output_folder": folder, **changes})
    file, _, typed = RunOptions.from_command_line_args(arguments)
    check_keys(recipe / file, typed, arguments)
    base, overrides = resolve_include(recipe / file, typed)
    with open(base, encoding="utf-8") as stream:
        return load_hyperpyyaml(stream, overrides, overrides_must_match=False)


def load_both(
    recipe: Path, name: str, folder: Path, options: Mapping[str, Option], **fixed: Any
) -> tuple[Built, Built]:
    """Build a YAML's objects as it is, and with all options together."""
    typed = {option: value for option, (value, _, _) in options.items()}
    given = [fixed, {**fixed, **typed}]
    base, changed = (load_yaml(recipe, name, folder, **changes) for changes in given)
    return base, changed


def assert_made(option: Option, base: Built, changed: Built) -> None:
    """Expect what an option asks for where it is given, and there alone."""
    _, look, expected = option
    assert look(changed) == expected
    assert look(base) != expected


def of_corpus(key: str) -> Callable[[Built], Any]:
    """Look at an argument of what prepares the corpus."""
    return lambda built: built["corpus"].keywords[key]


def of_mixtures(key: str) -> Callable[[Built], Any]:
    """Look at an argument of what mixes."""
    return lambda built: built["corpus"].keywords["mixtures"].keywords[key]


def of_optimizer(key: str, kind: str = "opt_class") -> Callable[[Built], Any]:
    """Look at an argument of the optimizer."""
    return lambda built: built[kind].keywords[key]
