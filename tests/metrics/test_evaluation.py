import json
import math

import numpy as np
import pytest
import soundfile
import torch

from speechbrain_fusion.data.audio import AudioError, resample
from speechbrain_fusion.metrics import composite, mbstoi, pesq, sdr, si_sdr, stoi
from speechbrain_fusion.metrics.evaluation import TOLERANCE, evaluate_files, read_pair
from speechbrain_fusion.metrics.pairs import Pair, match_files
from speechbrain_fusion.metrics.scorers import SCORERS, score_signals
from speechbrain_fusion.metrics.text import evaluation_text
from tests.conftest import write_voice

RATE = 16000


@pytest.fixture
def trio(tmp_path):
    """Folders clean, noisy and enhanced with two mono files each."""
    rng = np.random.default_rng(0)
    for seed, name in enumerate(("a", "b/c")):
        write_voice(tmp_path / "clean" / f"{name}.wav", 1.5, seed)
        clean, _ = soundfile.read(tmp_path / "clean" / f"{name}.wav")
        for folder, level in (("noisy", 0.05), ("enhanced", 0.01)):
            path = tmp_path / folder / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, clean + level * rng.standard_normal(clean.size), RATE)
    return tmp_path


def signals(path):
    samples, _ = soundfile.read(path, dtype="float32", always_2d=True)
    return torch.from_numpy(samples.T.copy())


def write(path, signal, rate=RATE):
    soundfile.write(path, signal, rate, "FLOAT")
    return path


def pairs_of(trio):
    return match_files(*(trio / name for name in ("clean", "enhanced", "noisy")))[0]


def test_folders_are_matched_by_relative_name(trio):
    pairs, missing = match_files(trio / "clean", trio / "enhanced", trio / "noisy")
    assert [pair.name for pair in pairs] == ["a", "b/c"]
    assert pairs[1].noisy == trio / "noisy/b/c.wav"
    assert missing == []


def test_files_without_partner_are_listed(trio):
    (trio / "enhanced/a.wav").unlink()
    (trio / "enhanced/x.wav").touch()
    pairs, missing = match_files(trio / "clean", trio / "enhanced")
    assert [pair.name for pair in pairs] == ["b/c"]
    assert missing == [
        f"{trio}/clean/a.wav: no estimate of this name",
        f"{trio}/enhanced/x.wav: no reference of this name",
    ]


@pytest.mark.parametrize(
    ("reference", "estimate", "told"),
    [
        ("clean", "none", "none: no such file or folder"),
        ("clean", "enhanced/a.wav", "expected all files or all folders"),
        ("clean/b", "enhanced/empty", "no audio files of the same name"),
    ],
)
def test_what_cannot_be_matched_is_told(trio, reference, estimate, told):
    (trio / "enhanced/empty").mkdir()
    with pytest.raises(AudioError, match=told):
        match_files(trio / reference, trio / estimate)


def test_two_files_of_one_name_are_refused(trio):
    write(trio / "clean/a.flac.wav", np.zeros(9))
    (trio / "clean/a.flac").touch()
    (trio / "clean/a.ogg").touch()
    with pytest.raises(AudioError, match="two files of one name"):
        match_files(trio / "clean", trio / "enhanced")


@pytest.mark.slow
def test_values_are_those_of_the_functions(trio):
    evaluation = evaluate_files(pairs_of(trio), jobs=1)
    row = evaluation.table.to_rows()[0]
    s, y, x = (signals(trio / f"{n}/a.wav") for n in ("clean", "enhanced", "noisy"))
    assert row["si_sdr_enhanced"] == si_sdr(s, y).item()
    assert row["si_sdr_unprocessed"] == si_sdr(s, x).item()
    assert row["sdr_enhanced"] == sdr(s, y).item()
    assert row["stoi_enhanced"] == stoi(s, y, RATE, jobs=1).item()
    for name, value in composite(s, y, RATE, jobs=1).items():
        assert row[f"{name}_enhanced"] == value.item()
    assert evaluation.failures == evaluation.notes == []


def test_two_channels_are_scored_each_and_together(tmp_path):
    rng = np.random.default_rng(1)
    clean = (
        0.1 * rng.standard_normal((RATE, 2)) * np.sin(np.arange(RATE) / 900)[:, None]
    )
    noisy = clean + 0.2 * rng.standard_normal((RATE, 2))
    pair = Pair("x", write(tmp_path / "s.wav", clean), write(tmp_path / "y.wav", noisy))
    table = evaluate_files([pair], jobs=1).table
    assert set(table.metrics()) == set(SCORERS)
    row = table.to_rows()[0]
    s, y = (signals(path)[None] for path in pair[1:3])
    assert row["si_sdr_enhanced_right"] == si_sdr(s, y)[0, 1].item()
    assert row["mbstoi_enhanced"] == mbstoi(s, y, RATE).item()


@pytest.mark.slow
def test_of_two_channels_one_item_may_lack_what_others_have(tmp_path):
    """Too short for STOI and PESQ; SI-SDR scores it."""
    pairs = []
    for name, seconds in (("long", 1.0), ("short", 0.2)):
        rng = np.random.default_rng(len(name))
        clean = 0.1 * rng.standard_normal((round(seconds * RATE), 2))
        files = [tmp_path / f"{name}_{x}.wav" for x in "sy"]
        pairs.append(Pair(name, write(files[0], clean), write(files[1], 0.9 * clean)))
    evaluation = evaluate_files(pairs, jobs=1)
    summary = evaluation.table.summary()
    for metric, scored in (("si_sdr", 2), ("stoi", 1), ("mbstoi", 1), ("pesq", 1)):
        figures = summary[metric]["mean"]
        assert (figures["scored"], figures["total"]) == (scored, 2), metric
    long, short = evaluation.table.to_rows()
    assert short["stoi_enhanced_right"] != short["stoi_enhanced_right"]
    assert summary["stoi"]["right"]["enhanced"] == long["stoi_enhanced_right"]
    assert "stoi" in evaluation_text(evaluation.table)


def test_pesq_alone_and_beside_the_composite_is_the_same():
    rng = torch.Generator().manual_seed(0)
    s, noise = 0.1 * torch.randn(2, 1, RATE, generator=rng)
    alone = score_signals(s, s + noise, RATE, ["pesq"]).values
    beside = score_signals(s, s + noise, RATE, ["pesq", "covl"]).values
    assert list(beside) == ["pesq", "covl"]
    assert alone["pesq"] == beside["pesq"] == pesq(s, s + noise, RATE, jobs=1)


def test_quality_is_scored_at_the_rate_below_and_told(tmp_path):
    write_voice(tmp_path / "s.wav", 1.0, 0, 44100)
    s = signals(tmp_path / "s.wav").numpy()
    y = s + 0.01 * np.random.default_rng(0).standard_normal(s.shape).astype("f")
    write(tmp_path / "y.wav", y.T, 44100)
    pair = Pair("y", tmp_path / "s.wav", tmp_path / "y.wav")
    evaluation = evaluate_files([pair], ["pesq", "snr"], jobs=1)
    at_16 = [torch.from_numpy(resample(x, 44100, RATE)) for x in (s, y)]
    row = evaluation.table.to_rows()[0]
    assert row["pesq_enhanced"] == pytest.approx(pesq(*at_16, RATE, jobs=1).item())
    assert evaluation.notes == ["pesq: files of 44100 Hz were scored at 16000 Hz"]


@pytest.mark.parametrize(
    ("metric", "reference", "estimate", "rate", "reason"),
    [
        ("mbstoi", torch.ones(1, 9), torch.ones(1, 9), RATE, "needs 2 channels, got 1"),
        ("pesq", torch.ones(1, 9000), torch.ones(1, 9000), 6000, "needs a rate from"),
        ("stoi", torch.ones(1, 900), torch.ones(1, 900), RATE, "shorter than 0.41 s"),
        ("snr", torch.zeros(2, 90), torch.ones(2, 90), RATE, "the reference is silent"),
        ("snr", torch.ones(1, 90), torch.zeros(1, 90), RATE, "the estimate is silent"),
        ("snr", torch.ones(1, 90), torch.ones(1, 90), RATE, "without any error"),
        ("mbstoi", torch.ones(2, 1), torch.ones(2, 1), RATE, "shorter than 0.41 s"),
    ],
)
def test_what_has_no_score_has_a_reason(metric, reference, estimate, rate, reason):
    scored = score_signals(reference, estimate, rate, [metric])
    assert not scored.values[metric].isfinite().any()
    assert scored.reasons[metric].startswith(reason)


def test_unscored_items_are_null_with_a_reason_in_json(trio):
    write(trio / "enhanced/a.wav", np.zeros(24000))
    evaluation = evaluate_files(pairs_of(trio), ["snr"], jobs=1)
    evaluation.write_json(trio / "scores.json")
    found = json.loads((trio / "scores.json").read_text(encoding="utf-8"))
    assert found["unscored"] == [
        {
            "id": "a",
            "system": "enhanced",
            "metric": "snr",
            "reason": "the estimate is silent",
        }
    ]
    assert found["scores"][0]["snr_enhanced"] is None
    assert found["metrics"]["snr"]["unit"] == "dB"
    assert found["metrics"]["snr"]["channels"]["mean"]["scored"] == 1


@pytest.mark.parametrize(
    ("signal", "rate", "told"),
    [
        (np.zeros(0), RATE, "holds no samples"),
        (np.full(RATE, math.nan), RATE, "not finite"),
        (np.ones(RATE), 8000, "8000 Hz, expected 16000 Hz"),
        (np.ones((RATE, 2)), RATE, "2 channels, expected 1"),
        (np.ones(2 * RATE), RATE, "2.000 s, expected 1.000 s"),
    ],
)
def test_pairs_that_do_not_fit_are_told_and_stop_nothing(tmp_path, signal, rate, told):
    reference = write(tmp_path / "s.wav", np.ones(RATE))
    good = write(tmp_path / "good.wav", 0.9 * np.ones(RATE))
    bad = write(tmp_path / "bad.wav", signal, rate)
    pairs = [Pair("bad", reference, bad), Pair("good", reference, good)]
    evaluation = evaluate_files(pairs, ["snr"], jobs=1)
    assert len(evaluation.failures) == 1
    assert evaluation.failures[0].startswith(f"{bad}: ")
    assert told in evaluation.failures[0]
    assert [row["id"] for row in evaluation.table.to_rows()] == ["good"]


def test_ends_within_the_tolerance_are_left_out_and_told(tmp_path):
    longer = round((1 + TOLERANCE) * RATE)
    reference = write(tmp_path / "s.wav", np.ones(RATE))
    estimate = write(tmp_path / "y.wav", 0.9 * np.ones(longer))
    pair = Pair("y", reference, estimate)
    signals, rate, cut = read_pair(pair)
    assert (signals["estimate"].shape, rate, cut) == ((1, RATE), RATE, True)
    assert "the end of the longer file was left out" in evaluate_files([pair]).notes[0]


def test_files_with_another_number_of_channels_are_told(tmp_path):
    files = {n: write(tmp_path / f"{n}.wav", np.ones((RATE, n))) for n in (1, 2)}
    pairs = [Pair(str(n), file, file) for n, file in files.items()]
    evaluation = evaluate_files(pairs, ["snr"], jobs=1)
    assert len(evaluation.table) == 1
    assert "2 channels, expected 1 as in" in evaluation.failures[0]


def test_unknown_metrics_are_refused():
    with pytest.raises(ValueError, match="unknown metric 'sisdr', expected of si_sdr"):
        evaluate_files([], ["sisdr"])


@pytest.mark.slow
def test_processes_change_nothing(trio):
    rows = [evaluate_files(pairs_of(trio), jobs=n).table.to_rows() for n in (1, 2)]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("metric", ["stoi", "estoi", "mbstoi"])
def test_what_a_function_scores_is_scored_here(metric):
    """Down to the shortest: 31 frames of 25.6 ms, half overlapping."""
    noise = torch.randn(2, 2, 6554, generator=torch.Generator().manual_seed(0))
    scored = score_signals(noise[0], noise.sum(0), RATE, [metric])
    assert scored.values[metric].isfinite().all()
    pair = noise[0, :, :-1], noise.sum(0)[:, :-1]
    assert score_signals(*pair, RATE, [metric]).reasons[metric] == "shorter than 0.41 s"
