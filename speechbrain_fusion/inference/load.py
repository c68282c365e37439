"""A trained model from its folder, with the class that its task needs.

Loading runs no code from the folder: its YAML may name modules of this package and
plain values alone, its parameters are tensors and nothing else, and it leaves no file
anywhere. `trust=True` lifts what is said of the YAML.
"""

from pathlib import Path
from typing import Any

from speechbrain_fusion.inference.config import purpose, read_config
from speechbrain_fusion.inference.files import find_files
from speechbrain_fusion.inference.model import Model
from speechbrain_fusion.inference.opening import check_device
from speechbrain_fusion.inference.tasks import (
    BinauralEnhancer,
    SpeechEnhancer,
    SpeechSeparator,
)

CLASSES: tuple[type[Model], ...] = SpeechEnhancer, BinauralEnhancer, SpeechSeparator


def load(
    source: str | Path | None = None,
    device: Any = "cpu",
    trust: bool = False,
    overrides: dict[str, Any] | str | None = None,
) -> Model:
    """Load a trained model.

    Arguments
    ---------
    source : str or Path, optional
        A model folder, as every recipe writes one; or, as a str and if there is no
        folder of the name, a repository of the hub, "user/name". None for the model
        that comes with the package.
    device : str or torch.device
        Where it computes.
    trust : bool
        Load any YAML: it may call any function on this machine. The parameters are
        still tensors and nothing else.
    overrides : dict or str, optional
        Changes of the YAML's keys, as HyperPyYAML takes them.

    Returns
    -------
    Model
        A `SpeechEnhancer`, a `BinauralEnhancer` or a `SpeechSeparator`.

    Raises
    ------
    ValueError
        If there is no such model or device, or it is not safe to load, naming the file
        and what was expected of it.

    Example
    -------
    >>> import numpy as np
    >>> model = load()
    >>> model.rate, model.system.latency
    (16000, 32)
    >>> model.enhance(np.zeros((2, 44100)), rate=44100).shape
    (2, 44100)
    """
    files = find_files(source)
    config = read_config(files.config)
    kind = next((kind for kind in CLASSES if kind.fits(config)), None)
    if kind is None:
        raise ValueError(f"{files.config}: there is no model of {purpose(config)}")
    return kind.from_hparams(
        files.hyperparams.parent,
        hparams_file=files.hyperparams.name,
        trust=trust,
        overrides=overrides or {},
        run_opts={"device": check_device(device)},
    )
