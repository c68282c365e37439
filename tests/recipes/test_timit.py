import json
import shlex

import pytest
import soundfile
from speechbrain.utils.run_opts import RunOptions

from speechbrain_fusion.brains import TwoBranchBrain, start_run
from speechbrain_fusion.brains.compare import read_variants
from tests.data.librimix_tree import voice, write
from tests.data.test_paired import write_pairs
from tests.data.test_timit import write_timit
from tests.ranks import ROOT, torchrun
from tests.recipes.running import command_line, last_line, read_rows, run_script

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
    return write_corpus(tmp_path)


def write_corpus(folder):
    """Write a small TIMIT and noises; return the keys of the YAML for them."""
    for number in range(5):
        write(folder / "noise" / f"n{number}.wav", voice(60000, number), 16000)
    write_timit(folder / "timit")
    return {"data_folder": folder / "timit", "noise_folder": folder / "noise"}


def make_arguments(name, corpus, **changes):
    return command_line(name, {**corpus, **SMALL, **changes})


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
        {"precision": "bf16"},
        {"fft_size": 256, "hop": 128},
    ],
)
def test_ablations_are_options(corpus, run_here, tmp_path, changes):
    run_here(make_arguments("small", corpus, references="null", **changes))
    assert (tmp_path / "out" / "test_items.csv").stat().st_size > 0


@pytest.mark.slow
def test_without_data_the_demo_corpus_is_timit(run_here, tmp_path):
    run_here(make_arguments("small", {}, demo_folder="demo", references="null"))
    assert len(read_rows(tmp_path / "out" / "test_items.csv")) == 8
    assert (tmp_path / "demo" / "TRAIN").is_dir()


@pytest.mark.slow
def test_own_talkers_are_enough(run_here, tmp_path, recordings):
    corpus = {"recordings": recordings, "loop_noise": "true"}
    run_here(make_arguments("compact", corpus, references="null"))
    rows = read_rows(tmp_path / "out" / "test_items.csv")
    assert {row["talker"] for row in rows} <= {"test0", "test1"}


@pytest.mark.slow
def test_what_is_mixed_already_is_enough(run_here, tmp_path):
    for split in ("train", "valid", "test"):
        folder = tmp_path / "pairs" / split
        write_pairs(folder / "noisy", folder / "clean", ("a", "b"), 16000)
    corpus = {"paired": tmp_path / "pairs"}
    counts = "{train: null, valid: null, test: null}"
    run_here(make_arguments("causal", corpus, references="null", mixture_counts=counts))
    rows = read_rows(tmp_path / "out" / "test_items.csv")
    assert [row["id"] for row in rows] == ["a", "b"]


@pytest.mark.slow
def test_a_finished_run_goes_on_if_told(corpus, run_here, tmp_path):
    given = {**corpus, "references": "null"}
    run_here(make_arguments("small", given))
    table = (tmp_path / "out/test_items.csv").read_bytes()
    run_here(make_arguments("small", given))
    assert (tmp_path / "out/test_items.csv").read_bytes() == table
    run_here(make_arguments("small", given, number_of_epochs=2))
    assert len(json.loads((tmp_path / "out/history.json").read_text())) == 2
    with pytest.raises(ValueError, match=r"out: holds a run .* exchange.*expected"):
        run_here(make_arguments("small", given, exchange="false"))


@pytest.mark.slow
def test_two_processes_train_as_one(corpus, tmp_path):
    """Also what batch norm knows of the batches, half of which each of them sees."""
    gradients = {}
    for count, size in ((1, 4), (2, 2)):
        changes = {
            "output_folder": f"of{count}",
            "references": "null",
            "mixture_counts": "{train: 12, valid: 2, test: 2}",
            "train_loader": f"{{batch_size: {size}, num_workers: 0}}",
        }
        torchrun(count, TRAIN, make_arguments("small", corpus, **changes), tmp_path)
        gradients[count] = [
            {k: float(v) for k, v in row.items() if k.startswith("norm")}
            for row in read_rows(tmp_path / f"of{count}" / "gradients.csv")
        ]
    one, two = gradients[1], gradients[2]
    assert len(one) == 3
    for alone, together in zip(one, two, strict=True):
        assert together == pytest.approx(alone, rel=2e-3)
    # each step changes them by far more
    assert one[0] != pytest.approx(one[1], rel=2e-2)


BAD = {
    "no corpus": ({"data_folder": "nowhere"}, r"nowhere.*expected"),
    "noise missing": ({"noise_folder": "null"}, r"noise_folder: expected a folder"),
    "noise names": (
        {"noise_split": "{valid: [n0], test: [hum]}"},
        r"hum",
    ),
    "two corpora": ({"recordings": "r"}, r"expected one corpus, got data_folder, rec"),
    "rate": ({"sample_rate": 48000}, r"16000 Hz.*48000"),
    "odd window": (
        {"fft_size": 321, "hop": 107},
        r"fft_size: expected an even number, got 321",
    ),
    "branch without its weight": (
        {"branches": "magnitude"},
        r"loss_weights: expected 0 for complex, there is no such branch",
    ),
    "unknown metric": (
        {"table_metrics": "[pesq, sisdr]"},
        r"table_metrics: expected some of .*'sisdr'",
    ),
    "window": ({"fft_size": 62, "hop": 31}, r"fft_size: expected one that leaves"),
    "branches": ({"branches": "left"}, r"branches: expected one of .*'left'"),
    "blocks": ({"blocks": "plain"}, r"exchange: expected false for plain blocks"),
    "main loss": (
        {"main_loss": "voice"},
        r"gradient_modulation\.main: expected one of",
    ),
    "unknown key": ({"batchsize": 4}, r"no such key: \['batchsize'\]"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "pattern"), BAD.values(), ids=BAD)
def test_bad_input_is_named_before_training(
    corpus, run_here, tmp_path, changes, pattern
):
    with pytest.raises(Exception, match=pattern):
        run_here(make_arguments("small", {**corpus, **changes}))
    assert not (tmp_path / "out/test_summary.json").exists()
    assert not list(tmp_path.glob("out/save/CKPT*"))


@pytest.mark.slow
def test_an_error_ends_the_process_with_one_line_that_names_it(corpus, tmp_path):
    silent = tmp_path / "noise" / "n3.wav"
    write(silent, 0 * voice(60000, 3), 16000)
    done = run_script(TRAIN, make_arguments("small", corpus), tmp_path)
    assert done.returncode != 0
    assert f"{silent}: " in last_line(done.stdout)


def test_a_reference_without_its_library_is_left_out(
    tmp_path, monkeypatch, hide_library, capsys
):
    monkeypatch.chdir(tmp_path)
    hide_library("pyroomacoustics")
    hparams, _ = start_run(["hparams/small.yaml"], TRAIN)
    brain = TwoBranchBrain.from_yaml(hparams, RunOptions())
    assert [*brain.references] == ["irm", "cirm"]
    printed = capsys.readouterr().out
    for name in ("wiener", "subtraction"):
        assert f"{name} is left out: classical enhancement needs pyroom" in printed


@pytest.mark.slow
@pytest.mark.parametrize("file", ["compare", "compare_compact"])
def test_compared_networks_are_what_their_names_say(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sizes = {}
    for name, words in read_variants(RECIPE / f"{file}.yaml").items():
        arguments = [*shlex.split(words), f"--output_folder={name}"]
        hparams, _ = start_run(arguments, TRAIN)
        brain = TwoBranchBrain.from_yaml({**hparams, "references": None}, RunOptions())
        assert brain.hparams.epoch_counter.limit_to_stop > hparams["number_of_epochs"]
        sizes[name] = sum(p.numel() for p in brain.modules.parameters())
    assert sizes["full"] == sizes["no_exchange"] == sizes["detached"]
    assert sizes["magnitude"] + sizes["complex"] == sizes["full"]
    assert sizes["plain_complex"] == pytest.approx(sizes["full"], rel=0.01)
