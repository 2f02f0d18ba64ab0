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
    there = _explain(r, responses, temperature)
    score = there.score + _log_prior(r, belief.memory, scale)
    slope, fisher = _with_priors(there.derivatives(), r, belief.memory, scale)
    for _ in range(steps):
        direction = np.linalg.solve(fisher + mu * np.diag(np.diag(fisher)), slope)
        candidate = r + np.clip(direction, -1.0, 1.0)
        there = _explain(candidate, responses, temperature)
        tried = there.score + _log_prior(candidate, belief.memory, scale)
        if tried >= score:
            converged = tried - score < CONVERGED and mu < 1
            r, score, mu = candidate, tried, max(mu / 5, 1e-9)
            slope, fisher = _with_priors(there.derivatives(), r, belief.memory, scale)
            if converged:
                break
        else:
            mu = min(8 * mu, 1e9)
    return Belief(r.reshape(belief.reward.shape), fisher, belief.memory, mu)


def log_evidence(belief: Belief, responses: Responses, temperature: float, scale: float) -> float:
    """Laplace's approximation of the log-probability of all responses, the reward integrated out, in nats; see `fit`."""
    r = belief.reward.ravel()
    there = _explain(r, responses, temperature)
    _, fisher = _with_priors(there.derivatives(), r, belief.memory, scale)
    return there.score + _log_prior(r, belief.memory, scale) - float(np.linalg.slogdet(scale**2 * fisher)[1]) / 2


def forget(belief: Belief, leaving: Responses, temperature: float) -> Belief:
    """Fold commitments that leave the window into the memory."""
    r = belief.reward.ravel()
    slope, fisher = _explain(r, leaving, temperature).derivatives()
    precision, linear = belief.memory
    return Belief(belief.reward, belief.precision, (precision + fisher, linear + slope + fisher @ r), belief.damping)


def _log_prior(r: np.ndarray, memory: tuple[np.ndarray, np.ndarray], scale: float) -> float:
    """Of rewards r (n,), but for a constant, and what the memory says of them."""
    precision, linear = memory
    return -float(r @ precision @ r / 2 - linear @ r + r @ r / (2 * scale**2))


def _with_priors(
    derivatives: tuple[np.ndarray, np.ndarray], r: np.ndarray, memory: tuple[np.ndarray, np.ndarray], scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """(gradient, Fisher information) with those of `_log_prior`."""
    slope, fisher = derivatives
    precision, linear = memory
    return slope - precision @ r + linear - r / scale**2, fisher + precision + np.eye(len(r)) / scale**2


class _Likelihood(NamedTuple):
    """Responses as rewards r explain them.  Derivatives cost more than the score, and a step that is refused needs none."""

    mdp: MDP
    plan: Plan
    temperature: float
    counts: np.ndarray
    score: float
    """The log-likelihood."""

    def derivatives(self) -> tuple[np.ndarray, np.ndarray]:
        """(gradient (n,), Fisher information (n, n)) of the log-likelihood."""
        counts = self.counts
        g = self.plan.policy[..., : counts.shape[-2], :]
        D = response_jacobian(self.mdp, self.plan, self.temperature)
        D = D.reshape(-1, D.shape[-1])
        visits = counts.sum(-1, keepdims=True)
        seen = np.broadcast_to(visits > 0, counts.shape).ravel()
        D = D[seen]
        weighted = D * (visits * g).ravel()[seen, None]
        return counts.ravel()[seen] @ D, weighted.T @ D


def _explain(r: np.ndarray, responses: Responses, temperature: float) -> _Likelihood:
    """Soft responses to the commitments of ``responses`` if the follower's unknown reward is r (n,)."""
    mdp, counts = responses
    known = np.broadcast_to(mdp.follower_reward, (len(counts), *mdp.sizes))
    assumed = replace(mdp, follower_reward=known + r.reshape(mdp.sizes))
    plan = soft_policy_iteration(assumed, temperature)
    g = plan.policy[..., : counts.shape[-2], :]
    return _Likelihood(assumed, plan, temperature, counts, float((counts * np.log(np.maximum(g, 1e-300))).sum()))


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
