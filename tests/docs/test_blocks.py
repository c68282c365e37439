"""Every block of code on every page is executed."""

import pytest

from tests.docs.blocks import SHELL, pages, read_page
from tests.docs.executors import EXECUTORS

BLOCKS = {page: read_page(page) for page in pages()}
CALLING = [
    page for page, blocks in BLOCKS.items() if SHELL in {x.language for x in blocks}
]


def test_there_are_pages_and_blocks():
    assert len(BLOCKS) > 20
    assert sum(len(blocks) for blocks in BLOCKS.values()) > 80


@pytest.mark.parametrize("page", BLOCKS)
def test_every_block_is_somebodys(page):
    assert [str(x) for x in BLOCKS[page] if x.language not in EXECUTORS] == []


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in BLOCKS if page not in CALLING])
def test_what_a_page_shows_runs(page, make_reader):
    reader = make_reader(page, with_programs=False)
    for block in BLOCKS[page]:
        reader.do(block)


@pytest.mark.slow
@pytest.mark.parametrize("page", CALLING)
def test_what_a_page_does_runs(page, make_reader):
    reader = make_reader(page, with_programs=True)
    for block in BLOCKS[page]:
        reader.do(block)
