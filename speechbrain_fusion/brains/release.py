"""From a run to a model folder, and from a model folder to another run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechbrain.utils.logger import get_logger
from torch import nn
from torch.nn import DataParallel
from torch.nn.parallel import DistributedDataParallel

from speechbrain_fusion.inference.config import read_config
from speechbrain_fusion.inference.files import find_files
from speechbrain_fusion.inference.folder import write_model
from speechbrain_fusion.inference.weights import (
    EXTRA_STATE,
    Fit,
    compare,
    read_weights,
)
from speechbrain_fusion.metrics.table import SYSTEMS, MetricTable, finite
from speechbrain_fusion.report.page_run import read_settings
from speechbrain_fusion.report.run_files import MODEL_FOLDER, ORIGIN, SETTINGS

logger = get_logger(__name__)

# keys of the recipes that name folders of recordings
SOURCES = (
    *("data_folder", "noise_folder", "rooms_folder", "recordings", "paired"),
    *("librispeech", "wham"),
)
DEMO = "embedded demo corpus"


def release(brain: Any) -> list[str]:
    """Write what a run has learned into its folder `model`.

    Arguments
    ---------
    brain : EnhancementBrain
        At the end of its test: its parameters are those to keep.

    Returns
    -------
    list of str
        Lines to print: where the folder is, or why there is none.

    Raises
    ------
    OSError
        If it cannot be written, naming it; what was there stays.
    """
    if brain.test_only and brain.initialized is not None:
        return [f"model            {brain.hparams.init_from}, as it is"]
    folder = Path(brain.hparams.output_folder)
    settings = folder / SETTINGS
    if not settings.is_file():
        return [f"no model folder: {settings} is not there, start_run writes it"]
    if brain.test_only and (folder / MODEL_FOLDER).is_dir():
        # another test, of other data maybe, is none of the training's
        return [f"model            {folder / MODEL_FOLDER}, as it was"]
    try:
        # what was trained, whatever this command line says
        trained = read_settings(settings.read_text(encoding="utf-8"), settings)
        facts = run_facts(vars(brain.hparams) | trained, settings, brain.table)
        path = write_model(folder / MODEL_FOLDER, settings, the_network(brain), facts)
    except ValueError as error:
        # the end of a long run: what it has is in its checkpoints
        return [f"no model folder: {error}"]
    return [f"model            {path}"]


def run_facts(
    hparams: Mapping[str, Any], settings: Path, table: MetricTable
) -> dict[str, Any]:
    """Collect what a model folder says of the run that it is from.

    No path of this machine is in it.

    Arguments
    ---------
    hparams : mapping of str to object
        The run's.
    settings : Path
        Its resolved YAML, which says in its first line what it was made of.
    table : MetricTable
        The test's scores.

    Returns
    -------
    dict
        name (if there is one), corpus, recipe, seed and metrics.

    Example
    -------
    >>> settings = getfixture("tmp_path") / "hyperparams.yaml"
    >>> _ = settings.write_text("# From /x/recipes/binaural/hparams/common.yaml")
    >>> run_facts({"seed": 1, "data_folder": "/y/LIBRI"}, settings, MetricTable())
    {'corpus': 'LIBRI', 'recipe': 'binaural', 'seed': 1, 'metrics': {}}
    """
    with open(settings, encoding="utf-8") as file:
        origin = Path(file.readline().removeprefix(ORIGIN).strip())
    means = {name: x["mean"] for name, x in table.summary().items()}
    return {
        **({"name": hparams["name"]} if "name" in hparams else {}),
        "corpus": _corpus(hparams),
        "recipe": origin.parts[-3] if origin.parts[-2:-1] == ("hparams",) else None,
        "seed": hparams.get("seed"),
        "metrics": {
            name: finite({system: x[system] for system in SYSTEMS})
            for name, x in means.items()
        },
    }


def _corpus(hparams: Mapping[str, Any]) -> str | None:
    """Name the folders that the recordings are from, but not where they lie."""
    given = [hparams[key] for key in SOURCES if key in hparams]
    if not given:
        return None
    names = [Path(value).name for value in given if isinstance(value, str | Path)]
    return ", ".join(names) or DEMO


def the_network(brain: Any) -> nn.Module:
    """Return the one network of a Brain, as it is before processes share it.

    Raises
    ------
    ValueError
        If there are several.
    """
    modules = list(brain.modules.values())
    if len(modules) != 1:
        raise ValueError(f"modules: expected one network, got {[*brain.modules]}")
    return unwrapped(modules[0])


def unwrapped(module: nn.Module) -> nn.Module:
    """Return a network as it is before processes share it or it is compiled.

    Example
    -------
    >>> layer = nn.Linear(1, 1)
    >>> unwrapped(DataParallel(layer)) is layer
    True
    """
    if isinstance(module, DataParallel | DistributedDataParallel):
        module = module.module
    return getattr(module, "_orig_mod", module)


def start_from(brain: Any) -> None:
    """Begin with the parameters of a model folder, if `init_from` names one.

    A run that has a checkpoint goes on from that. What does not match stays as it is,
    and is listed in the log. `brain.initialized` says then what matched.

    Arguments
    ---------
    brain : EnhancementBrain
        Before its training, or its test.

    Raises
    ------
    ValueError
        If there is no such model folder, nothing in it matches, or not all does and
        it is only to be tested, naming it.
    """
    if not hasattr(brain.hparams, "init_from") or brain.hparams.init_from is None:
        return
    if brain.has_begun():
        logger.info("init_from: not used, there is a checkpoint to go on from")
        return
    source = brain.hparams.init_from
    fit = initialize(the_network(brain), source, brain.hparams.sample_rate)
    if brain.test_only and fit.lines():
        raise ValueError(
            f"init_from: {source}: expected a model of this very network to test "
            f"({'; '.join(fit.lines())})"
        )
    brain.initialized = fit


def initialize(network: nn.Module, source: str, rate: int) -> Fit:
    """Load those parameters of a model folder that match a network's.

    Arguments
    ---------
    network : torch.nn.Module
        What is to be trained.
    source : str
        A model folder, or a repository of the hub.
    rate : int
        Sample rate in Hz that it will be trained at.

    Returns
    -------
    Fit
        What matched and what did not.

    Raises
    ------
    ValueError
        If there is no such folder, or nothing in it matches, naming it.
    """
    files = find_files(source)
    config, state = read_config(files.config), read_weights(files.weights)
    fit = compare(network, state)
    found = "; ".join(fit.lines()) or "everything matches"
    # counters match in any two networks
    if not any(state[x].dim() and not x.endswith(EXTRA_STATE) for x in fit.matching):
        raise ValueError(
            f"init_from: {source}: nothing matches the network of this run ({found})"
        )
    network.load_state_dict({name: state[name] for name in fit.matching}, strict=False)
    wanted = len(fit.matching) + len(fit.missing) + len(fit.differing)
    tell = logger.info if len(fit.matching) == wanted else logger.warning
    tell(
        f"init_from: {source} has {len(fit.matching)} of this network's {wanted} "
        f"tensors; {found}"
    )
    if config["sample_rate"] != rate:
        logger.warning(
            f"init_from: {source} was trained at {config['sample_rate']} Hz, this run "
            f"is at {rate} Hz"
        )
    return fit


def whole(fit: Fit | None, part: str) -> bool:
    """Say whether all of a part of a network was loaded.

    Example
    -------
    >>> whole(Fit(["a.weight", "b.weight"], ["b.bias"], [], {}), "a")
    True
    """
    if fit is None:
        return False
    lacking = [*fit.missing, *fit.differing]
    there = any(name.startswith(f"{part}.") for name in fit.matching)
    return there and not any(name.startswith(f"{part}.") for name in lacking)
