"""A file is whole or not there, whatever happens while it is written."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from speechbrain_fusion.data import files
from speechbrain_fusion.data.files import written_whole

# A disk that is full after 4 KiB: writing more fails with EFBIG, as the signal that
# would otherwise end the process is ignored.
FULL_DISK = """
import resource, runpy, signal, sys

written_whole = runpy.run_path(sys.argv[2])["written_whole"]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
# more than the limit, at once and in a buffer that only the closing empties
for mode, content in (("w", "x" * 100_000), ("wb", b"x" * 100_000), ("w", "x" * 4100)):
    try:
        with written_whole(sys.argv[1], mode) as file:
            file.write(content)
    except OSError as error:
        print(error.errno, error.filename, "not written" in str(error))
"""


@pytest.mark.parametrize(("mode", "content"), [("w", "größer"), ("wb", b"\0\1\2")])
def test_what_was_written_is_there(tmp_path, mode, content):
    path = tmp_path / "new" / "folders" / "file"
    with written_whole(path, mode) as file:
        file.write(content)
        assert not path.exists()
    expected = content if mode == "wb" else content.encode("utf-8")
    assert path.read_bytes() == expected
    assert os.listdir(path.parent) == ["file"]


def test_the_old_content_stays_until_the_new_is_whole(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with written_whole(str(path)) as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_a_full_disk_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), files.__file__],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [f"{errno.EFBIG} {path} True"] * 3
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_whichever_step_fails_the_file_is_named(tmp_path, monkeypatch, step):
    def fail(*_arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(os, step, fail)
    with (
        pytest.raises(OSError, match="No space left on device") as caught,
        written_whole(path) as file,
    ):
        file.write("new")
    monkeypatch.undo()
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt("mine")])
def test_an_error_of_the_writer_comes_through(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")

    def half() -> None:
        with written_whole(path) as file:
            file.write("half")
            raise error

    with pytest.raises(type(error), match="mine"):
        half()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_an_error_without_a_number_keeps_its_message(tmp_path):
    with pytest.raises(OSError, match="encoder broke"), written_whole(tmp_path / "a"):
        raise OSError("encoder broke")
    assert not os.listdir(tmp_path)


def test_a_folder_in_the_way_is_named(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError) as caught, written_whole(tmp_path / "taken"):
        pass
    assert caught.value.filename == str(tmp_path / "taken")
    assert os.listdir(tmp_path) == ["taken"]


def test_a_file_where_a_folder_should_be_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="below"), written_whole(tmp_path / "file/below"):
        pass


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_others_may_read_what_the_mask_lets_them(tmp_path: Path, mask):
    before = os.umask(mask)
    try:
        with written_whole(tmp_path / "file") as file:
            file.write("")
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~mask


def test_the_mask_is_not_touched(tmp_path, monkeypatch):
    """It is the whole process's: other threads would write with another one."""
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the mask was set"))
    with written_whole(tmp_path / "file") as file:
        file.write("")


def test_names_that_are_no_text_are_written_as_what_they_are(tmp_path):
    with written_whole(tmp_path / "file") as file:
        file.write(os.fsdecode(b"m\xfcller"))
    assert (tmp_path / "file").read_bytes() == b"m\\udcfcller"
