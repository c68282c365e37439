"""`speechbrain-fusion recipe`: copy a recipe out of the package, to edit and run."""

import argparse
import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

from speechbrain_fusion.commands.ending import DONE, UsageError, tell

PACKAGE = Path(__file__).parents[1]
# as setup.cfg installs them; what runs left in a checkout is no part of a recipe
FILES = ("*.py", "*.yaml", "*.md", "hparams/*.yaml")
PICTURE = re.compile(r"!\[[^]]*\]\(\.\./[^)]*\)\n*")
LINK = re.compile(r"\[([^]]*)\]\(\.\./[^)]*\)")
FIRST_YAML = re.compile(r"train\.py (hparams/\S+\.yaml)")


def run(options: argparse.Namespace) -> int:
    """Copy the recipe and say what to run next, or list the recipes."""
    recipes = find_recipes()
    if options.list or options.name is None:
        tell(recipe_list(recipes))
        return DONE
    if options.name not in recipes:
        known = ", ".join(recipes)
        raise UsageError(f"no recipe {options.name!r}, expected one of {known}")
    if options.destination is None:
        raise UsageError(f"recipe {options.name}: expected a folder to copy it to")
    recipe = recipes[options.name]
    destination = Path(options.destination)
    copy_recipe(recipe, destination)
    tell(next_steps(recipe, destination))
    return DONE


def find_recipes() -> dict[str, Path]:
    """Find the recipes: inside the installed package, in a checkout beside it.

    Raises
    ------
    UsageError
        If there are none, naming the package's folder.

    Example
    -------
    >>> sorted(find_recipes())
    ['binaural', 'daps_noisex', 'librimix_noisy', 'timit']
    """
    for folder in (PACKAGE / "recipes", PACKAGE.parent / "recipes"):
        scripts = sorted(folder.glob("*/train.py"))
        if scripts:
            return {path.parent.name: path.parent for path in scripts}
    raise UsageError(f"{PACKAGE}: this installation holds no recipes")


def recipe_list(recipes: dict[str, Path]) -> str:
    """Write a line for each recipe, and how to get one."""
    width = max(map(len, recipes))
    lines = [f"{name:{width}}  {title(path)}" for name, path in recipes.items()]
    return "\n".join([*lines, "", "copy one: speechbrain-fusion recipe NAME DEST"])


def title(recipe: Path) -> str:
    """Return what a recipe is about: the heading of its README.

    Example
    -------
    >>> title(find_recipes()["timit"])
    'Two-branch enhancement with collaborative expert blocks'
    """
    with open(recipe / "README.md", encoding="utf-8") as file:
        return file.readline().lstrip("# ").rstrip()


def copy_recipe(recipe: Path, destination: Path) -> None:
    """Copy a recipe's files, all or none.

    Arguments
    ---------
    recipe : Path
        Its folder.
    destination : Path
        Becomes the copy; a folder that does not exist yet, or is empty.

    Raises
    ------
    UsageError
        If it is something else, or cannot be written.

    Example
    -------
    >>> folder = getfixture("tmp_path") / "mine"
    >>> copy_recipe(find_recipes()["timit"], folder)
    >>> sorted(path.name for path in folder.iterdir())[-2:]
    ['hparams', 'train.py']
    """
    try:
        refuse_used(destination)
        _copy_and_rename(recipe, destination)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"{destination}: cannot be written ({reason})") from error


def refuse_used(folder: Path) -> None:
    """Refuse a folder that holds anything, and what is no folder.

    Raises
    ------
    UsageError
        Naming it.
    """
    if folder.is_dir():
        if any(folder.iterdir()):
            raise UsageError(
                f"{folder}: exists and is not empty, expected a new folder"
            )
    elif os.path.lexists(folder):
        raise UsageError(f"{folder}: exists and is no folder, expected a new one")


def _copy_and_rename(recipe: Path, destination: Path) -> None:
    there = destination.exists()
    destination.parent.mkdir(parents=True, exist_ok=True)
    home = destination if there else destination.parent
    with tempfile.TemporaryDirectory(prefix=".recipe-", dir=home) as scratch:
        new = Path(scratch, "new")
        _write(recipe, new)
        if not there:
            os.rename(new, destination)
            return
        # a folder that exists may be someone's working folder: it is not replaced
        for path in list(new.iterdir()):
            os.rename(path, destination / path.name)


def _write(recipe: Path, new: Path) -> None:
    for path in recipe_files(recipe):
        target = new / path.relative_to(recipe)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8")
        target.write_text(moved_text(text, recipe.name), encoding="utf-8")


def recipe_files(recipe: Path) -> Iterator[Path]:
    """Give the files of a recipe."""
    for pattern in FILES:
        yield from sorted(recipe.glob(pattern))


def moved_text(text: str, name: str) -> str:
    """Rewrite a text of a recipe for a place outside the repository.

    Its commands are those of its own folder, links to what is not copied are their
    words, and pictures that are not copied are left out.

    Example
    -------
    >>> moved_text("python recipes/timit/train.py, [see](../../README.md#use)", "timit")
    'python train.py, see'
    """
    text = text.replace(f"recipes/{name}/", "")
    return LINK.sub(r"\1", PICTURE.sub("", text))


def next_steps(recipe: Path, copy: Path) -> str:
    """Say what was copied, what to run and what to read.

    Example
    -------
    >>> print(next_steps(find_recipes()["timit"], Path("mine")))
    Two-branch enhancement with collaborative expert blocks: copied to mine
    Try it on the demo corpus, in a few minutes:
        python mine/train.py hparams/small.yaml
    What else it does: mine/README.md
    """
    script = (recipe / "train.py").read_text(encoding="utf-8")
    (yaml, *_) = FIRST_YAML.findall(script)
    command = shlex.join(["python", str(copy / "train.py"), yaml])
    return (
        f"{title(recipe)}: copied to {copy}\n"
        "Try it on the demo corpus, in a few minutes:\n"
        f"    {command}\n"
        f"What else it does: {copy / 'README.md'}"
    )
