"""The systems at their published sizes, or others, from the YAMLs of the recipes."""

import io
from pathlib import Path
from typing import Any

import ruamel.yaml
from hyperpyyaml import load_hyperpyyaml
from hyperpyyaml.core import resolve_references
from torch import nn

from speechbrain_fusion.brains.settings import resolve_include

RECIPES = Path(__file__).parents[1] / "recipes"
# Where each system stands, and what is changed there
YAMLS: dict[str, tuple[str, dict[str, Any]]] = {
    "clarity": ("binaural/hparams/fusion.yaml", {}),
    "release": ("binaural/hparams/release.yaml", {}),
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


def make(name: str, **changes: Any) -> nn.Module:
    """Make a system's network; changes are of the YAML's keys."""
    (network,) = _load(name, "modules", changes).values()
    return network


def sample_rate(name: str) -> int:
    """Return a system's rate in Hz."""
    return _load(name, "sample_rate", {})


def _load(name: str, key: str, changes: dict[str, Any]) -> Any:
    """Load one key of a YAML and what it needs: no corpus, no output folder."""
    file, own = YAMLS[name]
    base, overrides = resolve_include(RECIPES / file, {**own, **changes})
    yaml, text = ruamel.yaml.YAML(), io.StringIO()
    with open(base, encoding="utf-8") as stream:
        tree = yaml.load(resolve_references(stream, overrides))
    yaml.dump({key: tree[key]}, text)
    return load_hyperpyyaml(text.getvalue())[key]
