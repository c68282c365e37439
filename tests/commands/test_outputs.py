"""Which files are read and written; nothing is overwritten that was not meant to be."""

import os
from pathlib import Path

import pytest

from speechbrain_fusion.commands.ending import UsageError
from speechbrain_fusion.commands.outputs import Job, find_inputs, plan, refuse_existing


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with recordings."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.wav", "in/b.wav", "in/deep/c.FLAC", "in/.d.wav", "in/notes.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"x")
    return tmp_path


def jobs(*arguments, **options):
    found = plan(*arguments, force=options.pop("force", False), **options)
    return [(str(job.source), str(job.target)) for job in found.jobs]


def test_one_file_goes_to_a_file_or_into_a_folder(here):
    assert jobs(["a.wav"], "out.flac") == [("a.wav", "out.flac")]
    assert jobs(["a.wav"], "out") == [("a.wav", "out/a.wav")]
    assert jobs(["a.wav"], "out.d/") == [("a.wav", "out.d/a.wav")]
    Path("there.wav").mkdir()
    assert jobs(["a.wav"], "there.wav") == [("a.wav", "there.wav/a.wav")]


def test_folders_keep_their_structure_without_what_is_hidden(here):
    assert jobs(["in"], "out") == [
        ("in/b.wav", "out/b.wav"),
        ("in/deep/c.FLAC", "out/deep/c.FLAC"),
    ]


def test_a_glob_keeps_what_it_leaves_open(here):
    assert jobs(["in/**/*.FLAC"], "out") == [("in/deep/c.FLAC", "out/deep/c.FLAC")]
    assert jobs(["*.wav"], "out") == [("a.wav", "out/a.wav")]
    assert jobs([f"{here}/i*/*.wav"], "out") == [(f"{here}/in/b.wav", "out/in/b.wav")]


def test_a_file_with_wildcards_in_its_name_is_that_file(here):
    Path("x[1].wav").write_bytes(b"x")
    assert jobs(["x[1].wav"], "out.wav") == [("x[1].wav", "out.wav")]


def test_a_file_named_twice_is_done_once(here):
    assert jobs(["in", "in", "in/b.wav"], "out")[0] == ("in/b.wav", "out/b.wav")
    assert len(jobs(["in", "in", "in/b.wav"], "out")) == 2


def test_an_output_within_an_input_is_not_taken_for_input(here):
    Path("in/out").mkdir()
    Path("in/out/b.wav").write_bytes(b"made before")
    assert ("in/out/b.wav", "in/out/out/b.wav") not in jobs(["in"], "in/out")
    assert jobs(["in/deep"], "in") == [("in/deep/c.FLAC", "in/c.FLAC")]


def test_what_is_there_is_left_unless_forced(here):
    Path("out").mkdir()
    Path("out/b.wav").write_bytes(b"mine")
    found = plan(["in"], "out", force=False)
    assert found.jobs == [Job(Path("in/deep/c.FLAC"), Path("out/deep/c.FLAC"))]
    assert found.failures == ["in/b.wav: not processed, out/b.wav exists (see --force)"]
    assert len(jobs(["in"], "out", force=True)) == 2


def test_all_files_of_a_separation_count(here):
    Path("out").mkdir()
    Path("out/b_2.wav").write_bytes(b"mine")
    found = plan(["in"], "out", force=False, talkers=2)
    assert [job.source for job in found.jobs] == [Path("in/deep/c.FLAC")]
    assert "out/b_2.wav exists" in found.failures[0]


@pytest.mark.parametrize("force", [False, True])
def test_an_input_is_never_overwritten(here, force):
    with pytest.raises(UsageError, match=r"a\.wav: would overwrite the input"):
        plan(["a.wav"], "a.wav", force)
    with pytest.raises(UsageError, match="would overwrite the input"):
        plan(["in"], "in", force)
    os.symlink(here / "in", here / "link")
    with pytest.raises(UsageError, match="would overwrite the input"):
        plan(["in"], "link", force)


def test_two_inputs_never_become_one_file(here):
    Path("in/a.wav").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"a\.wav and in/a\.wav would both become"):
        plan(["a.wav", "in"], "out", False)
    Path("in/b_1.wav").write_bytes(b"x")
    Path("in/b_1_1.wav").write_bytes(b"x")
    assert len(jobs(["in"], "out", talkers=2)) == 5


def test_a_file_is_no_place_for_several(here):
    with pytest.raises(UsageError, match=r"a\.wav: is a file, expected a folder"):
        plan(["in"], "a.wav", True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("none.wav", "none.wav: no such file or folder"),
        ("none*.wav", "none*.wav: no file matches"),
        ("empty", "empty: no audio files in it"),
        ("a.wav/b", "a.wav/b: no such file or folder"),
        ("x" * 5000, "File name too long"),
    ],
)
def test_an_input_without_files_is_told_and_stops_nothing(here, text, told):
    Path("empty").mkdir()
    found, failures = find_inputs([text, "a.wav"])
    assert [each.path for each in found] == [Path("a.wav")]
    assert told in failures[0]


def test_what_is_no_regular_file_is_told(here):
    os.mkfifo("pipe.wav")
    Path("gone.wav").symlink_to("nowhere")
    found = plan(["pipe.wav", "gone.wav"], "out", False)
    assert found.jobs == []
    assert found.failures == [
        "pipe.wav: not a regular file",
        "gone.wav: not a regular file",
    ]


def test_other_files_are_not_overwritten_either(here):
    refuse_existing(Path("new.json"), False)
    refuse_existing(Path("a.wav"), True)
    with pytest.raises(UsageError, match=r"a\.wav: exists; --force"):
        refuse_existing(Path("a.wav"), False)
    with pytest.raises(UsageError, match="in: is a folder"):
        refuse_existing(Path("in"), True)


def test_an_output_within_what_a_glob_finds_is_not_taken_for_input(here):
    Path("out/in/deep").mkdir(parents=True)
    Path("out/in/b.wav").write_bytes(b"made before")
    found = jobs(["**/*.wav"], "out", force=True)
    assert [source for source, _ in found] == ["a.wav", "in/b.wav"]


def test_a_device_or_a_pipe_is_never_replaced(here):
    os.mkfifo("pipe")
    for force in (False, True):
        with pytest.raises(UsageError, match="pipe: is no regular file, expected"):
            refuse_existing(Path("pipe"), force)
    assert Path("pipe").is_fifo()
