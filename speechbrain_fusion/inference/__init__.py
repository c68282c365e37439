"""Trained models in use: files, arrays, streams, long audio."""

from speechbrain_fusion.inference.folder import halve, write_model
from speechbrain_fusion.inference.load import load
from speechbrain_fusion.inference.tasks import (
    BinauralEnhancer,
    Model,
    SpeechEnhancer,
    SpeechSeparator,
)

__all__ = [
    "BinauralEnhancer",
    "Model",
    "SpeechEnhancer",
    "SpeechSeparator",
    "halve",
    "load",
    "write_model",
]
