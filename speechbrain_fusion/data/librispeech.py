"""LibriSpeech and WHAM's noises, as they are published, made ready to be mixed.

    <librispeech>/[LibriSpeech/]<train-clean-360|...>/<talker>/<chapter>/*.flac
    <wham>/[wham_noise/]<tr|cv|tt>/*.wav

LibriMix's parts train, validate and test: train-clean-360 with tr, dev-clean with cv,
test-clean with tt. Of noises with two channels the first is taken.

Source: Panayotov et al., "LibriSpeech: an ASR corpus based on public domain audio
books", ICASSP 2015; Wichern et al., "WHAM!: Extending Speech Separation to Noisy
Environments", Interspeech 2019.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from speechbrain.utils.distributed import run_on_main

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.dynamic_mixing import DynamicMixtures
from speechbrain_fusion.data.inspection import (
    audio_files,
    refuse_empty,
    refuse_unusable,
)
from speechbrain_fusion.data.librimix_layout import SUBSETS, folder_of, part_of
from speechbrain_fusion.data.manifest import Manifest, keep_manifests
from speechbrain_fusion.data.preparation import inspect_at
from speechbrain_fusion.data.recordings import NoiseSplit, prepare_recordings, talker

NOISE = {"train": "tr", "valid": "cv", "test": "tt"}
# LibriMix's choice
SPEECH = {split: (SUBSETS[part_of(split)],) for split in NOISE}
RATE = 16000
# What evaluates: always the same mixtures, nobody at another speed.
FIXED = {"fixed": True, "speeds": (100,)}
# Of what an entry holds: manifests of another version are built again.
VERSION = 2


def dynamic_librispeech(
    librispeech: Path | str,
    wham: Path | str,
    save_folder: Path | str,
    rate: int,
    segment: float | None,
    counts: Mapping[str, int],
    seeds: Mapping[str, int],
    subsets: Mapping[str, Sequence[str]] = SPEECH,
    shortest: float = 3.0,
    mixtures: Callable[..., DynamicMixtures] = DynamicMixtures,
) -> dict[str, DynamicMixtures]:
    """Prepare LibriSpeech and WHAM's noises once and mix them in training.

    Arguments
    ---------
    librispeech, wham : Path or str
        Laid out as this module says.
    save_folder : Path or str
        Where the manifests go.
    rate : int
        Sample rate of the mixtures in Hz, 16000 at most.
    segment : float or None
        Seconds of a training example; validation and test mix whole recordings.
    counts, seeds : mapping of str to int
        Mixtures and seed of "train", "valid" and "test". Those of training are new in
        every epoch, the others always the same. Splits not named are not needed.
    subsets : mapping of str to sequence of str
        LibriSpeech's parts of each split.
    shortest : float
        Seconds; shorter recordings are passed over, as in LibriMix.
    mixtures : callable
        `DynamicMixtures` with its options bound.

    Returns
    -------
    dict of str to DynamicMixtures
        For each split of `counts`.

    Raises
    ------
    AudioError
        What `prepare_librispeech` refuses.
    ValueError
        What `DynamicMixtures` refuses.
    """
    chosen = {split: [*subsets[split]] for split in counts}
    arguments = [librispeech, wham, save_folder, chosen, shortest]
    manifests = run_on_main(prepare_librispeech, arguments)
    return _mixtures(manifests, rate, segment, counts, seeds, mixtures)


def dynamic_recordings(
    data_folder: Path | str,
    save_folder: Path | str,
    rate: int,
    segment: float | None,
    counts: Mapping[str, int],
    seeds: Mapping[str, int],
    mixtures: Callable[..., DynamicMixtures] = DynamicMixtures,
    noise_split: NoiseSplit | None = None,
) -> dict[str, DynamicMixtures]:
    """Prepare a folder of one's own recordings once and mix them in training.

    Takes `dynamic_librispeech`'s arguments, but a folder laid out as
    `prepare_recordings` says, and which noises validate and test, by name.

    Raises
    ------
    AudioError
        What `prepare_recordings` refuses.
    ValueError
        What `DynamicMixtures` refuses.
    """
    shortest = segment or 1 / rate
    manifests = run_on_main(
        prepare_recordings, [data_folder, save_folder, rate, shortest, noise_split]
    )
    return _mixtures(manifests, rate, segment, counts, seeds, mixtures)


def _mixtures(
    manifests: Mapping[str, Path],
    rate: int,
    segment: float | None,
    counts: Mapping[str, int],
    seeds: Mapping[str, int],
    mixtures: Callable[..., DynamicMixtures],
) -> dict[str, DynamicMixtures]:
    """Make new mixtures for training, fixed and whole ones to evaluate."""
    return {
        split: mixtures(
            manifests[f"speech_{split}"],
            manifests[f"noise_{split}"],
            rate,
            size=size,
            seed=seeds[split],
            **({"segment": segment} if split == "train" else FIXED),
        )
        for split, size in counts.items()
    }


def prepare_librispeech(
    librispeech: Path | str,
    wham: Path | str,
    save_folder: Path | str,
    subsets: Mapping[str, Sequence[str]] = SPEECH,
    shortest: float = 3.0,
    jobs: int = -1,
) -> dict[str, Path]:
    """Check all recordings and write their manifests, unless they are up to date.

    Arguments
    ---------
    librispeech, wham, save_folder, subsets, shortest
        See `dynamic_librispeech`.
    jobs : int
        Threads that read, -1 for one per core.

    Returns
    -------
    dict of str to Path
        "speech_train", "noise_train", ... to their manifests.

    Raises
    ------
    AudioError
        For a missing folder, an empty split or unusable files (all are listed).
        Nothing is written then.
    OSError
        If a manifest cannot be written, naming it. Those of before stay.
    """
    speech, noise = folder_of(librispeech, "LibriSpeech"), folder_of(wham, "wham_noise")
    files: dict[str, list[Path]] = {}
    for split, parts in subsets.items():
        found = [audio_files(speech / part) for part in parts]
        files[f"speech_{split}"] = [path for paths in found for path in paths]
        files[f"noise_{split}"] = audio_files(noise / NOISE[split])
    paths = [path for group in files.values() for path in group]
    options = {"version": VERSION, "files": files, "shortest": shortest}
    return keep_manifests(
        Path(save_folder, "librispeech.json"),
        files,
        paths,
        options,
        lambda: _described(files, speech, noise, shortest, jobs),
    )


def _described(
    files: Mapping[str, list[Path]],
    speech: Path,
    noise: Path,
    shortest: float,
    jobs: int,
) -> dict[str, Manifest]:
    """Describe all files, or list those that are unusable."""
    found = {
        path: entry
        for name, paths in files.items()
        for path, entry in inspect_at(
            paths, RATE, mono=name.startswith("speech"), jobs=jobs
        ).items()
    }
    refuse_unusable(entry for entry in found.values() if isinstance(entry, AudioError))
    usable = {k: v for k, v in found.items() if not isinstance(v, AudioError)}
    contents: dict[str, Manifest] = {name: {} for name in files}
    for name, paths in files.items():
        for path in paths:
            entry = {**usable[str(path)], "name": path.stem}
            if name.startswith("noise"):
                contents[name][str(path)] = entry
            elif entry["seconds"] >= shortest:
                contents[name][str(path)] = {**entry, "talker": talker(path, speech)}
    for kind, folder in (("speech", speech), ("noise", noise)):
        own = {name: x for name, x in contents.items() if name.startswith(kind)}
        refuse_empty(own, folder, "recording")
    return contents
