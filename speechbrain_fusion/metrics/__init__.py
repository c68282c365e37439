"""Metrics: plain functions of (reference, estimate, ..., lengths), and one table."""

from speechbrain_fusion.metrics.binaural import ild, ild_error, itd, itd_error
from speechbrain_fusion.metrics.comparison import (
    compare_csv,
    compare_trainings,
    paired_difference,
    read_scores,
)
from speechbrain_fusion.metrics.composite import composite
from speechbrain_fusion.metrics.evaluation import Evaluation, evaluate_files
from speechbrain_fusion.metrics.frame_measures import (
    frame_measures,
    llr,
    segmental_snr,
    wss,
)
from speechbrain_fusion.metrics.latent import over_suppression, residual_noise
from speechbrain_fusion.metrics.mbstoi import mbstoi
from speechbrain_fusion.metrics.pairs import Pair, match_files
from speechbrain_fusion.metrics.perceptual import estoi, pesq, stoi
from speechbrain_fusion.metrics.separation import sdr
from speechbrain_fusion.metrics.signal import si_sdr, snr
from speechbrain_fusion.metrics.table import MetricTable, evaluate
from speechbrain_fusion.metrics.text import (
    condition_text,
    evaluation_text,
    published_text,
    summary_text,
)

__all__ = [
    "Evaluation",
    "MetricTable",
    "Pair",
    "compare_csv",
    "compare_trainings",
    "composite",
    "condition_text",
    "estoi",
    "evaluate",
    "evaluate_files",
    "evaluation_text",
    "frame_measures",
    "ild",
    "ild_error",
    "itd",
    "itd_error",
    "llr",
    "match_files",
    "mbstoi",
    "over_suppression",
    "paired_difference",
    "pesq",
    "published_text",
    "read_scores",
    "residual_noise",
    "sdr",
    "segmental_snr",
    "si_sdr",
    "snr",
    "stoi",
    "summary_text",
    "wss",
]
