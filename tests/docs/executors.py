"""What is done with each kind of block: nothing on a page is shown that is not run."""

import doctest
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from hyperpyyaml import load_hyperpyyaml
from torch import nn

from speechbrain_fusion.brains import Modulation
from speechbrain_fusion.brains.settings import resolve_include
from speechbrain_fusion.losses import MBSTOILoss
from speechbrain_fusion.models import System
from speechbrain_fusion.nnet import CollaborativeExpertBlock, FusionLayer
from tests.docs.blocks import DOCS, PARTS, ROOT, SHELL, Block
from tests.docs.substitutions import substitute

# a deadlock must end
SECONDS = 600


class Reader:
    """Somebody who does what a page says, in a folder of their own."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.folder, self.environ = folder, environ
        self.names: dict[str, Any] = {"__name__": "page"}

    def do(self, block: Block) -> None:
        """Execute a block."""
        EXECUTORS[block.language](self, block)


def run_shell(reader: Reader, block: Block) -> None:
    """Run a block of commands, changed as the tables say."""
    script = substitute(block.text)
    done = subprocess.run(
        ["timeout", str(SECONDS), "bash", "-euo", "pipefail", "-c", script],
        cwd=reader.folder,
        env={**os.environ, **reader.environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    said = f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
    assert done.returncode == 0, f"{block}\n{script}\n{said}"


def run_python(reader: Reader, block: Block) -> None:
    """Run Python among the names of the blocks before; a caption is a file's name."""
    if block.argument:
        (reader.folder / block.argument).write_text(block.text)
        reader.names.pop("hparams", None)
        return
    exec(compile(block.text, str(block), "exec"), reader.names)


def run_console(reader: Reader, block: Block) -> None:
    """Run a Python session, whose output must be what stands there."""
    test = doctest.DocTestParser().get_doctest(
        block.text, reader.names, str(block), block.page, block.line
    )
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    failed = runner.run(test, out=said.append, clear_globs=False).failed
    assert not failed, "".join(said)
    reader.names.update(test.globs)


def run_yaml(reader: Reader, block: Block) -> None:
    """Load a YAML and call all that it makes; a caption is a file's name."""
    if block.argument:
        (reader.folder / block.argument).write_text(block.text)
        if block.text.startswith("!include:"):
            call_systems(load_run(reader.folder / block.argument))
        return
    hparams = load_hyperpyyaml(block.text)
    reader.names["hparams"] = hparams
    for name, value in hparams.items():
        call(name, value, hparams)


def load_run(path: Path) -> dict[str, Any]:
    """Load a recipe's YAML with what it includes."""
    base, changes = resolve_include(path, {})
    with open(base, encoding="utf-8") as stream:
        return load_hyperpyyaml(stream, changes, overrides_must_match=False)


def call_systems(hparams: dict[str, Any]) -> None:
    """Let a run's network hear a moment of noise."""
    (module,) = hparams["modules"].values()
    assert isinstance(module, System)
    heard = torch.randn(1, module.inputs, 4000)
    with torch.no_grad():
        assert module.eval().process(heard).shape == (1, module.outputs, 4000)


def call(name: str, value: Any, hparams: dict[str, Any]) -> None:
    """Call an object of a YAML, and all that one holds."""
    signals = torch.randn(2, 2, 8000)
    calls: dict[type, Callable[[Any], Any]] = {
        FusionLayer: lambda x: x(*signals),
        CollaborativeExpertBlock: lambda x: x(torch.randn(3, 2, 20, 161)),
        MBSTOILoss: lambda x: x(signals, signals + 0.1),
    }
    if name == "gradient_modulation":
        assert Modulation.of(value).main in {"separation", "spectrum"}
    elif isinstance(value, dict):
        for key, held in value.items():
            call(key, held, hparams)
    elif isinstance(value, nn.Module):
        calls[type(value)](value)
    elif callable(value):
        assert value(signals, signals + 0.1).isfinite()
    else:
        assert isinstance(value, (int, float, str))


def check_layout(reader: Reader, block: Block) -> None:
    """Find each path of a listing in the reader's folder, or in the checkout."""
    for line in filter(None, map(str.strip, block.text.splitlines())):
        pattern = line.split()[0]
        places = reader.folder, ROOT, ROOT / "speechbrain_fusion"
        assert any([*place.glob(pattern)] for place in places), f"{block}: {pattern}"


def check_citation(reader: Reader, block: Block) -> None:
    """Compare a BibTeX entry with CITATION.cff, the one place of its facts."""
    known = " ".join((ROOT / "CITATION.cff").read_text(encoding="utf-8").split())
    fields = dict(re.findall(r"(\w+)\s*= \{(.*?)\}[,\n]", block.text, re.S))
    assert {"author", "title", "year"} <= fields.keys()
    assert " ".join(fields["title"].split()) in known
    families = re.findall(r"(?:^|and )([\w-]+),", fields["author"])
    assert families
    for family in families:
        assert f"family-names: {family}," in known
    assert f"year: {fields['year']}" in known


def check_listing(reader: Reader, block: Block) -> None:
    """Load the file that a page shows a part of."""
    path = (DOCS / block.page).parent / block.argument
    if path.name == "common.yaml":
        name = {"binaural": "fusion", "librimix_noisy": "small"}[path.parts[-3]]
        call_systems(load_run(path.with_name(f"{name}.yaml")))
    else:
        call_systems(load_run(path))


def apply_changes(reader: Reader, block: Block) -> None:
    """Apply what a page says must change; both files are run by its commands."""
    if shutil.which("patch") is None:
        pytest.skip("no program patch")
    old, new = (
        (ROOT / name).read_text().splitlines() for name in block.argument.split()
    )
    lines = PARTS.list_changes(*block.argument.split())
    patch = "\n".join([*lines, ""])
    (reader.folder / "old").write_text("\n".join([*old, ""]))
    command = ["patch", "--quiet", "old"]
    subprocess.run(command, input=patch, text=True, cwd=reader.folder, check=True)
    assert (reader.folder / "old").read_text().splitlines() == new


def check_drawing(reader: Reader, block: Block) -> None:
    """Parse the SVG that a page holds."""
    path = (DOCS / block.page).parent / block.options["file"]
    assert ElementTree.parse(path).getroot().tag.endswith("svg")


def check_entries(reader: Reader, block: Block) -> None:
    """Find the pages of a table of contents."""
    for entry in filter(None, block.text.splitlines()):
        path = (DOCS / block.page).parent / entry
        assert path.with_suffix(".md").is_file() or path.with_suffix(".rst").is_file()


EXECUTORS: dict[str, Callable[[Reader, Block], None]] = {
    SHELL: run_shell,
    "python": run_python,
    "pycon": run_console,
    "yaml": run_yaml,
    "text": check_layout,
    "bibtex": check_citation,
    "{literalinclude}": check_listing,
    "{changes}": apply_changes,
    "{raw}": check_drawing,
    "{toctree}": check_entries,
}
