"""One file per published system, built from nnet/ and declared in YAML."""

from speechbrain_fusion.models.binaural import BinauralTasNet

__all__ = ["BinauralTasNet"]
