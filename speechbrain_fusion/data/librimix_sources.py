"""LibriMix without LibriMix: its official mixtures, rendered when they are needed.

    <librispeech>/[LibriSpeech/]dev-clean/<talker>/<chapter>/<utterance>.flac
    <wham>/[wham_noise/]<tr|cv|tt>/*.wav
    <metadata>/[metadata/]Libri2Mix/libri2mix_<train-clean-360|dev-clean|test-clean>.csv

The metadata are LibriMix's public ones: which utterances and noise make a mixture, and
with what gains. Their training part names noises that were played at another speed
(`...sp08.wav`, `...sp12.wav`); where these files are missing the originals are
resampled.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from speechbrain.utils.distributed import run_on_main
from speechbrain.utils.logger import get_logger

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.librimix_layout import (
    SUBSETS,
    folder_of,
    gain,
    mixtures_folder,
    part_of,
    read_table,
)
from speechbrain_fusion.data.librimix_rendering import (
    OVERLAP,
    RATE,
    RenderedMixtures,
)
from speechbrain_fusion.data.manifest import Entry, Manifest
from speechbrain_fusion.data.preparation import (
    inspect_at,
    prepare_mixtures,
    refuse_twice,
)

logger = get_logger(__name__)


def rendered_librimix(
    librispeech: Path | str,
    wham: Path | str,
    metadata: Path | str,
    save_folder: Path | str,
    rate: int,
    talkers: int,
    mode: str,
    segment: float | None,
    counts: Mapping[str, int | None],
    seeds: Mapping[str, int],
    train_set: str = "train-360",
    speeds: Sequence[int] = (100,),
) -> dict[str, RenderedMixtures]:
    """Check what LibriMix is made of once and render its mixtures in training.

    Arguments
    ---------
    librispeech, wham, metadata : Path or str
        Laid out as this module says.
    save_folder, rate, talkers, mode, segment, counts, seeds, train_set, speeds
        See `librimix_mixtures`.

    Returns
    -------
    dict of str to RenderedMixtures
        For each split of `counts`.

    Raises
    ------
    AudioError
        What `prepare_rendering` refuses.
    ValueError
        What `RenderedMixtures` or `mixtures_folder` refuse.
    """
    mixtures_folder("", rate, talkers, mode)
    parts = {split: part_of(split, train_set) for split in counts}
    folders = [librispeech, wham, metadata, save_folder]
    manifests = run_on_main(prepare_rendering, [*folders, rate, talkers, mode, parts])
    return RenderedMixtures.by_split(
        manifests, rate, segment, counts, seeds, speeds=speeds
    )


def prepare_rendering(
    librispeech: Path | str,
    wham: Path | str,
    metadata: Path | str,
    save_folder: Path | str,
    rate: int,
    talkers: int,
    mode: str,
    parts: Mapping[str, str],
    jobs: int = -1,
) -> dict[str, Path]:
    """Check all recordings that the metadata name and write manifests of mixtures.

    Arguments
    ---------
    librispeech, wham, metadata, save_folder, rate, talkers, mode
        See `rendered_librimix`.
    parts : mapping of str to str
        The parts of the splits.
    jobs : int
        Threads that read, -1 for one per core.

    Returns
    -------
    dict of str to Path
        The splits' manifests.

    Raises
    ------
    AudioError
        For missing or broken metadata or unusable recordings (all are listed).
        Nothing is written then.
    OSError
        If a manifest cannot be written, naming it. Those of before stay.
    """
    speech, noise = folder_of(librispeech, "LibriSpeech"), folder_of(wham, "wham_noise")
    tables = folder_of(metadata, "metadata") / f"Libri{talkers}Mix"
    splits = {
        split: _mixtures(tables, part, talkers, speech, noise, mode)
        for split, part in parts.items()
    }
    entries = [entry for mixtures in splits.values() for entry in mixtures.values()]
    sources = [Path(path) for entry in entries for path in entry["sources"]]
    noises = [Path(entry["noise"]) for entry in entries]
    _report_speed(entries)

    def inspect_files() -> dict[str, Entry | AudioError]:
        found = inspect_at(sources, RATE, jobs=jobs)
        return found | inspect_at(noises, RATE, mono=False, jobs=jobs)

    def complete(name: str, entry: Entry, usable: Mapping[str, Entry]) -> Entry:
        return _complete(name, entry, usable, rate)

    return prepare_mixtures(
        splits,
        Path(save_folder),
        [*sources, *noises],
        inspect_files,
        complete,
        {"rate": rate},
    )


def _mixtures(
    tables: Path, part: str, talkers: int, speech: Path, noise: Path, mode: str
) -> Manifest:
    """Turn a part's metadata into entries."""
    path = tables / f"{tables.name.lower()}_{SUBSETS[part]}.csv"
    if not path.is_file():
        raise AudioError(f"{path}: missing, expected a table of LibriMix's metadata")
    sources = [f"source_{place}" for place in range(1, talkers + 1)]
    columns = [f"{each}_{kind}" for each in sources for kind in ("path", "gain")]
    rows = read_table(path, [*columns, "noise_path", "noise_gain"])
    return {
        row["mixture_ID"]: {
            "sources": [str(speech / row[f"{each}_path"]) for each in sources],
            "gains": [gain(row, f"{each}_gain", path) for each in sources],
            **_noise(noise, row["noise_path"]),
            "noise_gain": gain(row, "noise_gain", path),
            "talkers": [_talker(row[f"{each}_path"], path) for each in sources],
            "mode": mode,
        }
        for row in rows
    }


def _talker(utterance: str, table: Path) -> str:
    """Name the talker of <subset>/<talker>/<chapter>/<utterance>."""
    parts = Path(utterance).parts
    if len(parts) < 3:
        raise AudioError(
            f"{table}: {utterance}: expected <subset>/<talker>/<chapter>/<utterance>"
        )
    return parts[1]


def _noise(folder: Path, name: str) -> Entry:
    """Find a noise or, where it is missing, the original and its speed in percent."""
    path = folder / name
    augmented = re.fullmatch(r"(.+)sp(08|12)\.wav", name)
    if augmented and not path.exists():
        original = folder / f"{augmented[1]}.wav"
        return {"noise": str(original), "speed": int(augmented[2]) * 10}
    return {"noise": str(path), "speed": 100}


def _report_speed(entries: list[Entry]) -> None:
    """Say how many noises are not the generator's to the last bit."""
    count = sum(entry["speed"] != 100 for entry in entries)
    if count:
        logger.warning(
            f"{count} of {len(entries)} mixtures have a noise at another speed whose "
            "file is missing: made from the original, off the published one by -30 dB "
            "of the noise or less, at 8 kHz by -56 dB or less"
        )


def _complete(name: str, entry: Entry, usable: Mapping[str, Entry], rate: int) -> Entry:
    """Add a mixture's length."""
    refuse_twice(entry["talkers"], name)
    sizes = [usable[path]["samples"] for path in entry["sources"] if path in usable]
    noise = usable.get(entry["noise"])
    if len(sizes) < len(entry["sources"]) or noise is None:
        return entry  # its files are refused
    available = noise["samples"] * 100 // entry["speed"]
    if available <= min(max(sizes) - 1, OVERLAP):
        raise AudioError(
            f"{entry['noise']}: {noise['samples']} samples, too short to be extended "
            f"to the {max(sizes)} of its mixture"
        )
    wanted = min(sizes) if entry["mode"] == "min" else max(sizes)
    return {**entry, "samples": math.ceil(wanted * rate / RATE)}
