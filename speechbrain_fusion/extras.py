"""Libraries of the extras, which need not be installed."""

import importlib
from typing import Any


def import_extra(module: str, extra: str, need: str) -> Any:
    """Import a library that an extra installs.

    Arguments
    ---------
    module : str
        Name of the module.
    extra : str
        The extra that installs it.
    need : str
        What needs it, as a sentence.

    Returns
    -------
    module
        The module.

    Raises
    ------
    ImportError
        If it is not there, naming the extra.

    Example
    -------
    >>> import_extra("json", "plots", "figures need json").loads("[1]")
    [1]
    >>> import_extra("no_such_module", "plots", "figures need no_such_module")
    Traceback (most recent call last):
    ImportError: figures need no_such_module: pip install "speechbrain-fusion[plots]"
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        reason = f'{need}: pip install "speechbrain-fusion[{extra}]"'
        raise ImportError(reason) from error
