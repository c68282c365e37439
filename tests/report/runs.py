"""Folders of runs as a test leaves them, with sounds that tell what they are."""

import json

import numpy as np
import soundfile
import torch

from speechbrain_fusion.metrics.table import MetricTable

RATE = 16000
SECONDS = 3.0
SIGNALS = ("mixture", "enhanced", "target")
# A signal's tone begins here and rises so much a second: pitch tells signal and time
START = {"mixture": 500.0, "enhanced": 2600.0, "target": 4700.0}
RISE = 600.0
SETTINGS = """# From /srv/somebody/project/recipes/binaural/hparams/common.yaml
name: fusion
seed: 1234
output_folder: /srv/somebody/project/results/binaural/fusion
sample_rate: 16000
select: si_sdr
valid_metrics:
  si_sdr: !name:speechbrain_fusion.metrics.si_sdr
"""
ENVIRONMENT = """SpeechBrain system description
==============================
Python version:
3.11.7 (main) [GCC 12.2.0]
==============================
Installed Python packages:
speechbrain==1.1.2
torch==2.11.0
==============================
Git revision:
fa7995f
"""
COMMAND = (
    "python recipes/binaural/train.py hparams/fusion.yaml --data_folder /srv/me/a/b"
)
SCRIPT = '"""Train and evaluate binaural enhancement.\n\nSee README.md.\n"""\n'
NOISES = ("babble", "wind", "engine")


def chirp(kind, channels=2, seconds=SECONDS, level=0.2):
    """Make a rising tone, [channels, time], the second channel half as loud."""
    time = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * (START[kind] * time + 0.5 * RISE * time**2)
    return np.outer(level / (1.0 + np.arange(channels)), np.sin(phase))


def make_table(items=12, names=None):
    """Score items, of which each is better than the one before."""
    table = MetricTable()
    ids = names or [f"scene{number:05d}" for number in range(items)]
    numbers = torch.arange(len(ids), dtype=torch.float64)
    conditions = [
        {"noise": NOISES[n % 3], "snr": round(n - 4.25, 2), "azimuth": 30.0 * (n % 4)}
        for n in range(len(ids))
    ]
    for system, shift in {"unprocessed": -2.0, "enhanced": 3.0}.items():
        both = torch.stack([numbers + shift, numbers + shift + 0.5], 1)
        results = {
            "si_sdr": both,
            "pesq": 1 + both / 20,
            "ild_error": 6 - shift + 0 * numbers,
        }
        table.add(system, ids, conditions, results)
    return table


def write_sounds(folder, name, signals, subfolder=""):
    files = {}
    (folder / subfolder).mkdir(parents=True, exist_ok=True)
    for kind, signal in signals.items():
        path = folder / subfolder / f"{name}_{kind}.wav"
        soundfile.write(path, signal.T, RATE, subtype="FLOAT")
        files[kind] = str(path.relative_to(folder))
    return files


def write_examples(folder, kept, signals=None):
    """Write audio of items, and the index that says why they were kept."""
    items = []
    for name, why in kept.items():
        given = signals or {kind: chirp(kind) for kind in SIGNALS}
        subfolder = "" if "first" in why else "extremes"
        items.append(
            {
                "id": name,
                "why": why,
                "files": write_sounds(folder, name, given, subfolder),
            }
        )
    about = {
        "metric": "si_sdr",
        "better": "higher",
        "sample_rate": RATE,
        "items": items,
    }
    (folder / "index.json").write_text(json.dumps(about))


KEPT = {
    "scene00000": ["first", "worst"],
    "scene00001": ["worst"],
    "scene00011": ["best"],
    "scene00005": ["first"],
}
HISTORY = [
    {
        "epoch": epoch,
        "train_loss": 3.0 / epoch,
        "train_si_sdr": -float(epoch),
        "train_snr": 1.0 - epoch,
        "lr": 0.001,
        "valid_loss": 3.5 / epoch if epoch != 3 else None,
        "valid_si_sdr": 5.0 - abs(epoch - 4),
    }
    for epoch in range(1, 7)
]


def write_run(folder, kept=KEPT, signals=None, table=None):
    """Write what a run leaves behind."""
    folder.mkdir(parents=True, exist_ok=True)
    table = table or make_table()
    table.write_csv(folder / "test_items.csv")
    table.write_json(folder / "test_summary.json")
    texts = {
        "hyperparams.yaml": SETTINGS,
        "env.log": ENVIRONMENT,
        "command.txt": COMMAND,
        "train.py": SCRIPT,
        "history.json": json.dumps(HISTORY),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    if kept:
        write_examples(folder / "examples", kept, signals)
    return folder
