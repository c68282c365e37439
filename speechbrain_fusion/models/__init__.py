"""One file per published system, built from nnet/ and declared in YAML."""

from speechbrain_fusion.models.binaural import BinauralTasNet
from speechbrain_fusion.models.general_fusion import GeneralFusionModel

__all__ = ["BinauralTasNet", "GeneralFusionModel"]
