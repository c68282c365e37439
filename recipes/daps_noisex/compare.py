"""Compare the full method with parts of it and with supervised masks over trainings.

    python recipes/daps_noisex/compare.py --seeds 1 2 3 --jobs 2 -- \
        --data_folder DAPS --noise_folder NOISEX

Trains and tests every entry of compare.yaml with every seed on the same mixtures, then
writes `comparison.csv`, `comparison.md` and `comparison.png`. Begun again it goes on
where it stopped. What follows `--` goes to train.py.
"""

import sys

from speechbrain_fusion.brains import compare_variants

METRICS = ("si_sdr", "pesq", "stoi", "csig", "cbak", "covl", "segsnr")
BASELINES = ("full",)

if __name__ == "__main__":
    compare_variants(sys.argv[1:], __file__, __doc__, METRICS, BASELINES)
