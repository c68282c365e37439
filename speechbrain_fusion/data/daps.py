"""DAPS as it is published: each speaker reads each script, heard in many versions.

    <data_folder>/[daps/]<version>/<speaker>_<script>_<version>.wav

20 speakers (f1 to f10, m1 to m10) and 5 scripts of some minutes, 44.1 kHz, all versions
aligned in time with `clean`. Which versions there are is for the folders to say; what
macOS leaves (``._*``), ``sample`` and ``supplementary*`` are passed over.

Source: Mysore, "Can we automatically transform speech recorded on common consumer
devices in real-world environments into professional production quality speech?", IEEE
Signal Processing Letters 22(8), 2015.
"""

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from speechbrain.utils.logger import get_logger

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.disjoint import Utterance, natural

logger = get_logger(__name__)

CLEAN = "clean"
STUDIO = "studio"
"""The room of what was recorded by no device."""

IN_STUDIO = (CLEAN, "cleanraw", "produced")
VERSIONS = (
    *IN_STUDIO,
    *("ipad_balcony1", "ipad_bedroom1", "ipad_confroom1", "ipad_confroom2"),
    *("ipad_livingroom1", "ipad_office1", "ipad_office2"),
    *("ipadflat_confroom1", "ipadflat_office1"),
    *("iphone_balcony1", "iphone_bedroom1", "iphone_livingroom1"),
)
"""All versions of DAPS: of the studio, and by device and room."""

SPEAKERS = 20

NAME = re.compile(r"([fm]\d+)_(script\d+)_(\w+)\.wav", re.IGNORECASE)
# So many missing files are named.
NAMED = 20

Recordings = dict[Utterance, dict[str, Path]]


def find_daps(
    data_folder: Path | str, versions: Sequence[str] | None = None
) -> Recordings:
    """List DAPS's recordings by speaker and script.

    What it lacks of DAPS, speakers or versions, is logged as a warning.

    Arguments
    ---------
    data_folder : Path or str
        Laid out as this module says, or the folder above.
    versions : sequence of str, optional
        Those that are wanted beside clean; by default all that are there.

    Returns
    -------
    dict of Utterance to dict of str to Path
        For each speaker and script the file of clean and of each wanted version.

    Raises
    ------
    AudioError
        If there is no clean or not a wanted version, a file is not named as expected,
        or not every speaker has every script in every version.
    ValueError
        If a wanted version is none of DAPS's.

    Example
    -------
    >>> folder = getfixture("tmp_path") / "daps"
    >>> for version in ("clean", "ipad_office1"):
    ...     (folder / version).mkdir(parents=True)
    ...     (folder / version / f"f1_script1_{version}.wav").touch()
    >>> found = find_daps(folder.parent)
    >>> {said.speaker: [*files] for said, files in found.items()}
    {'f1': ['clean', 'ipad_office1']}
    """
    if versions is not None and not versions:
        raise ValueError("versions: expected some, or None for all, got none")
    if unknown := [x for x in versions or () if x not in VERSIONS]:
        raise ValueError(f"versions: {unknown}, expected some of {', '.join(VERSIONS)}")
    root = _root(Path(data_folder))
    there = [version for version in VERSIONS if (root / version).is_dir()]
    wanted = there if versions is None else [x for x in VERSIONS if x in versions]
    if missing := [version for version in wanted if version not in there]:
        raise AudioError(f"{root}: no {', '.join(missing)}, it has {', '.join(there)}")
    found = _complete(root, list(dict.fromkeys([CLEAN, *wanted])))
    _tell(root, len({said.speaker for said in found}), len(there))
    return found


def room_of(version: str) -> str:
    """Name the room in which a version was recorded.

    Example
    -------
    >>> room_of("ipadflat_office1"), room_of("produced")
    ('office1', 'studio')
    """
    return STUDIO if version in IN_STUDIO else version.split("_", 1)[1]


def noisy_versions(found: Recordings, versions: Sequence[str] | None) -> list[str]:
    """List the versions that are noisy material: clean only if asked for, or alone.

    Example
    -------
    >>> found = {Utterance("f1", "script1"): {"clean": Path(), "produced": Path()}}
    >>> noisy_versions(found, None), noisy_versions(found, ["clean"])
    (['produced'], ['clean'])
    """
    there = [*next(iter(found.values()))]
    if versions is not None:
        return [version for version in there if version in versions]
    return [version for version in there if version != CLEAN] or [CLEAN]


def _tell(root: Path, speakers: int, versions: int) -> None:
    """Say what of DAPS is not there; the demo has more speakers and fewer versions."""
    if speakers < SPEAKERS or versions < len(VERSIONS):
        level = logging.WARNING if speakers <= SPEAKERS else logging.INFO
        there = f"{speakers} of {SPEAKERS} speakers, {versions} of {len(VERSIONS)}"
        logger.log(level, f"{root}: {there} versions")


def _root(folder: Path) -> Path:
    """Find the folder of clean, here or one below."""
    if not folder.is_dir():
        raise AudioError(f"{folder}: no such folder, expected DAPS")
    for root in (folder, *sorted(x for x in folder.iterdir() if x.is_dir())):
        if (root / CLEAN).is_dir():
            return root
    raise AudioError(f"{folder}: no folder {CLEAN}, expected DAPS's versions")


def _complete(root: Path, versions: Sequence[str]) -> Recordings:
    """List the files of every speaker, script and version, or what is missing."""
    found: Recordings = {}
    problems = []
    for version in versions:
        for path in sorted((root / version).glob("[!.]*")):
            name = NAME.fullmatch(path.name)
            if name and name[3].lower() == version:
                said = Utterance(name[1].lower(), name[2].lower())
                found.setdefault(said, {})[version] = path
            elif path.suffix.lower() == ".wav":
                problems.append(
                    f"{path}: expected a name <speaker>_<script>_{version}.wav, "
                    f"as f1_script1_{version}.wav"
                )
    every = list(_grid(found))
    for version in versions:
        problems += [
            f"{root / version / '_'.join([*said, version])}.wav: missing"
            for said in every
            if version not in found.get(said, {})
        ]
    _refuse(root, problems, bool(found))
    return {
        said: {version: found[said][version] for version in versions} for said in every
    }


def _grid(found: Iterable[Utterance]) -> list[Utterance]:
    """List what each speaker would say of each script."""
    listed = [*found]
    speakers = sorted({said.speaker for said in listed}, key=natural)
    scripts = sorted({said.script for said in listed}, key=natural)
    return [Utterance(speaker, script) for speaker in speakers for script in scripts]


def _refuse(root: Path, problems: Sequence[str], any_file: bool) -> None:
    if not any_file:
        raise AudioError(f"{root / CLEAN}: no file <speaker>_<script>_{CLEAN}.wav")
    if problems:
        named = "\n  ".join(problems[:NAMED])
        more = len(problems) - NAMED
        rest = f"\n  and {more} more" if more > 0 else ""
        raise AudioError(
            f"{root}: DAPS is incomplete, {len(problems)} problems:\n  {named}{rest}"
        )
