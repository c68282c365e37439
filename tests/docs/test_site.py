"""The site is built without a warning, every link in it leads somewhere, offline."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.blocks import DOCS, PARTS, ROOT

READMES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
READMES += sorted(str(x.relative_to(ROOT)) for x in ROOT.glob("recipes/*/README.md"))
READMES += ["speechbrain_fusion/pretrained/binaural/README.md"]
LINK = re.compile(r"\]\(([^)\s]+)\)")
# a browser fetches these without being asked
FETCHED = {("link", "href"), ("script", "src"), ("img", "src"), ("source", "src")}


class Page(HTMLParser):
    """What a page of HTML links to, what it fetches and what may be linked to in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.links: set[str] = set()
        self.fetched: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value:
                self.links.add(value)
                if (tag, name) in FETCHED:
                    self.fetched.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("sphinx", reason="needs the extra docs")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q"]
    command += ["-b", "html", "-d", str(out / "trees"), str(DOCS), str(out / "html")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-5000:]
    return out / "html"


@pytest.fixture(scope="module")
def built(site: Path) -> dict[Path, Page]:
    return {path.resolve(): Page(path) for path in site.rglob("*.html")}


@pytest.mark.slow
def test_every_link_leads_somewhere(built):
    broken = []
    for page in built.values():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            path = page.path.parent / unquote(parts.path) if parts.path else page.path
            there = built.get(path.resolve())
            anchor = unquote(parts.fragment)
            if not path.exists() or (there and anchor and anchor not in there.anchors):
                broken.append(f"{page.path.name}: {link}")
    assert broken == []


@pytest.mark.slow
def test_nothing_is_fetched_from_a_network(built):
    fetched = {link for page in built.values() for link in page.fetched}
    assert [link for link in fetched if urlsplit(link).netloc] == []


@pytest.mark.slow
def test_a_layer_that_takes_no_arguments_shows_none(site):
    page = (site / "api/nnet.html").read_text(encoding="utf-8")
    begin = page.index('id="speechbrain_fusion.nnet.FusionLayer"')
    shown = re.sub("<[^>]+>", "", page[begin : page.index("</dt>", begin)])
    assert "Any" not in shown


@pytest.mark.slow
def test_equations_are_mathml_and_no_name_of_ours_is_lost(built, site):
    page = (site / "systems" / "binaural.html").read_text(encoding="utf-8")
    assert page.count("<math") > 5
    assert "\\odot" not in page
    anchors = {x for page in built.values() for x in page.anchors}
    assert "speechbrain_fusion.nnet.FusionLayer" in anchors
    assert "speechbrain_fusion.models.BinauralTasNet.forward" in anchors


@pytest.mark.parametrize("readme", READMES)
def test_relative_links_of_the_repositorys_texts(readme):
    path = ROOT / readme
    for link in LINK.findall(path.read_text(encoding="utf-8")):
        parts = urlsplit(link)
        if parts.scheme:
            continue
        target = path.parent / parts.path if parts.path else path
        assert target.exists(), f"{readme}: {link}"
        if parts.fragment:
            assert parts.fragment in heading_anchors(target), f"{readme}: {link}"


def heading_anchors(path: Path) -> set[str]:
    """Name a file's headings as forges do."""
    text = (path / "README.md" if path.is_dir() else path).read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", x.lower()).replace(" ", "-") for x in headings}


def test_drawings_are_those_of_the_script(tmp_path):
    script = (DOCS / "figures" / "draw.py").read_text(encoding="utf-8")
    (tmp_path / "draw.py").write_text(script, encoding="utf-8")
    subprocess.run([sys.executable, str(tmp_path / "draw.py")], check=True)
    drawn = {x.name: x.read_text(encoding="utf-8") for x in tmp_path.glob("*.svg")}
    kept = {
        x.name: x.read_text(encoding="utf-8") for x in (DOCS / "figures").glob("*.svg")
    }
    assert drawn == kept


def test_a_part_that_is_not_there_is_an_error():
    take = PARTS.take
    assert take("# A\n\none\n\n## B\n\ntwo\n", "B") == "two\n"
    with pytest.raises(ValueError, match="no heading 'C'"):
        take("# A\n", "C")
    with pytest.raises(ValueError, match="no text 'x'"):
        take("# A\n", after="x")
