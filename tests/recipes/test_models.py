"""Every recipe ends with a model folder, and can begin with one."""

import functools
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from speechbrain_fusion.inference import SpeechSeparator, load
from tests.data.librimix_tree import write_tree
from tests.ranks import ROOT
from tests.recipes import (
    test_binaural,
    test_daps_noisex,
    test_librimix_noisy,
    test_timit,
)


def binaural(folder, recordings):
    return functools.partial(test_binaural.make_arguments, "back", recordings)


def librimix_noisy(folder, recordings):
    write_tree(folder / "librimix")
    tree = folder / "librimix"
    return functools.partial(test_librimix_noisy.make_arguments, "small", tree)


def timit(folder, recordings):
    corpus = test_timit.write_corpus(folder)
    return functools.partial(test_timit.make_arguments, "small", corpus)


def daps_noisex(folder, recordings, name="small"):
    corpus = test_daps_noisex.write_corpus(folder)
    return functools.partial(test_daps_noisex.make_arguments, name, corpus)


def daps_noisex_masks(folder, recordings):
    return daps_noisex(folder, recordings, "cirm")


RECIPES = [binaural, librimix_noisy, timit, daps_noisex, daps_noisex_masks]


def check_like_examples(model, examples: Path) -> None:
    """Expect of a model what the test's best checkpoint made of the same mixtures."""
    mixtures = sorted(examples.glob("*_mixture.wav"))
    assert mixtures
    for path in mixtures:
        mixture, rate = soundfile.read(path, dtype="float32", always_2d=True)
        name = path.name.removesuffix("_mixture.wav")
        made = sorted(examples.glob(f"{name}_enhanced*.wav"))
        expected = [soundfile.read(x, dtype="float32", always_2d=True)[0] for x in made]
        separates = isinstance(model, SpeechSeparator)
        process = model.separate if separates else model.enhance
        found = process(mixture.T, rate)
        signals = np.concatenate(expected, 1).T
        # talkers are in the order of the targets there
        orders = (found, found[::-1]) if separates else (found,)
        best = min(float(abs(order - signals).max()) for order in orders)
        assert best < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_run_ends_with_a_model_and_begins_with_one(
    recipe, load_recipe, tmp_path, recordings, capfd
):
    folder = ROOT / "recipes" / recipe.__name__.removesuffix("_masks")
    main = load_recipe(folder / "train.py")
    make_arguments = recipe(tmp_path, recordings)
    main(make_arguments())
    assert f"model            {Path('out') / 'model'}" in capfd.readouterr().out
    model = load("out/model")
    assert model.config["recipe"] == folder.name
    assert model.config["metrics"]
    check_like_examples(model, Path("out/examples"))
    assert str(tmp_path) not in "".join(
        (tmp_path / "out" / "model" / name).read_text()
        for name in ("config.json", "hyperparams.yaml", "README.md")
    )

    changes = {"output_folder": "again", "init_from": "out/model", "lr": 1e-12}
    main(make_arguments(**changes))
    assert "everything matches" in Path("again/log.txt").read_text()
    assert not Path("again/speech_history.json").exists()
    # at that rate nothing is learned
    weights, again = (x.system.state_dict() for x in (model, load("again/model")))
    learned = dict(model.system.named_parameters())
    assert all(torch.allclose(weights[x], again[x], atol=1e-6) for x in learned)
