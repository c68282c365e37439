"""Train and evaluate unified enhancement and separation with gradient modulation.

    python recipes/librimix_noisy/train.py hparams/small.yaml
    python recipes/librimix_noisy/train.py hparams/dprnn.yaml --data_folder FOLDER

See README.md beside this file.
"""

import sys

from speechbrain_fusion.brains import SeparationBrain, start_run


def main(arguments: list[str]) -> None:
    """Run the recipe."""
    hparams, run_opts = start_run(arguments, __file__)
    SeparationBrain.from_yaml(hparams, run_opts).run(hparams["corpus"]())


if __name__ == "__main__":
    main(sys.argv[1:])
