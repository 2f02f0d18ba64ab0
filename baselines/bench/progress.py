"""How far a benchmark has come: bars in a terminal, and lines in a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .executors import Report
from .quantities import share

BETWEEN_LINES = 5.0
"""Seconds between two lines of progress, at least: a log of a thousand short runs stays one that people read."""
SILENCE = 60.0
"""Seconds after which there is a line although no run was finished."""


@contextmanager
def progress(console: Console, jobs: Sequence[Any], todo: Sequence[Any], unit: str) -> Iterator[tuple[Report, Callable[[], None]]]:
    """What takes the commitments that runs have used, and what is called when one is finished; both show how far all have come.

    Args:
        console: where it is shown.
        jobs: all of them, done ones as well.
        todo: those that are to be run; each has an ``id`` and a ``budget``.
        unit: names what budgets count.
    """
    with (_bars if console.is_terminal else _lines)(console, jobs, todo, unit) as shown:
        yield shown


@contextmanager
def _bars(console: Console, jobs: Sequence[Any], todo: Sequence[Any], unit: str) -> Iterator[tuple[Report, Callable[[], None]]]:
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
    with Progress(*columns, console=console, refresh_per_second=4) as bars:
        work = bars.add_task("starting: imports, compilation, first reports", total=total)
        runs = bars.add_task("runs", total=len(jobs), completed=len(jobs) - len(todo))

        def report(id: str, commitments: int) -> None:
            used[id] = commitments
            bars.update(work, completed=sum(used.values()), description=unit)

        yield report, lambda: bars.advance(runs)
        if bars.tasks[runs].finished:  # solvers that were done before their budget
            bars.update(work, completed=total, description=unit)


@contextmanager
def _lines(console: Console, jobs: Sequence[Any], todo: Sequence[Any], unit: str) -> Iterator[tuple[Report, Callable[[], None]]]:
    """A line after a finished run: a file has no bars, and whoever reads it wants to know that work goes on."""
    used: dict[str, int] = {}
    total, done, began = sum(job.budget for job in todo), len(jobs) - len(todo), time.monotonic()
    said = began

    def say(silence: float) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said < silence and done < len(jobs):
            return
        said, spent = now, sum(used.values())
        left = f", about {_clock((now - began) * (total - spent) / spent)} left" if 0 < spent < total and done < len(jobs) else ""
        line = f"{share(done, len(jobs), 'run')}, {spent} of {total} {unit}, {_clock(now - began)} passed{left}"
        console.print(line, highlight=False, soft_wrap=True, markup=False)
        console.file.flush()

    def report(id: str, commitments: int) -> None:
        used[id] = commitments
        say(SILENCE)

    def finished() -> None:
        nonlocal done
        done += 1
        say(BETWEEN_LINES)

    yield report, finished


def _clock(seconds: float) -> str:
    """As in ``0:04:10``."""
    return str(timedelta(seconds=round(seconds)))
