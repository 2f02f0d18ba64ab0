"""An executor on this machine: processes, of which one that is killed costs its run, and no other.

The standard pool gives up as a whole where one of its processes ends.  Here each has a pipe of its own.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from typing import Any

from .executors import Executor, ExecutorError, Report, Stop, Task, Worker, run_here, supervise
from .system import usable_cores

BETWEEN_LOOKS = 0.05
"""Seconds between two looks of a run at whether it is to stop."""


class Processes(Executor):
    """Processes on this machine; one is the process of the command itself."""

    def __init__(self, workers: int = 0, address: str = "") -> None:
        if address:
            raise ExecutorError(f"--address {address}: processes run on this machine; an address is for --executor ray")
        self.workers = workers or usable_cores()

    def run(
        self, jobs: Sequence[Any], task: Task, *, report: Report, say: Callable[[str], None], interrupted: Stop
    ) -> Generator[dict[str, Any]]:
        if self.workers == 1:
            return run_here(jobs, task, report=report, interrupted=interrupted)
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # inherited by the workers: torch threads that share cores are slow
        prepare = task.preparation()
        return supervise(jobs, self.workers, lambda: _Process(task, prepare), _wait, report=report, say=say, interrupted=interrupted)


class _Process(Worker):
    """A process at the other end of a pipe."""

    def __init__(self, task: Task, prepare: Callable[[], None]) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: Any = context.Process(target=_serve, args=(theirs, task.attempt, task.kept, prepare))
        self.process.start()
        theirs.close()  # so that its end is noticed

    def assign(self, job: Any) -> None:
        self.job = job
        self._send(job)

    def stop(self) -> None:
        self._send("stop")

    def messages(self) -> Iterator[tuple[str, Any]]:
        ended = not self.process.is_alive()
        try:
            while self.connection.poll():
                yield self.connection.recv()
        except (EOFError, OSError):
            ended = True
        if ended:
            yield "ended", self._end()

    def kill(self) -> None:
        self.process.kill()

    def close(self) -> None:
        self.connection.close()  # which ends one that waits for a job
        self.process.join()

    def _send(self, message: Any) -> None:
        """To a process that may have ended, which is noticed later."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(message)

    def _end(self) -> str:
        """How the process ended, in words."""
        self.process.join()
        code = self.process.exitcode
        if code >= 0:
            return f"its process ended with status {code} before the run did"
        name = signal.Signals(-code).name if -code in {each.value for each in signal.Signals} else "unknown"
        return (
            f"its process was ended by signal {-code} ({name}{', as the system sends where memory runs out' if name == 'SIGKILL' else ''})"
        )


def _wait(workers: Sequence[Any], seconds: float) -> None:
    multiprocessing.connection.wait([end for worker in workers for end in (worker.connection, worker.process.sentinel)], timeout=seconds)


def _serve(connection: Any, attempt: Callable[..., dict[str, Any]], kept: Any, prepare: Callable[[], None]) -> None:
    """What a process does: one job after the other, until the parent closes the pipe."""
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
            result = attempt(job, lambda id, used: connection.send(("used", (id, used))), _stopping(connection), kept=kept)
            connection.send(("result", result))


def _stopping(connection: Any) -> Stop:
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
    """A parent that was killed leaves no processes behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
