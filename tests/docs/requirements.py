"""In place of pip install: whether what is asked for is declared, or is here.

As a script: requirements.py install REQUIREMENT ...; requirements.py tool NAME.
"""

import sys
from importlib import metadata

from packaging.requirements import Requirement

OURS = "speechbrain-fusion"


def check_requirement(text: str) -> None:
    """Refuse a requirement that is neither this package with its extras nor here."""
    wanted = Requirement(text.replace(".", OURS, 1) if text[:1] == "." else text)
    if wanted.name == OURS:
        extras = set(metadata.metadata(OURS).get_all("Provides-Extra") or ())
        if unknown := wanted.extras - extras:
            sys.exit(f"{text}: no extra {', '.join(unknown)}")
    elif not wanted.specifier.contains(metadata.version(wanted.name)):
        sys.exit(f"{text}: {metadata.version(wanted.name)} is installed")


def check_tool(name: str) -> None:
    """Refuse a tool that the extra "dev" does not name."""
    declared = [Requirement(x) for x in metadata.requires(OURS) or ()]
    if not any(x.name == name and "dev" in str(x.marker) for x in declared):
        sys.exit(f"{name}: not in the extra dev")


if __name__ == "__main__":
    kind, *names = [name for name in sys.argv[1:] if name not in ("-e", "-U")]
    for name in names:
        check_tool(name) if kind == "tool" else check_requirement(name)
