"""Corpora on disk, seeded mixing, binaural scenes and the embedded demo corpus.

What a YAML names as its corpus, one for each recipe: `corpus` (binaural) and `clarity`,
`librimix_corpus`, `noisy_speech` (timit), `daps_noisex`. Each goes the same way:

1. a layout on disk is listed and split: `recordings`, `librimix_layout`, `librispeech`,
   `timit`, `paired`, `daps`, `noisex`, `noise_parts`, `rooms`, `clarity_metadata`;
   `disjoint`, `sharing` and `speech_sets` make sets that have nothing in common;
2. every file is read and checked (`inspection`), and manifests are written: `manifest`,
   `preparation`, `unpaired_preparation`, `librimix`, `librimix_sources`;
3. a data set makes the items of an epoch from the manifests. `epoch_items` says what
   all of them promise. Mixed in training: `scenes`, `speech_in_noise`, `unpaired`,
   `clean_speech`, `dynamic_mixing`. Listed on disk (`listed`): `rendered`, `mixtures`,
   `librimix_rendering`;
4. `sampler`, `batching` and `batch` choose and collate the items of a process.

Below these: `audio`, `source`, `clips`, `loudness`, `noise` (signals), `head`,
`sphere`, `hrir` (a listener's head), `files`, `folders` (written whole), `options`
(checks). The demo corpora are written by `demo`, `demo_daps` and `librimix_writing`.
"""

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.batch import Batch, Example
from speechbrain_fusion.data.clarity import clarity_scenes
from speechbrain_fusion.data.clean_speech import CleanSpeech
from speechbrain_fusion.data.corpus import recorded_scenes
from speechbrain_fusion.data.daps import find_daps
from speechbrain_fusion.data.daps_noisex import unpaired_speech
from speechbrain_fusion.data.demo import write_demo_corpus
from speechbrain_fusion.data.demo_daps import write_demo_daps
from speechbrain_fusion.data.demo_timit import write_demo_timit
from speechbrain_fusion.data.disjoint import prove_disjoint
from speechbrain_fusion.data.dynamic_mixing import DynamicMixtures
from speechbrain_fusion.data.head import HeadResponses
from speechbrain_fusion.data.hrir import load_responses
from speechbrain_fusion.data.librimix import librimix_mixtures
from speechbrain_fusion.data.librimix_corpus import noisy_mixtures
from speechbrain_fusion.data.librimix_sources import rendered_librimix
from speechbrain_fusion.data.librimix_writing import (
    write_demo_librimix,
    write_librimix,
)
from speechbrain_fusion.data.librispeech import dynamic_librispeech, dynamic_recordings
from speechbrain_fusion.data.noisy_speech import noisy_speech
from speechbrain_fusion.data.paired import paired_speech
from speechbrain_fusion.data.recordings import prepare_recordings
from speechbrain_fusion.data.rooms import demo_rooms, reverberate, simulate_rooms
from speechbrain_fusion.data.sampler import EpochSampler
from speechbrain_fusion.data.scenes import BinauralScenes
from speechbrain_fusion.data.speech_in_noise import SpeechInNoise
from speechbrain_fusion.data.sphere import rigid_sphere
from speechbrain_fusion.data.unpaired import NoisySpeech

__all__ = [
    "AudioError",
    "Batch",
    "BinauralScenes",
    "CleanSpeech",
    "DynamicMixtures",
    "EpochSampler",
    "Example",
    "HeadResponses",
    "NoisySpeech",
    "SpeechInNoise",
    "clarity_scenes",
    "demo_rooms",
    "dynamic_librispeech",
    "dynamic_recordings",
    "find_daps",
    "librimix_mixtures",
    "load_responses",
    "noisy_mixtures",
    "noisy_speech",
    "paired_speech",
    "prepare_recordings",
    "prove_disjoint",
    "recorded_scenes",
    "rendered_librimix",
    "reverberate",
    "rigid_sphere",
    "simulate_rooms",
    "unpaired_speech",
    "write_demo_corpus",
    "write_demo_daps",
    "write_demo_librimix",
    "write_demo_timit",
    "write_librimix",
]
