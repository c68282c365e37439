"""The facts of a model folder, `config.json`, and whether they can be true."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from speechbrain_fusion.inference.files import read_text
from speechbrain_fusion.inference.limits import HIGHEST, LOWEST, MOST_CHANNELS
from speechbrain_fusion.models import System

TASKS = ("enhance", "separate")
PRECISIONS = ("float32", "float16")
# what a config says of a model can be seen in the model itself
SEEN = ("task", "inputs", "outputs", "causal", "latency")


def describe(system: Any) -> dict[str, Any]:
    """List what can be seen in a system.

    Arguments
    ---------
    system : System
        See `speechbrain_fusion.models.system`.

    Returns
    -------
    dict
        task, inputs, outputs, causal and latency (samples, None unless causal).

    Raises
    ------
    ValueError
        If it is no system.

    Example
    -------
    >>> from speechbrain_fusion.models import BinauralTasNet
    >>> describe(BinauralTasNet(N=16, L=8, B=8, H=8, S=12, P=5))
    {'task': 'enhance', 'inputs': 2, 'outputs': 2, 'causal': True, 'latency': 8}
    """
    if not isinstance(system, System):
        raise ValueError(
            f"{type(system).__name__} is no system: expected task, inputs, outputs, "
            "causal and process (see speechbrain_fusion.models.System)"
        )
    facts = {name: getattr(system, name) for name in SEEN[:-1]}
    if system.causal and not hasattr(system, "latency"):
        raise ValueError(
            f"{type(system).__name__}: causal, expected a latency in samples"
        )
    return facts | {
        "latency": getattr(system, "latency", None) if system.causal else None
    }


def purpose(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return of a model's facts those that tell what it is for.

    Example
    -------
    >>> purpose({"task": "enhance", "inputs": 2, "outputs": 2, "causal": True})
    {'task': 'enhance', 'inputs': 2, 'outputs': 2}
    """
    return {key: config[key] for key in ("task", "inputs", "outputs")}


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 1000 and value.isprintable()


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda x: isinstance(x, int) and type(x) is not bool and low <= x <= high


def _number(value: Any) -> bool:
    # an int may be too large for any other number
    limited = type(value) is int and abs(value) < 2**63
    return limited or (type(value) is float and math.isfinite(value))


def _metrics(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _text(name)
        and isinstance(means, dict)
        and all(_text(k) and (x is None or _number(x)) for k, x in means.items())
        for name, means in value.items()
    )


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _text(k) and _text(x) for k, x in value.items()
    )


# a key: whether a value may be its, and what is expected of it
FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (_text, "a text"),
    "task": (lambda x: x in TASKS, f"one of {TASKS}"),
    "sample_rate": (_whole(LOWEST, HIGHEST), f"{LOWEST} to {HIGHEST} Hz"),
    "inputs": (_whole(1, MOST_CHANNELS), f"1 to {MOST_CHANNELS} channels"),
    "outputs": (_whole(1, MOST_CHANNELS), f"1 to {MOST_CHANNELS} channels"),
    "causal": (lambda x: isinstance(x, bool), "true or false"),
    "latency": (lambda x: x is None or _whole(1, 10**6)(x), "samples, or null"),
    "corpus": (lambda x: x is None or _text(x), "a text, or null"),
    "recipe": (lambda x: x is None or _text(x), "a text, or null"),
    "metrics": (_metrics, "metrics by name, numbers by system"),
    "versions": (_texts, "texts by package"),
    "seed": (lambda x: x is None or _whole(-(2**63), 2**64)(x), "a number, or null"),
    "created": (_text, "a date"),
    "precision": (lambda x: x in PRECISIONS, f"one of {PRECISIONS}"),
}


def check_config(config: Any, name: str) -> dict[str, Any]:
    """Return the facts of a model folder if each can be one.

    Arguments
    ---------
    config : object
        What a JSON file holds.
    name : str
        Of the file, for the errors.

    Returns
    -------
    dict
        The known keys alone.

    Raises
    ------
    ValueError
        Naming the file, the key and what was expected.

    Example
    -------
    >>> check_config({"task": "enhance"}, "config.json")
    Traceback (most recent call last):
    ...
    ValueError: config.json: no name, sample_rate, inputs, ...
    """
    if not isinstance(config, Mapping):
        raise ValueError(f"{name}: expected keys and values, got {type(config)}")
    if missing := [key for key in FIELDS if key not in config]:
        raise ValueError(f"{name}: no {', '.join(missing)}, expected {[*FIELDS]}")
    for key, (allowed, expected) in FIELDS.items():
        if not allowed(config[key]):
            got = f"{config[key]!r:.80}"
            raise ValueError(f"{name}: {key}: expected {expected}, got {got}")
    if config["causal"] and config["latency"] is None:
        raise ValueError(f"{name}: latency: expected samples of a causal model")
    return {key: config[key] for key in FIELDS}


def read_config(path: Path) -> dict[str, Any]:
    """Read the facts of a model folder.

    Arguments
    ---------
    path : Path
        A `config.json`.

    Returns
    -------
    dict
        Its known keys, checked.

    Raises
    ------
    ValueError
        Naming the file, the key and what was expected.

    Example
    -------
    >>> from speechbrain_fusion.inference.files import find_files
    >>> read_config(find_files(None).config)["sample_rate"]
    16000
    """
    try:
        config = json.loads(read_text(path), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path}: not a readable JSON file ({error})") from error
    return check_config(config, str(path))


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")


def check_agreement(
    config: Mapping[str, Any], system: Any, rate: Any, name: str
) -> None:
    """Refuse a config that says other than its model.

    Arguments
    ---------
    config : mapping
        The facts of a model folder.
    system : System
        The model.
    rate : int
        Its sample rate in Hz.
    name : str
        Of the file, for the errors.

    Raises
    ------
    ValueError
        Naming the file, the key and both values.

    Example
    -------
    >>> from speechbrain_fusion.models import TwoBranchEnhancer
    >>> system = TwoBranchEnhancer(units=2, groups=1)
    >>> facts = {**describe(system), "sample_rate": 8000}
    >>> check_agreement(facts, system, 16000, "config.json")
    Traceback (most recent call last):
    ...
    ValueError: config.json: sample_rate: 8000, but the model's is 16000
    """
    for key, value in {**describe(system), "sample_rate": rate}.items():
        if config[key] != value or type(config[key]) is not type(value):
            raise ValueError(
                f"{name}: {key}: {config[key]!r}, but the model's is {value!r}"
            )
