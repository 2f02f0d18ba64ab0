"""Maximum causal entropy inverse RL, pooled over commitments.

Ziebart, Bagnell, Dey, "Modeling interaction via the principle of maximum causal entropy", ICML 2010, for one reward table r(s,a,b) that
has to explain the responses to all past commitments at once.  One commitment alone fits perfectly and predicts nothing, because it cannot
tell a reward from the continuation; several tell them apart up to a potential of the state, on which no response depends::

    L(r) = sum_k sum_(n,b) N_k(n,b) log g_k(b|n) - |r|^2 / (2 sigma^2)          n: the follower's decision nodes (s,a) or s

With g_k the soft response to commitment k, E = dR/dr and D = d log g / d r (Fisher scoring, damped as by Levenberg and Marquardt)::

    dV = (I - gamma P_g)^{-1} <E>_g ;   dQ = E + gamma P dV ;   D = (dQ - <dQ>_g) / tau
    gradient = sum N_k(n,b) D - r / sigma^2 ;   H = sum N_k(n) g D D^T + I / sigma^2

Commitments that leave the window are kept as the quadratic form of their log-likelihood at the present r (Laplace memory).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from stackelberg_envs.planning.policy_iteration import Plan, soft_policy_iteration
from stackelberg_envs.processes.mdp import MDP, decision_problem, joint_policy

CONVERGED = 1e-3
"""A step that gains less log-likelihood than this is the last."""


class Responses(NamedTuple):
    """Commitments with what the follower was seen to do under them."""

    mdp: MDP
    """What the follower faced but for the unknown reward, a batch of K processes; ``follower_reward`` is the part that is known."""
    counts: np.ndarray
    """Follower actions at each decision node, (K, S, N, B)."""


@dataclass(frozen=True)
class Belief:
    """What the leader believes of the follower's reward: a Gaussian around ``reward``."""

    reward: np.ndarray
    """(S, A, B)."""
    precision: np.ndarray
    """H at ``reward``, (n, n) with n = S A B."""
    memory: tuple[np.ndarray, np.ndarray]
    """(Lambda, eta) of forgotten commitments: their log-likelihood is -r Lambda r / 2 + eta r."""
    damping: float = 1e-3

    @staticmethod
    def prior(sizes: tuple[int, int, int], scale: float) -> Belief:
        """Rewards of size ``scale`` around 0."""
        n = int(np.prod(sizes))
        return Belief(np.zeros(sizes), np.eye(n) / scale**2, (np.zeros((n, n)), np.zeros(n)))

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """A reward table from the belief, (S, A, B)."""
        factor = np.linalg.cholesky(self.precision)
        return self.reward + np.linalg.solve(factor.T, rng.normal(size=len(factor))).reshape(self.reward.shape)


def fit(belief: Belief, responses: Responses, temperature: float, scale: float, *, steps: int) -> Belief:
    """Damped Fisher scoring on all ``responses`` and the memory, from where the belief stands, until it has converged: at most ``steps``.

    A fit that stops halfway believes what it believed before, and trusts a commitment that has just failed.
    """
    r, mu = belief.reward.ravel(), belief.damping
    here = _local(r, responses, temperature)
    score, slope, fisher = _with_priors(here, r, belief.memory, scale)
    for _ in range(steps):
        direction = np.linalg.solve(fisher + mu * np.diag(np.diag(fisher)), slope)
        candidate = r + np.clip(direction, -1.0, 1.0)
        there = _local(candidate, responses, temperature)
        tried = _with_priors(there, candidate, belief.memory, scale)
        if tried[0] >= score:
            converged = tried[0] - score < CONVERGED and mu < 1
            r, (score, slope, fisher), mu = candidate, tried, max(mu / 5, 1e-9)
            if converged:
                break
        else:
            mu = min(8 * mu, 1e9)
    return Belief(r.reshape(belief.reward.shape), fisher, belief.memory, mu)


def log_evidence(belief: Belief, responses: Responses, temperature: float, scale: float) -> float:
    """Laplace's approximation of the log-probability of all responses, the reward integrated out, in nats; see `fit`."""
    r = belief.reward.ravel()
    score, _, fisher = _with_priors(_local(r, responses, temperature), r, belief.memory, scale)
    return score - float(np.linalg.slogdet(scale**2 * fisher)[1]) / 2


def forget(belief: Belief, leaving: Responses, temperature: float) -> Belief:
    """Fold commitments that leave the window into the memory."""
    r = belief.reward.ravel()
    _, slope, fisher = _local(r, leaving, temperature)
    precision, linear = belief.memory
    return Belief(belief.reward, belief.precision, (precision + fisher, linear + slope + fisher @ r), belief.damping)


def _with_priors(
    local: tuple[float, np.ndarray, np.ndarray], r: np.ndarray, memory: tuple[np.ndarray, np.ndarray], scale: float
) -> tuple[float, np.ndarray, np.ndarray]:
    precision, linear = memory
    score, slope, fisher = local
    score = score - float(r @ precision @ r / 2 - linear @ r + r @ r / (2 * scale**2))
    return score, slope - precision @ r + linear - r / scale**2, fisher + precision + np.eye(len(r)) / scale**2


def _local(r: np.ndarray, responses: Responses, temperature: float) -> tuple[float, np.ndarray, np.ndarray]:
    """(log-likelihood, its gradient (n,), Fisher information (n, n)) of the responses at r."""
    mdp, counts = responses
    sizes = mdp.sizes
    known = np.broadcast_to(mdp.follower_reward, (len(counts), *sizes))
    assumed = replace(mdp, follower_reward=known + r.reshape(sizes))
    plan = soft_policy_iteration(assumed, temperature)
    g = plan.policy[..., : counts.shape[-2], :]
    D = response_jacobian(assumed, plan, temperature).reshape(-1, r.size)
    visits = counts.sum(-1, keepdims=True)
    score = float((counts * np.log(np.maximum(g, 1e-300))).sum())
    seen = np.broadcast_to(visits > 0, counts.shape).ravel()
    D = D[seen]
    weighted = D * (visits * g).ravel()[seen, None]
    return score, counts.ravel()[seen] @ D, weighted.T @ D


def response_jacobian(mdp: MDP, plan: Plan, temperature: float) -> np.ndarray:
    """d log g(b|n) / d r(s,a,b) at a soft response, (..., S, N, B, S*A*B)."""
    problem = decision_problem(mdp, mdp.follower_reward)
    *batch, s, n, b, _ = problem.transition.shape if problem.transition.ndim > 4 else (*plan.values.shape[:-1], *problem.transition.shape)
    a = mdp.sizes[1]
    g = plan.policy[..., :n, :]
    joint = np.broadcast_to(joint_policy(mdp, plan.policy), (*batch, s, a, b))
    earned = np.zeros((*batch, s, s, a * b))  # <E>_g: d mean reward of a state / d r
    states = np.arange(s)
    earned[..., states, states, :] = joint.reshape(*batch, s, a * b)
    matrix = getattr(plan.factorised, "matrix")  # noqa: B009 - NumPy plans keep the matrix itself
    dV = np.linalg.solve(matrix, earned.reshape(*batch, s, s * a * b))
    transition = np.broadcast_to(problem.transition, (*batch, s, n, b, s)).reshape(*batch, s * n * b, s)
    dQ = (mdp.follower_discount * transition @ dV).reshape(*batch, s, n, b, s, a, b)
    for i in range(b):
        if n == a:
            for j in range(a):
                dQ[..., states, j, i, states, j, i] += 1.0
        else:
            dQ[..., states, 0, i, states, :, i] += np.moveaxis(np.broadcast_to(mdp.leader_policy, (*batch, s, a)), -2, 0)
    mean = (g[..., None, None, None] * dQ).sum(-4, keepdims=True)
    return ((dQ - mean) / temperature).reshape(*batch, s, n, b, s * a * b)
