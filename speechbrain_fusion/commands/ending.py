"""How a command ends: exit codes, and one line on stderr for every error."""

import argparse
import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn, TextIO

from speechbrain_fusion.messages import unwrapped

PROGRAM = "speechbrain-fusion"
DONE, FAILED, USAGE, BUG, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 70, 130, 141
EXIT_CODES = """exit codes:
  0    all done
  1    some of it failed: one line on stderr for each input and why
  2    nothing was done: the arguments, the model or the device cannot be used
  70   an error of the program itself: please report it with what --debug prints
  129  hung up (SIGHUP)
  130  interrupted (Ctrl-C)
  141  the reader of the output went away
  143  ended (SIGTERM)"""


class UsageError(ValueError):
    """Arguments that cannot be used, found before any work was done."""


def tell(text: str, file: TextIO | None = None) -> None:
    r"""Print a line, whatever characters the terminal lacks.

    Arguments
    ---------
    text : str
        May hold a file name's bytes that are no valid text.
    file : TextIO, optional
        sys.stdout by default.

    Example
    -------
    >>> tell("a name of other bytes: \udcff")
    a name of other bytes: \udcff
    """
    file = file or sys.stdout
    encoding = getattr(file, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=file)


def shows_progress(options: argparse.Namespace) -> bool:
    """Say whether there is someone to show a progress bar to."""
    return not options.quiet and sys.stderr.isatty()


def tell_error(reason: object) -> None:
    """Print an error in one line on stderr."""
    _tell_aside(f"{PROGRAM}: error: {one_line(reason)}")


def tell_warning(reason: object) -> None:
    """Print in one line on stderr what does not stop anything."""
    _tell_aside(f"{PROGRAM}: warning: {one_line(reason)}")


def _tell_aside(text: str) -> None:
    # closed it is None, and stdout may be sound
    if sys.stderr is not None:
        tell(text, sys.stderr)


def one_line(reason: object) -> str:
    r"""Put a message into one line, whatever a file's name in it does to a terminal.

    Example
    -------
    >>> one_line("a\nb\x1b[2J.wav: empty")
    'a b\\x1b[2J.wav: empty'
    """
    return printable(unwrapped(reason) or type(reason).__name__)


def printable(line: str) -> str:
    r"""Write out what a terminal would act on.

    Example
    -------
    >>> printable("\x1b[2J größer")
    '\\x1b[2J größer'
    """
    return "".join(x if x.isprintable() else ascii(x)[1:-1] for x in line)


def tell_failures(failures: Iterable[str]) -> int:
    """Print a line for everything that failed; return the exit code."""
    failures = list(failures)
    for failure in failures:
        tell_error(failure)
    return FAILED if failures else DONE


def finish(
    run: Callable[[argparse.Namespace], int], options: argparse.Namespace
) -> int:
    """Run a command; turn whatever stops it into a line and an exit code.

    Arguments
    ---------
    run : callable
        The command; returns its exit code.
    options : argparse.Namespace
        Its arguments; `debug` lets tracebacks be printed.

    Returns
    -------
    int
        The exit code.

    Example
    -------
    >>> finish(lambda options: 0, argparse.Namespace(debug=False))
    0
    """
    try:
        code = run(options)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _close_stdout()
        return BROKEN_PIPE
    except Exception as error:
        if options.debug:
            traceback.print_exc()
        if isinstance(error, OSError):
            _close_stdout()
        return _explain(error)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a command as an error does, with nothing half-written.

    Who ignores them, as nohup does, or handles them otherwise is left alone.

    Example
    -------
    >>> with ended_by_signals():
    ...     os.kill(os.getpid(), signal.SIGTERM)
    Traceback (most recent call last):
    ...
    SystemExit: 143
    """
    own = threading.current_thread() is threading.main_thread()
    numbers = [signal.SIGTERM, signal.SIGHUP] if own else []
    handled = [x for x in numbers if signal.getsignal(x) is signal.SIG_DFL]
    for number in handled:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def _explain(error: Exception) -> int:
    if isinstance(error, UsageError):
        tell_error(error)
        return USAGE
    if isinstance(error, OSError) and error.strerror:
        named = error.filename is not None
        tell_error(f"{error.filename}: {error.strerror}" if named else error.strerror)
        return FAILED
    if isinstance(error, ValueError | OSError | ImportError):
        tell_error(error)
        return FAILED
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        tell_error(f"out of memory ({error})")
        return FAILED
    tell_error(f"{type(error).__name__}: {error} (see --debug; please report it)")
    return BUG


def _close_stdout() -> None:
    """Leave nothing in stdout that Python could not write at its end, if it fails."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError):  # stdout is no file in tests
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
