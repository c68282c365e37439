"""The command line of a recipe's compare.py: variants over seeds, side by side."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from speechbrain_fusion.brains.settings import load_tree
from speechbrain_fusion.brains.trials import run_trials
from speechbrain_fusion.report.comparison import write_comparison
from speechbrain_fusion.typed import count


def compare_variants(
    arguments: Sequence[str],
    recipe: Path | str,
    docstring: str | None,
    metrics: Sequence[str],
    baselines: Sequence[str],
) -> None:
    """Train and test variants of a recipe with several seeds, and compare them.

    Arguments
    ---------
    arguments : sequence of str
        `sys.argv[1:]`.
    recipe : Path or str
        The recipe's compare.py; train.py and compare.yaml, which names the variants
        and their parts of train.py's command line, are beside it.
    docstring : str
        Of compare.py: the help says its first line.
    metrics : sequence of str
        Names of the metrics to compare.
    baselines : sequence of str
        Variants that the others are compared with, unless the command line says.

    Raises
    ------
    RuntimeError
        If runs failed.
    ValueError
        If the variants' file is no such mapping.
    """
    here = Path(recipe).parent
    parser = _parser(here, docstring, baselines)
    given = parser.parse_args(arguments)
    variants = read_variants(given.variants, given.only)
    for name in given.baselines:
        if name not in variants:
            parser.error(f"--baselines: {name} is none of {list(variants)}")
    train = here / "train.py", variants, given.seeds, given.output_folder
    tables = run_trials(*train, given.options, given.jobs)
    lines = write_comparison(given.output_folder, tables, metrics, given.baselines)
    print("\n".join(lines))


def _parser(
    here: Path, docstring: str | None, baselines: Sequence[str]
) -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(description=(docstring or "").partition("\n")[0])
    parser.add_argument("--variants", type=Path, default=here / "compare.yaml")
    parser.add_argument("--only", nargs="+", help="of the variants, these")
    parser.add_argument("--baselines", nargs="+", default=list(baselines))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--jobs", type=count, default=1, help="runs at a time")
    folder = Path("results", here.name, "comparison")
    parser.add_argument("--output_folder", type=Path, default=folder)
    parser.add_argument("options", nargs="*", help="after --: options of train.py")
    return parser


def read_variants(path: Path, only: Sequence[str] | None = None) -> dict[str, str]:
    """Read names and command lines, all or some of them.

    Raises
    ------
    ValueError
        If the file is no such mapping, naming it, or has none of a wanted name.

    Example
    -------
    >>> path = getfixture("tmp_path") / "compare.yaml"
    >>> _ = path.write_text("double: hparams/fusion.yaml")
    >>> read_variants(path)
    {'double': 'hparams/fusion.yaml'}
    """
    variants = load_tree(path)
    for name, words in variants.items():
        if not isinstance(words, str):
            raise ValueError(
                f"{path}: {name}: expected a YAML and changes of its keys, got {words}"
            )
    if unknown := sorted(set(only or ()) - set(variants)):
        raise ValueError(f"{path}: has no {unknown}, expected some of {[*variants]}")
    return {name: str(variants[name]) for name in only or variants}
