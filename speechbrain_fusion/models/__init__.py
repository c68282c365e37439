"""One file per published system, built from nnet/ and declared in YAML."""

from speechbrain_fusion.models.binaural import BinauralTasNet
from speechbrain_fusion.models.general_fusion import GeneralFusionModel
from speechbrain_fusion.models.mask import MaskEnhancer
from speechbrain_fusion.models.references import (
    ideal_complex_mask,
    ideal_ratio_mask,
    iterative_wiener,
    spectral_subtraction,
)
from speechbrain_fusion.models.shared_latent import SharedLatentEnhancer
from speechbrain_fusion.models.speech_autoencoder import SpeechAutoencoder
from speechbrain_fusion.models.system import System
from speechbrain_fusion.models.two_branch import TwoBranchEnhancer
from speechbrain_fusion.models.unified import ConvTasNetMasker, UnifiedSeparator

__all__ = [
    "BinauralTasNet",
    "ConvTasNetMasker",
    "GeneralFusionModel",
    "MaskEnhancer",
    "SharedLatentEnhancer",
    "SpeechAutoencoder",
    "System",
    "TwoBranchEnhancer",
    "UnifiedSeparator",
    "ideal_complex_mask",
    "ideal_ratio_mask",
    "iterative_wiener",
    "spectral_subtraction",
]
