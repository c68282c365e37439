"""Compare ways of sharing between the ears, and losses, over several trainings.

    python recipes/binaural/compare.py --seeds 1 2 3 --jobs 2 -- --data_folder FOLDER

Trains and tests every entry of compare.yaml with every seed on the same scenes, then
writes `comparison.csv`, `comparison.md` and `comparison.png`. Begun again it goes on
where it stopped. What follows `--` goes to train.py.
"""

import argparse
from pathlib import Path

import ruamel.yaml

from speechbrain_fusion.brains import run_trials
from speechbrain_fusion.report import write_comparison

HERE = Path(__file__).parent
METRICS = ("si_sdr", "snr", "pesq", "stoi", "mbstoi", "ild_error", "itd_error")


def main() -> None:
    """Run what is missing and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variants", type=Path, default=HERE / "compare.yaml")
    parser.add_argument("--only", nargs="+", help="of the variants, these")
    parser.add_argument("--baselines", nargs="+", default=["independent", "double"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument(
        "--output_folder", type=Path, default=Path("results/binaural/comparison")
    )
    parser.add_argument("options", nargs="*", help="after --: options of train.py")
    arguments = parser.parse_args()
    variants = read_variants(arguments.variants, arguments.only)
    for name in arguments.baselines:
        if name not in variants:
            parser.error(f"--baselines: {name} is none of {list(variants)}")
    tables = run_trials(
        HERE / "train.py",
        variants,
        arguments.seeds,
        arguments.output_folder,
        arguments.options,
        arguments.jobs,
    )
    lines = write_comparison(
        arguments.output_folder, tables, METRICS, arguments.baselines
    )
    print("\n".join(lines))


def read_variants(path: Path, only: list[str] | None) -> dict[str, str]:
    """Read names and command lines, all or some of them.

    Raises
    ------
    ValueError
        If the file is no such mapping or has none of a wanted name.
    """
    variants = ruamel.yaml.YAML(typ="safe").load(path)
    if not isinstance(variants, dict):
        raise ValueError(f"{path}: expected names and command lines")
    if unknown := sorted(set(only or ()) - set(variants)):
        raise ValueError(f"{path}: has no {unknown}, expected some of {[*variants]}")
    return {name: variants[name] for name in only or variants}


if __name__ == "__main__":
    main()
