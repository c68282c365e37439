"""What is changed in the pages' commands so that they run here, and in seconds.

`SUBSTITUTIONS` are for what this machine does not have, `OPTIONS` make trainings short,
`STAND_INS` are commands that take the place of others. Nothing else is changed.
"""

import re
from typing import NamedTuple


class Substitution(NamedTuple):
    """What is written instead of a pattern, and why."""

    pattern: str
    replacement: str
    why: str


SUBSTITUTIONS = (
    Substitution(
        r"python -m venv \.venv && source \.venv/bin/activate",
        ":",
        "tests run in an environment that is there already",
    ),
    Substitution(r"--device cuda:0", "--device cpu", "no GPU"),
    Substitution(r"--nnodes=2", "--nnodes=1", "one machine"),
    Substitution(r"--rdzv_endpoint=\S+", "--rdzv_endpoint=localhost:0", "one machine"),
    Substitution(r"--nproc_per_node=4", "--nproc_per_node=2", "two cores"),
    Substitution(
        r"torchrun (?!--nnodes)",
        "torchrun --standalone ",
        "several tests at a time cannot have one port",
    ),
    Substitution(r"--seeds 1 2( 3)?", "--seeds 1", "fewer trainings"),
    Substitution(r"--ckpt_interval_steps 100", "--ckpt_interval_steps 1", "few steps"),
    Substitution(r"--number_of_epochs 16", "--number_of_epochs 2", "as in OPTIONS"),
    Substitution(
        r"(write_mixtures.py \S+ \S+).*",
        r"\1 --train 4 --valid 2 --test 2 --valid_noise train chainsaw "
        r"--test_noise city ssn wind",
        "fewer mixtures",
    ),
    # CONTRIBUTING's commands, which CI runs as they stand
    Substitution(
        r'python -m pytest( -n \d+)?( -m ("[^"]*"|\S+))?(?= |$)',
        "python -m pytest -q --collect-only tests/nnet/test_fusion.py",
        "the tests would run themselves",
    ),
    Substitution(
        r"--doctest-modules speechbrain_fusion",
        "--doctest-modules speechbrain_fusion/nnet/fusion.py",
        "CI runs all of them",
    ),
)

# Options of train.py, in place of those of the same name that a page gives
BINAURAL = {
    "number_of_epochs": "1",
    "scene_counts": "{train: 4, valid: 2, test: 2}",
    "segment": "0.5",
    "examples": "1",
}
LIBRIMIX = {
    "number_of_epochs": "1",
    "mixture_counts": "{train: 4, valid: 2, test: 2}",
    "segment": "0.5",
    "examples": "1",
}
TIMIT = {
    "number_of_epochs": "1",
    "mixture_counts": "{train: 4, valid: 2, test: 2}",
    "segment": "0.5",
    "references": "null",
    "examples": "1",
}
DAPS = {
    "number_of_epochs": "1",
    "speech_epochs": "1",
    "counts": "{clean_train: 4, clean_valid: 2, train: 4, valid: 4, test: 3}",
    "segment": "0.5",
    "test_segment": "1.0",
    "examples": "1",
}
DPRNN = "{blocks: 1, hidden: 4, chunk: 10}"
SEPFORMER = "{blocks: 1, layers: 1, heads: 2, feedforward: 16, chunk: 10}"
OPTIONS = {
    r"(recipes/binaural|my_recipe)/(train|compare)\.py": BINAURAL,
    r"recipes/librimix_noisy/(train|compare)\.py": LIBRIMIX,
    r"recipes/timit/(train|compare)\.py": TIMIT,
    r"recipes/daps_noisex/(train|compare)\.py": DAPS,
    r"hparams/dprnn\.yaml": {"filters": "32", "enhancement": DPRNN, "separation": DPRNN}
    | {"train_loader": "{num_workers: 0}"},
    r"hparams/sepformer\.yaml": {"filters": "32", "train_loader": "{num_workers: 0}"}
    | {"enhancement": SEPFORMER, "separation": SEPFORMER},
    r"examples/(plain|modulated)\.py": {"number_of_epochs": "2"},
}
# Two variants each, by options of compare.py
VARIANTS = {
    "recipes/binaural/compare.py": "independent double --baselines independent",
    "recipes/librimix_noisy/compare.py": "joint tensor --baselines joint",
    "recipes/timit/compare.py": "full magnitude --baselines full",
    "recipes/daps_noisex/compare.py": "full no_phase_decoder --baselines full",
}

# pip: the requirements are looked up among what is installed and declared.
# ruff, mypy, sphinx-build, yamllint: the same; CI runs them.
# arecord, aplay: a file in place of the sound card.
STAND_INS = {
    "pip": 'exec python "$STAND_INS/requirements.py" "$@"',
    "ruff": 'exec python "$STAND_INS/requirements.py" tool ruff',
    "mypy": 'exec python "$STAND_INS/requirements.py" tool mypy',
    "sphinx-build": 'exec python "$STAND_INS/requirements.py" tool sphinx',
    "yamllint": 'exec python "$STAND_INS/requirements.py" tool yamllint',
    "arecord": "exec cat noisy.raw",
    "aplay": "exec cat > played.raw",
}


def substitute(script: str) -> str:
    """Change a block of shell as the tables say."""
    lines = script.replace("\\\n", " ").splitlines()
    return "\n".join(map(_substitute_line, lines)) + "\n"


def _substitute_line(line: str) -> str:
    for pattern, replacement, _ in SUBSTITUTIONS:
        line = re.sub(pattern, replacement, line)
    for script, variants in VARIANTS.items():
        if script in line and "--variants variants.yaml" not in line:
            line = re.sub(r"--(only|baselines)( \w+)+", "", line)
            line = line.replace(script, f"{script} --only {variants}")
    options: dict[str, str] = {}
    for pattern, changes in OPTIONS.items():
        if re.search(pattern, line):
            options |= changes
    if "--number_of_epochs 2" in line:
        options.pop("number_of_epochs")
    return _set_options(line, options)


def _set_options(line: str, options: dict[str, str]) -> str:
    for name in options:
        given = rf'"--{name}=[^"]*"|--{name}(=|\s+)("[^"]*"|\S+)'
        line = re.sub(given, "", line)
    if options and "compare.py" in line and " -- " not in line:
        line += " --"
    return line + "".join(f' "--{name}={value}"' for name, value in options.items())
