"""What the 1st Clarity Enhancement Challenge says of its scenes, and where they are.

See `speechbrain_fusion.data.clarity` for the layout.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.manifest import Entry, Manifest

PARTS = ("train", "dev", "eval")
MIXED, TARGET = "_mixed_CH1.wav", "_target_CH1.wav"
# What an entry calls its two files.
KINDS = ("file", "target")


def clarity_folder(folder: Path) -> Path:
    """Find `clarity_data`: the folder itself or one in it.

    Raises
    ------
    AudioError
        If neither has metadata, naming what was expected.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> (folder / "clarity_data" / "metadata").mkdir(parents=True)
    >>> clarity_folder(folder).name
    'clarity_data'
    """
    for root in (folder, folder / "clarity_data"):
        if (root / "metadata").is_dir():
            return root
    raise AudioError(
        f"{folder}: not the Clarity challenge's data, expected train/scenes, "
        "dev/scenes and metadata/ there or in clarity_data/"
    )


def find_scenes(root: Path, part: str) -> Manifest:
    """List the scenes of a part of the corpus, with what the metadata say of them.

    Arguments
    ---------
    root : Path
        `clarity_data`.
    part : str
        "train", "dev" or "eval".

    Returns
    -------
    dict of str to dict
        By scene: file and target, pre_samples and post_samples and, where known,
        talker, noise, interferer and snr in dB. Empty for an "eval" without targets.

    Raises
    ------
    AudioError
        If there is no scene, or not an entry for each.

    Example
    -------
    >>> find_scenes(getfixture("tmp_path"), "eval")
    {}
    """
    folder, path = root / part / "scenes", root / "metadata" / f"scenes.{part}.json"
    mixed, targets = (_names(folder, suffix) for suffix in (MIXED, TARGET))
    if part == "eval" and not targets:
        return {}
    names = sorted(mixed | targets)
    if not names:
        raise AudioError(f"{folder}: no scene, expected S*{MIXED} and S*{TARGET}")
    known = read_metadata(path)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise AudioError(
            f"{path}: no entry for {', '.join(unknown)}, expected one for each scene "
            f"in {folder}"
        )
    return {name: _described(known[name], folder) for name in names}


def _names(folder: Path, suffix: str) -> set[str]:
    """Name the scenes that have a file of a kind."""
    return {path.name.removesuffix(suffix) for path in folder.glob(f"S*{suffix}")}


def read_metadata(path: Path) -> dict[str, dict[str, Any]]:
    """Read the challenge's list of scenes.

    Raises
    ------
    AudioError
        If it is missing, is no JSON or holds something else, naming it.

    Example
    -------
    >>> path = getfixture("tmp_path") / "scenes.dev.json"
    >>> scene = {"scene": "S06001", "pre_samples": 88200, "post_samples": 44100}
    >>> _ = path.write_text(json.dumps([scene]))
    >>> read_metadata(path)["S06001"]["pre_samples"]
    88200
    """
    try:
        scenes = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AudioError(
            f"{path}: not readable ({error}), expected the challenge's list of scenes"
        ) from error
    if not isinstance(scenes, list):
        raise AudioError(f"{path}: expected a list of scenes")
    for place, scene in enumerate(scenes):
        if not _is_scene(scene):
            raise AudioError(
                f"{path}: entry {place}: expected an object with a name `scene` and "
                f"numbers `pre_samples` and `post_samples`, got {str(scene)[:200]}"
            )
    return {scene["scene"]: scene for scene in scenes}


def _is_scene(scene: Any) -> bool:
    """Whether an entry of the metadata says what is needed of a scene."""
    return (
        isinstance(scene, dict)
        and isinstance(scene.get("scene"), str)
        and all(
            isinstance(scene.get(key), int) and scene[key] >= 0
            for key in ("pre_samples", "post_samples")
        )
    )


def _described(scene: Mapping[str, Any], folder: Path) -> Entry:
    """Turn a scene's metadata into an entry, without what they do not say."""
    target, interferer = (
        scene[key] if isinstance(scene.get(key), dict) else {}
        for key in ("target", "interferer")
    )
    talker = re.match(r"T\d+(?=_)", str(target.get("name")))
    appliance = re.match(r"CIN_(.+)_\d+", str(interferer.get("name")))
    known = {
        "talker": talker and talker[0],
        # noises by what makes them: CIN_fan_014, ...
        "noise": appliance[1] if appliance else interferer.get("type"),
        "interferer": interferer.get("name"),
        "snr": scene.get("SNR"),
    }
    return {
        "file": str(folder / f"{scene['scene']}{MIXED}"),
        "target": str(folder / f"{scene['scene']}{TARGET}"),
        "pre_samples": scene["pre_samples"],
        "post_samples": scene["post_samples"],
        **{key: value for key, value in known.items() if value is not None},
    }
