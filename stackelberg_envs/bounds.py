"""What no commitment can beat."""

from __future__ import annotations

import numpy as np

from .game import StackelbergGame, as_tuple
from .mdp import DecisionProblem, InducedMDP
from .planning import PlanningError, hard_policy_iteration


def cooperative_value(game: StackelbergGame) -> float | None:
    """The leader's best return if it chose the followers' actions too: an upper bound on F, whatever the followers want.

    What the leader pays for its instrument (`StackelbergGame.leader_cost`, never negative) is left out, which keeps it a bound.

    Returns:
        None where there is no such bound to compute this way: dynamics or rewards that move with the commitment, an objective that is
        not a sum over steps, or a value that is infinite.
    """
    if not game.additive:
        return None
    probes = (np.zeros(game.dimension), np.cos(np.arange(game.dimension)))
    total = 0.0
    for context, probability in enumerate(game.context_probabilities):
        free = [_without_cost(game, x, context) for x in probes]
        for mdp, reward, other, other_reward in zip(*free[0], *free[1], strict=True):
            if not (np.array_equal(mdp.transition, other.transition) and np.allclose(reward, other_reward, rtol=0, atol=1e-12)):
                return None
            s, a, b = mdp.sizes
            joint = DecisionProblem(np.ones((s, 1)), reward.reshape(s, 1, a * b), np.asarray(mdp.transition).reshape(s, 1, a * b, s))
            try:
                values, _ = hard_policy_iteration(joint, mdp.leader_discount)
            except PlanningError:
                return None
            total += float(probability) * float(np.asarray(mdp.initial) @ values)
    return total


def _without_cost(game: StackelbergGame, x: np.ndarray, context: int) -> tuple[tuple[InducedMDP, ...], list[np.ndarray]]:
    """What the followers face, and what the leader is paid before it pays for its instrument."""
    problems = game.problems(x, context)
    costs = (0.0,) * len(problems) if game.leader_cost is None else as_tuple(game.leader_cost(x, context))
    return problems, [np.asarray(mdp.leader_reward) + cost for mdp, cost in zip(problems, costs, strict=True)]
