"""The files that pages name: recordings, corpora, trained models, all of them small."""

from pathlib import Path

import numpy as np
import soundfile
import torch

from speechbrain_fusion.data import rigid_sphere
from speechbrain_fusion.inference import write_model
from speechbrain_fusion.models import BinauralTasNet, ConvTasNetMasker, UnifiedSeparator
from tests.conftest import write_noise, write_voice
from tests.data.librimix_tree import write_tree
from tests.docs.blocks import ROOT

RATE = 16000
NOISES = ("noise3", "noise4", "train", "chainsaw", "city", "ssn", "wind")
NOISES += ("doing_the_dishes", "waves", "babble20", "rain", "fan", "bells")
TALKERS = {"train": 6, "valid": 2, "test": 2}
# parts of the checkout, which readers have beside them
CHECKOUT = ("recipes", "examples", "tests", "speechbrain_fusion", "scripts")
CHECKOUT += ("pyproject.toml", "setup.cfg", "README.md", ".ci")
HRIR = "mit_kemar_normal_horizontal_16k.npz"
BINAURAL = """
sample_rate: 8000
modules:
    enhancer: !new:speechbrain_fusion.models.BinauralTasNet {share_norms: true}
"""
SEPARATOR = """
sample_rate: 8000
modules:
    separator: !new:speechbrain_fusion.models.UnifiedSeparator
        channels: 8
        enhancement: !new:speechbrain_fusion.models.ConvTasNetMasker
            {channels: 8, masks: 1, bottleneck: 4, hidden: 5, skip: 6, blocks: 2}
        separation: !new:speechbrain_fusion.models.ConvTasNetMasker
            {channels: 8, masks: 2, bottleneck: 4, hidden: 5, skip: 6, blocks: 2}
"""


def make_world(folder: Path) -> Path:
    """Write everything once; a page gets a copy."""
    for name in CHECKOUT:
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    write_recordings(folder / "my_recordings")
    write_tree(folder / "LibriMix", seconds=0.6)
    for split in TALKERS:
        for number in range(2):
            write_pair(folder / "my_pairs" / split, f"{split}{number}.wav", number)
    write_scenes(folder)
    write_models(folder)
    return folder


def write_recordings(folder: Path) -> None:
    """Write talkers, noises and head-related responses."""
    seed = 0
    for split, talkers in TALKERS.items():
        for talker in range(talkers):
            for utterance in range(2):
                seed += 1
                name = f"speech/{split}/{split}{talker}/{utterance}.wav"
                write_voice(folder / name, 2.0, seed)
    for seed, noise in enumerate(NOISES):
        write_noise(folder / "noise" / f"{noise}.flac", 12.0, 900 + seed)
    head = rigid_sphere(RATE)
    (folder / "hrir").mkdir()
    responses = {"azimuth_deg": head.azimuth, "ir": head.responses, "fs": RATE}
    np.savez(folder / "hrir" / HRIR, **responses)


def write_pair(folder: Path, name: str, seed: int) -> None:
    """Write a voice, clean and noisy."""
    write_voice(folder / "clean" / name, 1.0, seed)
    clean, rate = soundfile.read(folder / "clean" / name)
    hiss = np.random.default_rng(seed).standard_normal(clean.shape)
    (folder / "noisy").mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / "noisy" / name, clean + 0.02 * hiss, rate)


def write_scenes(folder: Path) -> None:
    """Write recordings of two channels, alone and as folders."""
    rng = np.random.default_rng(0)
    write_voice(folder / "meeting.wav", 1.5, 1)
    voice, _ = soundfile.read(folder / "meeting.wav")
    clean = np.stack([voice, 0.6 * np.roll(voice, 4)], axis=-1)
    places = {"clean/{}.wav": 0.0, "noisy/{}.wav": 0.03, "recordings/day/{}.wav": 0.03}
    places |= {"enhanced/{}.wav": 0.01, "other/{}.wav": 0.02, "more/a/{}.flac": 0.03}
    for place, level in places.items():
        for number in range(2):
            path = folder / place.format(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = level * rng.standard_normal(clean.shape)
            soundfile.write(path, clean * (1 + number) / 2 + noise, RATE)
    noisy = clean + 0.03 * rng.standard_normal(clean.shape)
    soundfile.write(folder / "noisy.wav", noisy, RATE)
    soundfile.write(folder / "noisy.raw", noisy, RATE, "PCM_16", format="RAW")


def write_models(folder: Path) -> None:
    """Write an enhancer in the recipe's size and a small separator."""
    torch.manual_seed(0)
    maskers = [ConvTasNetMasker(8, n, 4, 5, 6, blocks=2) for n in (1, 2)]
    models = {
        "RUN": (BINAURAL, BinauralTasNet(share_norms=True)),
        "SEPARATOR": (SEPARATOR, UnifiedSeparator(*maskers, channels=8)),
    }
    for name, (text, module) in models.items():
        (folder / name).mkdir()
        (folder / name / "hyperparams.yaml").write_text(text)
        write_model(
            folder / name / "model", folder / name / "hyperparams.yaml", module, {}
        )
