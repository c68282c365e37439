import json
import re
from pathlib import Path

import pytest
import soundfile

from speechbrain_fusion.brains.settings import resolve_include
from tests.data.librimix_tree import write, write_sources, write_tree
from tests.ranks import ROOT
from tests.recipes.running import command_line, last_line, read_rows, run_script

RECIPE = ROOT / "recipes" / "librimix_noisy"
TRAIN = RECIPE / "train.py"
CONV = {"bottleneck": 4, "hidden": 5, "skip": 6, "blocks": 2, "repeats": 1}
DPRNN = {"blocks": 1, "hidden": 4, "chunk": 10}
SEPFORMER = {"blocks": 1, "layers": 1, "heads": 2, "feedforward": 16, "chunk": 10}
MASKERS = {"dprnn": DPRNN, "sepformer": SEPFORMER, "convtasnet": CONV, "small": CONV}
FILES = (
    "test_items.csv",
    "test_summary.json",
    "history.json",
    "run.png",
    "gradients.csv",
    "gradients.png",
)


def as_option(tree):
    return "{" + ", ".join(f"{key}: {value}" for key, value in tree.items()) + "}"


def make_arguments(name, tree, **changes):
    masker = as_option(MASKERS[name.removesuffix("_3")])
    small = {
        "data_folder": tree,
        "output_folder": "out",
        "filters": 64,
        "segment": 0.25,
        "number_of_epochs": 1,
        "train_loader": "{batch_size: 1, num_workers: 0}",
        "enhancement": masker,
        "separation": masker,
        "examples": 1,
        **changes,
    }
    return command_line(name, small)


@pytest.fixture
def tree(tmp_path):
    write_tree(tmp_path / "librimix")
    return tmp_path / "librimix"


def check_results(out, talkers=2, files=FILES, items=3, rate=8000):
    """Check all that a run leaves behind."""
    assert all((out / file).stat().st_size > 0 for file in files)
    rows = read_rows(out / "test_items.csv")
    assert len(rows) == items
    each = {f"{metric}_enhanced_talker_{talkers}" for metric in ("sdr", "pesq", "stoi")}
    assert {*each, "residual_noise_enhanced", "over_suppression_enhanced"} <= {*rows[0]}
    summary = json.loads((out / "test_summary.json").read_text())
    channels = summary["metrics"]["si_sdr"]["channels"]
    assert len(channels) == talkers + 1
    assert channels["mean"]["scored"] == items
    sounds = [soundfile.info(path) for path in (out / "examples").glob("*.wav")]
    assert len(sounds) == 2 + 2 * talkers
    assert {(sound.channels, sound.samplerate) for sound in sounds} == {(1, rate)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dprnn", "sepformer", "convtasnet", "small"])
def test_the_yamls_run(name, run_here, tree):
    run_here(make_arguments(name, tree))
    check_results(Path("out"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dprnn_3", "sepformer_3", "convtasnet_3"])
def test_the_yamls_of_three_talkers_run(name, run_here, tmp_path):
    write_tree(tmp_path / "librimix", talkers=3)
    run_here(make_arguments(name, tmp_path / "librimix"))
    check_results(Path("out"), talkers=3)


@pytest.mark.slow
def test_the_command_runs_from_another_folder(tmp_path, tree):
    done = run_script(TRAIN, make_arguments("small", tree), tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    check_results(tmp_path / "out")
    assert "3 items" in done.stdout
    assert str(Path("out") / "gradients.png") in done.stdout
    assert re.search(r"conflict rate +0\.\d", done.stdout)


@pytest.mark.slow
def test_without_data_the_demo_corpus_is_mixed(run_here):
    counts = "{train: 2, valid: 1, test: 2}"
    run_here(make_arguments("small", None, mixture_counts=counts))
    check_results(Path("out"), items=2)
    assert Path("results/demo_librimix/2/Libri2Mix/wav8k/min/test/s2").is_dir()


@pytest.mark.slow
def test_librimix_is_rendered_from_what_it_is_made_of(run_here, tmp_path):
    write_sources(tmp_path)
    folders = {"librispeech": tmp_path, "wham": tmp_path, "metadata": tmp_path}
    run_here(make_arguments("small", None, **folders))
    check_results(Path("out"))


@pytest.mark.slow
def test_training_mixes_anew_and_the_test_stays_librimix(run_here, tmp_path, tree):
    write_sources(tmp_path, lengths=(60000, 50000, 55000))
    folders = {"librispeech": tmp_path, "wham": tmp_path, "dynamic_mixing": "true"}
    changes = {**folders, "mixture_counts": "{train: 4}"}
    run_here(make_arguments("small", tree, **changes))
    check_results(Path("out"))
    written = {path.stem for path in tree.rglob("test/mix_both/*.wav")}
    assert {row["id"] for row in read_rows("out/test_items.csv")} == written


@pytest.mark.slow
def test_own_recordings_are_mixed_anew(run_here, recordings):
    changes = {
        "recordings": recordings,
        "mixture_counts": "{train: 4, valid: 2, test: 3}",
        "noise_split": "{valid: [noise1], test: [noise2]}",
    }
    run_here(make_arguments("small", None, **changes))
    check_results(Path("out"))
    noises = {row["noise"] for row in read_rows("out/test_items.csv")}
    assert noises == {"noise2"}


@pytest.mark.slow
def test_own_recordings_become_a_small_librimix(load_recipe, run_here, recordings):
    numbers = ["--train", "3", "--valid", "1", "--test", "2", "--rate", "16000"]
    write_mixtures = load_recipe(RECIPE / "write_mixtures.py")
    noises = ["--valid_noise", "noise1", "--test_noise", "noise2"]
    write_mixtures([str(recordings), "mixed", *numbers, *noises])
    run_here(make_arguments("small", "mixed", sample_rate=16000))
    check_results(Path("out"), items=2, rate=16000)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [8000, 16000])
def test_longest_mixtures_and_both_rates(rate, run_here, tmp_path):
    write_tree(tmp_path / "librimix", rate=rate, mode="max")
    changes = {"sample_rate": rate, "mode": "max"}
    run_here(make_arguments("small", tmp_path / "librimix", **changes))
    check_results(Path("out"), rate=rate)


OPTIONS = {
    "bf16": {"precision": "bf16"},
    "dynamic batches": {
        "train_loader": "{max_batch_seconds: 1.2, num_workers: 1}",
        "segment": "null",
    },
    "checkpointing": {"checkpointing": "true"},
    "causal": {"causal": "true"},
    "accumulation": {"grad_accumulation_factor": 2, "modulation": "global"},
    "as published": {"snr_weight": 0.0, "initialization": "random"},
    "tensorboard": {"tensorboard": "true"},
}


@pytest.mark.slow
@pytest.mark.parametrize("changes", OPTIONS.values(), ids=OPTIONS)
def test_options(changes, run_here, tree):
    run_here(make_arguments("small", tree, **changes))
    check_results(Path("out"))
    config = json.loads(Path("out/model/config.json").read_text())
    assert config["causal"] == ("causal" in changes)
    events = [*Path("out").glob("tensorboard/events*")]
    assert bool(events) == ("tensorboard" in changes)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"separation_only": "true"}, {"weight_se": 0}], ids=str
)
def test_without_enhancement_there_are_no_gradients_to_modulate(
    changes, run_here, tree
):
    run_here(make_arguments("small", tree, **changes))
    check_results(Path("out"), files=FILES[:4])
    assert not Path("out/gradients.csv").exists()


def test_the_yamls_differ_in_their_networks_alone():
    folder = RECIPE / "hparams"
    for name in ("dprnn", "sepformer", "convtasnet"):
        base, two = resolve_include(folder / f"{name}.yaml", {})
        same, three = resolve_include(folder / f"{name}_3.yaml", {})
        assert base == same == folder / "common.yaml"
        assert f"{three}" == f"{ {**two, 'name': f'{name}_3', 'talkers': 3} }"
        assert {"enhancement", "separation"} <= two.keys()


@pytest.mark.slow
def test_a_finished_run_goes_on_if_told(run_here, tree):
    run_here(make_arguments("small", tree))
    table = Path("out/test_items.csv").read_bytes()
    steps = len(read_rows("out/gradients.csv"))
    run_here(make_arguments("small", tree))
    assert Path("out/test_items.csv").read_bytes() == table
    run_here(make_arguments("small", tree, number_of_epochs=2))
    assert len(json.loads(Path("out/history.json").read_text())) == 2
    assert len(read_rows("out/gradients.csv")) == 2 * steps
    with pytest.raises(ValueError, match=r"out: holds a run .* modulation.*expected"):
        run_here(make_arguments("small", tree, modulation="global"))


BAD = {
    "no tree": ({"data_folder": "nowhere"}, r"nowhere.*expected"),
    "two corpora": ({"recordings": "r"}, r"expected one corpus.*\['data_folder', 're"),
    "half a corpus": (
        {"data_folder": None, "wham": "w"},
        r"librispeech: expected a folder beside wham, got None",
    ),
    "dynamic mixing of nothing": (
        {"dynamic_mixing": "true"},
        r"librispeech: expected a folder beside dynamic_mixing",
    ),
    "talkers": ({"talkers": 3}, r"Libri3Mix.*expected|expected.*Libri3Mix"),
    "granularity": (
        {"modulation": "row"},
        r"gradient_modulation\.granularity: expected one of .*'row'",
    ),
    "main loss": (
        {"gradient_modulation": "{main: voice}"},
        r"gradient_modulation\.main: expected one of losses.*'voice'",
    ),
    "no main loss": (
        {"gradient_modulation": "{main: null}"},
        r"gradient_modulation\.main: expected the name",
    ),
    "shared module": (
        {"gradient_modulation": "{shared: [coder]}"},
        r"gradient_modulation\.shared: expected modules.*'coder'",
    ),
    "shared module without gradient": (
        {"gradient_modulation": "{shared: [separator.decoder]}"},
        r"'separator\.decoder' has no gradient of an auxiliary loss",
    ),
    "unknown loss": (
        {"loss_weights": "{noise: 1.0}"},
        r"loss_weights: expected keys \['enhancement', 'separation'\], got",
    ),
    "initialization": (
        {"initialization": "zero"},
        r"initialization: expected one of .*'zero'",
    ),
    "channels": ({"filters": 16}, r"channels: expected an even number of at least 64"),
    "unknown key": ({"batchsize": 4}, r"no such key: \['batchsize'\]"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "pattern"), BAD.values(), ids=BAD)
def test_bad_input_is_named_before_training(run_here, tree, changes, pattern):
    with pytest.raises(Exception, match=pattern) as caught:
        run_here(make_arguments("small", tree, **changes))
    assert "\n" not in str(caught.value)
    assert not Path("out/test_summary.json").exists()
    assert not list(Path().glob("out/save/CKPT*"))


def spoil_rate(folder, name):
    signal, _ = soundfile.read(folder / "s1" / name)
    write(folder / "s1" / name, signal, 16000)


def spoil_length(folder, name):
    signal, rate = soundfile.read(folder / "s2" / name)
    write(folder / "s2" / name, signal[:-7], rate)


def spoil_sound(folder, name):
    signal, rate = soundfile.read(folder / "s1" / name)
    write(folder / "s1" / name, 0 * signal, rate)


def spoil_name(folder, name):
    twice = "100-1-0001_100-1-0001.wav"
    for kind in folder.iterdir():
        (kind / name).rename(kind / twice)


SPOILT = {
    "missing split": (None, r"dev.*expected"),
    "missing source": (lambda f, n: (f / "s2" / n).unlink(), r"s2/.*"),
    "rate": (spoil_rate, r"s1/.*16000.*8000"),
    "length": (spoil_length, r"s2/.*samples, its mixture has"),
    "silent": (spoil_sound, r"s1/.*silent"),
    "twice": (spoil_name, r"twice"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("spoil", "pattern"), SPOILT.values(), ids=SPOILT)
def test_bad_files_are_named_before_training(run_here, tmp_path, spoil, pattern):
    folder = write_tree(tmp_path / "librimix", count=2, tables=False)
    if spoil is None:
        (folder / "dev").rename(folder / "valid")
    else:
        spoil(folder / "test", min((folder / "test" / "s1").iterdir()).name)
    with pytest.raises(Exception, match=pattern):
        run_here(make_arguments("small", tmp_path / "librimix"))
    assert not list(Path("out").rglob("*.json"))


@pytest.mark.slow
def test_an_error_ends_the_process_with_one_line_that_names_it(tmp_path, tree):
    done = run_script(TRAIN, make_arguments("small", tree, modulation="row"), tmp_path)
    assert done.returncode != 0
    # once the run has a folder, upstream logs what ends it
    assert "gradient_modulation.granularity: expected one of" in last_line(done.stdout)
