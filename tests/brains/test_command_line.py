"""What is typed for a recipe: read as it is meant, or refused by its key."""

import re
from pathlib import Path

import pytest

from speechbrain_fusion.brains import start_run
from tests.brains.conftest import BASE, add_yaml

pytestmark = pytest.mark.usefixtures("alone")


@pytest.mark.parametrize("change", ["--sise=5", "--enhancer={N: 3}", "--max_grad=3"])
def test_an_unknown_key_names_the_key_and_the_file(recipe, change):
    key = re.match(r"--(\w+)", change)[1]
    pattern = rf"base\.yaml: no such key: \['{key}'\], expected one of \['name', .*net"
    with pytest.raises(ValueError, match=pattern):
        start_run(["hparams/base.yaml", change], recipe)
    assert not Path("results").exists()


@pytest.mark.parametrize("arguments", [["size=5"], ["--size=[1"], ["5"]])
def test_what_is_no_change_is_refused(recipe, arguments):
    with pytest.raises(ValueError, match="expected --key=value") as caught:
        start_run(["hparams/base.yaml", *arguments], recipe)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["a", "max_grad", "dev", "compile_m"])
def test_a_key_that_would_be_taken_for_a_run_option_is_refused(recipe, key):
    add_yaml(recipe, "taken.yaml", BASE + f"{key}: 1\n")
    with pytest.raises(ValueError, match=rf"taken\.yaml: the key '{key}' is a prefix"):
        start_run(["hparams/taken.yaml"], recipe)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["--name", "run #3"], "--name=run #3: what is behind # is a comment in YAML"),
        (["--name=run #3"], "--name=run #3: what is behind # is a comment in YAML"),
        (["--name", "x", "--noprogressbar", "true"], "--name=x: .*got 'true'"),
        (["--size"], "--size: expected a value behind it"),
        (["--name=x", "stray"], "--name=x: expected an option behind it, got 'stray'"),
    ],
)
def test_what_is_read_otherwise_than_it_is_typed_is_refused(recipe, typed, message):
    with pytest.raises(ValueError, match=message):
        start_run(["hparams/base.yaml", *typed], recipe)
    assert not Path("results").exists()


KINDS = """!include:base.yaml
lr: 0.001
epochs: 3
causal: false
again: &again true
share: !ref <name>
"""


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("--lr=0.1x", "--lr=0.1x: expected a number, as lr: 0.001"),
        ("--epochs=three", "--epochs=three: expected a number, as epochs: 3"),
        ("--causal=no", "--causal=no: expected true or false, as causal: false"),
        ("--causal='true'", "--causal=true: expected true or false"),
        ("--again=yes", "--again=yes: expected true or false, as again: true"),
    ],
)
def test_text_in_place_of_a_number_is_refused(recipe, typed, message):
    add_yaml(recipe, "kinds.yaml", KINDS)
    with pytest.raises(ValueError, match=message):
        start_run(["hparams/kinds.yaml", typed], recipe)
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("typed", "key", "value"),
    [
        ("--lr=1e-4", "lr", 1e-4),
        ("--lr=null", "lr", None),
        ("--lr=!ref <epochs>", "lr", 3),
        ("--epochs=[1, 2]", "epochs", [1, 2]),
        ("--epochs=(3, 5)", "epochs", (3, 5)),
        ("--causal=true", "causal", True),
        ("--share=none", "share", "none"),
    ],
)
def test_what_may_stand_in_place_of_a_number_is_taken(recipe, typed, key, value):
    add_yaml(recipe, "kinds.yaml", KINDS)
    hparams, _ = start_run(["hparams/kinds.yaml", typed], recipe)
    assert hparams[key] == value


@pytest.mark.parametrize(
    ("typed", "name"),
    [("'run #3'", "run #3"), ("a#b", "a#b"), ("two words", "two words")],
)
def test_what_is_quoted_or_one_word_is_itself(recipe, typed, name):
    hparams, _ = start_run(["hparams/base.yaml", f"--name={typed}"], recipe)
    assert hparams["name"] == name
