"""Imports and compilation before the clock of a run starts: one step of its solver on a small game, thrown away.

A solver's first step in a process may import torch's optimisers and compile the simulator, which takes up to half a minute and is no part
of the method.  Solvers of others are left out, because their steps may leave traces; what they import is in their seconds.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import solvers
import stackelberg_envs as se
from solvers.testing import SMALL

from .jobs import Job
from .source import foreign

GAMES: dict[str, dict[str, Any]] = {
    **SMALL,
    "contract_tree-v0": {},
    "zero_sum_incentive-v0": {"states": 2, "branching": 1},
    "building-v0": {"max_cycles": 10},
    "continuous_toy-v0": {"max_cycles": 10},
}
"""Games that answer in milliseconds, of every kind of world that solvers tell apart."""


def warm_up(job: Job) -> bool:
    """Run one step of the solver of a job in a small world of the same kind, once per process for each way to call it.

    Returns:
        Whether there was such a world.
    """
    if foreign(solvers.solver_class(job.solver)):
        return False
    switches = {name: value for name, value in job.hyperparameters.items() if isinstance(value, (str, bool))}  # sizes only cost time
    return _run_one_step(job.solver, tuple(sorted(switches.items())), *_kind(job.world.game()))


@cache
def _run_one_step(solver: str, switches: tuple[tuple[str, Any], ...], kind: str, several: bool) -> bool:
    for id, arguments in GAMES.items():
        game = se.game(id, **arguments)
        if _kind(game) == (kind, several):
            try:
                solvers.solve(game, solver, budget=1, seed=0, reports=1, **dict(switches))
            except (solvers.Declined, ValueError, TypeError, ArithmeticError):  # the run itself will say what is wrong, if anything is
                continue
            return True
    return False


def _kind(game: se.StackelbergGame) -> tuple[str, bool]:
    """What solvers tell apart: the kind of world, and whether followers share it."""
    world = game.null_worlds[0]
    return world.kind, len(world.actions) > 1
