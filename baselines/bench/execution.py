"""One run in one process: the solver's loop, a checkpoint where it is stopped, and the place where it failed."""

from __future__ import annotations

import json
import platform
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import solvers
from solvers.versions import versions

from . import results_file
from .checkpoints import CheckpointError, Checkpoints
from .executors import Report, Stop
from .jobs import Job
from .source import INSTALLED, SUITE, suite_digest
from .warm_up import warm_up


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
    warm_up(job)
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
        telemetry=job.telemetry,
        believed=(job.believed.game(), job.believed.answerer()) if job.believed else None,
        **job.hyperparameters,
    )
    if not solution.finished:
        if kept is not None:
            kept.store(job.id, solution.checkpoint)
        raise RunStopped
    history = [_as_json(row) for row in solution.history]
    if not np.isfinite([row["leader_return"] for row in solution.history]).all():
        raise FloatingPointError("the referee's score of a commitment is not a finite number")
    cost = solution.cost.as_dict()
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
