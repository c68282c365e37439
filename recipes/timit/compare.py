"""Compare the two branches with parts of them and a plain network over trainings.

    python recipes/timit/compare.py --seeds 1 2 3 --jobs 2 -- \
        --data_folder TIMIT --noise_folder NOISES

Trains and tests every entry of compare.yaml with every seed on the same mixtures, then
writes `comparison.csv`, `comparison.md` and `comparison.png`. Begun again it goes on
where it stopped. What follows `--` goes to train.py; `--variants` names another file,
as compare_compact.yaml.
"""

import sys

from speechbrain_fusion.brains import compare_variants

METRICS = ("si_sdr", "pesq", "stoi", "estoi", "csig", "cbak", "covl")
BASELINES = ("full",)

if __name__ == "__main__":
    compare_variants(sys.argv[1:], __file__, __doc__, METRICS, BASELINES)
