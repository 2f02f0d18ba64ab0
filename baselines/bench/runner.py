"""Running jobs: skip what is done, spread the rest over processes, write each result the moment it is there."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import solvers.registry
import stackelberg_envs as se
from solvers.base import deferred_interrupts
from solvers.versions import versions
from stackelberg_envs.arguments import nearest
from stackelberg_envs.registry import REGISTRY

from . import results_file
from .audit import audit, version_differences
from .checkpoints import CheckpointError, Checkpoints
from .jobs import Job
from .source import INSTALLED, SUITE, suite_digest
from .workers import Stop, run_in_processes

Report = Callable[[str, int], None]
"""Called with (job id, commitments used)."""


class RunStopped(Exception):
    """Somebody asked to stop; what is finished is written."""


def execute(job: Job, report: Report | None = None, *, stop: Stop | None = None, kept: Checkpoints | None = None) -> dict[str, Any]:
    """Run one job in this process; the result is plain data, and everything outside ``"timing"`` is a function of the job.

    Args:
        job: what to run.
        report: called at each report.
        stop: asked between steps whether to end.
        kept: where runs that were stopped are kept: this one goes on from there, and is kept there.

    Raises:
        RunStopped: if the run was interrupted.
        CheckpointError: if what is kept of it cannot be used, or it cannot be kept.
        FloatingPointError: if it ended in a score that is no number.
    """
    job.verify_code()
    solution = solvers.solve(
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
        resume=None if kept is None else kept.load(job.id),
        stop=stop,
        **job.hyperparameters,
    )
    if not solution.finished:
        if kept is not None:
            kept.store(job.id, solution.checkpoint)
        raise RunStopped
    history = [_as_json(row) for row in solution.history]
    if not np.isfinite([row["leader_return"] for row in solution.history]).all():
        raise FloatingPointError("the referee's score of a commitment is not a finite number")
    cost = dataclasses.asdict(solution.cost)
    return {
        "schema": results_file.SCHEMA,
        "id": job.id,
        "job": job.as_dict(),
        "access": job.access_label,
        "versions": versions(),
        "code": {"suite": suite_digest(), **job.foreign_code},
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


def _as_json(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a history as a line can hold it: arrays as lists, and what is no finite number as null."""

    def plain(value: Any) -> Any:
        if not hasattr(value, "tolist"):
            raise TypeError(f"the history of a run takes numbers, text, lists and tables, and its state's row has {value!r}")
        return value.tolist()

    return json.loads(json.dumps(row, default=plain), parse_constant=lambda name: None)


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


def attempt(
    job: Job | Runnable, report: Report | None = None, stop: Stop | None = None, *, kept: Checkpoints | None = None
) -> dict[str, Any]:
    """`execute`, or ``{"id", "stopped"}`` with what was lost by it, or ``{"id", "failed"}`` with what went wrong and where."""

    def watched(id: str, used: int) -> None:
        if stop is not None and stop():
            raise RunStopped
        if report is not None:
            report(id, used)

    try:
        if isinstance(job, Job):
            return execute(job, report, stop=stop, kept=kept)
        return job.execute(watched)
    except RunStopped:
        return {"id": job.id, "stopped": ""}
    except CheckpointError as error:
        stopped = stop is not None and stop()
        return {"id": job.id, "stopped" if stopped else "failed": f"{job.title}: {error}"}
    except (Exception, SystemExit) as error:
        said = f"{job.title}: {type(error).__name__}: {error}{_place(error)}"
        return {"id": job.id, "failed": said, "traceback": traceback.format_exc()}


def _place(error: BaseException) -> str:
    """Where in code of others an error was raised; nothing if it was in none."""
    root = Path(__file__).resolve().parents[2]
    ours = [root / name for name in SUITE]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename).resolve()
        installed = INSTALLED & set(path.parts) or path.is_relative_to(Path(json.__file__).parents[1])
        if not (installed or frame.filename.startswith("<") or any(path.is_relative_to(folder) for folder in ours)):
            return f" ({path.name}, line {frame.lineno}, in {frame.name})"
    return ""


def run_all(
    jobs: Sequence[Job | Runnable],
    path: Path,
    *,
    processes: int,
    console: Console,
    unit: str = "commitments",
    again: Sequence[str] = (),
) -> dict[str, str]:
    """Run all jobs whose results are not in ``path`` yet; returns what went wrong, by job id, with which the others go on.

    Args:
        jobs: what to run.
        path: the results file; a result is added to it the moment it is there.
        processes: how many at once.
        console: for bars, and for what there is to say of results that are there.
        unit: names what budgets count.
        again: labels, or patterns of them such as ``*``, of jobs to be run although they are there; their old lines stay in the file.

    Raises:
        RunStopped: on Ctrl-C; finished results are written, runs in progress are kept, and the same call goes on inside them.
        ResultsError: if the file is corrupt, or another benchmark is writing to it.
        RegistrationError: if a game or solver was registered that processes, where there are several, cannot import.
        ValueError: if no job has a label of ``again``.
    """
    kept = Checkpoints.beside(path)
    with results_file.writing(path):
        lines = results_file.read_lines(path, repair=True)
        found, checked = results_file.by_id(lines), audit([job for job in jobs if isinstance(job, Job)], lines)
        anew = _run_again(jobs, found, again)
        todo = [job for job in jobs if job.id not in found or job.id in checked.flawed or job.id in anew]
        for said in (*checked.remarks, *_state_of(jobs, todo, path, checked.results), *_checkpoints_there(todo, kept)):
            console.print(escape(said), highlight=False, soft_wrap=True)
        failed: dict[str, str] = {}
        stopped = False
        if not todo:
            return failed
        tell = partial(console.print, highlight=False, soft_wrap=True, markup=False)
        with interrupts() as interrupted, _bars(console, jobs, todo, unit) as (report, finished):
            run = _one_by_one if processes == 1 else partial(_in_parallel, processes=processes, tell=tell)
            with closing(run(todo, kept=kept, report=report, interrupted=interrupted)) as results:
                for result in results:
                    if "failed" in result:
                        failed[result["id"]] = result["failed"] + _trace(result)
                    elif "stopped" in result:
                        stopped = True
                        if result["stopped"]:
                            tell(result["stopped"])
                        continue
                    else:
                        results_file.append(path, _as_line(result, found))
                        kept.discard(result["id"])
                    finished()
            stopped = stopped or interrupted()
        if stopped:
            raise RunStopped
        return failed


def _trace(failure: dict[str, Any]) -> str:
    """The traceback of a failed run, if it was asked for."""
    return f"\n{failure['traceback']}" if os.environ.get("STACKELBERG_TRACEBACK") and "traceback" in failure else ""


def _as_line(result: dict[str, Any], found: dict[str, list[results_file.Line]]) -> dict[str, Any]:
    """A result as it is written: with how often its run was made before, if it was, and a checksum if it has a schema."""
    before = found.get(result["id"])
    if before:
        result = {**result, "again": before[-1][1].get("again", 0) + 1}
    return results_file.with_checksum(result) if "schema" in result else result


def _run_again(jobs: Sequence[Job | Runnable], found: dict[str, list[results_file.Line]], again: Sequence[str]) -> set[str]:
    """Ids of the jobs with these labels that are there and are to be run again.

    Where some of them have been run more often than others, an earlier ``again`` was stopped, and those others remain.
    """
    chosen: set[str] = set()
    for pattern in again:
        labelled = [job for job in jobs if isinstance(job, Job) and (job.label == pattern or fnmatchcase(job.label, pattern))]
        if not labelled:
            labels = dict.fromkeys(job.label for job in jobs if isinstance(job, Job))
            raise ValueError(f"no solver here is called {pattern!r}; {nearest(pattern, list(labels))}")
        times = {job.id: found[job.id][-1][1].get("again", 0) for job in labelled if job.id in found}
        most = max(times.values(), default=0)
        fewer = {id for id, count in times.items() if count < most}
        chosen |= fewer or set(times)
    return chosen


def _state_of(jobs: Sequence[Job | Runnable], todo: Sequence[Job | Runnable], path: Path, there: list[dict[str, Any]]) -> Iterator[str]:
    """What there is to say of runs that are there."""
    if len(todo) < len(jobs):
        yield f"{len(jobs) - len(todo)} of {len(jobs)} runs are already in {path}"
    left = {job.id for job in todo}
    if changed := version_differences(result for result in there if result["id"] not in left):
        yield f"They were made by other code: {changed}. Tables keep them apart; --again LABEL (or '*') makes them anew."


def _checkpoints_there(todo: Sequence[Job | Runnable], kept: Checkpoints) -> Iterator[str]:
    """What there is to say of runs that were stopped; those that cannot go on are forgotten."""
    there = [job for job in todo if kept.path(job.id).exists()]
    for job in there:
        if (why := kept.refusal(job.id)) is not None:
            kept.discard(job.id)
            yield f"{job.title} starts over: where it stood was kept, but {why}"
    if going := sum(kept.path(job.id).exists() for job in there):
        yield f"{going} runs go on from where they were stopped"


@contextmanager
def interrupts() -> Iterator[Stop]:
    """Whether Ctrl-C was pressed, or the process was asked to end (SIGTERM, as clusters do before they kill); a second one acts at once."""
    with deferred_interrupts() as interrupted:
        main = threading.current_thread() is threading.main_thread()
        if not main or signal.getsignal(signal.SIGINT) == signal.SIG_IGN or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
            yield interrupted
            return
        signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
        try:
            yield interrupted
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _one_by_one(jobs: Sequence[Job | Runnable], *, kept: Checkpoints, report: Report, interrupted: Stop) -> Generator[dict[str, Any]]:
    for job in jobs:
        result = attempt(job, report, interrupted, kept=kept)
        yield result
        if "stopped" in result or interrupted():
            return


def _in_parallel(
    jobs: Sequence[Job | Runnable], *, processes: int, tell: Callable[[str], None], kept: Checkpoints, report: Report, interrupted: Stop
) -> Generator[dict[str, Any]]:
    prepare = _Preparation(*_registrations(jobs))
    return run_in_processes(jobs, processes, partial(attempt, kept=kept), prepare, report=report, say=tell, interrupted=interrupted)


def _registrations(jobs: Sequence[Job | Runnable]) -> tuple[dict[str, str], dict[str, str]]:
    """Games and solvers of these jobs that have names of their own, as references."""
    known = [job for job in jobs if isinstance(job, Job)]
    games = {world.label for job in known for world in (job.world, job.score_world)}
    return REGISTRY.for_workers(games), solvers.registry.REGISTRY.for_workers({job.solver for job in known})


@dataclass(frozen=True)
class _Preparation:
    """What a worker does before its first job: it registers what was registered here."""

    games: dict[str, str]
    methods: dict[str, str]

    def __call__(self) -> None:
        import torch

        for id, reference in self.games.items():
            se.register(id, reference)
        for name, reference in self.methods.items():
            solvers.register(name, reference)
        torch.set_num_threads(1)


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
        work = progress.add_task(unit, total=total)
        runs = progress.add_task("runs", total=len(jobs), completed=len(jobs) - len(todo))

        def report(id: str, commitments: int) -> None:
            used[id] = commitments
            progress.update(work, completed=sum(used.values()))

        yield report, lambda: progress.advance(runs)
        if progress.tasks[runs].finished:  # solvers that were done before their budget
            progress.update(work, completed=total)
