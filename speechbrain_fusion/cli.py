"""The command `speechbrain-fusion`."""

import importlib
import sys
from collections.abc import Sequence

from speechbrain_fusion.commands.ending import ended_by_signals, finish
from speechbrain_fusion.commands.parser import build_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    What it does is imported once the arguments are known to be right, so that help and
    errors come at once.

    Arguments
    ---------
    arguments : sequence of str, optional
        Those of the command line by default.

    Returns
    -------
    int
        Exit code, as `speechbrain-fusion --help` lists them.

    Raises
    ------
    SystemExit
        With code 2 if the arguments are wrong, with 0 after printing help, with 128
        and its number if a signal ends it.

    Example
    -------
    >>> main(["report", "no/such/run"])
    2
    """
    options = build_parser().parse_args(arguments)
    with ended_by_signals():
        return finish(lambda x: importlib.import_module(x.module).run(x), options)


if __name__ == "__main__":
    sys.exit(main())
