"""Options by name, and sizes: what cannot be is refused in one way."""

from collections.abc import Collection, Mapping
from typing import TypeVar

Choice = TypeVar("Choice")


def check_option(name: str, value: str, choices: Collection[str]) -> None:
    """Refuse a value that an option does not have.

    Arguments
    ---------
    name : str
        Of the option, as in a YAML.
    value : str
        What was given.
    choices : collection of str
        What could be given.

    Raises
    ------
    ValueError
        Naming the option and all its values.

    Example
    -------
    >>> check_option("share", "product", ["product", "sum"])
    >>> check_option("share", "all", ["product", "sum"])
    Traceback (most recent call last):
    ValueError: share: expected one of ['product', 'sum'], got 'all'
    """
    if value not in choices:
        raise ValueError(f"{name}: expected one of {[*choices]}, got {value!r}")


def check_sizes(**sizes: int) -> None:
    """Refuse sizes of a network below one.

    Arguments
    ---------
    **sizes : int
        By their names, as in a YAML.

    Raises
    ------
    ValueError
        Naming the size.

    Example
    -------
    >>> check_sizes(P=3, X=0)
    Traceback (most recent call last):
    ValueError: X: expected 1 or more, got 0
    """
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}: expected 1 or more, got {size}")


def choose(name: str, value: str, choices: Mapping[str, Choice]) -> Choice:
    """Look up what an option's value stands for.

    Takes and raises what `check_option` does.

    Example
    -------
    >>> choose("method", "fast", {"fast": 1, "exact": 2})
    1
    """
    check_option(name, value, choices)
    return choices[value]
