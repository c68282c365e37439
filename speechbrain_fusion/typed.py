"""Numbers as they are typed in a command line, for argparse."""

import argparse


def whole_number(text: str) -> int:
    """Read a number from 0 up.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is none.

    Example
    -------
    >>> whole_number("12")
    12
    """
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}")
    return int(text)


def count(text: str) -> int:
    """Read a number from 1 up.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is none.

    Example
    -------
    >>> count("12")
    12
    """
    if whole_number(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1, got {text!r}")
    return whole_number(text)
