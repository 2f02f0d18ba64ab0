"""A follower whose policy is optimal up to epsilon, for or against the leader: a linear programme over occupancies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..arguments import real
from ..planning.hard_policy_iteration import hard_policy_iteration
from ..planning.linear_systems import PlanningError
from ..planning.policy_evaluation import policy_value
from ..processes.arrays import Array, array_namespace
from ..processes.mdp import MDP, broadcast_over_leader_actions, decision_problem
from ..response import Answer
from .base import TabularFollower

LARGEST_PROGRAMME = 10**8
"""Numbers in the constraints of a linear programme that is worth trying: 800 MB."""


@dataclass(frozen=True)
class EpsilonOptimal(TabularFollower):
    """The policy within ``epsilon`` of the follower's optimum that is worst (or best) for the leader.

    A linear programme over discounted occupancies mu (Puterman 1994, section 6.9), solved by scipy's HiGHS::

        min (max) r_L . mu   s.t.  sum_b mu(node, b) = w(node | s) (rho(s) + gamma sum mu P(s|.)),   r_F . mu >= V* - epsilon
    """

    epsilon: float
    side: Literal["adversarial", "cooperative"] = "adversarial"
    temperature: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        real("epsilon of EpsilonOptimal", self.epsilon, 0)

    def answer(self, mdp: MDP, values: Array | None) -> Answer:
        del values
        from scipy.optimize import linprog

        xp, like = array_namespace(mdp.follower_reward), mdp.follower_reward
        mdp = mdp.map(lambda table: np.asarray(table.detach().cpu() if hasattr(table, "detach") else table))  # HiGHS takes NumPy
        own = decision_problem(mdp, mdp.follower_reward)
        gamma = mdp.follower_discount
        if gamma != mdp.leader_discount or own.reward.ndim != 3 or own.transition.ndim != 4 or own.weight.ndim != 2:
            raise PlanningError("EpsilonOptimal needs equal discounts of leader and follower and one commitment at a time")
        s, n, b = np.asarray(own.reward).shape
        if (numbers := (s * n) ** 2 * b) > LARGEST_PROGRAMME:
            raise PlanningError(f"EpsilonOptimal solves a linear programme over all occupancies, of {numbers:.1e} numbers here: too big")
        plan = hard_policy_iteration(own, gamma)
        v, q = plan.values, plan.action_values
        weight, transition = np.asarray(own.weight), np.asarray(own.transition.dense())
        flow = np.zeros((s, n, s, n, b))  # row (state, node): its occupancy less what flows in
        rows = np.arange(s)[:, None], np.arange(n)[None, :]
        flow[rows[0], rows[1], rows[0], rows[1], :] = 1.0
        flow -= gamma * np.einsum("tm,snbt->tmsnb", weight, transition)
        initial = np.asarray(mdp.initial)
        sign = 1.0 if self.side == "adversarial" else -1.0
        optimum = float(initial @ np.asarray(v))
        slack = self.epsilon + 1e-9 * (1 + abs(optimum))  # the LP solver's own feasibility tolerance
        limits = np.full((s, n, b), np.inf) if own.available is None else np.where(own.available, np.inf, 0.0)
        programme = linprog(
            sign * np.asarray(decision_problem(mdp, mdp.leader_reward).reward).ravel(),
            A_ub=-np.asarray(own.reward).reshape(1, -1),
            b_ub=[slack - optimum],
            A_eq=flow.reshape(s * n, s * n * b),
            b_eq=(weight * initial[:, None]).ravel(),
            bounds=[(0.0, upper) for upper in limits.ravel()],
            method="highs",
        )
        if programme.x is None:
            raise PlanningError(f"the occupancy programme has no solution: {programme.message}")
        mu = np.maximum(programme.x, 0.0).reshape(s, n, b)
        visits = mu.sum(-1, keepdims=True)
        greedy = np.eye(b)[np.argmax(np.asarray(q), axis=-1)]  # where the programme never goes
        policy = np.where(visits > 1e-12, mu / np.where(visits > 1e-12, visits, 1.0), greedy)
        wide = broadcast_over_leader_actions(policy, mdp)
        lost = optimum - float(initial @ policy_value(mdp, wide, mdp.follower_reward, gamma))  # up to the LP solver's tolerance, slack
        certificate = max(slack, lost) + plan.bound if gamma < 1 else max(slack, lost)
        policy, v = (xp.asarray(table, dtype=like.dtype, device=like.device) for table in (policy, v))
        return Answer(broadcast_over_leader_actions(policy, mdp), v, certificate)
