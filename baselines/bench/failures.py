"""Runs that failed, beside a results file: what was tried and went wrong is said wherever results are shown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from . import results_file
from .quantities import be, share


def file_of(results: Path) -> Path:
    """Where the failures of a results file are kept."""
    return results.with_suffix(".failures.json")


def read(results: Path) -> dict[str, str]:
    """What went wrong, by job id; a file that cannot be read says nothing."""
    try:
        said = json.loads(file_of(results).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(id): str(why) for id, why in said.items()} if isinstance(said, dict) else {}


def update(results: Path, tried: Iterable[str], failed: dict[str, str]) -> None:
    """Note what ``failed`` of the runs that were ``tried``; without any failure there is no file."""
    tried = set(tried)
    now = {**{id: why for id, why in read(results).items() if id not in tried}, **failed}
    if now:
        results_file.replace(file_of(results), json.dumps(now, indent=1, sort_keys=True) + "\n")
    else:
        file_of(results).unlink(missing_ok=True)


def missing_runs(jobs: Iterable[Any], there: set[str], failed: dict[str, str]) -> Iterator[str]:
    """A line on each label with runs that have no result: how many of them failed, and how the first did."""
    by_label: dict[str, list[Any]] = {}
    for job in jobs:
        by_label.setdefault(job.label or job.solver, []).append(job)
    for label, group in by_label.items():
        away = [job for job in group if job.id not in there]
        wrong = [job for job in away if job.id in failed]
        if wrong:
            first = failed[wrong[0].id].partition("\n")[0]
            yield f"{share(len(wrong), len(group), 'run')} of {label} failed: {first}"
        if len(away) > len(wrong):
            yield f"{share(len(away) - len(wrong), len(group), 'run')} of {label} {be(len(away) - len(wrong))} not there yet"
