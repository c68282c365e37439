"""A trained model as a folder: all that it takes to use it, and nothing else.

- hyperparams.yaml: the network with plain values, for SpeechBrain's from_hparams.
- model.ckpt: its parameters, tensors alone.
- config.json: its facts: task, rate, channels, causality, corpus, metrics.
- README.md: a card to publish it with.
"""

import contextlib
import datetime
import io
import json
import math
import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import ruamel.yaml
import torch
from ruamel.yaml.comments import CommentedMap, CommentedSeq, TaggedScalar
from torch import Tensor, nn

import speechbrain_fusion
from speechbrain_fusion.inference.card import model_card
from speechbrain_fusion.inference.config import check_config, describe, read_config
from speechbrain_fusion.inference.files import (
    CARD,
    CONFIG,
    HYPERPARAMS,
    WEIGHTS,
    find_files,
    read_text,
)
from speechbrain_fusion.inference.safe_yaml import (
    MODEL,
    MODULES,
    PRETRAINER,
    RATE,
    TRANSFER,
)
from speechbrain_fusion.inference.weights import EXTRA_STATE, read_weights
from speechbrain_fusion.messages import in_a_line

HEAD = """\
# What inference needs of a run. With SpeechBrain's from_hparams, or
#     speechbrain_fusion.inference.load(FOLDER)
"""

UNREADABLE = (OSError, KeyError, TypeError, ValueError, AttributeError)


def write_model(
    folder: Path | str,
    hyperparams: Path | str,
    module: nn.Module,
    config: Mapping[str, Any],
    half: bool = False,
) -> Path:
    """Write a model folder, or replace one as a whole.

    Arguments
    ---------
    folder : Path or str
        The folder; it appears, or is replaced, once everything is written.
    hyperparams : Path or str
        The resolved YAML of the run: `modules` has the network, alone, and
        `sample_rate` its rate.
    module : System
        The network with its parameters.
    config : mapping
        name, corpus, recipe, metrics (numbers by system, by name) and seed, as far as
        they are known: the rest is seen in the network. Numbers may be NumPy's; those
        that are not finite are none.
    half : bool
        Store parameters in half precision; they are loaded in single precision.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ValueError
        If the YAML has no such keys, the module is no system or has other than
        tensors, or parameters are not finite (in half precision).
    OSError
        If it cannot be written, naming the folder; what was there stays.

    Example
    -------
    >>> from speechbrain_fusion.models import BinauralTasNet
    >>> run = getfixture("tmp_path") / "hyperparams.yaml"
    >>> network = "!new:speechbrain_fusion.models.BinauralTasNet {N: 16, S: 8}"
    >>> _ = run.write_text(f"{{sample_rate: 8000, modules: {{enhancer: {network}}}}}")
    >>> module = BinauralTasNet(N=16, S=8)
    >>> model = write_model(run.parent / "model", run, module, config={})
    >>> sorted(path.name for path in model.iterdir())
    ['README.md', 'config.json', 'hyperparams.yaml', 'model.ckpt']
    """
    text, rate = _inference_yaml(Path(hyperparams))
    facts: dict[str, Any] = dict.fromkeys(("corpus", "recipe", "seed"))
    facts |= {"name": type(module).__name__, "metrics": {}, **config}
    facts |= {**describe(module), RATE: rate, "versions": _versions()}
    facts |= {key: _plain_numbers(facts[key]) for key in ("metrics", "seed")}
    facts["created"] = f"{datetime.datetime.now(datetime.timezone.utc):%FT%TZ}"
    return _write(Path(folder), text, _tensors(module), facts, half)


def _plain_numbers(value: Any) -> Any:
    """Return numbers, also in dicts, as JSON has them."""
    if isinstance(value, Mapping):
        return {key: _plain_numbers(each) for key, each in value.items()}
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def halve(folder: Path | str, target: Path | str) -> Path:
    """Copy a model folder in half precision, with a card of its own.

    Arguments
    ---------
    folder : Path or str
        A model folder.
    target : Path or str
        The copy, which is replaced as a whole if it is a model folder.

    Returns
    -------
    Path
        The copy.

    Raises
    ------
    ValueError
        If there is no such model, or its parameters are beyond half precision.
    OSError
        If it cannot be written, naming the folder; what was there stays.

    Example
    -------
    >>> from speechbrain_fusion.inference import load
    >>> from speechbrain_fusion.inference.files import SHIPPED
    >>> load(halve(SHIPPED, getfixture("tmp_path") / "half")).config["precision"]
    'float16'
    """
    files = find_files(Path(folder))
    text, state = read_text(files.hyperparams), read_weights(files.weights)
    return _write(Path(target), text, state, read_config(files.config), half=True)


def _write(
    folder: Path, text: str, state: dict[str, Tensor], facts: dict[str, Any], half: bool
) -> Path:
    facts["precision"] = "float16" if half else "float32"
    config = check_config(facts, f"{folder / CONFIG}")
    kind = torch.float16 if half else torch.float32
    stored = {name: _stored(name, value, kind) for name, value in state.items()}
    with _written_folder(folder) as beside:
        (beside / HYPERPARAMS).write_text(text, encoding="utf-8")
        torch.save(stored, beside / WEIGHTS)
        lines = json.dumps(config, indent=2, allow_nan=False)
        (beside / CONFIG).write_text(f"{lines}\n", encoding="utf-8")
        number = sum(x.numel() for k, x in stored.items() if x.is_floating_point())
        (beside / CARD).write_text(model_card(config, number), encoding="utf-8")
    return folder


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    state = module.state_dict()
    if other := [name for name, x in state.items() if not isinstance(x, Tensor)]:
        raise ValueError(f"{', '.join(other)}: expected tensors alone in a state dict")
    return state


def _stored(name: str, value: Tensor, kind: torch.dtype) -> Tensor:
    value = value.detach().cpu()
    if value.is_floating_point() and not name.endswith(EXTRA_STATE):
        value = value.to(kind)
    if not value.isfinite().all():
        raise ValueError(f"{name}: expected finite values in {kind}")
    # memory of its own: a view would be stored with all that it is a view of
    return value.clone(memory_format=torch.contiguous_format)


def _versions() -> dict[str, str]:
    return {
        "speechbrain-fusion": speechbrain_fusion.__version__,
        "speechbrain": metadata.version("speechbrain"),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


# -- the YAML ----------------------------------------------------------------------


def _inference_yaml(path: Path) -> tuple[str, int]:
    """Take out of a run's YAML what inference needs, and its sample rate."""
    try:
        tree = ruamel.yaml.YAML().load(path.read_text(encoding="utf-8"))
        rate, [module] = int(tree[RATE]), tree[MODULES].values()
    except (*UNREADABLE, ruamel.yaml.error.YAMLError) as error:
        raise ValueError(
            f"{path}: expected the resolved YAML of a run with {RATE} and one network "
            f"in {MODULES} ({in_a_line(error)})"
        ) from error
    model = _plain(module, {})
    # one for each place: ruamel makes an anchor of what it meets twice
    loaded, used = (
        CommentedMap({MODEL: TaggedScalar(f"<{MODEL}>", tag="!ref")}) for _ in range(2)
    )
    pretrainer = CommentedMap({"loadables": loaded})
    pretrainer.yaml_set_ctag(ruamel.yaml.Tag(suffix=TRANSFER))
    keys = {RATE: rate, MODEL: model, MODULES: used, PRETRAINER: pretrainer}
    writer, stream = ruamel.yaml.YAML(), io.StringIO()
    writer.indent(mapping=4, sequence=4, offset=4)
    writer.dump(keys, stream)
    return HEAD + stream.getvalue(), rate


def _plain(node: Any, seen: dict[int, Any]) -> Any:
    """Copy a YAML's tree without comments and anchors, but for modules used twice."""
    tag = getattr(getattr(node, "tag", None), "value", None)
    if isinstance(node, dict):
        if id(node) in seen and tag:
            return seen[id(node)]
        copy = seen[id(node)] = CommentedMap()
        copy.update((str(key), _plain(value, seen)) for key, value in node.items())
    elif isinstance(node, list):
        copy = CommentedSeq(_plain(value, seen) for value in node)
        copy.fa.set_flow_style()
    else:
        return _plain_scalar(node)
    if tag:
        copy.yaml_set_ctag(ruamel.yaml.Tag(suffix=tag))
    return copy


def _plain_scalar(node: Any) -> Any:
    """Return a number or text without the form in which it was written."""
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    # None, or something with a tag that only trust=True will load
    return node


# -- the folder --------------------------------------------------------------------


@contextlib.contextmanager
def _written_folder(folder: Path) -> Iterator[Path]:
    """Give a folder beside the wanted one, which it replaces when all went well."""
    folder = folder.resolve()
    if folder.exists() and not _may_be_replaced(folder):
        raise ValueError(
            f"{folder}: holds something else, expected a model folder or nothing"
        )
    prefix = f".{folder.name}-"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=prefix, dir=folder.parent, ignore_cleanup_errors=True
        ) as private:
            # within it, for only the user may read what tempfile makes
            beside = Path(private) / "new"
            beside.mkdir()
            yield beside
            _replace(beside, folder, Path(f"{private}-replaced"))
    except OSError as error:
        reason = f"model not written: {error.strerror or error}"
        raise OSError(error.errno, reason, str(folder)) from error


def _may_be_replaced(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    names = CONFIG, HYPERPARAMS, WEIGHTS
    return all((folder / name).is_file() for name in names) or not any(folder.iterdir())


def _replace(beside: Path, folder: Path, aside: Path) -> None:
    """Rename a folder to another's name, which is put aside first."""
    if folder.exists():
        folder.rename(aside)
    try:
        beside.rename(folder)
    except BaseException:
        if aside.exists():
            aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)
