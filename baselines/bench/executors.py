"""Where the runs of a benchmark take place: `Executor`, and the loop that several of them share.

An executor answers for itself: it takes runs, and yields the result of each.  The suite has processes on this machine
(`baselines.bench.processes`) and a Ray cluster (`baselines.bench.ray_cluster`).  Another one is a class of its own, by its place in code:
``stackelberg bench --executor my_cluster.py:MyCluster``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stackelberg_envs import references
from stackelberg_envs.arguments import nearest

if TYPE_CHECKING:
    from .checkpoints import Checkpoints

EXECUTORS = {"processes": "baselines.bench.processes:Processes", "ray": "baselines.bench.ray_cluster:RayCluster"}
"""Names, and the classes behind them, which are imported only where they are asked for."""
TRIES = 2
"""How often a run is started whose worker ends before it does."""
BETWEEN_LOOKS = 0.2
"""Seconds between two looks at workers that say nothing."""

Stop = Callable[[], bool]
Report = Callable[[str, int], None]
"""Called with (job id, commitments used)."""


class ExecutorError(RuntimeError):
    """An executor that is not there, or whose workers cannot run anything; the message says why."""


@dataclass(frozen=True)
class Task:
    """What is to be done with each run."""

    attempt: Callable[..., dict[str, Any]]
    """Called as ``attempt(job, report, stop, kept=kept)``; the result is plain data.  It can be pickled, and raises nothing."""
    kept: Checkpoints
    """Where runs that were stopped are kept, on this machine."""
    preparation: Callable[[], Callable[[], None]]
    """Makes what another process calls once before its first run, which can be pickled.

    It raises RegistrationError if a game or solver was registered that no other process can import.
    """


class Executor(ABC):
    """Where runs take place.

    Args:
        workers: how many runs at once, at most; 0 for as many as there are cores.
        address: of a cluster; empty for this machine.
    """

    @abstractmethod
    def __init__(self, workers: int = 0, address: str = "") -> None: ...

    @abstractmethod
    def run(
        self, jobs: Sequence[Any], task: Task, *, report: Report, say: Callable[[str], None], interrupted: Stop
    ) -> Generator[dict[str, Any]]:
        """Yield the result of each job the moment it is there.

        A result is what ``task.attempt`` returns, or ``{"id", "failed"}`` with words where the job's worker ended, `TRIES` times.  The
        results do not depend on where the jobs ran.

        Args:
            jobs: what to run; each can be pickled, and has an ``id`` and a ``title``.
            task: what to do with each.
            report: takes the progress of running jobs.
            say: takes what there is to tell at once, in words.
            interrupted: whether to stop: no job is started then, those that run are told, and what they answer is still yielded.
        """


class Worker(ABC):
    """One process somewhere, and the job that it is busy with."""

    job: Any = None
    ready = True
    """Whether it can be given a job; a worker that is still to start says so in a message."""

    @abstractmethod
    def assign(self, job: Any) -> None:
        """Begin a job; of a worker that has ended this is said by its next message."""

    @abstractmethod
    def stop(self) -> None:
        """Ask the running job to stop."""

    @abstractmethod
    def messages(self) -> Iterator[tuple[str, Any]]:
        """What there is to hear, without waiting.

        ``("ready", None)`` once, if `ready` was false; ``("used", (id, commitments))``; ``("result", result)``; at last, of a worker that
        is not there any more, ``("ended", how)``, as in "its process was ended by signal 9".
        """

    @abstractmethod
    def kill(self) -> None:
        """End at once."""

    @abstractmethod
    def close(self) -> None:
        """Let an idle worker go, and wait until it is gone."""


def load(name: str, workers: int, address: str) -> Executor:
    """The executor of this name, or at this place in code.

    Raises:
        ExecutorError: if there is none of this name.
        ReferenceNotFoundError: if the place leads nowhere, or to no executor.
    """
    if name not in EXECUTORS and not references.is_reference(name):
        raise ExecutorError(f"no executor {name!r}: {nearest(name, list(EXECUTORS))}, or a place in code, my_cluster.py:MyCluster")
    place = EXECUTORS.get(name, name)
    return references.checked_class(references.load(place), Executor, place)(workers, address)


def run_here(jobs: Sequence[Any], task: Task, *, report: Report, interrupted: Stop) -> Generator[dict[str, Any]]:
    """One job after the other, in this process."""
    for job in jobs:
        result = task.attempt(job, report, interrupted, kept=task.kept)
        yield result
        if "stopped" in result or interrupted():
            return


def supervise(
    jobs: Sequence[Any],
    count: int,
    start: Callable[[], Worker],
    wait: Callable[[Sequence[Worker], float], None],
    *,
    report: Report,
    say: Callable[[str], None],
    interrupted: Stop,
) -> Generator[dict[str, Any]]:
    """`Executor.run` with workers: a job whose worker ended is tried once more, after all others, by another.

    Args:
        jobs: what to run.
        count: how many workers at once, at most.
        start: makes a worker.
        wait: returns when one of these workers has something to say, or after so many seconds.
        report: as in `Executor.run`.
        say: as in `Executor.run`.
        interrupted: as in `Executor.run`.

    Raises:
        ExecutorError: if workers end before they are ready, again and again.
    """
    waiting, tried, told, never_ready = deque(jobs), Counter[str](), False, 0
    workers: list[Worker] = []
    try:
        while (waiting and not told) or any(worker.job is not None for worker in workers):
            if interrupted() and not told:
                told = True
                for worker in workers:
                    worker.stop()
            if not told:
                idle = sum(worker.job is None for worker in workers)
                workers += [start() for _ in range(min(count - len(workers), len(waiting) - idle))]
                for worker in workers:
                    if worker.ready and worker.job is None and waiting:
                        worker.assign(waiting.popleft())
            concerned = [worker for worker in workers if worker.job is not None or not worker.ready]
            wait(concerned, BETWEEN_LOOKS)
            for worker in concerned:
                for kind, content in worker.messages():
                    if kind == "used":
                        report(*content)
                    elif kind == "result":
                        worker.job = None
                        yield content
                    elif kind == "ready":
                        worker.ready, never_ready = True, 0
                    else:
                        workers = [other for other in workers if other is not worker]
                        never_ready += not worker.ready
                        if never_ready > count:
                            raise ExecutorError(f"no worker can be started: {content}")
                        if (job := worker.job) is None:
                            continue
                        tried[job.id] += 1
                        if tried[job.id] < TRIES and not told:
                            say(f"{job.title}: {content}; it is tried once more, after the others")
                            waiting.append(job)
                        else:
                            yield {"id": job.id, "failed": f"{job.title}: {content}{', twice' if tried[job.id] > 1 else ''}"}
    except BaseException:  # a second Ctrl-C, or the consumer is gone
        for worker in workers:
            worker.kill()
        raise
    finally:
        for worker in workers:
            worker.close()
