"""Trainings as several processes, which may be killed."""

import multiprocessing
import os
import random
import signal
import sys
from collections.abc import Sequence
from multiprocessing.connection import wait
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch


class Run(Protocol):
    """A training, and how each of its processes does it."""

    @property
    def folder(self) -> Path:
        """Where it leaves what it gives."""

    def __call__(self) -> dict[str, Any]:
        """Be a process of it."""


def load_ranks(folder: Path, count: int = 1) -> list[dict[str, Any]]:
    """Return what the processes of a run left."""
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(count)]


class Calls:
    """Count this process's function calls; at the fatal one SIGKILL its group."""

    def __init__(self, fatal: int | None) -> None:
        self.count, self.fatal, self.process = 0, fatal, os.getpid()

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            self.count += 1
            # the loader's workers inherit the counter, but not its purpose
            if self.count == self.fatal and os.getpid() == self.process:
                os.killpg(0, signal.SIGKILL)


def _be_process(
    run: Run, rank: int, world: int, store: Path, fatal: int | None
) -> None:
    """Be one process of a run, in a group of its own, as torchrun would start it."""
    os.setsid()
    # for the loader's workers, as in a process that a shell starts
    multiprocessing.set_start_method("fork", force=True)
    log = os.open(run.folder / f"log{rank}.txt", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    torch.set_num_threads(1)
    if world > 1:
        os.environ |= {"RANK": f"{rank}", "LOCAL_RANK": f"{rank}"}
        torch.distributed.init_process_group(
            "gloo", init_method=store.as_uri(), rank=rank, world_size=world
        )
    calls = Calls(fatal)
    sys.setprofile(calls)
    left = run()
    sys.setprofile(None)
    torch.save(left | {"calls": calls.count}, run.folder / f"rank{rank}.pt")
    if world > 1:
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def run_processes(
    run: Run, world: int = 1, victim: int = 0, fatal: int | None = None
) -> bool:
    """Run as processes, all of which are killed when one comes to its fatal call.

    Returns whether the run came to its end.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    # forks of a process that has imported all, also what an optimizer imports
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.brains.toy", "torch._dynamo"])
    store = run.folder / f"store{len(list(run.folder.glob('store*')))}"
    processes = [
        context.Process(
            target=_be_process,
            args=(run, rank, world, store, fatal if rank == victim else None),
        )
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    codes = _end(processes)
    ended = not any(codes)
    logs = [path.read_text()[-2000:] for path in sorted(run.folder.glob("log*.txt"))]
    killed = fatal is not None and codes[victim] == -signal.SIGKILL
    assert ended or killed, "\n".join([f"{codes}", *logs])
    return ended


def _end(processes: Sequence[multiprocessing.process.BaseProcess]) -> list[int | None]:
    """Wait for all processes, or kill the others of one that fails; exit codes."""
    left = list(processes)
    while left:
        # a deadlock must end
        done = wait([process.sentinel for process in left], timeout=200)
        left = [process for process in left if process.sentinel not in done]
        for process in processes:
            if process not in left:
                process.join()
        if not done or any(process.exitcode for process in processes):
            for process in left:
                process.kill()
    return [process.exitcode for process in processes]


def kill_and_finish(run: Run, calls: Sequence[int], seed: int) -> int:
    """Kill a run up to three times, then let it end; returns how often it was killed.

    `calls` are those of each process of a whole run: one of any process's is fatal.
    """
    draw = random.Random(seed)
    for kills in range(3):
        victim = draw.randrange(len(calls))
        if run_processes(run, len(calls), victim, draw.randrange(1, calls[victim])):
            return kills
    assert run_processes(run, len(calls))
    return 3
