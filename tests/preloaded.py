"""A Python that has imported what commands need, and forks for each of them.

Most of a short command's time is its imports. `programs` begins a server and writes
programs `python`, `torchrun` and `speechbrain-fusion` that let it do their work: the
scripts run as they would, in a process, folder and environment of their own.

As a script, preloaded.py HANDLE: the server, which ends when its input does.
"""

import array
import atexit
import functools
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import types
from pathlib import Path

PROGRAM = """\
#!/bin/sh
"exec" "{python}" "-ES" "$0" "$@"
import sys
sys.path.insert(0, {here!r})
import preloaded
sys.exit(preloaded.ask({socket!r}, {python!r}, {arguments} + sys.argv[1:]))
"""
PROGRAMS = {
    "python": "[]",
    "torchrun": '["-m", "torch.distributed.run"]',
    "speechbrain-fusion": '["-m", "speechbrain_fusion.cli"]',
}
# modules that may be run by the server; others get a Python of their own
MODULES = ("torch.distributed.run", "speechbrain_fusion.cli")
STREAMS = (0, 1, 2)


@functools.cache
def programs() -> Path:
    """Return the folder of the programs; the server ends with this process."""
    # not where TMPDIR says: a socket's name has room for a hundred characters
    folder = Path(tempfile.mkdtemp(prefix="programs", dir="/tmp"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    address = str(folder / "socket")
    for name, arguments in PROGRAMS.items():
        path = folder / name
        here = str(Path(__file__).parent)
        values = {"python": sys.executable, "here": here, "socket": address}
        path.write_text(PROGRAM.format(arguments=arguments, **values))
        path.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        # who asks before the server has imported everything waits for it
        listener.listen(16)
        handle = listener.fileno()
        server = subprocess.Popen(
            [sys.executable, __file__, str(handle)],
            stdin=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
            pass_fds=[handle],
        )
    atexit.register(server.communicate)
    return folder


def preloaded(environ: dict[str, str]) -> dict[str, str]:
    """Let an environment's commands be the programs."""
    folder = str(programs())
    path = f"{folder}{os.pathsep}{environ['PATH']}"
    return {**environ, "PROGRAMS": folder, "PATH": path}


# -- the programs ------------------------------------------------------------------


def ask(address: str, python: str, arguments: list[str]) -> int:
    """Let the server run a script, or run anything else in this process's place."""
    if arguments[:1] == ["-u"]:
        arguments = arguments[1:]
    module = arguments[1] if arguments[:1] == ["-m"] else None
    script = bool(arguments) and not arguments[0].startswith("-")
    ours = arguments[:1] == ["-c"] and "import speechbrain_fusion" in arguments[1]
    if not script and not ours and module not in MODULES:
        os.execv(python, [python, *arguments])
    request = {"arguments": arguments, "folder": os.getcwd(), "environ": {**os.environ}}
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(address)
        handles = array.array("i", STREAMS)
        channel.sendmsg(
            [b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, handles.tobytes())]
        )
        channel.sendall(json.dumps(request).encode() + b"\n")
        with channel.makefile() as answers:
            worker = int(answers.readline())
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda which, _: os.kill(worker, which))
            return int(answers.readline())


# -- the server --------------------------------------------------------------------


def serve(handle: int) -> None:
    """Answer requests to a listening socket, each in a process, until input ends."""
    preload()
    # children are waited for by those that fork them
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(fileno=handle) as listener:
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            channel, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                answer(channel)
            channel.close()


def preload() -> None:
    """Import what commands take long to import, and ask what they ask every time."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot
    from speechbrain.utils import logger

    import speechbrain_fusion.brains
    import speechbrain_fusion.cli
    import speechbrain_fusion.data
    import speechbrain_fusion.inference
    import speechbrain_fusion.models
    import speechbrain_fusion.report  # noqa: F401

    # the installed packages, by pip
    described = logger.get_environment_description()
    logger.get_environment_description = lambda: described


def answer(channel: socket.socket) -> None:
    """Run one request and say how it ended."""
    _, ancillary, _, _ = channel.recvmsg(1, socket.CMSG_SPACE(3 * 4))
    handles = array.array("i")
    handles.frombytes(ancillary[0][2])
    request = json.loads(channel.makefile().readline())
    worker = os.fork()
    if worker == 0:
        channel.close()
        work(request, list(handles))
    channel.sendall(f"{worker}\n".encode())
    _, status = os.waitpid(worker, 0)
    channel.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def work(request: dict, handles: list[int]) -> None:
    """Become the process that was asked for."""
    import runpy

    for stream, handle in zip(STREAMS, handles, strict=True):
        os.dup2(handle, stream)
        os.close(handle)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environ"])
    sys.executable = os.path.join(os.environ["PROGRAMS"], "python")
    sys.path[:0] = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    arguments = request["arguments"]
    code = 0
    try:
        if arguments[0] == "-m":
            sys.argv = arguments[1:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        elif arguments[0] == "-c":
            sys.argv = ["-c", *arguments[2:]]
            exec(arguments[1], {"__name__": "__main__"})
        else:
            sys.argv = arguments
            sys.path.insert(0, os.path.dirname(os.path.abspath(arguments[0])))
            # threads and processes of the script find it under this name to the end
            main = types.ModuleType("__main__")
            main.__file__ = arguments[0]
            sys.modules["__main__"] = sys.modules["__mp_main__"] = main
            with open(arguments[0], "rb") as script:
                exec(compile(script.read(), arguments[0], "exec"), vars(main))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException as error:
        sys.last_value = error
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
