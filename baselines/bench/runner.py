"""Running jobs: skip what is done, spread the rest over processes, write each result the moment it is there."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

import solvers.registry
import stackelberg_envs as se
from solvers.base import deferred_interrupts
from stackelberg_envs.arguments import nearest
from stackelberg_envs.registry import REGISTRY

from . import failures, results_file
from .audit import audit, version_differences
from .checkpoints import Checkpoints
from .execution import Runnable, RunStopped, attempt
from .executors import Executor, Task
from .jobs import Job
from .processes import Processes
from .progress import progress
from .quantities import be, quantity, share


def run_all(
    jobs: Sequence[Job | Runnable],
    path: Path,
    *,
    processes: int = 1,
    console: Console,
    unit: str = "commitments",
    again: Sequence[str] = (),
    executor: Executor | None = None,
) -> dict[str, str]:
    """Run all jobs whose results are not in ``path`` yet; returns what went wrong, by job id, with which the others go on.

    Args:
        jobs: what to run.
        path: the results file; a result is added to it the moment it is there.
        processes: how many at once, where there is no executor.
        console: for bars, and for what there is to say of results that are there.
        unit: names what budgets count.
        again: labels, or patterns of them such as ``*``, of jobs to be run although they are there; their old lines stay in the file.
        executor: where the runs take place; None for processes on this machine.

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
        tell = partial(console.print, highlight=False, soft_wrap=True, markup=False)
        for said in (*checked.remarks, *_state_of(jobs, todo, path, checked.results), *_checkpoints_there(todo, kept)):
            tell(said)
        if back := _returned(checked.results, found):
            for line in back:
                results_file.append(path, _as_line(line, found))
            tell(f"{len(back)} of them {be(len(back))} of code that has come back: their lines are written once more, to be the last")
        failed: dict[str, str] = {}
        stopped, ended = False, set[str]()
        if not todo:
            return failed
        with deferred_interrupts(signal.SIGTERM) as interrupted, progress(console, jobs, todo, unit) as (report, finished):
            task = Task(attempt, kept, partial(_preparation, todo))
            runs = (executor or Processes(processes)).run(todo, task, report=report, say=tell, interrupted=interrupted)
            with closing(runs) as results:
                for result in results:
                    if "stopped" not in result:
                        ended.add(result["id"])
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
        failures.update(path, ended, failed)
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


def _returned(results: Sequence[dict[str, Any]], found: dict[str, list[results_file.Line]]) -> list[dict[str, Any]]:
    """Lines of ``results`` behind which the file has a line of the same run by other code, as after a change that was taken back."""
    last: dict[str, int] = {}
    for number, line in (group[-1] for group in found.values()):
        run = results_file.same_run(line)
        last[run] = max(number, last.get(run, 0))
    ours = (found[result["id"]][-1] for result in results)
    return [line for number, line in ours if last[results_file.same_run(line)] > number]


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
        yield f"{share(len(jobs) - len(todo), len(jobs), 'run')} {be(len(jobs) - len(todo))} already in {path}"
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
        yield f"{quantity(going, 'run')} {'goes' if going == 1 else 'go'} on from where {'it was' if going == 1 else 'they were'} stopped"


def _preparation(jobs: Sequence[Job | Runnable]) -> _Preparation:
    """What other processes need for these jobs: games and solvers that have names of their own, as references."""
    registered = [job for job in jobs if isinstance(job, Job)]
    games = {world.label for job in registered for world in (job.world, job.score_world)}
    return _Preparation(REGISTRY.for_workers(games), solvers.registry.REGISTRY.for_workers({job.solver for job in registered}))


@dataclass(frozen=True)
class _Preparation:
    """What another process does before its first job: it registers what was registered here."""

    games: dict[str, str]
    methods: dict[str, str]

    def __call__(self) -> None:
        import torch

        for id, reference in self.games.items():
            se.register(id, reference)
        for name, reference in self.methods.items():
            solvers.register(name, reference)
        torch.set_num_threads(1)
