"""Planning after estimation: estimates that favour the leader, and the greedy commitment in them.

"Planning after estimation", OpenReview Nw7i9Gd1WU (2024; anonymous, no experiments, no code): the leader's value function and the
follower's quantal response are estimated jointly, by a sum of likelihood, Bellman error and a term that encourages exploration, and the
leader then plays greedily in what was estimated.  No confidence set is searched::

    (Q, r) = argmax   eta max_x E_rho Q(s, x, g_(r,x))  -  1/2 sum_(s,a,b) (1 + N(s,a,b)) e(s,a,b)^2  +  L(r)
    e      = Q - r_L - gamma P W                                                  Bellman error of Q, on the counted r_L and P
    x_k+1  = the greedy commitment in (Q, r)

L is the pooled log-likelihood of `solvers.inference.irl`.  Where Q is a table, Q is the value of x under the leader's rewards r_L + e, and
so the sum over data of squared Bellman errors less their least value is the sum of N e^2; the 1 stands for a bounded class where N = 0.
One round:

1. commit to x_k, and watch some episodes
2. count transitions and rewards, and maximise L from where the last round ended
3. report x_k instead of the incumbent if the estimates predict a return that is higher by ``margin``
4. write r = r_k + d with ``d H d = |u|^2``, H the Fisher information at r_k, so that L falls by ``|u|^2 / 2`` to second order, and
   e = w / sqrt(1 + N)
5. from the incumbent and from each of a population, ascend jointly in (x, u, w): ``eta J(x, r, r_L + e) - |u|^2 / 2 - |w|^2 / 2``
6. commit to the x of the best triple next: it maximises J for the maximising estimates, which is the greedy commitment

A fair rewrite, not the paper's: that has a horizon and a follower that is myopic, whose response needs no values of its own.  The planner
is that of `solvers.inverse_planning` with the same effort.

Assumptions: those of `solvers.qse_mle`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from stackelberg_envs.processes.mdp import MDP

from .game_ascent import JointPlanning
from .outcome_planner import Choice, OutcomePlanner, Round, whitener


class RegularisedEstimates(JointPlanning):
    """Estimates of the follower's reward and the leader's value, each at the price of the fit that they lose.

    Args:
        precision: H, (n, n) with n = S A B.
        visits: N, (S, A, B).
        eta: weight of the leader's return.
        count: K, how many are chosen at once.
    """

    def __init__(self, precision: np.ndarray, visits: np.ndarray, eta: float, count: int) -> None:
        self.whitener, self.weight = whitener(precision), eta
        self.error_scale = torch.from_numpy(1 / np.sqrt(1 + visits))
        self.u, self.w = (torch.zeros((count, len(precision)), dtype=torch.float64, requires_grad=True) for _ in range(2))
        self.leaves = (self.u, self.w)

    def choose(self, mdp: MDP, part: int = 0) -> MDP:
        moved, errors = (self.u @ self.whitener).reshape(-1, *mdp.sizes), self.w.reshape(-1, *mdp.sizes) * self.error_scale
        return replace(mdp, follower_reward=mdp.follower_reward + moved, leader_reward=mdp.leader_reward + errors)

    def price(self) -> torch.Tensor:
        return ((self.u**2).sum(-1) + (self.w**2).sum(-1)) / 2

    def project(self) -> None:
        """Nothing is forbidden."""


@dataclass(frozen=True, repr=False)
class PlanAfterEstimation(OutcomePlanner):
    """Greedy in estimates that favour the leader (OUTCOME).

    It needs INCENTIVE where the leader sets rewards; one iteration is one commitment.

    Args:
        eta: weight of the leader's return beside likelihood and Bellman error, in nats per unit of return.
    """

    eta: float = 0.1

    @property
    def _name(self) -> str:
        return "plan_after_estimation"

    def _least(self) -> dict[str, float]:
        return {"eta": 0}

    def _choose(self, now: Round, rng: np.random.Generator) -> Choice:
        belief, visits = now.inference.belief, now.inference.counts.visits
        return self._plan_jointly(now, RegularisedEstimates(belief.precision, visits, self.eta, len(now.starts)))  # type: ignore[union-attr]
