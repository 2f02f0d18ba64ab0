"""Results as tables: JSON lines of finished runs in, flat columns of NumPy arrays out.

docs/reference/results.md says what every field of a line and every column is.  Nothing here needs torch, except that lines of schema 1 do
not say what their solver was allowed to know, so that it is asked.
"""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stackelberg_envs.leader.access import Cost

from . import results_file
from .flaws import flaw
from .quantities import be, quantity

JOB = (
    *("file", "id", "game", "arguments", "follower", "referee", "score_horizon", "score_discount"),
    *("solver", "label", "hyperparameters", "access", "seed", "budget", "start", "start_scale"),
)
"""Columns that say what was run: in both tables."""
LEDGER = tuple(field.name for field in dataclasses.fields(Cost) if field.name != "seconds")
RUN = (*JOB, "leader_return", *LEDGER, "seconds", "reason", "finished", "machine", "versions", "code", "again", "schema")
"""Columns of the table with a row a run."""
REPORT = (*JOB, "iteration", "leader_return", "seconds")
"""Columns that the table with a row a report always has; the others are those that some row has."""
TEXT = frozenset(JOB) - {"score_horizon", "score_discount", "seed", "budget", "start_scale"} | {
    "reason",
    "finished",
    "machine",
    "versions",
    "code",
}


def read_results(path: str | Path | Iterable[str | Path], *, history: bool = False, every: bool = False) -> dict[str, np.ndarray]:
    """The finished runs of one or several results files or folders, as a table: ``pandas.DataFrame(read_results("results"))``.

    Of runs in one file that differ only in the code or the versions that made them, the last line counts.
    A line that several files have is one row, with the first ``file``.  Of a folder, files of another kind (the record of best commitments,
    studies with lines of their own) are passed over.

    Args:
        path: a results file, a folder of them, or several of either.
        history: a row a report of a run, instead of a row a run.
        every: also runs of code that has changed since; the column ``code`` tells them apart.

    Warns:
        UserWarning: how many lines of other code were left out.

    Returns:
        Column name to array, all of one length: int64 or float64 (missing: NaN) for numbers, else objects, which are text (missing: None).
        What is not flat (a game's arguments, hyperparameters, lists) is JSON text.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ResultsError: if a line is not a result of a job, or of a newer schema than this version reads.
    """
    paths = [path] if isinstance(path, (str, os.PathLike)) else path
    lines = list(_distinct_lines(files(paths)))
    rows = (row for file, line in (lines if every else _without_other_code(lines)) for row in _rows(file, *line, history, every))
    columns: dict[str, list[Any]] = {name: [] for name in ((*REPORT, "code") if history and every else REPORT if history else RUN)}
    for count, row in enumerate(rows):
        for name in [name for name in row if name not in columns]:
            columns[name] = [None] * count
        for name, column in columns.items():
            column.append(row.get(name))
    return {name: _array(name, values) for name, values in columns.items()}


def files(paths: Iterable[str | Path]) -> list[Path]:
    """The results files behind paths: a file stands for itself, a folder for those in it whose lines are results of jobs.

    Raises:
        FileNotFoundError: if there is no such file or folder.
    """
    found = []
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(f"there are no results at {path}; stackelberg bench writes a file results/NAME.jsonl a configuration")
        found += [file for file in sorted(path.glob("*.jsonl")) if _has_jobs(file)] if path.is_dir() else [path]
    return found


def _has_jobs(file: Path) -> bool:
    """Whether the first line is a result of a job, or cannot be read: then `results_file.read` says what is wrong with it."""
    with file.open("rb") as lines:
        try:
            first = json.loads(lines.readline())
        except ValueError:
            return True
    return not isinstance(first, dict) or is_of_job(first)


def is_of_job(result: dict[str, Any]) -> bool:
    """Whether a line is of a job; those of studies have no world."""
    return isinstance(job := result.get("job"), dict) and "world" in job


def _last_lines(file: Path) -> list[results_file.Line]:
    """The last line of each run."""
    return [group[-1] for group in results_file.by_id(results_file.read_lines(file)).values()]


def _distinct_lines(files: Iterable[Path]) -> Iterator[tuple[Path, results_file.Line]]:
    """The last line of each run in each file, without copies: files that were put together may lie beside their parts."""
    read = set[tuple[str, str]]()
    for file in files:
        for number, result in _last_lines(file):
            key = result["id"], results_file.checksum(result)
            if key not in read:
                read.add(key)
                yield file, (number, result)


def _without_other_code(lines: list[tuple[Path, results_file.Line]]) -> list[tuple[Path, results_file.Line]]:
    """Of the lines of a file that have the same job, label included, the last; a warning counts the others."""
    last: dict[tuple[Path, str], int] = {}
    for file, (number, result) in lines:
        key = file, results_file.same_run(result)
        last[key] = max(number, last.get(key, 0))
    kept = [(file, line) for file, line in lines if last[file, results_file.same_run(line[1])] == line[0]]
    if left_out := len(lines) - len(kept):
        runs = f"{quantity(left_out, 'line')} {be(left_out)} {'a run' if left_out == 1 else 'runs'}"
        warnings.warn(
            f"{runs} of other code than a later line of the same job, and left out; every=True (as an option, --every) reads them too",
            stacklevel=3,
        )
    sources: dict[str, set[str]] = {}
    for _, (_, result) in kept:
        code = result.get("code")
        for name, digest in code.items() if isinstance(code, dict) else ():
            if name != "suite":
                sources.setdefault(name, set()).add(str(digest))
    for name, digests in sources.items():
        if len(digests) > 1:
            said = f"rows of {name} are of {len(digests)} sources: where the last one has not run, or failed, a row is of one before; "
            warnings.warn(said + "the column code tells them apart", stacklevel=3)
    return kept


def _rows(file: Path, number: int, result: dict[str, Any], history: bool, every: bool) -> list[dict[str, Any]]:
    """The rows of one run: one, or one a report."""
    if not is_of_job(result):
        raise results_file.ResultsError(f"{file}, line {number} is not a result of a job: it has no job.world")
    if (wrong := flaw(result)) is not None:
        raise results_file.ResultsError(
            f"{file}, line {number} is not what a run wrote: {wrong}. Delete the line, and bench repeats its run"
        )
    try:
        job, timing = {"file": str(file), **_job(result)}, result["timing"]
        if history:
            code = {"code": _text(result.get("code"))} if every else {}
            return [{**row, **job, **code, "seconds": at} for at, row in zip(timing["history"], result["history"], strict=True)]
        return [{**job, **_outcome(result)}]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise results_file.ResultsError(f"{file}, line {number} is not a whole result of a job ({error!r})") from error


def _job(result: dict[str, Any]) -> dict[str, Any]:
    """What was run."""
    job, score = result["job"], result["job"].get("score") or {}
    return {
        "id": result["id"],
        "game": job["world"]["id"],
        "arguments": _text(job["world"]["arguments"]),
        "follower": _text(job["world"]["follower"]),
        "referee": _text(job["referee"]),
        "score_horizon": score.get("horizon"),
        "score_discount": score.get("discount"),
        "hyperparameters": _text(job["hyperparameters"]),
        "start": _text(job["start"]),
        **{name: job[name] for name in ("solver", "label", "seed", "budget", "start_scale")},
        "access": result["access"] if "access" in result else _access(job),
    }


def _access(job: dict[str, Any]) -> str | None:
    """`Job.access_label` of a line that does not say; None, with a warning, where its solver cannot be asked."""
    try:
        import solvers

        from .jobs import Job

        if job["solver"] not in solvers.SOLVERS:  # no file of results decides which code is run
            raise KeyError(f"no solver {job['solver']!r}")
        return Job.from_dict(job).access_label
    except (ImportError, KeyError, TypeError, ValueError) as error:
        warnings.warn(f"what {job['solver']!r} was allowed to know is left empty: {error}", stacklevel=2)
        return None


def _outcome(result: dict[str, Any]) -> dict[str, Any]:
    """What came out, without the history."""
    timing = result["timing"]
    return {
        "leader_return": result["leader_return"],
        **{name: result["cost"].get(name) for name in LEDGER},
        **{name: timing[name] for name in ("seconds", "finished", "machine")},
        "reason": result["reason"],
        "versions": _text(result["versions"]),
        "code": _text(result.get("code")),
        "again": result.get("again", 0),
        "schema": result.get("schema", 1),
    }


def _array(name: str, values: list[Any]) -> np.ndarray:
    """A column: numbers where all values are, else text."""
    kinds = {type(value) for value in values}
    if name not in TEXT and kinds <= {int, float, type(None)}:
        return np.array(values) if kinds == {int} else np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    column = np.empty(len(values), dtype=object)
    column[:] = [_text(value) for value in values]
    return column


def _text(value: Any) -> str | None:
    """Text and nothing stay what they are; the rest becomes JSON."""
    return value if value is None or isinstance(value, str) else json.dumps(value, sort_keys=True)
