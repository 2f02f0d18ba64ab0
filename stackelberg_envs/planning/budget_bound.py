r"""What no budget of penalties can make a follower do.

The leader takes p(s) >= 0 for each visit of state s, at most u in all.  Let g be the follower's answer, g0 its answer without penalties,
d^g(s) the discounted visits of s under g, and V^g(r) the discounted sum of r.  The answer is no worse than g0::

    V^g(r_F) + tau H(g) - p.d^g  >=  V^g0(r_F) + tau H(g0) - p.d^g0  =  V* - p.d^g0

and p.(d^g0 - d^g) <= u max_s (d^g0(s) - d^g(s)), or g = g0.  So there is a state s with
V^g(r_F) + tau H(g) - u d^g(s) >= V* - u d^g0(s), and by weak duality the leader has, for any lambda >= 0, at most ::

    max_s   [ max_g V^g( r_L + lambda (r_F - u 1_s) ) + lambda tau H(g) ]  -  lambda (V* - u d^g0(s))

The bracket is a decision process whose soft optimum is one solve.  What the leader pays for penalties is left out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..processes.mdp import MDP, decision_problem
from .hard_policy_iteration import hard_policy_iteration
from .linear_systems import factorise, system
from .policy_iteration import soft_policy_iteration

SMALLEST, LARGEST = 0.01, 1e4
"""Multipliers that are tried, in units of the leader's reward over the follower's."""
TRIALS = 14


def budget_bound(mdp: MDP, leader_reward: np.ndarray, budget: float, penalised: np.ndarray, temperature: float) -> float:
    """An upper bound on what the leader earns in one process, for every way to spread the budget.

    Args:
        mdp: the process without penalties; both discount alike, below 1.
        leader_reward: what the leader earns before it pays, (S, A, B).
        budget: u.
        penalised: which states may have penalties, booleans (S,).
        temperature: of the follower; 0 for one without entropy.
    """
    from scipy.optimize import minimize_scalar  # when asked: games are listed without scipy

    start, reward = np.asarray(mdp.initial), np.asarray(mdp.follower_reward)
    best, policy = _optimum(mdp, reward, temperature)
    visits = _visits(mdp, policy)

    def dual(state: int, log_multiplier: float) -> float:
        multiplier = float(np.exp(log_multiplier))
        penalty = np.zeros_like(reward)
        penalty[state] = budget
        value = _optimum(mdp, leader_reward + multiplier * (reward - penalty), multiplier * temperature)[0]
        return float(start @ value) - multiplier * (float(start @ best) - budget * float(visits[state]))

    highest, at = -np.inf, 0.0
    for state in sorted(np.flatnonzero(penalised).tolist(), key=lambda s: -visits[s]):
        if dual(state, at) > highest:  # else the bound for this state is no larger than that for another
            bounds = (np.log(SMALLEST), np.log(LARGEST))
            solved: Any = minimize_scalar(lambda x, s=state: dual(s, x), bounds=bounds, method="bounded", options={"maxiter": TRIALS})
            if solved.fun > highest:
                highest, at = float(solved.fun), float(solved.x)
    return highest


def _optimum(mdp: MDP, reward: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Values and policy (S, N, B) that are best for ``reward``, with entropy at ``temperature``."""
    own = replace(mdp, follower_reward=reward)
    plan = soft_policy_iteration(own, temperature) if temperature > 0 else None
    if plan is not None:
        return np.asarray(plan.values), np.asarray(plan.policy)
    hard = hard_policy_iteration(decision_problem(own, reward), mdp.follower_discount)
    q = np.asarray(hard.action_values)
    return np.asarray(hard.values), np.eye(q.shape[-1])[q.argmax(axis=-1)]


def _visits(mdp: MDP, policy: np.ndarray) -> np.ndarray:
    """Discounted visits of each state, (S,)."""
    chain = mdp.kernel.markov_chain(np.asarray(mdp.leader_policy)[..., None] * policy)
    return np.asarray(factorise(system(chain, mdp.follower_discount)).solve_transposed(np.asarray(mdp.initial)))
