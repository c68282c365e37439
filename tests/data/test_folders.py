"""A folder is written whole or not at all, and anew by another version."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from speechbrain_fusion.data import folders
from speechbrain_fusion.data.folders import write_folder

MARKER = ".version"


def writer(text: str):
    def write(folder: Path) -> None:
        folder.mkdir()
        (folder / "a.txt").write_text(text)

    return write


def test_a_folder_that_is_there_is_not_written_again(tmp_path):
    folder = tmp_path / "deep" / "corpus"
    assert write_folder(folder, MARKER, "1", writer("first")) == folder
    write_folder(folder, MARKER, "1", writer("second"))
    assert (folder / "a.txt").read_text() == "first"
    assert [path.name for path in folder.parent.iterdir()] == ["corpus"]


def test_another_version_replaces_it(tmp_path):
    folder = write_folder(tmp_path / "corpus", MARKER, "1", writer("first"))
    (folder / "old.txt").touch()
    write_folder(folder, MARKER, "2", writer("second"))
    assert (folder / "a.txt").read_text() == "second"
    assert not (folder / "old.txt").exists()


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "corpus").mkdir()
    folder = write_folder(tmp_path / "corpus", MARKER, "1", writer("first"))
    assert (folder / "a.txt").read_text() == "first"


def test_what_others_wrote_stays(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=f"{tmp_path}: expected no folder"):
        write_folder(tmp_path, MARKER, "1", writer("first"))
    with pytest.raises(FileExistsError, match=r"mine\.txt: expected no folder"):
        write_folder(tmp_path / "mine.txt", MARKER, "1", writer("first"))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_failure_leaves_nothing_or_what_was_there(tmp_path):
    def fail(folder: Path) -> None:
        folder.mkdir()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_folder(tmp_path / "corpus", MARKER, "1", fail)
    assert not [*tmp_path.iterdir()]
    folder = write_folder(tmp_path / "corpus", MARKER, "1", writer("first"))
    with pytest.raises(OSError, match="disk full"):
        write_folder(folder, MARKER, "2", fail)
    assert (folder / "a.txt").read_text() == "first"


def test_several_writers_agree(tmp_path):
    def write(number: int) -> str:
        folder = write_folder(tmp_path / "corpus", MARKER, "1", writer(str(number)))
        return (folder / "a.txt").read_text()

    with ThreadPoolExecutor(4) as pool:
        assert len({*pool.map(write, range(4))}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_a_folder_that_appears_while_it_is_looked_for_is_taken(tmp_path, monkeypatch):
    def appear(folder: Path) -> bool:
        monkeypatch.undo()
        write_folder(folder, MARKER, "1", writer("first"))
        return False

    monkeypatch.setattr(folders, "_is_free", appear)
    write_folder(tmp_path / "corpus", MARKER, "1", writer("second"))
    assert (tmp_path / "corpus" / "a.txt").read_text() == "first"
