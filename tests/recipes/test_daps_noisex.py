import json
import shlex
from pathlib import Path

import pytest
import ruamel.yaml
import soundfile
from hyperpyyaml.core import resolve_references
from speechbrain.utils.run_opts import RunOptions

from speechbrain_fusion.brains import start_run
from speechbrain_fusion.brains.compare import read_variants
from speechbrain_fusion.brains.settings import resolve_include
from speechbrain_fusion.data import write_demo_daps
from tests.data.daps_tree import write_daps, write_noises, write_rooms
from tests.ranks import ROOT, torchrun
from tests.recipes.running import command_line, read_rows, run_script

RECIPE = ROOT / "recipes" / "daps_noisex"
TRAIN = RECIPE / "train.py"
SMALL = {
    "output_folder": "out",
    "mixture_channels": "[10, 12, 6]",
    "fft_sizes": "[256, 128]",
    "hop": 128,
    "kernel": 3,
    "segment": 0.25,
    "test_segment": 0.4,
    "number_of_epochs": 1,
    "train_loader": "{batch_size: 4, num_workers: 0}",
    "eval_loader": "{batch_size: 4, num_workers: 0}",
    "counts": "{clean_train: 8, clean_valid: 4, train: 10, valid: 10, test: 6}",
    "examples": 1,
}
# of the method alone
SPEECH = {"speech_channels": "[12, 6]", "speech_kernel": 1, "speech_epochs": 1}
MASKS = ("irm", "cirm")
# the test's utterances are too short for PESQ and STOI
METRICS = ("si_sdr", "llr", "wss", "segsnr")
TERMS = ("mixture", "cycle", "complex_cycle", "pure_noise", "multi_resolution")
TERMS += ("latent", "prior", "anchor", "spread", "invariance")


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path)


def write_corpus(folder):
    """Write a small DAPS and noises; return the keys of the YAML for them."""
    write_daps(folder / "daps", scripts=("script1", "script2"))
    write_noises(folder / "noise")
    return {"data_folder": folder / "daps", "noise_folder": folder / "noise"}


@pytest.fixture(scope="module")
def demo_daps(tmp_path_factory):
    return write_demo_daps(tmp_path_factory.mktemp("demo") / "daps")


def small_keys(name):
    """Give the keys that make a YAML small, of those that it has."""
    return SMALL if name in MASKS else {**SMALL, **SPEECH}


def make_arguments(name, corpus, **changes):
    return command_line(name, {**corpus, **small_keys(name), **changes})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small", "shared_latent"])
def test_a_run_leaves_tables_pictures_and_files(
    corpus, run_here, tmp_path, name, capfd
):
    run_here(make_arguments(name, corpus))
    out = tmp_path / "out"
    pictures = ("run.png", "terms.png", "latents.png")
    for file in ("test_summary.json", "history.json", "speech_history.json", *pictures):
        assert (out / file).stat().st_size > 0
    rows = read_rows(out / "test_items.csv")
    assert len(rows) == 6
    assert {row["condition"] for row in rows} == {"-5 dB", "+0 dB", "+5 dB"}
    summary = json.loads((out / "test_summary.json").read_text())["metrics"]
    for metric in METRICS:
        figures = summary[metric]["channels"]["mean"]
        assert figures["scored"] == 6
        assert {"unprocessed", "enhanced", "noisy_phase"} <= {*figures}
    (epoch,) = json.loads((out / "history.json").read_text())
    for term in TERMS:
        assert {f"train_{term}", f"valid_{term}"} <= {*epoch}
    sounds = [soundfile.info(path) for path in (out / "examples").glob("*.wav")]
    assert {(x.channels, x.samplerate) for x in sounds} == {(1, 16000)}
    shown = capfd.readouterr().out
    assert shown.index("-5 dB") < shown.index("+0 dB")
    assert "measured by others on ANOTHER test set" in shown
    assert "poster    pesq  1.840  1.890  1.910" in shown


@pytest.mark.slow
@pytest.mark.parametrize("name", [*MASKS, "sse", "sse_published"])
def test_peers_are_yaml_files(corpus, run_here, tmp_path, name):
    changes = {} if name in MASKS else {"fft_sizes": "[256]"}
    run_here(make_arguments(name, corpus, **changes))
    rows = read_rows(tmp_path / "out" / "test_items.csv")
    assert len(rows) == 6
    stages = [*(tmp_path / "out" / "save" / "speech").glob("CKPT*")]
    assert bool(stages) == (name not in MASKS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"modulation": "tensor"},
        {"modulation": "global", "main_loss": "latent"},
        {"precision": "bf16"},
        {"latent_norm": "false", "final_norm": "true", "latent_noise": 1.0},
        {"noisy_phase": "true", "bound": "false"},
        {"share": "space", "mixture_channels": "[10, 6]"},
        {"loss_weights": "{remix: 1.0}"},
        {"simulated_rooms": 3, "disjoint": "[speaker, noise]"},
        {"pure_noise": 0.0, "loss_weights": "{pure_noise: 0.0}"},
    ],
)
def test_choices_are_options(corpus, run_here, tmp_path, changes):
    run_here(make_arguments("small", corpus, **changes))
    assert (tmp_path / "out" / "test_items.csv").stat().st_size > 0


@pytest.mark.slow
@pytest.mark.parametrize("words", read_variants(RECIPE / "compare.yaml").values())
def test_compared_systems_run(corpus, load_recipe, tmp_path, words):
    file, *own = shlex.split(words)
    changes = {
        name: value
        for name, value in small_keys(Path(file).stem).items()
        if not any(x.startswith(f"--{name}=") for x in own)
    }
    if "sse" in file:
        changes["fft_sizes"] = "[256]"
    own = [x.replace("[512]", "[256]") for x in own]
    given = [f"--{k}={v}" for k, v in {**corpus, **changes}.items()]
    load_recipe(TRAIN)([file, *own, *given])
    assert len(read_rows(tmp_path / "out" / "test_items.csv")) == 6


@pytest.mark.slow
def test_compared_systems_train_for_equally_many_steps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steps = {}
    for name, words in read_variants(RECIPE / "compare.yaml").items():
        arguments = [*shlex.split(words), f"--output_folder={name}"]
        hparams, _ = start_run(arguments, TRAIN)
        brain = hparams["brain"](hparams, RunOptions())
        counts, size = hparams["counts"], hparams["train_loader"]["batch_size"]
        steps[name] = hparams["number_of_epochs"] * counts["train"] // size
        if hasattr(brain, "enhancer"):
            steps[name] += hparams["speech_epochs"] * counts["clean_train"] // size
        assert brain.hparams.epoch_counter.limit_to_stop > hparams["number_of_epochs"]
    assert len(set(steps.values())) == 1


@pytest.mark.slow
def test_published_sizes_are_configurations(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hparams, _ = start_run(["hparams/sse_published.yaml"], TRAIN)
    enhancer, speech = hparams["enhancer"], hparams["speech"]
    assert sum(p.numel() for p in speech.parameters()) == 6_092_739
    own = [*enhancer.encoder.parameters(), *enhancer.decoder.parameters()]
    assert sum(p.numel() for p in own) == 9_444_787
    hparams, _ = start_run(["hparams/shared_latent.yaml"], TRAIN)
    assert hparams["speech"].stft.fft_sizes == (1024, 512, 256, 128)
    assert hparams["speech"].stft.main.hop == 32


@pytest.mark.slow
def test_without_data_the_demo_corpus_is_daps(run_here, tmp_path):
    run_here(make_arguments("small", {}, demo_folder="demo", segment=0.5))
    assert len(read_rows(tmp_path / "out" / "test_items.csv")) == 6
    assert (tmp_path / "demo" / "clean").is_dir()
    rooms = {row["room"] for row in read_rows(tmp_path / "out" / "test_items.csv")}
    assert rooms - {""}


@pytest.mark.slow
def test_own_talkers_and_rooms_are_enough(run_here, tmp_path, recordings):
    write_rooms(tmp_path / "rooms")
    corpus = {"recordings": recordings, "rooms_folder": tmp_path / "rooms"}
    run_here(make_arguments("small", corpus, loop_noise="true"))
    rows = read_rows(tmp_path / "out" / "test_items.csv")
    assert {row["talker"] for row in rows} <= {"test0", "test1"}
    assert all(row["room"].startswith("room") for row in rows)


@pytest.mark.slow
def test_a_stage_one_of_another_run_can_be_taken(corpus, run_here, tmp_path):
    run_here(make_arguments("small", corpus))
    saved = tmp_path / "out" / "save" / "speech"
    changes = {"output_folder": "next", "speech_checkpoint": saved, "speech_epochs": 0}
    run_here(make_arguments("small", corpus, **changes))
    assert not list((tmp_path / "next").glob("save/speech/CKPT*"))
    assert (tmp_path / "next/test_items.csv").stat().st_size > 0
    with pytest.raises(ValueError, match=r"out: holds a run with other .*latent_noise"):
        run_here(make_arguments("small", corpus, latent_noise=0.7))


@pytest.mark.slow
def test_two_processes_finish_both_stages(corpus, tmp_path):
    """Batches that lack noise, or speech, on one process do not stop the other."""
    arguments = make_arguments(
        "small", corpus, train_loader="{batch_size: 1, num_workers: 0}"
    )
    torchrun(2, TRAIN, arguments, tmp_path)
    assert len(read_rows(tmp_path / "out" / "test_items.csv")) == 6
    figures = json.loads((tmp_path / "out" / "history.json").read_text())[0]
    assert all(abs(value) < 1e6 for value in figures.values())


BAD = {
    "no corpus": ({"data_folder": "nowhere"}, r"nowhere.*expected"),
    "noise missing": ({"noise_folder": "null"}, r"noise_folder: expected a folder"),
    "short clips": ({"segment": 0.01}, r"segment: .*256 samples, got 0.01"),
    "no stage one": ({"speech_epochs": 0}, r"stage two needs a trained speech autoenc"),
    "wrong stage one": ({"speech_checkpoint": "no"}, r"no: no checkpoint of a speech"),
    "disjoint": ({"disjoint": "[voice]"}, r"voice"),
    "no pure noise": ({"pure_noise": 0.0}, r"loss_weights: expected 0 for pure_noise"),
    "no noise added": ({"added_snr": "null"}, r"expected 0 for invariance, remix"),
    "share": ({"share": "all"}, r"share: expected one of"),
    "select": ({"select": "si_sdr"}, r"select: expected"),
    "unknown metric": ({"table_metrics": "[x]"}, r"table_metrics: expected some of"),
    "unknown key": ({"batchsize": 4}, r"no such key: \['batchsize'\]"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "pattern"), BAD.values(), ids=BAD)
def test_bad_input_is_named_before_training(
    corpus, run_here, tmp_path, changes, pattern
):
    with pytest.raises(Exception, match=pattern):
        run_here(make_arguments("small", corpus, **changes))
    assert not (tmp_path / "out/test_summary.json").exists()
    assert not list(tmp_path.glob("out/save/**/CKPT*"))


@pytest.mark.slow
def test_an_incomplete_daps_ends_the_process_and_is_named(corpus, tmp_path):
    missing = tmp_path / "daps/ipad_office1/f1_script1_ipad_office1.wav"
    missing.unlink()
    done = run_script(TRAIN, make_arguments("small", corpus), tmp_path)
    assert done.returncode != 0
    assert missing.name in done.stderr + done.stdout
    assert not list(tmp_path.glob("out/save/*.json"))


@pytest.mark.slow
def test_a_finished_run_goes_on_if_told(corpus, run_here, tmp_path):
    run_here(make_arguments("small", corpus))
    run_here(make_arguments("small", corpus, number_of_epochs=2))
    epochs = json.loads((tmp_path / "out/history.json").read_text())
    assert [x["epoch"] for x in epochs] == [1, 2]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [p.stem for p in (RECIPE / "hparams").glob("*.yaml") if p.stem != "common"],
)
def test_the_demo_is_enough_for_every_yaml_but_the_posters_counts(
    name, tmp_path, monkeypatch, demo_daps
):
    monkeypatch.chdir(tmp_path)
    hparams, _ = start_run(
        [f"hparams/{name}.yaml", f"--demo_folder={demo_daps}"], TRAIN
    )
    if name == "poster":
        with pytest.raises(ValueError, match="28 asked for clean"):
            hparams["corpus"]()
    else:
        assert {*hparams["corpus"]()} == {*hparams["counts"]}


def yaml_of(name):
    base, own = resolve_include(RECIPE / "hparams" / f"{name}.yaml", {})
    with open(base, encoding="utf-8") as stream:
        return ruamel.yaml.YAML().load(resolve_references(stream, own))


@pytest.mark.parametrize("key", ["loss_weights", "speech_loss_weights"])
def test_sse_has_its_losses_in_either_size(key):
    assert yaml_of("sse")[key] == yaml_of("sse_published")[key]


def test_masks_are_as_large_and_train_as_long_as_the_small_system():
    mask, small = yaml_of("irm"), yaml_of("small")
    keys = ["disjoint", "segment", "counts", "lr", "lr_hold", "train_loader"]
    keys += ["fft_sizes", "hop", "mixture_channels", "kernel", "compression"]
    assert {key: mask[key] for key in keys} == {key: small[key] for key in keys}
    epochs = small["speech_epochs"] + small["number_of_epochs"]
    assert mask["number_of_epochs"] == epochs
