"""Corpora on disk, seeded mixing, binaural scenes and the embedded demo corpus."""

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.batch import Batch, Example
from speechbrain_fusion.data.clarity import clarity_scenes
from speechbrain_fusion.data.corpus import recorded_scenes
from speechbrain_fusion.data.demo import write_demo_corpus
from speechbrain_fusion.data.dynamic_mixing import DynamicMixtures
from speechbrain_fusion.data.head import HeadResponses
from speechbrain_fusion.data.hrir import load_responses
from speechbrain_fusion.data.librimix import librimix_mixtures
from speechbrain_fusion.data.librimix_corpus import noisy_mixtures
from speechbrain_fusion.data.librimix_sources import rendered_librimix
from speechbrain_fusion.data.librimix_writing import write_librimix
from speechbrain_fusion.data.librispeech import dynamic_librispeech, dynamic_recordings
from speechbrain_fusion.data.noisy_speech import noisy_speech
from speechbrain_fusion.data.paired import paired_speech
from speechbrain_fusion.data.recordings import prepare_recordings
from speechbrain_fusion.data.sampler import EpochSampler
from speechbrain_fusion.data.scenes import BinauralScenes
from speechbrain_fusion.data.speech_in_noise import SpeechInNoise
from speechbrain_fusion.data.sphere import rigid_sphere

__all__ = [
    "AudioError",
    "Batch",
    "BinauralScenes",
    "DynamicMixtures",
    "EpochSampler",
    "Example",
    "HeadResponses",
    "SpeechInNoise",
    "clarity_scenes",
    "dynamic_librispeech",
    "dynamic_recordings",
    "librimix_mixtures",
    "load_responses",
    "noisy_mixtures",
    "noisy_speech",
    "paired_speech",
    "prepare_recordings",
    "recorded_scenes",
    "rendered_librimix",
    "rigid_sphere",
    "write_demo_corpus",
    "write_librimix",
]
