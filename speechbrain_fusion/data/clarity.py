"""The 1st Clarity Enhancement Challenge (CEC1), as it is published.

    <data_folder>/[clarity_data/]<train|dev|eval>/scenes/S00001_mixed_CH1.wav
    <data_folder>/[clarity_data/]<train|dev|eval>/scenes/S00001_target_CH1.wav
    <data_folder>/[clarity_data/]metadata/scenes.<train|dev|eval>.json

44.1 kHz; CH1 are the front microphones of the left and right hearing aid, and the
target is the reverberant speech there. What else the challenge publishes may be there
or not: metadata may list scenes that were not downloaded.

train, dev and eval train, validate and test. Without eval, or without its targets, dev
is the test and the scenes of every tenth target talker of train validate: talkers are
disjoint either way. The interferer is heard for about 2 s before the target begins and
1 s after it ends (`pre_samples`, `post_samples`); training takes its segments between.

Source: Graetzer et al., "Clarity-2021 Challenges: Machine Learning Challenges for
Advancing Hearing Aid Processing", Interspeech 2021.
"""

from collections.abc import Mapping
from pathlib import Path

from speechbrain.utils.distributed import run_on_main
from speechbrain.utils.logger import get_logger

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.clarity_metadata import (
    KINDS,
    PARTS,
    clarity_folder,
    find_scenes,
)
from speechbrain_fusion.data.manifest import Entry, Manifest
from speechbrain_fusion.data.options import check_counts
from speechbrain_fusion.data.preparation import inspect_present, prepare_mixtures
from speechbrain_fusion.data.recordings import SPLITS
from speechbrain_fusion.data.rendered import RenderedScenes

logger = get_logger(__name__)

# In Hz: the rate at which the metadata counts samples.
PUBLISHED_RATE = 44100


def clarity_scenes(
    data_folder: Path | str,
    save_folder: Path | str,
    rate: int,
    segment: float,
    counts: Mapping[str, int | None],
    seeds: Mapping[str, int],
) -> dict[str, RenderedScenes]:
    """Prepare the challenge's scenes once and read them in training.

    Arguments
    ---------
    data_folder : Path or str
        `clarity_data` or the folder that holds it, laid out as this module says.
    save_folder : Path or str
        Where the manifests go.
    rate : int
        The wanted sample rate in Hz.
    segment : float
        Seconds of a training example; validation and test have whole scenes.
    counts : mapping of str to int or None
        Scenes of an epoch of "train", "valid" and "test"; None for all.
    seeds : mapping of str to int
        By split; whole scenes are not drawn, so that only that of "train" matters.

    Returns
    -------
    dict of str to RenderedScenes
        "train", "valid", "test".

    Raises
    ------
    AudioError
        What `prepare_clarity` refuses.
    ValueError
        What `RenderedScenes` refuses.

    Example
    -------
    >>> import json, soundfile
    >>> from speechbrain_fusion.data.clarity_metadata import MIXED, TARGET
    >>> folder = getfixture("tmp_path")
    >>> (folder / "metadata").mkdir()
    >>> def scene(number, talker):
    ...     target = {"name": f"T{talker:03d}_A0B_00001"}
    ...     places = {"pre_samples": 11025, "post_samples": 11025}
    ...     return {"scene": f"S{number:05d}", "target": target, **places}
    >>> train, dev = [scene(1, 10), scene(2, 11)], [scene(3, 12)]
    >>> for part, scenes in {"train": train, "dev": dev}.items():
    ...     (folder / part / "scenes").mkdir(parents=True)
    ...     metadata = folder / "metadata" / f"scenes.{part}.json"
    ...     _ = metadata.write_text(json.dumps(scenes))
    ...     for name in [known["scene"] for known in scenes]:
    ...         for suffix in (MIXED, TARGET):
    ...             path = folder / part / "scenes" / f"{name}{suffix}"
    ...             soundfile.write(path, [[0.1, 0.2]] * 44100, 44100)
    >>> each = {"train": None, "valid": None, "test": None}
    >>> seeds = {"train": 1, "valid": 1, "test": 1}
    >>> made = clarity_scenes(folder, folder / "save", 8000, 0.5, each, seeds)
    >>> made["train"][(1, 0)].signals["mixture"].shape
    torch.Size([2, 4000])
    """
    check_counts(counts)
    manifests = run_on_main(prepare_clarity, [data_folder, save_folder, rate])
    return RenderedScenes.by_split(manifests, rate, segment, counts, seeds)


def prepare_clarity(
    data_folder: Path | str, save_folder: Path | str, rate: int, jobs: int = -1
) -> dict[str, Path]:
    """Check all scenes and write their manifests, unless they are up to date.

    Arguments
    ---------
    data_folder : Path or str
        `clarity_data` or the folder that holds it, laid out as this module says.
    save_folder : Path or str
        Where the manifests go.
    rate : int
        Sample rate of the training in Hz: no file may have a lower one.
    jobs : int
        Threads that read, -1 for one per core.

    Returns
    -------
    dict of str to Path
        "train", "valid" and "test" to their manifests.

    Raises
    ------
    AudioError
        For a missing folder, an empty split, metadata that are missing, broken or
        without one of the scenes, or unusable files (all are listed). Nothing is
        written then.
    OSError
        If a manifest cannot be written, naming it. Those of before stay.
    """
    root, save_folder = clarity_folder(Path(data_folder)), Path(save_folder)
    splits = split_scenes({part: find_scenes(root, part) for part in PARTS})
    scenes = [entry for split in SPLITS for entry in splits[split].values()]
    paths = [Path(entry[kind]) for entry in scenes for kind in KINDS]
    return prepare_mixtures(
        splits,
        save_folder,
        paths,
        lambda: inspect_present(
            paths, rate, 2, jobs, "missing, expected beside the scene's other file"
        ),
        _complete,
        {"rate": rate},
    )


def split_scenes(parts: Mapping[str, Manifest]) -> dict[str, Manifest]:
    """Assign the parts of the corpus to splits.

    Arguments
    ---------
    parts : mapping of str to dict
        The scenes of "train", "dev" and "eval".

    Returns
    -------
    dict of str to dict
        "train", "valid" and "test".

    Raises
    ------
    AudioError
        If the scenes of "train" do not make two splits.

    Example
    -------
    >>> train = {"S1": {"talker": "T001"}, "S2": {"talker": "T002"}}
    >>> dev = {"S3": {"talker": "T003"}}
    >>> splits = split_scenes({"train": train, "dev": dev, "eval": {}})
    >>> {split: list(scenes) for split, scenes in splits.items()}
    {'train': ['S2'], 'valid': ['S1'], 'test': ['S3']}
    """
    train, dev = parts["train"], parts["dev"]
    if parts["eval"]:
        return {"train": train, "valid": dev, "test": parts["eval"]}
    key = "talker"
    if not all(key in entry for entry in train.values()):
        logger.warning("some talkers are not known: every tenth scene validates")
        key = "file"
    chosen = set(sorted({entry[key] for entry in train.values()})[::10])
    held_out = {name: e for name, e in train.items() if e[key] in chosen}
    kept = {name: e for name, e in train.items() if e[key] not in chosen}
    if not kept:
        raise AudioError(
            f"train: {len(train)} scenes by one talker, expected two talkers at least, "
            "as every tenth is kept for validation"
        )
    return {"train": kept, "valid": held_out, "test": dev}


def _complete(name: str, entry: Entry, usable: Mapping[str, Entry]) -> Entry:
    """Join a scene's metadata and its files: where the target speaks, in samples."""
    mixture, target = (usable.get(entry[kind]) for kind in KINDS)
    if mixture is None or target is None:
        return entry  # its files are refused
    size, wanted = (
        f"{file['samples']} samples at {file['rate']} Hz" for file in (target, mixture)
    )
    if size != wanted:
        raise AudioError(f"{entry['target']}: {size}, its mixture has {wanted}")
    before, after = (
        round(entry[key] * mixture["rate"] / PUBLISHED_RATE)
        for key in ("pre_samples", "post_samples")
    )
    last = mixture["samples"] - after
    if not before < last:
        raise AudioError(
            f"{entry['file']}: {wanted}, expected more than the {before} before and "
            f"{after} after the target that the metadata state"
        )
    return {**entry, **mixture, "first": before, "last": last}
