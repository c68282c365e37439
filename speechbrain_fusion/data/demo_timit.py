"""The demo corpus laid out like TIMIT, in NIST SPHERE, with noises."""

import shutil
from pathlib import Path

import soundfile

from speechbrain_fusion.data.audio import read
from speechbrain_fusion.data.demo import demo_speech_folder, write_demo_corpus
from speechbrain_fusion.data.folders import write_folder
from speechbrain_fusion.data.recordings import SPLITS

MARKER = ".demo-timit"
# Raise it with every change of what write_demo_timit writes.
VERSION = "1"


def demo_speakers(split: str) -> list[str]:
    """Name the speakers of a split of the demo, as TIMIT would.

    Example
    -------
    >>> demo_speakers("test") == sorted(demo_speakers("test"))
    True
    """
    return sorted(x.name.upper() for x in (demo_speech_folder() / split).iterdir())


def write_demo_timit(folder: Path | str) -> Path:
    """Write the demo corpus laid out like TIMIT, with noises, unless it is there.

    Arguments
    ---------
    folder : Path or str
        Gets ``TRAIN`` and ``TEST``, in NIST SPHERE, and ``noise``. May not exist yet,
        or may be empty.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FileExistsError
        If the folder holds anything else; it is left as it is.

    Example
    -------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as scratch:
    ...     corpus = write_demo_timit(Path(scratch) / "timit")
    ...     sorted(path.name for path in corpus.iterdir() if path.is_dir())
    ['TEST', 'TRAIN', 'noise']
    """
    return write_folder(folder, MARKER, VERSION, _write_demo)


def _write_demo(folder: Path) -> None:
    corpus = write_demo_corpus(folder / "corpus")
    shutil.move(corpus / "noise", folder / "noise")
    for split in SPLITS:
        part = folder / ("TRAIN" if split == "train" else "TEST") / "DR1"
        for source in sorted((corpus / "speech" / split).glob("*/*")):
            speech, rate = read(source)
            speaker = part / source.parent.name.upper()
            speaker.mkdir(parents=True, exist_ok=True)
            number = len([*speaker.iterdir()]) + 1
            soundfile.write(
                speaker / f"SX{number}.WAV", speech[0], rate, "PCM_16", format="NIST"
            )
    shutil.rmtree(corpus)
