"""What a distribution needs, without its extras, linked into another environment."""

from collections.abc import Collection, Iterable
from importlib import metadata
from pathlib import Path, PurePath

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def needed(requirements: Iterable[str]) -> set[str]:
    """Name the distributions that are asked for, and those that they ask for."""
    # each with the extra of it that is asked for
    found: set[tuple[str, str]] = set()

    def ask(lines: Iterable[str], extra: str) -> None:
        for line in lines:
            wanted = Requirement(line)
            if wanted.marker and not wanted.marker.evaluate({"extra": extra}):
                continue
            name = canonicalize_name(wanted.name)
            for each in {(name, ""), *((name, x) for x in wanted.extras)} - found:
                found.add(each)
                ask(metadata.requires(name) or (), each[1])

    ask(requirements, "")
    return {name for name, _ in found}


def link(names: Collection[str], packages: Path) -> None:
    """Link what distributions of this environment installed into another's packages.

    A folder is linked as a whole where no other distribution has files in it: in
    namespace packages and the like, what is in it is linked one by one.
    """
    own, shared = [], {PurePath()}
    for found in metadata.distributions():
        files = [x for x in found.files or () if ".." not in x.parts]
        if canonicalize_name(found.name) in names:
            assert files, f"{found.name} does not say which files it installed"
            own.append((found, files))
        else:
            shared |= {PurePath(folder) for file in files for folder in file.parents}
    for found, files in own:
        for name in {highest(PurePath(file), shared) for file in files}:
            target = packages / name
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(str(found.locate_file(name)))


def highest(file: PurePath, shared: Collection[PurePath]) -> PurePath:
    """Return the highest folder with a file that is not shared, or else the file."""
    return next((x for x in reversed(file.parents) if x not in shared), file)
