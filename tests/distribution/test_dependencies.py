"""Which distributions count as asked for, and which of their files are linked."""

import sys

import pytest

from tests.distribution.dependencies import link, needed

ASKED = ("Requires-Dist: more[loud]", "Requires-Dist: other; extra == 'plots'")
INSTALLED = {
    "asked": (ASKED, ("asked/__init__.py", "asked/data/x.txt", "space/asked.py")),
    "more": (("Requires-Dist: noise.maker; extra == 'loud'",), ("more.py",)),
    "Noise_Maker": (("Requires-Dist: asked",), ("space/noise/__init__.py",)),
    "other": ((), ("other/__init__.py", "space/other.py", "../bin/other")),
}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install distributions that share a namespace package, and know no others."""
    folder = tmp_path / "site-packages"
    for name, (requirements, files) in INSTALLED.items():
        about = folder / f"{name.lower()}-1.0.dist-info"
        about.mkdir(parents=True)
        head = ("Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0")
        (about / "METADATA").write_text("\n".join([*head, *requirements]))
        listed = [*files, f"{about.name}/METADATA"]
        (about / "RECORD").write_text("".join(f"{x},,\n" for x in listed))
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text("")
    library = [x for x in sys.path if "-packages" not in x]
    monkeypatch.setattr(sys, "path", [str(folder), *library])
    return folder


@pytest.mark.usefixtures("installed")
def test_extras_count_where_they_are_asked_for():
    assert needed(["asked"]) == {"asked", "more", "noise-maker"}
    assert needed(["more"]) == {"more"}
    assert needed(["other; extra == 'plots'", "more; python_version < '3'"]) == set()


def test_what_is_asked_for_must_be_installed(installed):
    with pytest.raises(ImportError, match="absent"):
        needed(["absent>=1"])
    (installed / "more-1.0.dist-info" / "RECORD").unlink()
    with pytest.raises(AssertionError, match="more does not say"):
        link({"more"}, installed.parent / "linked")


def test_nothing_else_is_linked(installed, tmp_path):
    linked = tmp_path / "linked"
    link({"asked", "noise-maker"}, linked)
    links = {x.relative_to(linked).as_posix() for x in linked.rglob("*")}
    links -= {"asked/__init__.py", "asked/data", "asked/data/x.txt"}
    links -= {"space/noise/__init__.py", "asked-1.0.dist-info/METADATA"}
    assert links - {"noise_maker-1.0.dist-info/METADATA"} == {
        *("asked", "asked-1.0.dist-info", "noise_maker-1.0.dist-info"),
        *("space", "space/asked.py", "space/noise"),
    }
    assert (linked / "asked").is_symlink()
    assert not (linked / "space").is_symlink()
    assert (linked / "space/asked.py").samefile(installed / "space/asked.py")
