"""Write a small LibriMix of own talkers and noises, tables included.

    python recipes/librimix_noisy/write_mixtures.py RECORDINGS DESTINATION --talkers 2
    python recipes/librimix_noisy/train.py hparams/small.yaml --data_folder DESTINATION

RECORDINGS has speech/<train|valid|test>/<talker>/* and noise/*, see README.md.
"""

import argparse
import sys

from speechbrain_fusion.data import write_librimix


def main(arguments: list[str]) -> None:
    """Write the mixtures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recordings", help="speech/ and noise/")
    parser.add_argument("destination", help="gets Libri2Mix/ or Libri3Mix/")
    parser.add_argument("--talkers", type=int, choices=(2, 3), default=2)
    parser.add_argument("--rate", type=int, choices=(8000, 16000), default=8000)
    parser.add_argument("--mode", choices=("min", "max"), default="min")
    parser.add_argument("--train", type=int, default=1000, help="mixtures")
    parser.add_argument("--valid", type=int, default=100, help="mixtures")
    parser.add_argument("--test", type=int, default=100, help="mixtures")
    parser.add_argument("--valid_noise", nargs="*", default=[], help="by name")
    parser.add_argument("--test_noise", nargs="*", default=[], help="by name")
    given = parser.parse_args(arguments)
    folder = write_librimix(
        given.destination,
        given.recordings,
        {"train": given.train, "valid": given.valid, "test": given.test},
        given.rate,
        given.talkers,
        given.mode,
        noise_split={"valid": given.valid_noise, "test": given.test_noise},
    )
    print(f"mixtures  {folder}")


if __name__ == "__main__":
    main(sys.argv[1:])
