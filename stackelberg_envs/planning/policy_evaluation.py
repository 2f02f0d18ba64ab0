"""Policy evaluation: what a policy is worth from each state, by one linear solve or over finitely many steps."""

from __future__ import annotations

import numpy as np
from array_api_compat import is_numpy_array

from ..processes.arrays import Array, array_namespace
from ..processes.mdp import MDP, entropy, joint_policy
from .linear_systems import Factorisation, factorise, system


def policy_value(mdp: MDP, policy: Array, reward: Array, discount: float, *, horizon: int | None = None) -> Array:
    """Expected discounted sum of ``reward`` (..., S, A, B) from each state under ``policy`` (..., S, A, B): (..., S).

    Args:
        mdp: the process.
        policy: g(b|s,a).
        reward: what is summed.
        discount: in [0, 1].
        horizon: number of steps; None for infinitely many.
    """
    xp = array_namespace(policy)
    joint = joint_policy(mdp, policy)
    mean = xp.sum(joint * reward, axis=(-2, -1))
    if horizon is None:
        return _factors(mdp, joint, discount).solve(mean)
    chain = mdp.kernel.markov_chain(joint)
    v = xp.zeros_like(mean)
    for _ in range(horizon):
        v = mean + discount * chain.expect(v)
    return v


def _factors(mdp: MDP, joint: Array, discount: float) -> Factorisation:
    """I - gamma P under ``joint`` (..., S, A, B), ready to be solved with.

    The leader's return and what a follower earns are values of one policy, and are asked for in turn: NumPy's last system is kept.
    """
    keeps = is_numpy_array(joint)
    last_discount, last_joint, kept = vars(mdp).get("_last_system", (None, None, None))
    if keeps and discount == last_discount and np.array_equal(joint, last_joint):
        return kept
    kept = factorise(system(mdp.kernel.markov_chain(joint), discount, mdp.initial))
    if keeps:
        vars(mdp)["_last_system"] = discount, joint, kept
    return kept


def regularised_reward(mdp: MDP, policy: Array, temperature: float) -> Array:
    """r_F plus the entropy bonus that ``policy`` earns, (..., S, A, B).

    Where the follower sees only the leader's policy, its own does not depend on a, so the bonus counts once.
    """
    return mdp.follower_reward + temperature * entropy(policy)[..., None]
