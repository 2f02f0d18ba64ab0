"""How much a commitment would tell about the follower's reward, before it is played."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stackelberg_envs.planning.policy_iteration import soft_policy_iteration
from stackelberg_envs.processes.mdp import MDP, decision_problem, joint_policy

from .irl import response_jacobian


def expected_information(mdp: MDP, temperature: float, *, episodes: float, steps: int) -> np.ndarray:
    """Fisher information about the follower's rewards, expected of episodes under each of K commitments.

    In the notation of `solvers.inference.irl`::

        I(x) = sum_n N_x(n) sum_b g(b|n) D(n,b) D(n,b)^T ,   D = d log g / d r

    Args:
        mdp: the processes that the commitments induce, a batch of K, with the rewards that are believed in.
        temperature: the follower's.
        episodes: how many are watched, an expected number in one of several contexts.
        steps: how long one is at most; N_x counts the expected visits of a decision node until then.

    Returns:
        (K, n, n) with n = S A B.
    """
    count = len(mdp.leader_policy) if mdp.leader_policy.ndim > 2 else len(mdp.follower_reward)
    mdp = replace(mdp, follower_reward=np.broadcast_to(mdp.follower_reward, (count, *mdp.sizes)))
    plan = soft_policy_iteration(mdp, temperature)
    g = plan.policy[..., : decision_problem(mdp, mdp.follower_reward).reward.shape[-2], :]
    chain = mdp.kernel.markov_chain(joint_policy(mdp, plan.policy))
    at = np.broadcast_to(mdp.initial, (count, mdp.sizes[0]))
    visits = np.zeros(at.shape)
    for _ in range(steps):
        visits = visits + at
        at = chain.push_forward(at)
    nodes = episodes * visits[..., None] * decision_problem(mdp, mdp.follower_reward).weight
    jacobian = response_jacobian(mdp, plan, temperature).reshape(count, -1, int(np.prod(mdp.sizes)))
    weighted = jacobian * (nodes[..., None] * g).reshape(count, -1, 1)
    return np.swapaxes(weighted, -1, -2) @ jacobian


def information_gain(precision: np.ndarray, information: np.ndarray) -> np.ndarray:
    """``log det (H + I) / 2 - log det H / 2`` in nats, (K,), for a belief of precision H (n, n) and information (K, n, n)."""
    return (np.linalg.slogdet(precision + information)[1] - np.linalg.slogdet(precision)[1]) / 2
