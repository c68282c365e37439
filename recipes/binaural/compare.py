"""Compare ways of sharing between the ears, and losses, over several trainings.

    python recipes/binaural/compare.py --seeds 1 2 3 --jobs 2 -- --data_folder FOLDER

Trains and tests every entry of compare.yaml with every seed on the same scenes, then
writes `comparison.csv`, `comparison.md` and `comparison.png`. Begun again it goes on
where it stopped. What follows `--` goes to train.py.
"""

import sys

from speechbrain_fusion.brains import compare_variants

METRICS = ("si_sdr", "snr", "pesq", "stoi", "mbstoi", "ild_error", "itd_error")
BASELINES = ("independent", "double")

if __name__ == "__main__":
    compare_variants(sys.argv[1:], __file__, __doc__, METRICS, BASELINES)
