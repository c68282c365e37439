"""The systems at their published sizes, or others, from the YAMLs of the recipes."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ruamel.yaml
from hyperpyyaml import load_hyperpyyaml
from hyperpyyaml.core import resolve_references
from torch import nn

from speechbrain_fusion.brains.settings import INCLUDE, resolve_include

RECIPES = Path(__file__).parents[1] / "recipes"
# Where each system stands, and what is changed there
YAMLS: dict[str, tuple[str, dict[str, Any]]] = {
    "clarity": ("binaural/hparams/fusion.yaml", {}),
    "release": ("binaural/hparams/release.yaml", {}),
    # where its corpus would be
    "binaural/clarity": ("binaural/hparams/clarity.yaml", {"data_folder": "none"}),
    "shipped": ("binaural/hparams/shipped.yaml", {}),
    "two_branch": ("timit/hparams/two_branch.yaml", {}),
    "two_branch_causal": ("timit/hparams/causal.yaml", {}),
    "convtasnet": ("librimix_noisy/hparams/convtasnet.yaml", {}),
    "convtasnet_causal": ("librimix_noisy/hparams/convtasnet.yaml", {"causal": True}),
    "dprnn": ("librimix_noisy/hparams/dprnn.yaml", {}),
    "sepformer": ("librimix_noisy/hparams/sepformer.yaml", {}),
    "shared_latent": ("daps_noisex/hparams/shared_latent.yaml", {}),
}
PUBLISHED_BINAURAL = ("clarity", "release")
# YAMLs of sizes of our own, and with them all that stand on one: for CPUs, and the
# model of the package
SMALLER = frozenset({"small", "compact", "irm", "shipped"})


def published() -> list[str]:
    """Name the recipes' YAMLs of published sizes, as in timit/causal."""
    files = sorted(RECIPES.glob("*/hparams/*.yaml"))
    return [
        f"{file.parts[-3]}/{file.stem}"
        for file in files
        # no run of its own
        if file.stem != "common" and SMALLER.isdisjoint(_chain(file))
    ]


def _chain(file: Path) -> Iterator[str]:
    """Yield the names of a YAML and of those that it stands on."""
    yield file.stem
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith(INCLUDE):
            yield from _chain(file.with_name(line.removeprefix(INCLUDE).split()[0]))


def find(name: str) -> tuple[str, dict[str, Any]]:
    """Return where a system stands, and what is changed there."""
    recipe, _, stem = name.partition("/")
    return YAMLS.get(name) or (f"{recipe}/hparams/{stem}.yaml", {})


def make(name: str, **changes: Any) -> nn.Module:
    """Make a system's network; changes are of the YAML's keys."""
    (network,) = _load(name, "modules", changes).values()
    return network


def sample_rate(name: str) -> int:
    """Return a system's rate in Hz."""
    return _load(name, "sample_rate", {})


def training_batch(name: str) -> tuple[int, float]:
    """Return how many examples a system's YAML trains on at once, and their seconds."""
    return _load(name, "train_loader", {})["batch_size"], _load(name, "segment", {})


def _load(name: str, key: str, changes: dict[str, Any]) -> Any:
    """Load one key of a YAML and what it needs: no corpus, no output folder."""
    file, own = find(name)
    base, overrides = resolve_include(RECIPES / file, {**own, **changes})
    yaml, text = ruamel.yaml.YAML(), io.StringIO()
    with open(base, encoding="utf-8") as stream:
        tree = yaml.load(resolve_references(stream, overrides))
    yaml.dump({key: tree[key]}, text)
    return load_hyperpyyaml(text.getvalue())[key]
