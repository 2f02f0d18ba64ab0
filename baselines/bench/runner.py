"""Running jobs: skip what is done, spread the rest over processes, write each result the moment it is there."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import platform
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import solvers.registry
import stackelberg_envs as se
from stackelberg_envs.registry import REGISTRY

from . import results_file
from .jobs import Job

Report = Callable[[str, int], None]
"""Called with (job id, commitments used)."""


class RunStopped(Exception):
    """Somebody asked to stop; what is finished is written."""


def execute(job: Job, report: Report | None = None) -> dict[str, Any]:
    """Run one job in this process; the result is plain data, and everything outside ``"timing"`` is a function of the job.

    Raises:
        Stopped: if the run was interrupted.
    """
    from dataclasses import asdict

    from solvers import solve

    from .warm_up import warm_up

    warm_up(job)
    solution = solve(
        job.world.game(),
        job.solver,
        follower=job.world.answerer(),
        referee=(job.referee.game(), job.referee.answerer()) if job.referee else None,
        score=job.score,
        access=job.access,
        budget=job.budget,
        seed=job.seed,
        start=job.first_commitment(),
        start_scale=job.start_scale,
        progress=(lambda used, row: report(job.id, used)) if report else None,
        **job.hyperparameters,
    )
    if not solution.finished:
        raise RunStopped
    history = [dict(row) for row in solution.history]
    cost = asdict(solution.cost)
    return {
        "schema": results_file.SCHEMA,
        "id": job.id,
        "job": job.as_dict(),
        "access": job.access_label,
        "versions": {name: version(name) for name in ("stackelberg-envs", "torch", "numpy")},
        "x": solution.x.tolist(),
        "leader_return": solution.leader_return,
        "reason": solution.reason,
        "timing": {
            "history": [row.pop("seconds") for row in history],
            "seconds": cost.pop("seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": platform.platform(),
        },
        "history": history,
        "cost": cost,
    }


class Runnable(Protocol):
    """What `run_all` runs: anything that pickles and says itself what it is; a `Job` is the usual one."""

    @property
    def id(self) -> str: ...
    @property
    def budget(self) -> int: ...
    @property
    def title(self) -> str: ...
    def execute(self, report: Report | None = None) -> dict[str, Any]:
        """The result: plain data with ``"id"``, and everything that depends on the machine's mood under ``"timing"``."""
        ...


def attempt(job: Job | Runnable, report: Report | None = None) -> dict[str, Any]:
    """`execute`, or ``{"id", "failed"}`` with what went wrong."""
    try:
        return execute(job, report) if isinstance(job, Job) else job.execute(report)
    except Exception as error:
        if isinstance(error, RunStopped):
            raise
        return {"id": job.id, "failed": f"{job.title}: {type(error).__name__}: {error}"}


def run_all(jobs: Sequence[Job | Runnable], path: Path, *, processes: int, console: Console, unit: str = "commitments") -> dict[str, str]:
    """Run all jobs whose results are not in ``path`` yet; returns what went wrong, by job id, with which the others go on.

    ``unit`` names what budgets count.

    Raises:
        Stopped: on Ctrl-C; finished results are written, and the same call goes on from there.
        ResultsError: if the file is corrupt, or another benchmark is writing to it.
        RegistrationError: if a game or solver was registered that processes, where there are several, cannot import.
    """
    with results_file.writing(path):
        done = results_file.read(path, repair=True)
        todo = [job for job in jobs if job.id not in done]
        if len(todo) < len(jobs):
            console.print(f"{len(jobs) - len(todo)} of {len(jobs)} runs are already in {escape(str(path))}")
        failed: dict[str, str] = {}
        if not todo:
            return failed
        with _bars(console, jobs, todo, unit) as (report, finished):
            results = _one_by_one(todo, report) if processes == 1 else _in_parallel(todo, processes, report)
            for result in results:
                if "failed" in result:
                    failed[result["id"]] = result["failed"]
                else:
                    results_file.append(path, result)
                finished()
        return failed


def _one_by_one(jobs: Sequence[Job | Runnable], report: Report) -> Iterator[dict[str, Any]]:
    for job in jobs:
        yield attempt(job, report)


def _in_parallel(jobs: Sequence[Job | Runnable], processes: int, report: Report) -> Iterator[dict[str, Any]]:
    registered = _registrations(jobs)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # inherited by the workers: torch threads that share cores are slow
    context = multiprocessing.get_context("spawn")
    messages, stop = context.Queue(), context.Event()

    def listen() -> None:
        while not stop.is_set():
            try:
                report(*messages.get(timeout=0.2))
            except queue.Empty:
                continue

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    executor = ProcessPoolExecutor(processes, mp_context=context, initializer=_start_worker, initargs=(messages, stop, registered))
    try:
        for future in as_completed([executor.submit(_execute_in_worker, job) for job in jobs]):
            yield future.result()
    except BaseException:  # Ctrl-C, or the consumer is gone: whatever still runs would only be repeated
        for worker in multiprocessing.active_children():
            worker.terminate()
        raise
    finally:
        stop.set()
        executor.shutdown(wait=True, cancel_futures=True)
        listener.join()


def _registrations(jobs: Sequence[Job | Runnable]) -> tuple[dict[str, str], dict[str, str]]:
    """Games and solvers of these jobs that have names of their own, as references."""
    known = [job for job in jobs if isinstance(job, Job)]
    games = {world.label for job in known for world in (job.world, job.score_world)}
    return REGISTRY.for_workers(games), solvers.registry.REGISTRY.for_workers({job.solver for job in known})


_worker: dict[str, Any] = {}


def _start_worker(messages: Any, stop: Any, registered: tuple[dict[str, str], dict[str, str]]) -> None:
    import torch

    games, methods = registered
    for id, reference in games.items():
        se.register(id, reference)
    for name, reference in methods.items():
        solvers.register(name, reference)
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker.update(messages=messages, stop=stop)


def _end_with_parent() -> None:
    """A parent that was killed leaves no workers behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _execute_in_worker(job: Job | Runnable) -> dict[str, Any]:
    def report(id: str, used: int) -> None:
        if _worker["stop"].is_set():
            raise RunStopped
        _worker["messages"].put((id, used))

    return attempt(job, report)


@contextmanager
def _bars(
    console: Console, jobs: Sequence[Job | Runnable], todo: Sequence[Job | Runnable], unit: str
) -> Iterator[tuple[Report, Callable[[], None]]]:
    """A bar over all budgets, with an estimate of the time left, and the count of finished runs."""
    used: dict[str, int] = {}
    total = sum(job.budget for job in todo)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        work = progress.add_task("starting: imports, compilation, first reports", total=total)
        runs = progress.add_task("runs", total=len(jobs), completed=len(jobs) - len(todo))

        def report(id: str, commitments: int) -> None:
            used[id] = commitments
            progress.update(work, completed=sum(used.values()), description=unit)

        yield report, lambda: progress.advance(runs)
        progress.update(work, completed=total, description=unit)
