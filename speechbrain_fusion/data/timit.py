"""TIMIT as it is published: dialect regions, speakers, sentences.

    <data_folder>/[TIMIT/]<TRAIN|TEST>/DR<1-8>/<speaker>/<sentence>.WAV

Names in upper or lower case, files NIST SPHERE or RIFF (of two copies of a sentence,
`SX7.WAV` and `SX7.WAV.wav`, one is taken). Sentences SX and SI; SA, which all speakers
read, are left out. Training: the speakers of TRAIN. Test: the core test set, 24
speakers of TEST. Validation: the others of TEST, whose voices are in neither.

Source: Garofolo et al., "DARPA TIMIT Acoustic-Phonetic Continuous Speech Corpus",
LDC93S1, 1993; the core test set is that of its documentation.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.inspection import refuse_empty

CORE_TEST = (
    *("FELC0", "MDAB0", "MWBT0", "FPAS0", "MTAS1", "MWEW0", "FPKT0", "MJMP0"),
    *("MLNT0", "FJLM0", "MLLL0", "MTLS0", "FNLP0", "MBPM0", "MKLT0", "FMGD0"),
    *("MCMJ0", "MJDH0", "FDHC0", "MGRT0", "MNJM0", "FMLD0", "MJLN0", "MPAM0"),
)
"""Speakers of the core test set, three of each dialect region."""

SENTENCES = ("SX", "SI")
REGIONS = tuple(f"DR{number}" for number in range(1, 9))


def find_timit(
    data_folder: Path | str,
    test_speakers: Sequence[str] = CORE_TEST,
    sentences: Sequence[str] = SENTENCES,
) -> dict[str, list[Path]]:
    """List TIMIT's sentences by split.

    Arguments
    ---------
    data_folder : Path or str
        Laid out as this module says, or the folder above.
    test_speakers : sequence of str
        Those of TEST that test; the others validate.
    sentences : sequence of str
        First letters of the sentences to be taken.

    Returns
    -------
    dict of str to list of Path
        "train", "valid" and "test".

    Raises
    ------
    AudioError
        If this is no TIMIT, or a test speaker or a whole split is missing.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> for place in ("train/dr1/mcpm0", "test/dr1/felc0", "test/dr2/fcmr0"):
    ...     (folder / place).mkdir(parents=True)
    ...     for sentence in ("sa1", "sx7"):
    ...         (folder / place / f"{sentence}.wav").touch()
    >>> splits = find_timit(folder, test_speakers=["FELC0"])
    >>> {split: [speaker_of(path) for path in paths] for split, paths in splits.items()}
    {'train': ['MCPM0'], 'valid': ['FCMR0'], 'test': ['FELC0']}
    """
    folder = Path(data_folder)
    parts = _parts(folder)
    tested = {name.upper() for name in test_speakers}
    found = {part: _sentences(parts[part], sentences) for part in parts}
    missing = sorted(tested - {speaker_of(path) for path in found["TEST"]})
    if missing:
        raise AudioError(
            f"{parts['TEST']}: no sentence of test speakers {', '.join(missing)}"
        )
    trained = {speaker_of(path) for path in found["TRAIN"]}
    if both := sorted(trained & {speaker_of(path) for path in found["TEST"]}):
        raise AudioError(f"{folder}: in TRAIN and in TEST: {', '.join(both)}")
    splits = {
        "train": found["TRAIN"],
        "valid": [path for path in found["TEST"] if speaker_of(path) not in tested],
        "test": [path for path in found["TEST"] if speaker_of(path) in tested],
    }
    first = " or ".join(f"{each}*" for each in sentences)
    refuse_empty(splits, folder, f"sentence {first}")
    return splits


def speaker_of(path: Path) -> str:
    """Name the speaker of a sentence, in upper case.

    Example
    -------
    >>> speaker_of(Path("timit/train/dr1/mcpm0/sx7.wav"))
    'MCPM0'
    """
    return path.parent.name.upper()


def _parts(folder: Path) -> dict[str, Path]:
    """Find TRAIN and TEST, here or one folder below."""
    if not folder.is_dir():
        raise AudioError(f"{folder}: no such folder, expected TIMIT")
    for root in (folder, *sorted(x for x in folder.iterdir() if x.is_dir())):
        parts = {x.name.upper(): x for x in root.iterdir() if x.is_dir()}
        if {"TRAIN", "TEST"} <= set(parts):
            return {part: parts[part] for part in ("TRAIN", "TEST")}
    raise AudioError(f"{folder}: no TRAIN and TEST, expected TIMIT's folders")


def _sentences(part: Path, sentences: Sequence[str]) -> list[Path]:
    """List a part's sentences, each once."""
    wanted = tuple(each.upper() for each in sentences)
    regions = [x for x in part.iterdir() if x.is_dir() and x.name.upper() in REGIONS]
    if not regions:
        raise AudioError(f"{part}: no dialect region, expected {', '.join(REGIONS)}")
    paths = [
        path
        for region in sorted(regions)
        for speaker in sorted(x for x in region.iterdir() if x.is_dir())
        for path in _each_once(speaker.iterdir())
        if path.name.upper().startswith(wanted)
    ]
    if not paths:
        raise AudioError(f"{part}: no sentence, expected DR*/<speaker>/*.WAV")
    return paths


def _each_once(paths: Iterable[Path]) -> list[Path]:
    """Take one file of each sentence: a copy in RIFF, if there is one, is the last."""
    wavs = sorted(x for x in paths if x.suffix.upper() == ".WAV")
    return list({path.name.split(".")[0].upper(): path for path in wavs}.values())
