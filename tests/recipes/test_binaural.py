import json
from pathlib import Path

import pytest
import soundfile

from speechbrain_fusion.brains.settings import resolve_include
from tests.data.clarity_tree import write_tree
from tests.ranks import ROOT
from tests.recipes.running import command_line, last_line, read_rows, run_script

TRAIN = ROOT / "recipes" / "binaural" / "train.py"
SMALL = {
    "output_folder": "out",
    "segment": 1.0,
    "number_of_epochs": 1,
    "scene_counts": "{train: 2, valid: 2, test: 3}",
    "enhancer": "{N: 8, L: 8, B: 4, H: 4, S: 6, P: 3, X: 1, R: 1}",
}
FILES = ("test_items.csv", "test_summary.json", "history.json", "run.png")


def make_arguments(name, recordings, **changes):
    return command_line(name, {**SMALL, "data_folder": recordings, **changes})


def check_results(out, rate):
    """Check all that a run leaves behind."""
    assert all((out / file).stat().st_size > 0 for file in FILES)
    rows = read_rows(out / "test_items.csv")
    assert len(rows) == 3
    expected = {"si_sdr_enhanced_left", "pesq_unprocessed_right", "mbstoi_enhanced"}
    assert expected <= rows[0].keys()
    summary = json.loads((out / "test_summary.json").read_text())
    assert summary["metrics"]["si_sdr"]["channels"]["mean"]["scored"] == 3
    assert len(json.loads((out / "history.json").read_text())) == 1
    assert (out / "run.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    sounds = [soundfile.info(path) for path in (out / "examples").glob("*.wav")]
    assert len(sounds) == 9
    assert {(sound.channels, sound.samplerate) for sound in sounds} == {(2, rate)}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rate"), [("fusion", 8000), ("release", 16000)])
def test_the_command_runs_from_another_folder(name, rate, tmp_path, recordings):
    done = run_script(TRAIN, make_arguments(name, recordings), tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    check_results(tmp_path / "out", rate)
    assert "3 items" in done.stdout
    assert str(Path("out") / "run.png") in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["independent", "front", "back", "interaural", "mbstoi"]
)
def test_the_other_yamls_run(name, run_here, recordings):
    run_here(make_arguments(name, recordings))
    check_results(Path("out"), 8000)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [8000, 16000])
def test_the_clarity_challenge_trains(rate, run_here, tmp_path):
    tree = write_tree(
        tmp_path / "clarity_data", {"train": range(3), "dev": range(5, 7)}
    )
    run_here(make_arguments("clarity", tree, sample_rate=rate))
    check_results(Path("out"), rate)


def test_the_clarity_challenge_needs_its_folder(run_here):
    with pytest.raises(ValueError, match=r"data_folder.*PLACEHOLDER"):
        run_here(make_arguments("clarity", None))


@pytest.mark.slow
def test_the_stft_variant_trains(run_here, recordings):
    stft = SMALL["enhancer"].replace("}", ", encoding: stft}")
    run_here(make_arguments("fusion", recordings, enhancer=stft))
    check_results(Path("out"), 8000)


def test_the_topologies_differ_in_their_fusion_alone():
    folder, fused = TRAIN.parent / "hparams", {}
    _, double = resolve_include(folder / "fusion.yaml", {})
    for name in ("independent", "front", "back"):
        base, changes = resolve_include(folder / f"{name}.yaml", {})
        assert base == folder / "common.yaml"
        assert changes.keys() == {"fuse", *double}
        same = [key for key in double if f"{changes[key]}" == f"{double[key]}"]
        assert double.keys() - same == {"name"}
        fused[name] = changes["fuse"]
    assert fused == {"independent": "none", "front": "front", "back": "back"}


@pytest.mark.slow
def test_the_same_command_gives_the_same_table(run_here, recordings):
    for folder in ("one", "two"):
        changes = {"output_folder": folder, "examples": 0}
        run_here(make_arguments("fusion", recordings, **changes))
    for file in FILES[:3]:
        assert Path("one", file).read_bytes() == Path("two", file).read_bytes()


@pytest.mark.slow
def test_a_finished_run_goes_on_if_told(run_here, recordings):
    changes = {"examples": 0}
    run_here(make_arguments("fusion", recordings, **changes))
    table = Path("out/test_items.csv").read_bytes()
    run_here(make_arguments("fusion", recordings, **changes))
    assert Path("out/test_items.csv").read_bytes() == table
    begun = Path("out/hyperparams.yaml").read_bytes()
    other = {"scene_counts": "{test: 2}", **changes}
    run_here([*make_arguments("fusion", recordings, **other), "--test_only"])
    assert Path("out/hyperparams.yaml").read_bytes() == begun
    run_here(make_arguments("fusion", recordings, number_of_epochs=2, **changes))
    assert len(json.loads(Path("out/history.json").read_text())) == 2


BAD = {
    "no data": ({"data_folder": "nowhere"}, r"nowhere.*(expected|no such)"),
    "topology": ({"fuse": "middle"}, r"fuse: expected one of .*'both'.*'middle'"),
    "hrir": ({"hrir": "other.npz"}, r"other\.npz.*"),
    "infinite SNR": ({"scenes": "{snr: [-6.0, .inf]}"}, r"snr: expected two finite"),
    "SNR that is none": ({"scenes": "{snr: [.nan, 6.0]}"}, r"snr: expected two finite"),
    "unknown key": ({"batchsize": 4}, r"fusion\.yaml: no such key: \['batchsize'\]"),
    "criterion": ({"select": "loudness"}, r"select: expected one of .*'loudness'"),
    "long segment": ({"segment": 9.0}, r"segment: 9\.0 s is longer"),
    "noise": ({"noise_split": "{valid: [rain]}"}, r"no such noise .*rain.*noise0"),
    "a metric's rate": ({"sample_rate": 11025}, r"PESQ knows 8000 .*got 11025 Hz"),
    "few scenes": (
        {"scene_counts": "{train: 1}"},
        r"1 items do not fill one batch of 2",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "pattern"), BAD.values(), ids=BAD)
def test_bad_input_is_named_before_training(run_here, recordings, changes, pattern):
    with pytest.raises(Exception, match=pattern) as caught:
        run_here(make_arguments("fusion", recordings, **changes))
    assert "\n" not in str(caught.value)
    assert not Path("out/test_summary.json").exists()
    assert not list(Path().glob("out/save/CKPT*"))


@pytest.mark.slow
def test_another_model_does_not_touch_the_results(run_here, tmp_path, recordings):
    run_here(make_arguments("fusion", recordings))
    files = (*FILES, "hyperparams.yaml")
    before = {file: Path("out", file).read_bytes() for file in files}
    with pytest.raises(ValueError, match=r"out: holds a run .* fuse.*expected"):
        run_here(make_arguments("fusion", recordings, fuse="back"))
    other = SMALL["enhancer"].replace("S: 6", "S: 7")
    done = run_script(
        TRAIN, make_arguments("fusion", recordings, enhancer=other), tmp_path
    )
    assert done.returncode != 0
    assert "out: holds a run with other enhancer" in last_line(done.stderr)
    assert "expected" in last_line(done.stderr)
    assert {file: Path("out", file).read_bytes() for file in files} == before


@pytest.mark.slow
def test_another_model_is_not_evaluated(run_here, recordings):
    run_here(make_arguments("fusion", recordings, examples=0))
    before = Path("out/test_summary.json").read_bytes()
    other = SMALL["enhancer"].replace("S: 6", "S: 7")
    with pytest.raises(ValueError, match=r"out/save/CKPT.*: not a checkpoint of this"):
        run_here([*make_arguments("fusion", recordings, enhancer=other), "--test_only"])
    assert Path("out/test_summary.json").read_bytes() == before


@pytest.mark.slow
def test_an_error_ends_the_process_with_one_line_that_names_it(tmp_path, recordings):
    done = run_script(
        TRAIN, make_arguments("fusion", recordings, batchsize=4), tmp_path
    )
    assert done.returncode != 0
    assert "no such key: ['batchsize']" in last_line(done.stderr)
    assert "expected one of" in last_line(done.stderr)
