"""One file per published system, built from nnet/ and declared in YAML."""

from speechbrain_fusion.models.binaural import BinauralTasNet
from speechbrain_fusion.models.general_fusion import GeneralFusionModel
from speechbrain_fusion.models.unified import ConvTasNetMasker, UnifiedSeparator

__all__ = [
    "BinauralTasNet",
    "ConvTasNetMasker",
    "GeneralFusionModel",
    "UnifiedSeparator",
]
