import csv
import json

import pytest
import soundfile

from tests.data.librimix_tree import voice, write
from tests.data.test_timit import write_timit
from tests.recipes.running import ROOT

RECIPE = ROOT / "recipes" / "timit"
TRAIN = RECIPE / "train.py"
SMALL = {
    "output_folder": "out",
    "channels": 4,
    "experts": 3,
    "groups": 1,
    "units": 2,
    "squeezed": 5,
    "segment": 0.25,
    "number_of_epochs": 1,
    "train_loader": "{batch_size: 2, num_workers: 0}",
    "mixture_counts": "{train: 4, valid: 2, test: 8}",
    "examples": 1,
}
# the test's utterances are too short for PESQ and STOI
METRICS = ("si_sdr", "llr", "wss", "segsnr")


@pytest.fixture
def corpus(tmp_path):
    for number in range(5):
        write(tmp_path / "noise" / f"n{number}.wav", voice(60000, number), 16000)
    write_timit(tmp_path / "timit")
    return {"data_folder": tmp_path / "timit", "noise_folder": tmp_path / "noise"}


@pytest.fixture
def run_here(load_recipe):
    return load_recipe(TRAIN)


def make_arguments(name, corpus, **changes):
    given = {**corpus, **SMALL, **changes}
    return [f"hparams/{name}.yaml", *(f"--{k}={v}" for k, v in given.items())]


def read_rows(path):
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small", "two_branch"])
def test_a_run_leaves_tables_figures_and_files(corpus, run_here, tmp_path, name, capfd):
    run_here(make_arguments(name, corpus))
    out = tmp_path / "out"
    for file in ("test_summary.json", "history.json", "run.png", "gradients.png"):
        assert (out / file).stat().st_size > 0
    rows = read_rows(out / "test_items.csv")
    assert len(rows) == 8
    assert {row["condition"] for row in rows} == {
        f"{kind} {snr} dB"
        for kind in ("seen", "unseen")
        for snr in ("-5", "+0", "+5", "+10")
    }
    summary = json.loads((out / "test_summary.json").read_text())["metrics"]
    for metric in METRICS:
        figures = summary[metric]["channels"]["mean"]
        assert figures["scored"] == 8
        assert figures["unprocessed"] is not None
    scores = summary["si_sdr"]["channels"]["mean"]
    assert scores["unprocessed"] < scores["irm"] < scores["cirm"]
    assert {"wiener", "subtraction"} <= {*scores}
    sounds = [soundfile.info(path) for path in (out / "examples").glob("*.wav")]
    assert {(x.channels, x.samplerate) for x in sounds} == {(1, 16000)}
    shown = capfd.readouterr().out
    assert "si_sdr in dB by condition" in shown
    assert shown.index("seen -5 dB") < shown.index("seen +0 dB")


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"exchange": "false"},
        {"detach_exchange": "true"},
        {"causal": "true", "norm": "cumulative", "train_gain": "[-10.0, 10.0]"},
        {"blocks": "plain", "exchange": "false"},
        {
            "branches": "magnitude",
            "main_loss": "magnitude",
            "loss_weights": "{complex: 0.0}",
        },
        {"branches": "complex", "loss_weights": "{magnitude: 0.0}"},
        {"modulation": "tensor"},
        {"fft_size": 256, "hop": 128},
    ],
)
def test_ablations_are_options(corpus, run_here, tmp_path, changes):
    run_here(make_arguments("small", corpus, references="null", **changes))
    assert (tmp_path / "out" / "test_items.csv").stat().st_size > 0
