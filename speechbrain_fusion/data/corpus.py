"""From a folder of recordings to the scenes of training, validation and test."""

from collections.abc import Callable, Mapping
from pathlib import Path

from speechbrain.utils.distributed import run_on_main

from speechbrain_fusion.data.demo import write_demo_corpus
from speechbrain_fusion.data.hrir import load_responses
from speechbrain_fusion.data.options import check_counts
from speechbrain_fusion.data.recordings import NoiseSplit, prepare_recordings
from speechbrain_fusion.data.scenes import BinauralScenes


def recorded_scenes(
    data_folder: Path | str | None,
    save_folder: Path | str,
    rate: int,
    segment: float,
    counts: Mapping[str, int],
    seeds: Mapping[str, int],
    noise_split: NoiseSplit | None = None,
    hrir: str = "sphere",
    demo_folder: Path | str = "results/demo_corpus",
    responses: Callable = load_responses,
    scenes: Callable[..., BinauralScenes] = BinauralScenes,
) -> dict[str, BinauralScenes]:
    """Prepare recordings once and make binaural scenes of them.

    Arguments
    ---------
    data_folder : Path, str or None
        Laid out as `prepare_recordings` says; None for the embedded demo corpus.
    save_folder : Path or str
        Where the manifests go.
    rate : int
        Sample rate of the scenes in Hz.
    segment : float
        Their length in seconds.
    counts, seeds : mapping of str to int
        Scenes and seed of "train", "valid" and "test". Those of training are new in
        every epoch, the others always the same.
    noise_split : mapping of str to list of str, optional
        See `prepare_recordings`.
    hrir : str
        "sphere" or the name of a file in `data_folder/hrir`.
    demo_folder : Path or str
        Where the demo corpus is written if there is no data folder.
    responses : callable
        (source, rate) -> responses of the head; options are bound before.
    scenes : callable
        `BinauralScenes` with its options bound.

    Returns
    -------
    dict of str to BinauralScenes
        "train", "valid", "test".

    Raises
    ------
    AudioError
        What `prepare_recordings` and `load_responses` refuse.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> counts = {"train": 4, "valid": 2, "test": 2}
    >>> seeds = dict.fromkeys(counts, 0)
    >>> made = recorded_scenes(
    ...     None, folder, 8000, 1.0, counts, seeds, demo_folder=folder / "demo"
    ... )
    >>> {name: len(scenes) for name, scenes in made.items()}
    {'train': 4, 'valid': 2, 'test': 2}
    """
    check_counts(counts, anew=True)
    folder = demo_folder if data_folder is None else data_folder
    if data_folder is None:
        run_on_main(write_demo_corpus, [folder])
    options = {"rate": rate, "segment": segment, "noise_split": noise_split}
    manifests = run_on_main(prepare_recordings, [folder, save_folder], options)
    source = hrir if hrir == "sphere" else Path(folder) / "hrir" / hrir
    head = responses(source, rate)
    return {
        split: scenes(
            manifests[f"speech_{split}"],
            manifests[f"noise_{split}"],
            head,
            size=size,
            segment=segment,
            seed=seeds[split],
            fixed=split != "train",
        )
        for split, size in counts.items()
    }
