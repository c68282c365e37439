"""Train and evaluate two-branch enhancement with collaborative expert blocks.

    python recipes/timit/train.py hparams/small.yaml
    python recipes/timit/train.py hparams/two_branch.yaml --data_folder TIMIT \
        --noise_folder NOISES

See README.md beside this file.
"""

import sys

from speechbrain_fusion.brains import TwoBranchBrain, start_run


def main(arguments: list[str]) -> None:
    """Run the recipe."""
    hparams, run_opts = start_run(arguments, __file__)
    TwoBranchBrain.from_yaml(hparams, run_opts).run(hparams["corpus"]())


if __name__ == "__main__":
    main(sys.argv[1:])
