"""A recipe copied out of the package: whole, anywhere, and over nothing."""

import os
import re
import shlex
import stat
from pathlib import Path

import pytest

from speechbrain_fusion.commands.recipe import find_recipes
from tests.commands.shell import run

NAMES = ["binaural", "daps_noisex", "librimix_noisy", "timit"]


def copied(folder):
    return {str(x.relative_to(folder)) for x in folder.rglob("*") if x.is_file()}


def test_the_list_has_a_line_for_each_recipe():
    ran = run("recipe")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.text.splitlines()
    assert [line.split()[0] for line in lines[:4]] == NAMES
    assert all(len(line.split()) > 3 for line in lines[:4])
    assert run("recipe", "--list").text == ran.text


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_is_whole(name, here):
    ran = run("recipe", name, "new/mine")
    assert (ran.code, ran.err) == (0, "")
    files = copied(Path("new/mine"))
    assert {"train.py", "README.md", "compare.py", "compare.yaml"} <= files
    assert files == copied_from_checkout(name)
    for file in files:
        text = (find_recipes()[name] / file).read_text()
        if not file.endswith(".md"):
            # its own folder alone is another
            own = text.replace(f"recipes/{name}/", "")
            assert Path("new/mine", file).read_text() == own
    assert os.listdir("new") == ["mine"]


def copied_from_checkout(name):
    """List what of a recipe is no result of a run."""
    kinds = (".py", ".yaml", ".md")
    depth = {"": kinds, "hparams": (".yaml",)}
    files = copied(find_recipes()[name])
    return {x for x in files if x.endswith(depth.get(os.path.dirname(x), "\0"))}


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_speaks_of_its_own_folder(name, here):
    run("recipe", name, "mine")
    text = Path("mine/README.md").read_text()
    assert "](../" not in text
    assert "\n\n\n" not in text
    for path in Path("mine").rglob("*.*"):
        assert f"recipes/{name}" not in path.read_text()
    scripts = re.findall(r"python (\S+\.py)(?: (hparams/\S+))?", text)
    assert ("train.py", "hparams/small.yaml") in scripts or name == "binaural"
    for script, yaml in scripts:
        assert Path("mine", script).is_file()
        assert Path("mine", yaml).exists()


@pytest.mark.parametrize("name", NAMES)
def test_what_to_run_next_is_told(name, here):
    lines = run("recipe", name, "my own").text.splitlines()
    (command,) = [line.strip() for line in lines if line.startswith("    ")]
    python, script, yaml = shlex.split(command)
    assert (python, script) == ("python", "my own/train.py")
    assert Path("my own", yaml).is_file()


def test_an_unknown_name_is_told_the_known_ones(here):
    ran = run("recipe", "binaral", "mine")
    assert (ran.code, ran.out) == (2, b"")
    assert ran.errors == [
        "no recipe 'binaral', expected one of binaural, daps_noisex, librimix_noisy, "
        "timit"
    ]
    assert not Path("mine").exists()


def test_a_copy_needs_a_destination(here):
    ran = run("recipe", "timit")
    assert ran.code == 2
    assert "expected a folder to copy it to" in ran.errors[0]


def test_nothing_is_overwritten(here):
    before = copied(here)
    for destination, reason in (
        ("in", "in: exists and is not empty"),
        (".", ".: exists and is not empty"),
        ("mono.wav", "mono.wav: exists and is no folder"),
        ("mono.wav/mine", "mono.wav/mine: cannot be written"),
    ):
        ran = run("recipe", "timit", destination)
        assert ran.code == 2
        assert ran.errors[0].startswith(reason)
    assert copied(here) == before


def test_an_empty_working_folder_stays_the_working_folder(here, monkeypatch):
    Path("mine").mkdir()
    monkeypatch.chdir("mine")
    assert run("recipe", "timit", ".").code == 0
    assert Path("train.py").is_file()
    assert {x.name for x in Path().iterdir() if x.name.startswith(".")} == set()


def test_a_link_to_an_empty_folder_stays_one(here):
    Path("disk").mkdir()
    Path("mine").symlink_to("disk")
    assert run("recipe", "timit", "mine").code == 0
    assert Path("disk/train.py").is_file()
    assert Path("mine").is_symlink()


def test_a_copy_can_be_edited_wherever_the_package_cannot(here, monkeypatch):
    recipe = Path("package/recipes/timit")
    assert run("recipe", "timit", recipe).code == 0
    for path in (*recipe.rglob("*"), recipe):
        path.chmod(0o500 if path.is_dir() else 0o400)
    monkeypatch.setattr("speechbrain_fusion.commands.recipe.PACKAGE", Path("package"))
    assert run("recipe", "timit", "mine").code == 0
    for path in Path("mine").rglob("*"):
        assert path.stat().st_mode & stat.S_IWUSR
    for path in (recipe, recipe / "hparams"):
        path.chmod(0o700)


@pytest.mark.parametrize("exists", [False, True])
def test_a_full_disk_leaves_nothing(here, monkeypatch, exists):
    if exists:
        Path("mine").mkdir()
    write = Path.write_text

    def fail(path, *arguments, **options):
        if path.name == "train.py":
            raise OSError(28, "No space left on device")
        return write(path, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", fail)
    ran = run("recipe", "binaural", "mine")
    assert ran.code == 2
    assert ran.errors == ["mine: cannot be written (No space left on device)"]
    assert Path("mine").exists() == exists
    assert not list(here.rglob(".*"))
    assert not list(here.rglob("*.py"))


def test_a_folder_that_cannot_be_written_is_told(here):
    ran = run("recipe", "timit", "/proc/mine")  # not even by root
    assert ran.code == 2
    assert ran.errors[0].startswith("/proc/mine: cannot be written (")


def test_a_package_without_recipes_says_so(here, monkeypatch):
    empty = here / "package"
    monkeypatch.setattr("speechbrain_fusion.commands.recipe.PACKAGE", empty)
    ran = run("recipe")
    assert ran.code == 2
    assert ran.errors == [f"{empty}: this installation holds no recipes"]
