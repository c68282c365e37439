import functools
import re
from dataclasses import fields
from pathlib import Path

import pytest
import ruamel.yaml
import torch
from hyperpyyaml import load_hyperpyyaml
from hyperpyyaml.core import resolve_references
from speechbrain.core import create_experiment_directory
from speechbrain.utils.run_opts import RunOptions

import speechbrain_fusion.brains as brains
from speechbrain_fusion.brains import start_run
from speechbrain_fusion.brains.settings import (
    check_same_run,
    find_yaml,
    resolve_include,
)
from tests.brains.conftest import BASE, add_yaml
from tests.ranks import ROOT

pytestmark = pytest.mark.usefixtures("alone")
YAMLS = sorted(
    path for path in ROOT.glob("recipes/*/hparams/*.yaml") if path.stem != "common"
)


def test_a_yaml_is_found_beside_the_recipe(recipe):
    expected = recipe.parent / "hparams" / "base.yaml"
    assert find_yaml("hparams/base.yaml", recipe.parent) == expected


def test_a_yaml_of_the_current_folder_comes_first(recipe):
    own = Path.cwd() / "hparams" / "base.yaml"
    own.parent.mkdir()
    own.write_text("name: own")
    assert find_yaml("hparams/base.yaml", recipe.parent) == own


def test_an_absolute_path_is_itself(recipe):
    expected = recipe.parent / "hparams" / "base.yaml"
    assert find_yaml(str(expected), recipe.parent) == expected


def test_a_missing_yaml_names_those_that_exist(recipe):
    with pytest.raises(ValueError, match=r"fuse\.yaml: no such.*hparams/base\.yaml"):
        find_yaml("hparams/fuse.yaml", recipe.parent)


@pytest.mark.slow
def test_a_yaml_may_be_another_one_with_changes(recipe):
    add_yaml(recipe, "child.yaml", "!include:base.yaml\nname: child\nsize: 7\n")
    hparams, _ = start_run(["hparams/child.yaml"], recipe)
    assert hparams["name"] == "child"
    assert hparams["output_folder"] == "results/child"
    assert hparams["net"].in_features == 7


@pytest.mark.slow
def test_a_yaml_may_add_keys_to_another_one(recipe):
    child = "!include:base.yaml\nname: child\nrate: 8000\nnet: {bias: false}\n"
    child += "both: [!ref <rate>, !ref <size>]\n"
    add_yaml(recipe, "child.yaml", child)
    hparams, _ = start_run(["hparams/child.yaml", "--rate=16000"], recipe)
    assert hparams["both"] == [16000, 3]
    assert hparams["net"].bias is None
    saved = load_hyperpyyaml(Path("results/child/hyperparams.yaml").read_text())
    assert saved["both"] == [16000, 3]
    with pytest.raises(ValueError, match=r"child\.yaml: no such key: \['rates'\]"):
        start_run(["hparams/child.yaml", "--rates=16000"], recipe)


@pytest.mark.slow
def test_a_yaml_may_be_another_one_unchanged(recipe):
    add_yaml(recipe, "child.yaml", "!include:base.yaml\n")
    assert start_run(["hparams/child.yaml"], recipe)[0]["size"] == 3


@pytest.mark.slow
def test_includes_chain_and_the_command_line_comes_on_top(recipe):
    child = "!include:base.yaml\nname: child\nsize: 7\nnet: {out_features: 2}\n"
    add_yaml(recipe, "child.yaml", child)
    add_yaml(recipe, "third.yaml", "!include:child.yaml\nname: third\nsize: 8\n")
    hparams, _ = start_run(["hparams/third.yaml"], recipe)
    assert (hparams["name"], hparams["size"]) == ("third", 8)
    assert hparams["net"].out_features == 2
    arguments = ["hparams/third.yaml", "--size", "9", "--net", "{out_features: 4}"]
    hparams, _ = start_run(arguments, recipe)
    assert (hparams["net"].in_features, hparams["net"].out_features) == (9, 4)


def test_a_nested_change_keeps_its_neighbours(recipe):
    path, changes = resolve_include(
        recipe.parent / "hparams" / "base.yaml", "net: {out_features: 2}"
    )
    assert path.name == "base.yaml"
    assert changes == {"net": {"out_features": 2}}


def test_a_value_that_is_a_yaml_is_looked_for_beside_its_own(recipe, tmp_path):
    """Not beside the YAML that this one stands on."""
    (tmp_path / "rooms.yaml").write_text("count: 3\nname: hall\n")
    (tmp_path / "own.yaml").write_text(
        f"!include:{recipe.parent}/hparams/base.yaml\nname: own\n"
        "rooms: !include:rooms.yaml {name: studio}\nmore: [!include:rooms.yaml ]\n"
    )
    hparams, _ = start_run([str(tmp_path / "own.yaml")], recipe)
    assert hparams["rooms"] == {"count": 3, "name": "studio"}
    assert hparams["more"] == [{"count": 3, "name": "hall"}]


def test_a_value_that_is_a_missing_yaml_is_named(recipe):
    add_yaml(recipe, "child.yaml", "!include:base.yaml\nx: {y: !include:no.yaml }\n")
    with pytest.raises(ValueError, match=r"child\.yaml: !include:no\.yaml: no such"):
        start_run(["hparams/child.yaml"], recipe)


def test_yamls_that_stand_on_each_other_are_refused(recipe):
    add_yaml(recipe, "one.yaml", "!include:two.yaml\nname: one\n")
    add_yaml(recipe, "two.yaml", "!include:one.yaml\nname: two\n")
    with pytest.raises(ValueError, match=r"one\.yaml -> two\.yaml -> one\.yaml"):
        start_run(["hparams/one.yaml"], recipe)


def test_an_include_of_a_missing_file_names_it(recipe):
    add_yaml(recipe, "child.yaml", "!include:nowhere.yaml\nname: child\n")
    with pytest.raises(ValueError, match=r"nowhere\.yaml: not a readable YAML"):
        start_run(["hparams/child.yaml"], recipe)


@pytest.mark.parametrize("text", ["a: [1, 2\nb: }", "a: 1\na: 2", "", "words", "- 1"])
def test_a_broken_yaml_is_named_in_one_line(recipe, text):
    add_yaml(recipe, "broken.yaml", text)
    with pytest.raises(ValueError, match=r"broken\.yaml: ") as caught:
        start_run(["hparams/broken.yaml"], recipe)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_run_option_may_be_a_key(recipe):
    add_yaml(recipe, "options.yaml", BASE + "max_grad_norm: 1.0\n")
    hparams, _ = start_run(["hparams/options.yaml"], recipe)
    assert hparams["max_grad_norm"] == 1.0


def plain(value):
    """Reduce a YAML's objects to what two loads of it must share."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, functools.partial):
        return value.func, plain(value.keywords)
    if isinstance(value, torch.nn.Module):
        return repr(value)
    if isinstance(value, str | int | float | type(None)):
        return value
    return type(value), {k: v for k, v in vars(value).items() if isinstance(v, int)}


@pytest.mark.slow
@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.stem)
def test_the_saved_configuration_loads_as_it_was(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = {
        "binaural": ["--enhancer", "{N: 8, B: 4, H: 4, S: 6, P: 3, X: 1, R: 1}"],
        "librimix_noisy": ["--separation_only=true", "--tensorboard=false"],
        "timit": ["--groups=1", "--units=1"],
        "daps_noisex": ["--hop=128", "--snr=[0]"],
    }
    arguments = [str(path), "--seed=77", "--lr=0.5", "--data_folder=here"]
    arguments += small[path.parents[1].name]
    hparams, _ = start_run(arguments, path.parents[1] / "train.py")
    saved = Path(hparams["output_folder"]) / "hyperparams.yaml"
    with open(saved, encoding="utf-8") as file:
        again = load_hyperpyyaml(file)
    assert plain(again) == plain(hparams)
    assert (again["seed"], again["lr"]) == (77, 0.5)
    assert again["opt_class"].keywords["lr"] == 0.5


def included(path):
    """List a YAML and those that it stands on."""
    base = re.search(r"^!include:(\S+)", path.read_text(), re.M)
    return [path, *(included(path.parent / base[1]) if base else [])]


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.stem)
def test_every_key_of_a_recipe_is_used(path):
    base, own = resolve_include(path, {})
    with open(base, encoding="utf-8") as stream:
        keys = {*ruamel.yaml.YAML().load(stream), *own}
    text = "".join(yaml.read_text() for yaml in included(path))
    readers = [path.parents[1] / "train.py", *Path(brains.__file__).parent.glob("*.py")]
    code = "".join(reader.read_text() for reader in readers)
    options = {field.name for field in fields(RunOptions)}
    unused = {
        key
        for key in keys
        if not key.startswith("__")
        and key not in options
        and not re.search(rf"<{key}[\[>]", text)
        and not re.search(rf"""hparams(\.{key}\b|\["{key}"\])""", code)
    }
    assert not unused


@pytest.fixture
def begun(tmp_path):
    """A base YAML, and the output folder of a run that was begun with it."""
    base, folder = tmp_path / "base.yaml", tmp_path / "out"
    base.write_text(
        "data_folder: null\nnumber_of_epochs: 2\n"
        "enhancer: !new:torch.nn.Linear {in_features: 3, out_features: 4}\n"
        "modules: {enhancer: !ref <enhancer>}\n"
        "train_loader: {batch_size: 2, num_workers: 0}\n"
    )
    (folder / "save" / "CKPT+1").mkdir(parents=True)
    create_experiment_directory(str(folder), str(base), {}, save_env_desc=False)
    return folder, base


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"data_folder": "elsewhere"}, "data_folder"),
        ({"enhancer": {"out_features": 5}}, "enhancer"),
        ({"train_loader": {"batch_size": 3}}, "train_loader"),
        ({"train_loader": 3}, "train_loader"),
    ],
)
def test_a_run_is_not_taken_up_with_other_settings(begun, changes, key):
    folder, base = begun
    with pytest.raises(ValueError, match=f"out: holds a run with other .*{key}"):
        check_same_run(folder, base, changes)


def test_a_run_is_taken_up_for_longer(begun):
    check_same_run(*begun, {"number_of_epochs": 9})


def test_a_run_is_taken_up_with_other_workers(begun):
    check_same_run(*begun, {"train_loader": {"num_workers": 4, "prefetch_factor": 8}})


def test_a_folder_without_checkpoint_is_free(begun):
    folder, base = begun
    (folder / "save" / "CKPT+1").rmdir()
    check_same_run(folder, base, {"data_folder": "elsewhere"})


@pytest.mark.parametrize("key", ["number_of_epochs", "tensorboard"])
def test_how_long_and_what_is_shown_may_change(begun, key):
    folder, base = begun
    check_same_run(folder, base, {key: 9})


def begun_with(path, folder):
    """Be a run of a recipe's YAML; return its keys."""
    base, own = resolve_include(path, {"data_folder": "corpus"})
    with open(base, encoding="utf-8") as stream:
        resolved = resolve_references(stream, own).read()
    (folder / "hyperparams.yaml").write_text(resolved)
    (folder / "save" / "CKPT+1").mkdir(parents=True)
    return {*ruamel.yaml.YAML().load(resolved)}


def changed(path, **changes):
    return resolve_include(path, {"data_folder": "corpus", **changes})


def yaml_id(path):
    return f"{path.parts[-3]}-{path.stem}"


@pytest.mark.parametrize("path", YAMLS, ids=yaml_id)
def test_a_run_that_was_moved_is_taken_up(path, tmp_path):
    """Where a run and what it makes for itself lie is none of its settings."""
    keys = begun_with(path, tmp_path)
    for key in {"output_folder", "save_folder", "demo_folder"} & keys:
        check_same_run(tmp_path, *changed(path, **{key: "elsewhere"}))
    with pytest.raises(ValueError, match=r"holds a run with other .*sample_rate"):
        check_same_run(tmp_path, *changed(path, sample_rate=11025))


def test_a_run_may_wait_longer_for_a_gain(tmp_path):
    path = ROOT / "recipes" / "timit" / "hparams" / "small.yaml"
    begun_with(path, tmp_path)
    check_same_run(tmp_path, *changed(path, stop_after=77))


def test_checkpoints_elsewhere_are_looked_at_too(tmp_path):
    base, folder = tmp_path / "base.yaml", tmp_path / "out"
    base.write_text(
        f"lr: 1\ncheckpointer: !new:x.y {{checkpoints_dir: {tmp_path}/far}}\n"
    )
    folder.mkdir()
    (folder / "hyperparams.yaml").write_text(base.read_text())
    check_same_run(folder, base, {"lr": 2})
    (tmp_path / "far" / "CKPT+1").mkdir(parents=True)
    with pytest.raises(ValueError, match="out: holds a run with other lr"):
        check_same_run(folder, base, {"lr": 2})
