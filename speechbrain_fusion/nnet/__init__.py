"""Layers that know nothing of tasks: what the models are built from."""

from speechbrain_fusion.nnet.compressed_stft import CompressedSTFT
from speechbrain_fusion.nnet.convolution import DepthwiseConv, PointwiseConv
from speechbrain_fusion.nnet.dual_path import DPRNNMasker, SepFormerMasker
from speechbrain_fusion.nnet.expert_block import CollaborativeExpertBlock
from speechbrain_fusion.nnet.filterbank import LearnedFilterbank, STFTFilterbank
from speechbrain_fusion.nnet.fusion import FusionLayer
from speechbrain_fusion.nnet.normalization import ChannelNorm, GlobalNorm
from speechbrain_fusion.nnet.sharing import (
    ConcatSharing,
    CrossStitch,
    MeanSharing,
    ProductSharing,
    SumSharing,
    make_sharing,
)
from speechbrain_fusion.nnet.spectral_branch import SpectralBranch
from speechbrain_fusion.nnet.spectral_norm import BatchNorm, CumulativeNorm, FrameNorm
from speechbrain_fusion.nnet.squeezed_tcn import SqueezedTemporalUnit
from speechbrain_fusion.nnet.tcn import TemporalConvNet

__all__ = [
    "BatchNorm",
    "ChannelNorm",
    "CollaborativeExpertBlock",
    "CompressedSTFT",
    "ConcatSharing",
    "CrossStitch",
    "CumulativeNorm",
    "DPRNNMasker",
    "DepthwiseConv",
    "FrameNorm",
    "FusionLayer",
    "GlobalNorm",
    "LearnedFilterbank",
    "MeanSharing",
    "PointwiseConv",
    "ProductSharing",
    "STFTFilterbank",
    "SepFormerMasker",
    "SpectralBranch",
    "SqueezedTemporalUnit",
    "SumSharing",
    "TemporalConvNet",
    "make_sharing",
]
