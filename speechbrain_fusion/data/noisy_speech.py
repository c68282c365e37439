"""Speech and noise, from whichever form of them is at hand."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from speechbrain.utils.distributed import run_on_main
from speechbrain.utils.logger import get_logger
from torch.utils.data import Dataset

from speechbrain_fusion.data.demo_timit import demo_speakers, write_demo_timit
from speechbrain_fusion.data.folders import Folder
from speechbrain_fusion.data.inspection import inspect_all, refuse_empty
from speechbrain_fusion.data.manifest import Entry, Manifest, keep_manifests
from speechbrain_fusion.data.noise_parts import (
    SHARES,
    find_noises,
    noise_manifests,
    refuse_silent,
)
from speechbrain_fusion.data.options import (
    check_counts,
    check_noise_folder,
    chosen_corpus,
)
from speechbrain_fusion.data.paired import VALID_SPEAKERS, paired_speech
from speechbrain_fusion.data.recordings import (
    SPLITS,
    NoiseSplit,
    split_speech,
    talker,
)
from speechbrain_fusion.data.speech_in_noise import SpeechInNoise
from speechbrain_fusion.data.timit import CORE_TEST, find_timit, speaker_of

logger = get_logger(__name__)

STAMP = "noisy_speech.json"
# Of what an entry holds: manifests of another version are built again.
VERSION = 1


def noisy_speech(
    data_folder: Folder,
    noise_folder: Folder,
    save_folder: Path | str,
    rate: int,
    segment: float,
    counts: Mapping[str, int | None],
    seeds: Mapping[str, int],
    recordings: Folder = None,
    paired: Folder = None,
    noise_split: NoiseSplit | None = None,
    noise_shares: Sequence[float] = SHARES,
    test_speakers: Sequence[str] = CORE_TEST,
    valid_speakers: Sequence[str] = VALID_SPEAKERS,
    mixtures: Callable[..., SpeechInNoise] = SpeechInNoise,
    train_mixtures: Mapping[str, Any] | None = None,
    demo_folder: Path | str = "results/demo_timit",
) -> dict[str, Dataset]:
    """Prepare speech and noises once and mix them in training.

    Arguments
    ---------
    data_folder : Path, str or None
        TIMIT (`find_timit`).
    noise_folder : Path, str or None
        Any noises (`find_noises`).
    save_folder : Path or str
        Where the manifests go.
    rate : int
        Sample rate in Hz.
    segment : float
        Seconds of a training example; validation and test have whole utterances.
    counts : mapping of str to int or None
        Mixtures of an epoch of "train", "valid" and "test"; None for each utterance
        once or, where they are fixed, in every condition.
    seeds : mapping of str to int
        By split.
    recordings : Path, str or None
        In place of TIMIT, own talkers: ``speech/<train|valid|test>/<talker>/*`` and,
        without a noise folder, ``noise``.
    paired : Path, str or None
        In place of all, what is mixed already (`paired_speech`). Without any folder
        the demo corpus is laid out like TIMIT.
    noise_split, noise_shares
        See `find_noises` and `noise_manifests`.
    test_speakers : sequence of str
        See `find_timit`.
    valid_speakers : sequence of str
        See `paired_speech`.
    mixtures : callable
        `SpeechInNoise` with its options bound.
    train_mixtures : mapping of str to object, optional
        Further options in training alone, as the SNRs; of them pairs take "gain".
    demo_folder : Path or str
        Where the demo is written.

    Returns
    -------
    dict of str to Dataset
        For each split of `counts`.

    Raises
    ------
    AudioError
        What `find_timit`, `find_noises`, `paired_speech` or `SpeechInNoise` refuse.
    ValueError
        If two corpora are given or the noises are missing.
    """
    check_counts(counts)
    corpus = chosen_corpus(
        data_folder=data_folder, recordings=recordings, paired=paired
    )
    check_noise_folder(noise_folder, corpus)
    if paired is not None:
        every = rate, segment, counts, seeds, valid_speakers
        gain = dict(train_mixtures or {}).get("gain", (0.0, 0.0))
        return {**paired_speech(paired, save_folder, *every, gain=gain)}
    if corpus is None:
        run_on_main(write_demo_timit, [demo_folder])
        data_folder, noise_folder = demo_folder, Path(demo_folder, "noise")
        test_speakers = demo_speakers("test")
    folders = [data_folder, noise_folder, recordings, save_folder]
    options = [rate, noise_split, noise_shares, test_speakers]
    manifests = run_on_main(prepare_noisy_speech, [*folders, *options])
    return {
        split: mixtures(
            manifests[f"speech_{split}"],
            manifests[f"noise_{split}"],
            rate,
            size=size,
            seed=seeds[split],
            **(
                {"segment": segment, **(train_mixtures or {})}
                if split == "train"
                else {"fixed": True}
            ),
        )
        for split, size in counts.items()
    }


def prepare_noisy_speech(
    data_folder: Folder,
    noise_folder: Folder,
    recordings: Folder,
    save_folder: Path | str,
    rate: int,
    noise_split: NoiseSplit | None = None,
    noise_shares: Sequence[float] = SHARES,
    test_speakers: Sequence[str] = CORE_TEST,
    jobs: int = -1,
) -> dict[str, Path]:
    """Check all files and write their manifests, unless they are up to date.

    Arguments
    ---------
    data_folder, noise_folder, recordings, save_folder, rate
        See `noisy_speech`.
    noise_split, noise_shares, test_speakers
        See `noisy_speech`.
    jobs : int
        Threads that read, -1 for one per core.

    Returns
    -------
    dict of str to Path
        "speech_train", "noise_train", ... to their manifests.

    Raises
    ------
    AudioError
        For a missing folder or speaker, an empty split or unusable files (all are
        listed). Nothing is written then.
    OSError
        If a manifest cannot be written, naming it. Those of before stay.
    """
    speech = _speech(data_folder, recordings, test_speakers)
    folder = noise_folder or Path(str(recordings), "noise")
    noises = find_noises(folder, noise_split)
    names = [f"{kind}_{split}" for kind in ("speech", "noise") for split in SPLITS]
    files = sorted(
        {x for found in (speech, noises) for each in found.values() for x in each}
    )
    options = {"rate": rate, "noises": noises, "shares": noise_shares}
    options |= {"version": VERSION, "speech": speech}

    def build() -> dict[str, Manifest]:
        described = dict(zip(files, inspect_all(files, rate, jobs=jobs), strict=True))
        parts = noise_manifests(noises, described, noise_shares, folder)
        refuse_silent(parts)
        contents = {f"noise_{split}": part for split, part in parts.items()}
        root = None if recordings is None else Path(recordings, "speech")
        for split, paths in speech.items():
            contents[f"speech_{split}"] = _manifest(paths, described, root)
        return contents

    return keep_manifests(Path(save_folder, STAMP), names, files, options, build)


def _speech(
    data_folder: Folder, recordings: Folder, test_speakers: Sequence[str]
) -> dict[str, list[Path]]:
    if data_folder is not None:
        return find_timit(data_folder, test_speakers)
    folder = Path(str(recordings), "speech")
    found = split_speech(folder)
    refuse_empty(found, folder, "recording")
    return found


def _manifest(
    paths: Sequence[Path], described: Mapping[Path, Entry], root: Path | None
) -> Manifest:
    """Name sentence and speaker of each file, TIMIT's where there is no root."""
    made = {}
    for path in paths:
        name = path.name.split(".")[0]
        voice = speaker_of(path) if root is None else talker(path, root)
        entry = {**described[path], "name": f"{voice}_{name}", "talker": voice}
        made[str(path)] = entry
    return made
