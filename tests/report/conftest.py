"""A run and its page, made once for each file of tests."""

import pytest

from tests.report.reader import read
from tests.report.runs import write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def page(run):
    return read(run)
