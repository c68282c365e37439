"""The command line as a user has it: arguments and stdin in, code and output back."""

import contextlib
import io
from typing import NamedTuple
from unittest import mock

from speechbrain_fusion.cli import main


class Ran(NamedTuple):
    """How a command ended: its exit code, and what it wrote."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def errors(self) -> list[str]:
        """The lines that are errors, without what all of them begin with."""
        begin = "speechbrain-fusion: error: "
        lines = self.err.splitlines()
        return [line.removeprefix(begin) for line in lines if line.startswith(begin)]


def run(*arguments: object, stdin: bytes = b"", out: io.RawIOBase | None = None) -> Ran:
    """Run a command in this process."""
    written = out or io.BytesIO()
    stdout = io.TextIOWrapper(written)
    # as Python opens it
    stderr = io.TextIOWrapper(io.BytesIO(), errors="backslashreplace")
    source = io.TextIOWrapper(io.BytesIO(stdin))
    with (
        mock.patch("sys.stdin", source),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        try:
            code = main([str(each) for each in arguments])
        except SystemExit as stop:
            code = stop.code
        stderr.flush()
        said = stderr.buffer.getvalue().decode()
        if out is not None:
            stdout.detach()
            return Ran(code, b"", said)
        stdout.flush()
        return Ran(code, written.getvalue(), said)
