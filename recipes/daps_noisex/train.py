"""Train and evaluate self-supervised enhancement through a shared latent space.

    python recipes/daps_noisex/train.py hparams/small.yaml
    python recipes/daps_noisex/train.py hparams/shared_latent.yaml --data_folder DAPS \
        --noise_folder NOISEX

See README.md beside this file.
"""

import sys

from speechbrain_fusion.brains import start_run


def main(arguments: list[str]) -> None:
    """Run the recipe."""
    hparams, run_opts = start_run(arguments, __file__)
    hparams["brain"](hparams, run_opts).run(hparams["corpus"]())


if __name__ == "__main__":
    main(sys.argv[1:])
