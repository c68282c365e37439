"""In place of pip install: whether what is asked for is declared, or is here.

As a script: requirements.py install REQUIREMENT ...; requirements.py tool NAME.
"""

import configparser
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

OURS = "speechbrain-fusion"


def read_extras() -> dict[str, str]:
    """Read the extras of setup.cfg, each as lines of requirements."""
    config = configparser.ConfigParser()
    config.read(Path(__file__).parents[2] / "setup.cfg", encoding="utf-8")
    return dict(config["options.extras_require"])


def check_requirement(text: str) -> None:
    """Refuse a requirement that is neither this package with its extras nor here."""
    wanted = Requirement(text.replace(".", OURS, 1) if text[:1] == "." else text)
    if wanted.name == OURS:
        if unknown := wanted.extras - read_extras().keys():
            sys.exit(f"{text}: no extra {', '.join(unknown)}")
    elif not wanted.specifier.contains(metadata.version(wanted.name)):
        sys.exit(f"{text}: {metadata.version(wanted.name)} is installed")


def check_tool(name: str) -> None:
    """Refuse a tool that the extra "dev" does not name."""
    lines = filter(None, read_extras()["dev"].splitlines())
    if name not in {Requirement(x).name for x in lines if not x.startswith("#")}:
        sys.exit(f"{name}: not in the extra dev")


if __name__ == "__main__":
    kind, *names = [name for name in sys.argv[1:] if name not in ("-e", "-U")]
    for name in names:
        check_tool(name) if kind == "tool" else check_requirement(name)
