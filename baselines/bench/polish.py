"""Exact ascent from the end points of finished runs: whatever basin a method has found, what is the best value in it?"""

from __future__ import annotations

from typing import Any

import numpy as np

import solvers
from stackelberg_envs.leader.repeated_game import RepeatedGame

from .jobs import Job

EVALUATIONS = 1000
LIFT = 12.0
"""How far below the largest of their softmax logits are lifted where a search ends."""


def polishing(results: list[dict[str, Any]]) -> list[Job]:
    """One local search (`solvers.multistart`) from each end point, in the world where it was scored; where that world has gradients.

    Searches stay inside the leader's space, and plain ascent may have left it: such an end point is moved to the border first.
    """
    searches: dict[str, Job] = {}
    for result in results:
        job = Job.from_dict(result["job"])
        world = job.score_world
        search = solvers.build("multistart", evaluations=EVALUATIONS)
        if world.game().context_visibility == "before":  # a job's start is one vector, and here a commitment has a row a context
            continue
        if search.declines(RepeatedGame(world.game(), world.answerer()).oracle(search.access)) is not None:
            continue
        start = {str(i): float(value) for i, value in enumerate(np.ravel(result["x"]))}
        label = f"{job.label or job.solver}, seed {job.seed}, polished"
        lifted = {} if world.game().saturation is None else {"lift": LIFT}
        polished = Job(world, "multistart", 1, 0, start=start, hyperparameters={"evaluations": EVALUATIONS, **lifted}, label=label)
        searches.setdefault(polished.id, polished)
    return list(searches.values())
