"""What a recipe's YAML and the changes of a command line are made into.

An option is how it is typed, where to look in what is built, and what is found there.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hyperpyyaml import load_hyperpyyaml
from speechbrain.utils.run_opts import RunOptions

from speechbrain_fusion.brains.modulation_settings import Modulation
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


def folders(*keys: str) -> dict[str, Option]:
    """Make options of folders, each of what prepares the corpus."""
    return {key: (f"my_{key}", of_corpus(key), f"my_{key}") for key in keys}


def counts(key: str) -> dict[str, Option]:
    """Make the options that every corpus has: how much of it, which, and how drawn."""
    return {
        key: ("{test: 5}", lambda x: of_corpus("counts")(x)["test"], 5),
        "segment": (0.7, of_corpus("segment"), 0.7),
        "seed": (77, lambda x: of_corpus("seeds")(x)["train"], 77),
        "noise_split": (
            "{test: [n]}",
            lambda x: of_corpus("noise_split")(x)["test"],
            ["n"],
        ),
    }


def modulation(built: Built) -> Modulation:
    """Look at how gradients are modulated."""
    return Modulation.of(built["gradient_modulation"])


def rates(*metrics: str) -> Callable[[Built], set[int]]:
    """Look at the rates of the corpus and of metrics."""
    return lambda built: {
        of_corpus("rate")(built),
        *(built["metrics"][name].keywords["rate"] for name in metrics),
    }


def built_both(recipe: Path, name: str, options: Mapping[str, Option]) -> Any:
    """Make a fixture of a YAML's objects as it is and with all options."""

    @pytest.fixture(scope="module")
    def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Built, Built]:
        return load_both(recipe, name, tmp_path_factory.mktemp("out"), options)

    return both


def of_optimizer(key: str, kind: str = "opt_class") -> Callable[[Built], Any]:
    """Look at an argument of the optimizer."""
    return lambda built: built[kind].keywords[key]
