"""A run's page from the command line."""

from pathlib import Path

import pytest

from tests.commands.shell import run
from tests.report.runs import write_run


@pytest.fixture
def run_folder(here):
    return write_run(here / "run") or here / "run"


def test_the_page_lies_in_the_run(run_folder):
    ran = run("report", "run")
    assert (ran.code, ran.err, ran.text) == (0, "", "run/report.html\n")
    assert Path("run/report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE")
    assert run("report", "run", "--quiet") == (0, b"", "")


def test_or_where_it_is_wanted(run_folder):
    assert run("report", "run", "-o", "page.html").code == 0
    assert Path("page.html").is_file()
    ran = run("report", "run", "-o", "page.html")
    assert ran.code == 2
    assert "page.html: exists; --force" in ran.errors[0]
    assert run("report", "run", "-o", "page.html", "--force").code == 0


@pytest.mark.parametrize("folder", ["none", "mono.wav", "in"])
def test_what_is_no_run_is_told(here, folder):
    ran = run("report", folder)
    assert ran.code in (1, 2)
    assert ran.errors[0].startswith(f"{folder}: ")
