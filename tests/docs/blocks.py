"""The code blocks of the documentation's pages, in a reader's order."""

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(r"(?P<ticks>`{3,})(?P<info>.*)")
OPTION = re.compile(r":(?P<name>[\w-]+): *(?P<value>.*)")
SHELL = "bash"


def _load_parts() -> ModuleType:
    path = DOCS / "_ext" / "readme_parts.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PARTS = _load_parts()


@dataclass
class Block:
    """A fenced or indented block: its language or "{directive}", and what is in it."""

    page: str
    line: int
    language: str
    argument: str
    text: str
    options: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.page}:{self.line} ({self.language} {self.argument})"


def pages() -> list[str]:
    """List all pages in Markdown, by their path in docs/."""
    return sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


def read_page(page: str) -> list[Block]:
    """List a page's blocks; parts of READMEs are looked through, too."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return [*read_blocks(text, page, indented=False)]


def read_blocks(text: str, page: str, indented: bool) -> Iterator[Block]:
    """Find the blocks of a text in Markdown, on a forge also those indented."""
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        start = number
        if found := FENCE.fullmatch(lines[number]):
            end = lines.index(found["ticks"], number + 1)
            block = _fenced(page, number, found["info"], lines[number + 1 : end])
            yield from _included(block) if block.language == "{readme}" else [block]
            number = end + 1
        elif indented and _begins_code(lines, number):
            while number < len(lines) and re.match(r" {4}|$", lines[number]):
                number += 1
            code = "\n".join(line[4:] for line in lines[start:number]).strip()
            language = SHELL if re.match(r"\w+\S* ", code) else "text"
            yield Block(page, start + 1, language, "", code + "\n")
        else:
            number += 1


def _begins_code(lines: list[str], number: int) -> bool:
    above = lines[number - 1] if number else ""
    return lines[number].startswith("    ") and not above.strip()


def _fenced(page: str, number: int, info: str, lines: list[str]) -> Block:
    language, _, argument = info.strip().partition(" ")
    options = {}
    if language.startswith("{"):
        while lines and (found := OPTION.fullmatch(lines[0])):
            options[found["name"]] = found["value"].strip("\"'")
            lines = lines[1:]
    if language == "{code-block}":
        language, argument = argument, options.get("caption", "")
    return Block(page, number + 1, language, argument, "\n".join(lines) + "\n", options)


def _included(block: Block) -> Iterator[Block]:
    """Find the blocks of a part of a README, which is written as on a forge."""
    text = (ROOT / block.argument).read_text(encoding="utf-8")
    part = PARTS.take(text, **block.options)
    yield from read_blocks(part, f"{block.page} <- {block.argument}", indented=True)
