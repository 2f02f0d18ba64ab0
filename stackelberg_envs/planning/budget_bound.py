r"""What no budget of penalties can make a follower do.

The leader takes p(s) >= 0 for each visit of state s, at most u in all, and pays c |p| for it where it is charged.  Let g be the follower's
answer, d^g(s) its discounted visits of s, and V^g(r) its discounted sum of r.  It is no worse than any other policy k::

    V^g(r_F) + tau H(g) - p.d^g  >=  V^k(r_F) + tau H(k) - p.d^k

So for any lambda(k) >= 0 that add up to L, the leader has at most ::

    max over p of  max over g of  V^g( r_L - |p| c + L (r_F - p) ) + L tau H(g)  -  sum_k lambda(k) [ V^k(r_F) + tau H(k) - p.d^k ]

For each g that is linear in p, so that the maximum over g is convex in p, and that over p is at a corner: no penalty, or all of it on one
state.  At a corner the inner maximum is one soft decision process.  The whole is convex in lambda, and its least value is found by cutting
planes (Kelley, "The cutting-plane method for solving convex programs", SIAM J., 1960); any lambda gives a bound.  The other policies k are
the best answers at the corners.

Of a follower without entropy the first inequality holds for tau = 0, and entropy may be added to its left side: `SMOOTHING`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..processes.mdp import MDP
from .linear_systems import factorise, system
from .policy_iteration import soft_policy_iteration

SMOOTHING = 1e-3
"""Temperature for a follower without entropy, in units of its reward."""
SCALES = (10.0, 30.0, 100.0)
"""Sums of lambda that are tried first, all policies alike, in units of the leader's largest reward over the follower's."""
CUTS = 8
ENOUGH = 0.005
"""The search ends if the cuts leave no more than this share of the bound to be gained."""


def budget_bound(
    mdp: MDP, leader_reward: np.ndarray, budget: float, penalised: np.ndarray, temperature: float, cost: np.ndarray | float = 0.0
) -> float:
    """An upper bound on what the leader earns in one process, for every way to spread the budget.

    Args:
        mdp: the process without penalties; both discount alike, below 1.
        leader_reward: what the leader earns before it pays, (S, A, B).
        budget: u.
        penalised: in which states penalties are felt, booleans (S,).
        temperature: of the follower; 0 for one without entropy.
        cost: what the leader pays for a unit of penalties, (S, A, B), not below 0.
    """
    from scipy.optimize import linprog  # when asked: games are listed without scipy

    corners = _Corners(mdp, leader_reward, np.vstack([np.zeros(len(penalised)), budget * np.eye(len(penalised))[penalised]]), cost)
    others = corners.answers(temperature)
    unit = float(np.abs(leader_reward).max()) / max(float(np.abs(mdp.follower_reward).max()), 1e-12)
    n = len(others)
    lowest, at, cuts, offsets = np.inf, np.zeros(n), [], []
    trials = [np.full(n, scale * unit / n) for scale in SCALES]
    while trials:
        weights = trials.pop(0)
        values, slopes = corners.dual(weights, others, temperature or SMOOTHING)
        cuts.append(slopes)
        offsets.append(values - slopes @ weights)
        if values.max() < lowest:
            lowest, at = float(values.max()), weights
        if trials or len(cuts) >= len(SCALES) + CUTS:
            continue
        reach = 2 * float(at.sum()) / len(cuts)
        table = np.concatenate(cuts)
        solved: Any = linprog(
            np.r_[np.zeros(n), 1.0],
            A_ub=np.c_[table, -np.ones(len(table))],
            b_ub=-np.concatenate(offsets),
            bounds=[*((max(0.0, x - reach), x + reach) for x in at.tolist()), (None, None)],
            method="highs",
        )
        if not solved.success or lowest - solved.fun <= ENOUGH * abs(lowest):
            break
        trials.append(np.maximum(solved.x[:n], 1e-9 * unit))
    return lowest


class _Corners:
    """One process under several penalties at once, (n, S)."""

    def __init__(self, mdp: MDP, leader_reward: np.ndarray, penalties: np.ndarray, cost: np.ndarray | float) -> None:
        self.mdp, self.penalties, self.start = mdp, penalties, np.asarray(mdp.initial)
        self.reward = np.asarray(mdp.follower_reward)
        self.charged = penalties[:, :, None, None] + 0 * self.reward
        self.leader = leader_reward - penalties.sum(axis=1)[:, None, None, None] * np.asarray(cost)
        self._values: np.ndarray | None = None

    def answers(self, temperature: float) -> np.ndarray:
        """What the best answer at each corner has at every corner, (n, n): first of whom, then where."""
        plan = self._optimum(self.reward - self.charged, temperature or SMOOTHING)
        visits, values = self._visits(plan), np.asarray(plan.values) @ self.start
        unpenalised = values + (visits * self.penalties).sum(axis=1)
        if not temperature:
            steps = np.asarray(self.mdp.leader_policy)[..., None] * np.asarray(plan.policy) * self.reward
            unpenalised = (visits * steps.sum(axis=(-2, -1))).sum(axis=1)
        return unpenalised[:, None] - visits @ self.penalties.T

    def dual(self, weights: np.ndarray, others: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray]:
        """The bound at each corner, (n,), and its derivatives by the weights, (n, n)."""
        total = float(weights.sum())
        plan = self._optimum(self.leader + total * (self.reward - self.charged), total * temperature)
        values = np.asarray(plan.values) @ self.start
        steps = (np.asarray(self.mdp.leader_policy)[..., None] * np.asarray(plan.policy) * self.leader).sum(axis=(-2, -1))
        own = (values - (self._visits(plan) * steps).sum(axis=1)) / total
        return values - weights @ others, own[:, None] - others.T

    def _optimum(self, reward: np.ndarray, temperature: float) -> Any:
        return soft_policy_iteration(replace(self.mdp, follower_reward=reward), temperature)

    def _visits(self, plan: Any) -> np.ndarray:
        """Discounted visits, (n, S)."""
        chain = self.mdp.kernel.markov_chain(np.asarray(self.mdp.leader_policy)[..., None] * np.asarray(plan.policy))
        start = np.broadcast_to(self.start, self.penalties.shape)
        return np.asarray(factorise(system(chain, self.mdp.follower_discount)).solve_transposed(start))
