"""The cheapest way to make a follower do what is best for both: the optimum of a leader who may pay for every pair.

A leader pays b(s, a) >= 0 for each state and action, at a cost of c > 0 a unit: it earns r_L - c b.  Both discount alike.  Let V and Q
be what the follower has unpaid, and pi the best policy for r_L + c r_F, with value W.  The payments::

    b(s, a) = V(s) - Q(s, a) where a = pi(s), else 0

make the planned action as good as the best, and nothing better: V solves the Bellman equation of r_F + b too, so pi is a best response,
and it is paid V - V^pi(r_F) from the start.  The leader, to whom ties go, earns at least V^pi(r_L) - c (V - V^pi(r_F)) = W - c V.  No x
earns more (`stackelberg_envs.transfer_bound`), so this is the optimum: two decision processes are solved, of any size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..processes.mdp import MDP, decision_problem
from .hard_policy_iteration import hard_policy_iteration
from .linear_systems import PlanningError


@dataclass(frozen=True)
class SubsidyPlan:
    """What a leader pays who may pay for every pair, and what it earns with that if ties go to it."""

    value: float
    """J* = W - c V, from the initial distribution."""
    payments: np.ndarray
    """(S, B), not below 0; of each state at most one is above."""
    policy: np.ndarray
    """The action that is planned in each state, integers (S,)."""
    welfare: float
    """W, the optimum of r_L + c r_F."""
    unpaid: float
    """V, what the follower has without payments, and with them."""


def optimal_subsidies(mdp: MDP, price: float = 1.0) -> SubsidyPlan:
    """The optimal payments, one for each pair of state and action.

    Args:
        mdp: the world without payments, in NumPy numbers; the leader does not act in it (A = 1).
        price: c, what a unit of payment costs the leader, above 0.

    Raises:
        PlanningError: if the leader acts, discounts differ, or there is no optimum.
    """
    if mdp.leader_policy.shape != (mdp.sizes[0], 1) or mdp.follower_discount != mdp.leader_discount:
        raise PlanningError("optimal_subsidies needs one world, in which the leader does not act and both discount alike")
    own = hard_policy_iteration(decision_problem(mdp, mdp.follower_reward), mdp.follower_discount)
    both = replace(mdp, follower_reward=mdp.leader_reward + price * mdp.follower_reward)
    welfare = hard_policy_iteration(decision_problem(both, both.follower_reward), mdp.follower_discount)
    q = own.action_values[:, 0]
    policy = np.argmax(welfare.action_values[:, 0], axis=-1)
    rows = np.arange(len(policy))
    payments = np.zeros(q.shape)
    payments[rows, policy] = np.maximum(q.max(axis=-1) - q[rows, policy], 0.0)
    least, most = (float(mdp.initial @ plan.values) for plan in (own, welfare))
    return SubsidyPlan(most - price * least, payments, policy, most, least)
