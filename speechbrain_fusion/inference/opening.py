"""A model folder opened: everything in it is checked before anything is made of it."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from hyperpyyaml import load_hyperpyyaml

from speechbrain_fusion.inference.config import check_agreement, read_config
from speechbrain_fusion.inference.files import ModelFiles, read_text
from speechbrain_fusion.inference.safe_yaml import MODEL, MODULES, RATE, check_yaml
from speechbrain_fusion.inference.weights import build_like, check_fit, read_weights
from speechbrain_fusion.messages import first_line, in_a_line

Made = TypeVar("Made")
MAKING = threading.RLock()


def open_model(
    files: ModelFiles, overrides: Any = None, must_match: bool = True
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Make a model, unless it is not safe to or its files do not go together.

    Its modules are first built on the meta device, so that none takes memory before it
    is known to be as large as its parameters. Every file is read once: what is checked
    is what is used, whoever may write into the folder meanwhile.

    Arguments
    ---------
    files : ModelFiles
        Where they are.
    overrides : dict or str, optional
        Changes of the YAML's keys.
    must_match : bool
        Whether the YAML must have all of these keys.

    Returns
    -------
    config : dict
        The facts.
    hparams : dict
        What the YAML describes, with parameters.

    Raises
    ------
    ValueError
        Naming the file and what was expected of it.

    Example
    -------
    >>> from speechbrain_fusion.inference.files import find_files
    >>> config, hparams = open_model(find_files(None))
    >>> hparams["modules"]["model"].latency == config["latency"]
    True
    """
    config, state = read_config(files.config), read_weights(files.weights)
    text = read_text(files.hyperparams)
    check_yaml(text, str(files.hyperparams))

    def make() -> Any:
        return load_hyperpyyaml(text, overrides or {}, must_match)

    try:
        tried = unseeded(lambda: build_like(make, state))
    except Exception as error:
        raise ValueError(
            f"{files.hyperparams}: no model can be made of it ({in_a_line(error)})"
        ) from error
    model = tried[MODULES][MODEL]
    check_fit(model, state, files.weights)
    check_agreement(config, model, tried[RATE], str(files.config))
    hparams = unseeded(make)
    hparams[MODULES][MODEL].load_state_dict(state)
    return config, hparams


def unseeded(make: Callable[..., Made], **options: Any) -> Made:
    """Make something that draws random numbers, and leave those to come as they were.

    Example
    -------
    >>> _ = torch.manual_seed(1)
    >>> _ = unseeded(lambda: torch.rand(3))
    >>> float(torch.rand(())) == float(torch.rand((), generator=torch.manual_seed(1)))
    True
    """
    # one at a time: the generator and torch's hooks are all threads'
    with MAKING, torch.random.fork_rng(devices=[]):
        return make(**options)


def check_device(device: Any) -> str:
    """Name a device as SpeechBrain takes it, or say that it is not there.

    Raises
    ------
    ValueError
        If there is no such device.

    Example
    -------
    >>> check_device("cpu")
    'cpu'
    """
    try:
        wanted = torch.device(device)
        torch.empty(0, device=wanted)
    except (RuntimeError, TypeError, AssertionError) as error:
        reason = first_line(error)
        raise ValueError(f"device: {device} is not there ({reason})") from error
    if wanted.type == "cuda" and wanted.index is None:
        return f"cuda:{torch.cuda.current_device()}"
    return str(wanted)
