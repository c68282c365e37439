"""Files through models: all that can be done is, what cannot is told at the end."""

import os
import signal as signals
from pathlib import Path
from signal import SIG_DFL, SIGHUP, SIGTERM

import numpy as np
import pytest
import soundfile
import torch

from speechbrain_fusion.inference.audio_writing import AudioWriter
from speechbrain_fusion.inference.load import load
from tests.commands.conftest import RATE, signal
from tests.commands.shell import run


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def test_a_file_is_what_the_model_makes_of_it(here, models):
    ran = run("enhance", "stereo.wav", "-o", "out.wav", "--model", models.binaural)
    assert (ran.code, ran.err) == (0, "")
    assert ran.text == "1 of 1 enhanced: out.wav\n"
    info = soundfile.info("out.wav")
    assert (info.samplerate, info.channels, info.frames) == (RATE, 2, 3000)
    assert info.subtype == "PCM_16"
    expected = load(models.binaural).enhance(signal("stereo.wav"), RATE)
    torch.testing.assert_close(signal("out.wav"), expected, atol=2**-15, rtol=0)


def test_folders_keep_their_structure(here, models):
    ran = run("enhance", "in", "-o", "out", "--model", models.binaural, "--quiet")
    assert (ran.code, ran.out, ran.err) == (0, b"", "")
    assert list(contents("out")) == ["a.wav", "deep/b.wav"]


def test_globs_and_files_together(here, models):
    arguments = ["in/**/b.wav", "stereo.wav", "-o", "out/", "--model", models.binaural]
    assert run("enhance", *arguments).code == 0
    assert list(contents("out")) == ["deep/b.wav", "stereo.wav"]


@pytest.mark.parametrize("rate", [8000, 44100])
@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_rate_length_and_format_are_kept(here, models, rate, kind):
    noise = 0.1 * np.random.default_rng(0).standard_normal((rate // 4 + 3, 2))
    soundfile.write(f"in.{kind}", noise, rate, "PCM_24")
    arguments = [f"in.{kind}", "-o", f"out.{kind}", "--model", models.binaural]
    assert run("enhance", *arguments).code == 0
    before, after = (soundfile.info(f"{name}.{kind}") for name in ("in", "out"))
    for fact in ("samplerate", "frames", "channels", "format", "subtype"):
        assert getattr(before, fact) == getattr(after, fact)


@pytest.mark.slow
def test_channels_are_enhanced_on_their_own_by_a_model_of_one(here, models):
    assert (
        run("enhance", "stereo.wav", "-o", "2.wav", "--model", models.causal).code == 0
    )
    arguments = ["--channel", "1", "--subtype", "float", "--model", models.causal]
    assert run("enhance", "stereo.wav", "-o", "1.wav", *arguments).code == 0
    assert soundfile.info("1.wav").subtype == "FLOAT"
    torch.testing.assert_close(
        signal("2.wav")[1:], signal("1.wav"), atol=2**-15, rtol=0
    )


@pytest.mark.parametrize("name", ["separator", "causal_separator"])
def test_talkers_have_a_file_each(here, models, name):
    model = getattr(models, name)
    ran = run("separate", "mono.wav", "-o", "out", "--model", model)
    assert (ran.code, ran.err) == (0, "")
    assert list(contents("out")) == ["mono_1.wav", "mono_2.wav"]
    expected = load(model).separate(signal("mono.wav"), RATE)
    for talker in range(2):
        found = signal(f"out/mono_{talker + 1}.wav")
        torch.testing.assert_close(
            found, expected[talker : talker + 1].clamp(-1, 1), atol=2**-14, rtol=0
        )


def test_broken_files_are_told_at_the_end_and_stop_nothing(here, models):
    Path("in/empty.wav").write_bytes(b"")
    Path("in/text.wav").write_text("no audio")
    whole = Path("in/a.wav").read_bytes()
    Path("in/cut.wav").write_bytes(whole[:30])
    soundfile.write("in/mono.wav", np.zeros(100), RATE)
    soundfile.write("in/nan.wav", np.full((100, 2), np.nan), RATE, "FLOAT")
    os.mkdir("in/folder.wav")
    arguments = ["in", "gone.wav", "-o", "out", "--model", models.binaural]
    ran = run("enhance", *arguments)
    assert ran.code == 1
    assert list(contents("out")) == ["a.wav", "deep/b.wav"]
    assert ran.text == "2 of 8 enhanced: out\n"
    told = {line.split(":")[0] for line in ran.errors}
    broken = {f"in/{name}.wav" for name in ("empty", "text", "cut", "mono", "nan")}
    assert told == broken | {"gone.wav"}
    assert len(ran.err.splitlines()) == 6


def test_nothing_is_overwritten(here, models):
    Path("out").mkdir()
    Path("out/a.wav").write_bytes(b"mine")
    arguments = ["enhance", "in", "-o", "out", "--model", models.binaural]
    before = contents("in")
    ran = run(*arguments)
    assert ran.code == 1
    assert ran.errors == ["in/a.wav: not processed, out/a.wav exists (see --force)"]
    assert Path("out/a.wav").read_bytes() == b"mine"
    assert list(contents("out")) == ["a.wav", "deep/b.wav"]
    assert run(*arguments, "--force").code == 0
    assert Path("out/a.wav").read_bytes() != b"mine"
    assert run("enhance", "in", "-o", "in", "--model", models.binaural, "-f").code == 2
    assert contents("in") == before


def test_talkers_are_not_overwritten(here, models):
    Path("x_2.wav").write_bytes(b"mine")
    arguments = ["separate", "mono.wav", "-o", "x.wav", "--model", models.separator]
    assert run(*arguments).code == 1
    assert Path("x_2.wav").read_bytes() == b"mine"
    assert not Path("x_1.wav").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_told(here, models):
    Path("out").mkdir(mode=0o555)
    ran = run("enhance", "in", "-o", "out", "--model", models.binaural)
    assert ran.code == 1
    assert "out" in ran.errors[0]


@pytest.mark.parametrize("number", [SIGTERM, SIGHUP])
def test_a_command_that_is_ended_leaves_nothing_half_written(
    here, models, monkeypatch, number
):
    monkeypatch.setattr(AudioWriter, "write", lambda *_: os.kill(os.getpid(), number))
    # under nohup it is ignored, and stays so
    before = signals.signal(number, SIG_DFL)
    ran = run("enhance", "in", "-o", "out", "--model", models.binaural)
    after = signals.signal(number, before)
    assert ran.code == 128 + number
    assert not any(path.is_file() for path in Path("out").rglob("*"))
    assert after is SIG_DFL


def test_an_output_below_a_file_is_told(here, models):
    arguments = ["-o", "mono.wav/x.wav", "--model", models.binaural]
    ran = run("enhance", "stereo.wav", *arguments)
    assert ran.code == 1
    assert "mono.wav/x.wav" in ran.errors[0]


def test_a_warning_is_told_and_the_file_is_done(here, models):
    whole = Path("stereo.wav").read_bytes()
    Path("cut.wav").write_bytes(whole[:-100])
    ran = run("enhance", "cut.wav", "-o", "out.wav", "--model", models.binaural)
    assert ran.code == 0
    assert ran.err.startswith("speechbrain-fusion: warning: cut.wav")
    assert soundfile.info("out.wav").frames == 2975


@pytest.mark.parametrize(
    ("command", "model", "other"),
    [("enhance", "separator", "separate"), ("separate", "binaural", "enhance")],
)
def test_a_model_of_another_task_is_refused(here, models, command, model, other):
    ran = run(command, "mono.wav", "-o", "o.wav", "--model", getattr(models, model))
    assert ran.code == 2
    told = f"made to {other}, not to {command}: use `speechbrain-fusion {other}`"
    assert told in ran.errors[0]


def test_separating_needs_a_model(here):
    ran = run("separate", "mono.wav", "-o", "out")
    assert ran.code == 2
    assert "separate needs --model FOLDER" in ran.errors[0]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--model", "nowhere"], "nowhere: no such folder"),
        (["--model", "in"], "in: no model, there is no"),
        (["--device", "gpu"], "--device gpu: expected cpu, cuda or cuda:N"),
        (["--device", "cuda:99"], "device: cuda:99 is not there"),
    ],
)
def test_what_cannot_be_used_ends_with_2(here, models, options, told):
    model = [] if "--model" in options else ["--model", models.binaural]
    ran = run("enhance", "stereo.wav", "-o", "out.wav", *model, *options)
    assert ran.code == 2
    assert told in ran.errors[0]
    assert len(ran.err.splitlines()) == 1
    assert not Path("out.wav").exists()


def test_a_name_of_other_characters(here, models):
    Path("in/a.wav").rename("in/ünïcode 日本 %s\n.wav")
    ran = run("enhance", "in", "-o", "out", "--model", models.binaural)
    assert (ran.code, ran.err) == (0, "")
    assert "ünïcode 日本 %s\n.wav" in contents("out")
