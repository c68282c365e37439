"""Empty files of recordings."""

from pathlib import Path


def touched(folder: Path, *names: str) -> list[Path]:
    """Make empty files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [folder / name for name in names]
