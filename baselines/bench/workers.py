"""A pool of processes in which one that is killed costs its run, and no other.

The standard pool gives up as a whole where one of its processes ends.  Here each has a pipe of its own: a run whose process ended is
tried once more, after all others, and then reported as failed, with the signal or the status that ended it.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

TRIES = 2
BETWEEN_LOOKS = 0.05
"""Seconds between two looks of a run at whether it is to stop."""

Stop = Callable[[], bool]
Execute = Callable[[Any, Callable[[str, int], None], Stop], dict[str, Any]]
"""Runs a job: called with the job, a function that takes (id, commitments used), and one that says whether to stop."""


@dataclass
class Worker:
    """One process, and what it is busy with."""

    process: Any
    connection: Connection
    job: Any = None


def run_in_processes(
    jobs: Sequence[Any],
    processes: int,
    execute: Execute,
    prepare: Callable[[], None],
    *,
    report: Callable[[str, int], None],
    say: Callable[[str], None],
    interrupted: Stop,
) -> Generator[dict[str, Any]]:
    """The results of jobs as they come, plain data each; where a process ended twice, ``{"id", "failed"}`` with how.

    Args:
        jobs: what pickles, with ``id`` and ``title``.
        processes: how many at once, at most.
        execute: runs a job in a worker; importable.
        prepare: called once in each worker; importable, or an object that pickles.
        report: takes what running jobs report.
        say: takes what there is to tell at once, in words.
        interrupted: whether to stop; runs in progress are told, and what they answer still comes.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # inherited by the workers: torch threads that share cores are slow
    waiting, tried, told = deque(jobs), Counter[str](), False
    workers: list[Worker] = []
    try:
        while (waiting and not told) or any(worker.job is not None for worker in workers):
            if interrupted() and not told:
                told = True
                for worker in workers:
                    _send(worker, "stop")
            for worker in workers:
                if worker.job is None and waiting and not told:
                    _assign(worker, waiting.popleft())
            while waiting and not told and len(workers) < processes:
                workers.append(_start(execute, prepare))
                _assign(workers[-1], waiting.popleft())
            busy = [worker for worker in workers if worker.job is not None]
            multiprocessing.connection.wait([end for w in busy for end in (w.connection, w.process.sentinel)], timeout=0.2)
            for worker in busy:
                job, alive = worker.job, True
                for kind, content in _messages(worker):
                    alive = kind != "ended"
                    if kind == "used":
                        report(*content)
                    elif kind == "result":
                        worker.job = None
                        yield content
                if alive or worker.job is None:
                    workers = workers if alive else [other for other in workers if other is not worker]
                    continue
                workers = [other for other in workers if other is not worker]
                tried[job.id] += 1
                how = f"its process {_end_of(worker.process)}"
                if tried[job.id] < TRIES and not told:
                    say(f"{job.title}: {how}; it is tried once more, after the others")
                    waiting.append(job)
                else:
                    yield {"id": job.id, "failed": f"{job.title}: {how}{', twice' if tried[job.id] > 1 else ''}"}
    except BaseException:  # a second Ctrl-C, or the consumer is gone
        for worker in workers:
            worker.process.kill()
        raise
    finally:
        for worker in workers:
            worker.connection.close()  # which ends those that wait for a job
        for worker in workers:
            worker.process.join()


def _start(execute: Execute, prepare: Callable[[], None]) -> Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, execute, prepare))
    process.start()
    theirs.close()  # so that its end is seen
    return Worker(process, ours)


def _assign(worker: Worker, job: Any) -> None:
    worker.job = job
    _send(worker, job)


def _send(worker: Worker, message: Any) -> None:
    """To a worker that may have ended, which is seen later."""
    with suppress(BrokenPipeError, ConnectionResetError):
        worker.connection.send(message)


def _messages(worker: Worker) -> Iterator[tuple[str, Any]]:
    """What a worker has sent, and ("ended", None) after the last word of one that is not there any more."""
    ended = not worker.process.is_alive()
    try:
        while worker.connection.poll():
            yield worker.connection.recv()
    except (EOFError, OSError):
        ended = True
    if ended:
        yield "ended", None


def _end_of(process: Any) -> str:
    """How a process ended, in words."""
    process.join()
    code = process.exitcode
    if code >= 0:
        return f"ended with status {code} before the run did"
    name = signal.Signals(-code).name if -code in {each.value for each in signal.Signals} else "unknown"
    return f"was ended by signal {-code} ({name}{', as the system sends where memory runs out' if name == 'SIGKILL' else ''})"


def _serve(connection: Connection, execute: Execute, prepare: Callable[[], None]) -> None:
    """What a worker does: one job after the other, until the parent closes the pipe."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent decides when to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    prepare()
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        if job != "stop":
            connection.send(("result", execute(job, lambda id, used: connection.send(("used", (id, used))), _stopping(connection))))


def _stopping(connection: Connection) -> Stop:
    """Whether the parent has sent word: while a job runs it can only be to stop."""
    looked = time.monotonic()

    def stopping() -> bool:
        nonlocal looked
        if time.monotonic() < looked + BETWEEN_LOOKS:
            return False
        looked = time.monotonic()
        return connection.poll()

    return stopping


def _end_with_parent() -> None:
    """A parent that was killed leaves no workers behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
