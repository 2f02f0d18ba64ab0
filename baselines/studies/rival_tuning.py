"""What settings suit the rivals of our method from outcomes: ``python -m baselines.studies.rival_tuning``.

The settings of priced information in `solvers.inverse_planning` are the best of 36 that were tried on the tuning list.  This gives each of
its rivals as many: ten were tried before (docs/explanation/inverse-planning.md), and 26 more are drawn here at random, by generator 0, from
`PLANNER` and `WEIGHTS`.  The first two rows of each rival are its best two of those ten.  Fresh random starts in each round
(``searches``) are among what is drawn, because they are what made priced information reliable.

A run is thirty commitments of nine episodes in a game of the tuning list of `baselines.bench.instances`, its score (J - J_start) / (J* -
J_start).  A setting runs in the five games with seed 1000, and where at least four of these hold 0.95 by the end, with seed 1001 too.  The
best setting holds 0.95 in most runs; ties go to the lowest median of the commitments from which on it is held, then to the lowest mean
with 31 for never.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

import stackelberg_envs as se
from solvers import base, registry

from ..bench import instances, measured
from .confirmation import PRICED
from .reach import held_from

DRAWN = 26
COMMITMENTS = 30
SEEDS = (1000, 1001)
ENOUGH = 4
"""Runs with the first seed that have to hold 0.95 for the second one to be run."""
PLANNER: dict[str, tuple[Any, ...]] = {
    "planning_steps": (10, 20, 30, 50),
    "lr": (0.05, 0.1, 0.2),
    "scale": (0.1, 0.3, 1.0),
    "starts": ((6, 0), (20, 0), (10, 10), (5, 20)),
    "margin": (0.0, 0.01),
    "first": (0, 2),
}
"""What all rivals draw from; ``starts`` are population and searches."""
WEIGHTS: dict[str, dict[str, tuple[Any, ...]]] = {
    "qse_mle": {"beta": (0.1, 0.5, 2.0), "bonus": (0.0, 0.1, 0.3)},
    "plan_after_estimation": {"eta": (0.03, 0.1, 0.3, 1.0)},
    "active_inverse": {"curiosity": (0.1, 0.2, 0.4, 0.8), "informative": (0, 3)},
}
"""What each draws from beside it."""
SAME = {"margin": 0.0, "scale": 0.3, "population": 20, "planning_steps": 30}
"""The rows "same planner" of ``rivals-outcomes``."""
BEFORE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "qse_mle": ({}, {**SAME, "beta": 0.5}),
    "plan_after_estimation": ({}, {**SAME, "eta": 0.3}),
    "active_inverse": ({}, {**SAME, "curiosity": 0.4}),
}


@cache
def settings(solver: str) -> tuple[dict[str, Any], ...]:
    """The settings of a rival, the two of before first; of ours the one that was chosen."""
    if solver not in WEIGHTS:
        return (PRICED,)
    rng, drawn = np.random.default_rng([0, list(WEIGHTS).index(solver)]), []
    for _ in range(DRAWN):
        one = {name: values[rng.integers(len(values))] for name, values in (PLANNER | WEIGHTS[solver]).items()}
        population, searches = one.pop("starts")
        drawn.append({**one, "population": population, "searches": searches})
    return tuple({"episodes": 9, **one} for one in (*BEFORE[solver], *drawn))


def run(solver: str, setting: int) -> dict[str, Any]:
    """Of each run the commitments from which on it holds 0.95, None for never, and its last score."""
    held, ends = [], []
    for seed in SEEDS:
        for known in instances.candidates("tuning"):
            if not known.has_gap:
                continue
            game = se.game(instances.GAME, seed=known.seed)
            method = registry.build(solver, **settings(solver)[setting])
            found = base.run(method, game, start=np.zeros(game.dimension), budget=COMMITMENTS, seed=seed, reports=COMMITMENTS // 2)
            scores = np.array([known.score(row["leader_return"]) for row in found.history])
            spent = np.array([row["commitments"] for row in found.history])
            held.append(held_from(spent, scores))
            ends.append(round(float(scores[-1]), 4))
        if sum(when is not None for when in held) < ENOUGH:
            break
    return {"held_from": held, "ends": ends}


def wanted() -> Iterator[measured.Measurement]:
    """One row a method and setting, all methods by turns."""
    for setting in range(2 + DRAWN):
        for solver in ("inverse_planning", *WEIGHTS):
            if setting < len(settings(solver)):
                yield {"solver": solver, "setting": setting}, run, (solver, setting)


def rank(row: dict[str, Any]) -> tuple[float, float, float]:
    """What the best setting has least of: runs that do not hold, the median of commitments, their mean."""
    when = [COMMITMENTS + 1 if found is None else found for found in row["held_from"]]
    missed = sum(found is None for found in row["held_from"]) + len(SEEDS) * len(instances.seeds("tuning")) - len(when)
    return missed, float(np.median(when)), float(np.mean(when))


def best(rows: list[dict[str, Any]], solver: str) -> dict[str, Any]:
    """The settings of a method that rank first."""
    return settings(solver)[min((row for row in rows if row["solver"] == solver), key=rank)["setting"]]


def markdown(rows: list[dict[str, Any]], shown: int = 3) -> str:
    """The best few settings of each method, and those of before."""
    lines = ["| method | setting | holds 0.95 | median commitments to it | mean | mean score at 30 |", "|---|---|---|---|---|---|"]
    for solver in ("inverse_planning", *WEIGHTS):
        own = sorted((row for row in rows if row["solver"] == solver), key=rank)
        for row in [row for i, row in enumerate(own) if i < shown or row["setting"] < 2]:
            chosen = ", ".join(f"{name} = {value:g}" for name, value in settings(solver)[row["setting"]].items() if name != "episodes")
            when = [math.inf if found is None else found for found in row["held_from"]]
            median = f"{np.median(when):g}".replace("inf", "never")
            held = f"{np.isfinite(when).sum()} of {len(when)} | {median} | {rank(row)[2]:.1f}"
            lines.append(f"| `{solver}` | {chosen or 'defaults'} | {held} | {np.mean(row['ends']):.3f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what is not recorded yet, and write the record and the table."""
    measured.record_rows(__doc__, wanted(), markdown, name="rival-tuning")


if __name__ == "__main__":
    main()
