"""Optimistic maximum likelihood of the quantal response, from outcomes alone.

Chen, Wang, Yang, "Actions speak what you want: provably sample-efficient reinforcement learning of the quantal Stackelberg equilibrium
from strategic feedbacks", 2023, arXiv 2307.14085; no code is published.  The follower's reward r is fitted to its actions by maximum
likelihood through its soft (quantal) response, and the leader plays what is best under the most favourable reward that the data do not
rule out::

    L(r)   = sum_k sum_(n,b) N_k(n,b) log g_(r,x_k)(b|n) - |r|^2 / (2 sigma^2)        see solvers.inference.irl
    C_k    = { r : L(r) >= max L - beta }                                            the confidence set
    x_k+1  = argmax_x  max_(r in C_k)  J(x, r; P, r_L + bonus / sqrt(1 + N))           P, r_L, N: counted

One round:

1. commit to x_k, and watch some episodes
2. count transitions and rewards, and maximise L from where the last round ended
3. report x_k instead of the incumbent if the estimates predict a return that is higher by ``margin``
4. write r = r_k + d with ``d H d = |u|^2``, H the Fisher information at r_k: to second order in d, C_k is the ball ``|u|^2 <= 2 beta``
5. from the incumbent and from each of a population, ascend jointly in (x, u) by the exact gradients of J, and project u on the ball
6. commit to the x of the best pair next

A fair rewrite, not the paper's: its theorems are for episodic games with a horizon, function classes and a confidence set that is searched
by an oracle.  Here the class is the table, the response that of the discounted game, and the search is the planner of
`solvers.inverse_planning` with the same effort.  The paper has sets for dynamics and leader's reward too; in tables these come to a bonus
that falls with the root of the visits.  It plays x_k and has no incumbent; reporting what step 3 confirms can only help it.

Assumptions: one follower in one context with a stationary soft response and a known discount, at a known temperature up to the unit of its
rewards; stationary dynamics, additive objectives, and tables small enough for a matrix H.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from stackelberg_envs.processes.mdp import MDP

from .game_ascent import JointPlanning
from .outcome_planner import Choice, OutcomePlanner, Round, whitener


class ConfidenceSet(JointPlanning):
    """Rewards of the follower that its actions do not rule out.

    Args:
        precision: H, (n, n) with n = S A B.
        beta: how much likelihood they may lose, in nats.
        bonus: of the leader's rewards, (S, A, B).
        count: K, how many are chosen at once.
    """

    def __init__(self, precision: np.ndarray, beta: float, bonus: np.ndarray, count: int) -> None:
        self.whitener, self.radius = whitener(precision), float(np.sqrt(2 * beta))
        self.bonus = torch.from_numpy(bonus)
        self.u = torch.zeros((count, len(precision)), dtype=torch.float64, requires_grad=True)
        self.leaves = (self.u,)

    def choose(self, mdp: MDP, part: int = 0) -> MDP:
        moved = (self.u @ self.whitener).reshape(-1, *mdp.sizes)
        return replace(mdp, follower_reward=mdp.follower_reward + moved, leader_reward=mdp.leader_reward + self.bonus)

    def price(self) -> torch.Tensor:
        return torch.zeros(len(self.u), dtype=torch.float64)

    def project(self) -> None:
        norm = torch.linalg.vector_norm(self.u, dim=-1, keepdim=True)
        self.u.mul_(torch.clamp(self.radius / norm.clamp_min(1e-300), max=1.0))


@dataclass(frozen=True, repr=False)
class QSEMLE(OutcomePlanner):
    """Optimistic likelihood of the quantal response (OUTCOME).

    It needs INCENTIVE where the leader sets rewards; one iteration is one commitment.

    Args:
        beta: size of the confidence set: the log-likelihood that a reward may lose against the best, in nats.
        bonus: of the leader's reward where it has never been; it falls with the root of the visits.
    """

    beta: float = 0.5
    bonus: float = 0.1

    @property
    def _name(self) -> str:
        return "qse_mle"

    def _least(self) -> dict[str, float]:
        return {"beta": 0, "bonus": 0}

    def _choose(self, now: Round, rng: np.random.Generator) -> Choice:
        bonus = self.bonus / np.sqrt(1 + now.inference.counts.visits)
        return self._plan_jointly(now, ConfidenceSet(now.inference.belief.precision, self.beta, bonus, len(now.starts)))  # type: ignore[union-attr]
