"""Many runs of one recipe: variants times seeds, each once, several at a time.

A variant is a piece of the recipe's command line ("hparams/fusion.yaml --fuse=back").
Every run gets a folder of its own, <folder>/<variant>/<seed>, and is a process of its
own, so that a run that fails harms no other. Begun again, what is complete stays and
what was stopped goes on.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from speechbrain_fusion.data.files import written_whole
from speechbrain_fusion.report.run_files import ITEMS

DONE = "trial.json"


def run_trials(
    script: Path,
    variants: Mapping[str, str],
    seeds: Sequence[int],
    folder: Path,
    options: Sequence[str] = (),
    jobs: int = 1,
) -> dict[str, list[Path]]:
    """Train and test every variant with every seed, but those that are complete.

    Arguments
    ---------
    script : Path
        The recipe's train.py.
    variants : mapping of str to str
        A name and a piece of command line: a YAML and changes of its keys.
    seeds : sequence of int
        A run for each.
    folder : Path
        Where the runs' folders go.
    options : sequence of str
        More of the command line, the same for all.
    jobs : int
        Runs at a time; they share the processor's cores evenly.

    Returns
    -------
    dict of str to list of Path
        Each variant's tables of test items, in the order of the seeds.

    Raises
    ------
    ValueError
        If a seed is there twice: it would be one training that counts as two.
    RuntimeError
        If runs failed, naming each with its output's file. All others are done then.
    """
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds: expected different ones, got {[*seeds]}")
    # seed by seed, so that all variants stand equal wherever it is stopped
    trials = [(name, seed) for seed in seeds for name in variants]

    def run(trial: tuple[str, int]) -> Path | None:
        (name, seed), own = trial, trial_folder(folder, *trial)
        words = [*shlex.split(variants[name]), *options]
        words += [f"--seed={seed}", f"--output_folder={own}"]
        return _run(script, words, own, jobs)

    with ThreadPoolExecutor(jobs) as pool:
        outcomes = pool.map(run, trials)
        failed = [log for log in tqdm(outcomes, total=len(trials), unit="run") if log]
    if failed:
        raise RuntimeError(f"{len(failed)} runs failed: {', '.join(map(str, failed))}")
    return {
        name: [trial_folder(folder, name, seed) / ITEMS for seed in seeds]
        for name in variants
    }


def trial_folder(folder: Path, name: str, seed: int) -> Path:
    """Return the folder of a run.

    Example
    -------
    >>> str(trial_folder(Path("results"), "fusion", 1))
    'results/fusion/1'
    """
    return folder / name / str(seed)


def _run(script: Path, command: Sequence[str], folder: Path, jobs: int) -> Path | None:
    """Run the recipe unless it is done; return its output's file if it failed."""
    if _is_done(folder, command):
        return None
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "output.txt"
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with open(log, "a", encoding="utf-8") as output:
        done = subprocess.run(
            [sys.executable, str(script), *command],
            env={"OMP_NUM_THREADS": str(threads), **os.environ},
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        return log
    with written_whole(folder / DONE) as file:
        json.dump(list(command), file)
    return None


def _is_done(folder: Path, command: Sequence[str]) -> bool:
    """Whether the run was completed by this very command."""
    try:
        done = json.loads((folder / DONE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return done == list(command) and (folder / ITEMS).is_file()
