"""What a soft follower can be paid to do, and what that leaves: welfare, less the price of keeping it from its unpaid answer.

Let sigma be a soft follower's answer without payments, with occupancy lambda from the start, and pi its answer to payments b >= 0.  In the
world with payments sigma is a deviation.  It loses tau KL(sigma | pi) in each state that it visits, so::

    V*(r_F + b) = V^sigma(r_F + b) + tau H(sigma) + tau sum_s lambda(s) KL(sigma | pi)(s) >= V*(r_F) + tau sum_s lambda(s) KL(sigma | pi)(s)

The last term makes the bound of `stackelberg_envs.transfer_bound` tighter: a follower that is to give up actions it likes has to be paid
more, for it would still be glad to take them.  With t = c tau the leader of a unit price c earns no more than::

    max_pi  V^pi(r_L + c r_F) + t H(pi) - t sum_s lambda(s) KL(sigma | pi)(s)   -  c V*(r_F)

This maximum is bounded from above by that of a decision process: pi visits s at most M(s) times, M(s) being the largest discounted number
of visits that any policy has, so lambda(s) >= k(s) mu_pi(s) with k = lambda / M.  The term is then charged in each step, as
k(s) t KL(sigma | pi)(s), and value iteration from above solves it.
"""

from __future__ import annotations

import numpy as np

from ..processes.mdp import MDP, decision_problem
from .hard_policy_iteration import hard_policy_iteration
from .policy_evaluation import policy_value
from .policy_iteration import soft_policy_iteration

MOST_STATES = 200
"""More states would take long: there is a decision process to solve for each."""
BISECTIONS = 60
SWEEPS = 2000
PRECISION = 1e-10
"""Sweeps end where they change values by less than this, in relation to the largest; they may end anywhere, for values stay bounds."""


def bounds_answers(mdp: MDP) -> bool:
    """Whether `paid_welfare` takes this world: few states, a leader that does not act, and all actions always there."""
    return mdp.sizes[0] <= MOST_STATES and mdp.sizes[1] == 1 and mdp.available is None and mdp.kernel.stages is None


def paid_welfare(unpaid: MDP, welfare: MDP, temperature: float, price: float) -> float:
    """An upper bound on the maximum above, without its last term, from the initial distribution.

    Args:
        unpaid: what the follower faces without payments, dense or lists, in NumPy numbers; the leader does not act in it (A = 1).
        welfare: the same with follower reward r_L + c r_F.
        temperature: tau of the follower, above 0.
        price: c.
    """
    from scipy.special import wrightomega

    t, discount, initial = price * temperature, unpaid.follower_discount, np.asarray(unpaid.initial)
    problem = decision_problem(welfare, welfare.follower_reward)
    sigma = soft_policy_iteration(unpaid, temperature).policy
    values = soft_policy_iteration(welfare, t).values
    visits, most = np.transpose([_visits(unpaid, sigma, s) for s in range(len(initial))])
    weight = (visits / np.maximum(most, 1e-300))[:, None] * sigma[:, 0]  # k sigma, (S, B)
    logs = np.log(np.maximum(weight, 1e-300))
    constant = t * (weight * np.log(np.maximum(sigma[:, 0], 1e-300))).sum(axis=-1)

    def stage(q: np.ndarray) -> np.ndarray:
        """max_p p q + t H(p) + t k sigma log p, (S,), by its dual: any multiplier nu bounds it from above."""

        def log_policy(nu: np.ndarray) -> np.ndarray:
            y = (q - nu[:, None]) / t - 1
            return y + wrightomega(logs - y)  # log p - k sigma / p = y

        low, high = q.max(axis=-1) - t, q.max(axis=-1) + t * (1 + np.log(q.shape[-1]) + q.shape[-1])
        for _ in range(BISECTIONS):
            nu = (low + high) / 2
            above = np.exp(log_policy(nu)).sum(axis=-1) > 1
            low, high = np.where(above, nu, low), np.where(above, high, nu)
        log_p = log_policy(high)
        p = np.exp(log_p)
        terms = np.where(p > 0, p * (q - high[:, None] - t * log_p), 0.0) + t * weight * log_p
        return high + np.where(weight > 0, terms, np.where(p > 0, p * t, 0.0)).sum(axis=-1)

    for _ in range(SWEEPS):
        before = values
        q = np.asarray(problem.action_values(values, discount))[:, 0]
        values = np.minimum(values, stage(q) - constant)
        if np.abs(values - before).max() <= PRECISION * (1 + np.abs(values).max()):
            break
    return float(initial @ values)


def _visits(mdp: MDP, policy: np.ndarray, state: int) -> tuple[float, float]:
    """The discounted number of visits to a state, by ``policy`` and by the policy that visits it most."""
    reward = np.zeros_like(mdp.follower_reward)
    reward[state] = 1.0
    most = hard_policy_iteration(decision_problem(mdp, reward), mdp.follower_discount).values
    return float(mdp.initial @ policy_value(mdp, policy, reward, mdp.follower_discount)), float(mdp.initial @ most)
