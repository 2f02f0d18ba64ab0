r"""What no budget of penalties can make a follower do.

The leader takes p(s) >= 0 for each visit of state s, at most u in all, and pays c |p| for it where it is charged.  It may do so in several
processes at once, of which each has a probability; what follows is a mean over them, with lambda(k) for each.  Let g be the follower's
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

from collections.abc import Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Penalised:
    """A process in which penalties are felt."""

    mdp: MDP
    """Without penalties; both discount alike, below 1."""
    leader_reward: np.ndarray
    """What the leader earns before it pays, (S, A, B)."""
    felt: np.ndarray
    """In which states, booleans (S,)."""
    cost: np.ndarray
    """What the leader pays for a unit of penalties, (S, A, B), not below 0."""
    probability: float = 1.0


def budget_bound(processes: Sequence[Penalised], budget: float, temperature: float) -> float:
    """An upper bound on what the leader earns, for every way to spread the budget.

    Args:
        processes: in which the same penalties are announced.
        budget: u.
        temperature: of the follower; 0 for one without entropy.
    """
    from scipy.optimize import linprog  # when asked: games are listed without scipy

    states = np.eye(len(processes[0].felt))[np.any([process.felt for process in processes], axis=0)]
    penalties = np.vstack([0 * states[:1], budget * states])
    corners = [_Corners(process, penalties) for process in processes]
    others = [each.answers(temperature) for each in corners]
    n, unit = len(penalties) * len(corners), max(each.unit for each in corners)
    lowest, at, cuts, offsets = np.inf, np.zeros(n), [], []
    trials = [np.full(n, scale * unit / len(penalties)) for scale in SCALES]
    while trials:
        weights = trials.pop(0)
        values, slopes = _dual(corners, others, weights, temperature or SMOOTHING)
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


def _dual(corners: list[_Corners], others: list[np.ndarray], weights: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """The bound at each corner, (n,), and its derivatives by the weights of all processes, (n, n C)."""
    parts = zip(corners, others, np.split(weights, len(corners)), strict=True)
    values, slopes = zip(*(each.dual(part, other, temperature) for each, other, part in parts), strict=True)
    probabilities = [each.probability for each in corners]
    weighted = [p * slope for p, slope in zip(probabilities, slopes, strict=True)]
    return np.average(values, axis=0, weights=probabilities) * sum(probabilities), np.concatenate(weighted, axis=1)


class _Corners:
    """One process under several penalties at once, (n, S)."""

    def __init__(self, process: Penalised, penalties: np.ndarray) -> None:
        self.mdp, self.probability = process.mdp, process.probability
        self.penalties, self.start, self.reward = (
            penalties * process.felt,
            np.asarray(self.mdp.initial),
            np.asarray(self.mdp.follower_reward),
        )
        self.charged = self.penalties[:, :, None, None] + 0 * self.reward
        self.leader = process.leader_reward - penalties.sum(axis=1)[:, None, None, None] * process.cost
        self.unit = float(np.abs(process.leader_reward).max()) / max(float(np.abs(self.reward).max()), 1e-12)

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
