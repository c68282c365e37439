"""Unpaired clean speech and noisy mixtures, from whichever form of them is at hand."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from speechbrain.utils.distributed import run_on_main
from torch.utils.data import Dataset

from speechbrain_fusion.data.clean_speech import CleanSpeech
from speechbrain_fusion.data.demo_daps import write_demo_daps
from speechbrain_fusion.data.disjoint import SIDES
from speechbrain_fusion.data.folders import Folder
from speechbrain_fusion.data.noisex import RATE as MAT_RATE
from speechbrain_fusion.data.options import (
    check_counts,
    check_noise_folder,
    chosen_corpus,
)
from speechbrain_fusion.data.recordings import NoiseSplit
from speechbrain_fusion.data.rooms import simulate_rooms
from speechbrain_fusion.data.unpaired import NoisySpeech
from speechbrain_fusion.data.unpaired_preparation import prepare_unpaired

CLEAN = ("clean_train", "clean_valid")


def unpaired_speech(
    data_folder: Folder,
    noise_folder: Folder,
    save_folder: Path | str,
    rate: int,
    segment: float,
    counts: Mapping[str, int | None],
    seeds: Mapping[str, int],
    recordings: Folder = None,
    rooms_folder: Folder = None,
    simulated_rooms: int = 0,
    versions: Sequence[str] | None = None,
    disjoint: Collection[str] = ("speaker", "noise", "room"),
    shares: Mapping[str, float] | None = None,
    utterances: Mapping[str, int] | None = None,
    noise_split: NoiseSplit | None = None,
    window: int | Sequence[int] = 1024,
    test_segment: float = 4.0,
    mat_rate: int = MAT_RATE,
    paired: bool = False,
    mixtures: Callable[..., NoisySpeech] = NoisySpeech,
    demo_folder: Path | str = "results/demo_daps",
) -> dict[str, Dataset]:
    """Prepare clean speech, noisy speech, noises and rooms once, and mix in training.

    Clean training speech ("clean_train") and the mixtures ("train") have no utterance
    in common, and what is `disjoint` neither. "valid" has mixtures of half of the
    validation set, and clean clips of the other half ("clean_valid"), of the same
    speakers. "test" has the target.

    Arguments
    ---------
    data_folder : Path, str or None
        DAPS (`find_daps`).
    noise_folder : Path, str or None
        NOISEX-92, or any noises (`find_noisex`).
    save_folder : Path or str
        Where the manifests go, and what is made of ``.mat`` files.
    rate : int
        Sample rate in Hz.
    segment : float
        Seconds of a clip.
    counts : mapping of str to int or None
        Items of an epoch of "clean_train", "clean_valid", "train", "valid" and "test";
        None for each recording once or, of mixtures that do not train, at each SNR.
    seeds : mapping of str to int
        By the same names.
    recordings : Path, str or None
        In place of DAPS, own talkers: ``speech/<train|valid|test>/<talker>/*`` and,
        without a noise folder, ``noise``. The talkers of train are clean and noisy
        speech in turn. Without any folder the demo corpus is laid out like DAPS.
    rooms_folder : Path, str or None
        Impulse responses (`inspect_rooms`), for speech that was recorded in no room.
    simulated_rooms : int
        In place of a folder, so many rooms by pyroomacoustics.
    versions : sequence of str, optional
        See `find_daps` and `noisy_versions`.
    disjoint : collection of str
        Of "speaker", "script", "noise", "room" and "response": what must not be in two
        sets. Room is where speech was recorded, and implies response, the room of an
        impulse response. Own talkers always are disjoint, and have no scripts.
    shares, utterances
        See `split_utterances` and, for the numbers to take of what there is,
        `cap_utterances`.
    noise_split : mapping of str to list of str, optional
        See `find_noisex`.
    window : int or sequence of int
        Samples of the window with which clips are analysed; the largest counts.
    test_segment : float
        Seconds of a test mixture at most.
    mat_rate : int
        Sample rate of noises in ``.mat`` files, which say none, in Hz.
    paired : bool
        Whether "train" and "valid" have the target, too, for supervised training.
    mixtures : callable
        `NoisySpeech` with its options bound.
    demo_folder : Path or str
        Where the demo is written.

    Returns
    -------
    dict of str to Dataset
        For each name in `counts`.

    Raises
    ------
    AudioError
        For missing or unusable files (all are listed), sets that cannot be as disjoint
        as they must, or a noise that is too short.
    ImportError
        If rooms are to be simulated without pyroomacoustics.
    ValueError
        For options that do not go together, or a clip shorter than the window.

    Example
    -------
    >>> from speechbrain_fusion.data import write_demo_corpus
    >>> folder = getfixture("tmp_path")
    >>> corpus = write_demo_corpus(folder / "demo")
    >>> options = {"rate": 16000, "segment": 2.0, "disjoint": ["speaker"]}
    >>> options |= {"counts": {"clean_train": 10, "train": None}}
    >>> options |= {"seeds": {"clean_train": 0, "train": 0}, "recordings": corpus}
    >>> sets = unpaired_speech(None, None, folder / "save", **options)
    >>> {name: len(items) for name, items in sets.items()}
    {'clean_train': 10, 'train': 40}
    """
    corpus = chosen_corpus(data_folder=data_folder, recordings=recordings)
    check_noise_folder(noise_folder, corpus)
    _check_names(counts, seeds)
    check_counts(counts)
    largest = window if isinstance(window, int) else max(window)
    _check_window(rate, largest, segment=segment, test_segment=test_segment)
    if simulated_rooms:
        rooms_folder = _simulated(
            rooms_folder, Path(save_folder, "rooms"), simulated_rooms, rate, segment
        )
    if corpus is None:
        data_folder = run_on_main(write_demo_daps, [demo_folder])
        noise_folder = Path(demo_folder, "noise")
        rooms_folder = rooms_folder or Path(demo_folder, "rooms")
    manifests = run_on_main(
        prepare_unpaired,
        [data_folder, noise_folder, recordings, rooms_folder, save_folder],
        {
            **{"rate": rate, "segment": segment, "window": largest},
            **{"versions": versions, "disjoint": disjoint, "shares": shares or None},
            **{"utterances": utterances, "noise_split": noise_split},
            "mat_rate": mat_rate,
        },
    )
    return {
        name: CleanSpeech(
            manifests[name], rate, size, segment, seeds[name], name == "clean_valid"
        )
        if name in CLEAN
        else mixtures(
            manifests[f"speech_{name}"],
            manifests[f"noise_{name}"],
            rate,
            clean=manifests.get(f"clean_{name}"),
            rooms=manifests.get(f"rooms_{name}"),
            size=size,
            seed=seeds[name],
            **_how(name, segment, test_segment, paired),
        )
        for name, size in counts.items()
    }


def _simulated(
    given: Folder, folder: Path, count: int, rate: int, longest: float
) -> Path:
    if given is not None:
        raise ValueError("expected one of rooms_folder and simulated_rooms")
    options = {"rate": rate, "longest": longest}
    return run_on_main(simulate_rooms, [folder, count], options)


def _check_names(counts: Mapping[str, object], seeds: Mapping[str, object]) -> None:
    names = {*CLEAN, *SIDES}
    if not {*counts} <= names or not {*counts} <= {*seeds}:
        raise ValueError(
            f"counts, seeds: expected keys of {sorted(names)}, got {[*counts]} "
            f"and {[*seeds]}"
        )


def _check_window(rate: int, window: int, **seconds: float) -> None:
    for name, value in seconds.items():
        if not value * rate >= window:
            raise ValueError(
                f"{name}: expected at least the largest window, {window} samples, "
                f"got {value} s, {value * rate:g} samples"
            )


def _how(
    name: str, segment: float, test_segment: float, paired: bool
) -> dict[str, Any]:
    """Say how a set's mixtures are taken."""
    if name == "test":
        whole = {"segment": None, "span": test_segment}
        return {**whole, "paired": True, "fixed": True}
    return {"segment": segment, "paired": paired, "fixed": name == "valid"}
