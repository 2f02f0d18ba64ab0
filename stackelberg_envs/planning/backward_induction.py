"""Backward induction: exact values and time-dependent policies where there is a deadline, in one backup a stage.

Puterman, "Markov Decision Processes", 1994, chapter 4.  A state is t S + s, and each step leads to the next stage
(`stackelberg_envs.processes.staged.StagedTransition`), so values of the last stage need no others, and each stage only those of the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..processes.arrays import Array, array_namespace
from ..processes.mdp import DecisionProblem
from .linear_systems import PlanningError

Backup = Callable[[DecisionProblem, Array], tuple[Array, Array]]
"""From one stage as a problem, and the values of the next, (..., S), to its values and to a table at its nodes, (..., S, N, B)."""


def stage_problem(problem: DecisionProblem, t: int) -> DecisionProblem:
    """One stage of a problem with a deadline; next states are counted within the next stage."""
    staged: Any = problem.transition
    available = None if problem.available is None else staged.stage(problem.available, t, 2)
    return DecisionProblem(staged.stage(problem.weight, t, 1), staged.stage(problem.reward, t, 2), staged.at(t), available)


def backward_induction(problem: DecisionProblem, backup: Backup) -> tuple[Array, Array]:
    """Values of all stages, (..., T S), and the tables that ``backup`` gave, (..., T S, N, B)."""
    xp = array_namespace(problem.reward)
    stages: Any = problem.transition.stages
    v, values, tables = xp.zeros_like(stage_problem(problem, stages - 1).reward[..., 0, 0]), [], []
    for t in reversed(range(stages)):
        v, table = backup(stage_problem(problem, t), v)
        values.append(v)
        tables.append(table)
    return xp.concat(values[::-1], axis=-1), xp.concat(tables[::-1], axis=-3)


def reverse_topological_order(transition: np.ndarray) -> list[int]:
    """The states of a dense transition (S, A, B, S) in an order in which each comes after all that may follow it.

    Raises:
        PlanningError: if a state can be reached again.
    """
    follows = np.any(transition > 0, axis=(1, 2))
    remaining, order = np.ones(transition.shape[0], dtype=bool), []
    while remaining.any():
        last = remaining & ~(follows & remaining).any(axis=1)
        if not last.any():
            raise PlanningError(
                "Nash goes backwards from the end of an episode, and in this game a state can be reached again; with_deadline gives it "
                "an end"
            )
        order += np.flatnonzero(last).tolist()
        remaining &= ~last
    return order
