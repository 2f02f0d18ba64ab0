"""The best commitment known for each world, with the commitment itself as its certificate.

The committed file ``baselines/best_known.jsonl`` is the common record; a benchmark that beats it writes its own beside its results.
Anybody can re-check either: ``stackelberg check --best``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import stackelberg_envs as se

from . import results_file
from .jobs import Job, World
from .quantities import quantity

COMMITTED = Path(__file__).parent.parent / "best_known.jsonl"
BOUNDS = Path(__file__).parent.parent / "bounds.jsonl"
"""Upper bounds of these worlds, among them those that take a long search: ``python -m baselines.studies.brackets`` proves them again."""


@dataclass(frozen=True)
class Best:
    """A value and the commitment that attains it."""

    world: World
    leader_return: float
    x: tuple[float, ...]
    found_by: str

    def rescore(self) -> float:
        """What the referee says of the certificate now."""
        return float(se.evaluate(self.world.game(), np.array(self.x), follower=self.world.answerer()).leader_return)


def read_best(*paths: Path) -> dict[str, Best]:
    """The best by world key, over all files that exist."""
    best: dict[str, Best] = {}
    for path in paths:
        for entry in results_file.read(path).values():
            try:
                found = Best(World(**entry["world"]), entry["leader_return"], tuple(entry["x"]), entry["found_by"])
            except (KeyError, TypeError) as error:
                raise results_file.ResultsError(f"{path}: the record {entry['id']!r} is not a best commitment ({error})") from error
            key = found.world.key if found.world.ours else entry["id"]  # code of others may have moved, or changed since
            if key not in best or found.leader_return > best[key].leader_return:
                best[key] = found
    return best


def upper_bounds(entry: Best, path: Path = BOUNDS) -> dict[str, float]:
    """What is proved of its world: what ``path`` has, or else by a calculation now, which takes seconds in large worlds."""
    recorded = results_file.read(path).get(entry.world.key, {}).get("bounds", {})
    return recorded or se.upper_bounds(entry.world.game(), entry.world.answerer())


def keep(path: Path, entries: dict[str, Best]) -> dict[str, Best]:
    """Write to ``path`` those that beat what it has, by world key, each scored again; returns them.

    Raises:
        ResultsError: if one is not worth what it says.
    """
    there = read_best(path)
    new = {key: entry for key, entry in entries.items() if key not in there or entry.leader_return > there[key].leader_return + 1e-9}
    for entry in new.values():
        if abs((now := entry.rescore()) - entry.leader_return) >= 1e-6:
            raise results_file.ResultsError(f"{entry.found_by}: stored with {entry.leader_return}, and its commitment scores {now}")
    if new:
        _write(path, {**there, **new})
    return new


def _write(path: Path, entries: dict[str, Best]) -> None:
    results_file.replace(path, "".join(json.dumps({"id": key, **asdict(best)}) + "\n" for key, best in entries.items()))


def of_run(result: dict[str, Any], job: Job) -> Best:
    """What a run ended with, as an entry of a record."""
    found_by = f"{job.label or job.solver}" + (f", seed {job.seed}, {quantity(job.budget, 'commitment')}" if job.start is None else "")
    return Best(job.score_world, result["leader_return"], tuple(result["x"]), found_by)


def improve(path: Path, results: list[dict[str, Any]], *, known: dict[str, Best]) -> list[Best]:
    """Write to ``path`` every result that beats what is ``known``, re-scored; returns the new ones.

    Runs with a score of their own (another horizon or discount) are passed over: their numbers mean something else.
    """
    new: dict[str, Best] = {}
    for result in results:
        job = Job.from_dict(result["job"])
        if job.score is not None:
            continue
        key = job.score_world.key
        incumbent = new.get(key) or known.get(key)
        if incumbent is not None and result["leader_return"] <= incumbent.leader_return + 1e-9:
            continue
        candidate = of_run(result, job)
        if abs(candidate.rescore() - candidate.leader_return) < 1e-6:
            new[key] = candidate
    if new:
        _write(path, {**read_best(path), **new})
    return list(new.values())
