"""Train and evaluate binaural enhancement with latent fusion layers.

    python recipes/binaural/train.py hparams/fusion.yaml
    python recipes/binaural/train.py hparams/fusion.yaml --data_folder FOLDER

See README.md beside this file.
"""

import sys

from speechbrain_fusion.brains import EnhancementBrain, start_run


def main(arguments: list[str]) -> None:
    """Run the recipe."""
    hparams, run_opts = start_run(arguments, __file__)
    EnhancementBrain.from_yaml(hparams, run_opts).run(hparams["corpus"]())


if __name__ == "__main__":
    main(sys.argv[1:])
