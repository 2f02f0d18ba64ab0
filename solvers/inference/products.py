"""The same fit without matrices over the rewards, for games with many: Jacobian products and conjugate gradients.

`solvers.inference.irl` builds D = d log g / d r with (S A B) columns for each commitment.  Here D and its transpose only act on vectors,
by one product with the inverse of I - gamma P_g that each commitment keeps::

    D v:    dV = (I - gamma P_g)^{-1} <E v>_g ;   dQ = E v + gamma P dV ;   D v = (dQ - <dQ>_g) / tau
    D^T u:  u' = (u - g sum_b u) / tau ;   l = (I - gamma P_g)^{-T} gamma P^T u' ;   D^T u = E^T (u' + w g l)

Fisher scoring and draws from the posterior solve with H = sum N g D D^T + I / sigma^2 by scipy's conjugate gradients; a draw is
``r + H^{-1} (D^T sqrt(N g) e + e' / sigma)`` with e, e' standard normal.  All commitments are kept, none as a quadratic form.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from stackelberg_envs.planning.policy_iteration import soft_policy_iteration
from stackelberg_envs.processes.mdp import MDP, decision_problem

from .irl import CONVERGED, Responses


class LinearisedResponse:
    """The responses to K commitments near a reward table, and D there.

    Args:
        r: the reward table, flat, (n,).
        responses: commitments and what was seen.
        temperature: the follower's.
    """

    def __init__(self, r: np.ndarray, responses: Responses, temperature: float) -> None:
        mdp, self.counts = responses
        self.sizes, self.tau, self.gamma = mdp.sizes, temperature, mdp.follower_discount
        known = np.broadcast_to(mdp.follower_reward, (len(self.counts), *self.sizes))
        assumed: MDP = replace(mdp, follower_reward=known + r.reshape(self.sizes))
        plan = soft_policy_iteration(assumed, temperature)
        problem = decision_problem(assumed, assumed.follower_reward)
        self.g = plan.policy[..., : self.counts.shape[-2], :]
        self.inverse = np.linalg.inv(getattr(plan.factorised, "matrix"))  # noqa: B009 - NumPy plans keep the matrix itself
        self.weight, self.transition = problem.weight, problem.transition.dense()
        self.leader = None if self.counts.shape[-2] == self.sizes[1] else np.asarray(assumed.leader_policy)
        self.visits = self.counts.sum(-1, keepdims=True)
        self.likelihood = float((self.counts * np.log(np.maximum(self.g, 1e-300))).sum())

    def apply(self, v: np.ndarray) -> np.ndarray:
        """D v, (K, S, N, B), for v (n,)."""
        table = v.reshape(self.sizes)
        earned = table if self.leader is None else np.einsum("...sa,sab->...sb", self.leader, table)[..., None, :]
        mean = (self.weight[..., None] * self.g * earned).sum((-2, -1))
        dV = np.einsum("kst,kt->ks", self.inverse, np.broadcast_to(mean, self.inverse.shape[:2]))
        rows = self.transition.reshape(*self.transition.shape[:-4], -1, self.sizes[0])
        dQ = earned + self.gamma * (rows @ dV[..., None]).reshape(self.g.shape)
        return (dQ - (self.g * dQ).sum(-1, keepdims=True)) / self.tau

    def apply_transposed(self, u: np.ndarray) -> np.ndarray:
        """D^T u, (n,), for u (K, S, N, B)."""
        centred = (u - self.g * u.sum(-1, keepdims=True)) / self.tau
        rows = self.transition.reshape(*self.transition.shape[:-4], -1, self.sizes[0])
        arrives = self.gamma * (centred.reshape(len(u), 1, -1) @ rows)[:, 0]
        adjoint = np.einsum("kts,kt->ks", self.inverse, arrives)
        felt = centred + self.weight[..., None] * self.g * adjoint[..., None, None]
        if self.leader is None:
            return felt.sum(0).ravel()
        leader = np.broadcast_to(self.leader, (len(u), *self.sizes[:2]))
        return np.einsum("ksa,ksb->sab", leader, felt[..., 0, :]).ravel()

    def fisher(self, v: np.ndarray) -> np.ndarray:
        """sum_k N g D D^T v, (n,)."""
        return self.apply_transposed(self.visits * self.g * self.apply(v))


@dataclass(frozen=True)
class LargeBelief:
    """`solvers.inference.irl.Belief` without its matrix."""

    reward: np.ndarray
    """(S, A, B)."""
    scale: float
    """Prior standard deviation."""
    damping: float = 1e-3
    here: LinearisedResponse | None = None
    """At ``reward``; None before the first fit."""

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """A reward table from the belief, (S, A, B)."""
        noise = rng.normal(size=self.reward.size) / self.scale
        if self.here is None:
            return self.reward + (self.scale**2 * noise).reshape(self.reward.shape)
        spread = np.sqrt(self.here.visits * self.here.g) * rng.normal(size=self.here.g.shape)
        return self.reward + _solve(self.here, self.here.apply_transposed(spread) + noise, self.scale, 0.0).reshape(self.reward.shape)


def fit_by_products(belief: LargeBelief, responses: Responses, temperature: float, *, steps: int) -> LargeBelief:
    """`solvers.inference.irl.fit` by products: damped Fisher scoring until it has converged, at most ``steps``."""
    r, mu, sigma = belief.reward.ravel(), belief.damping, belief.scale
    here = LinearisedResponse(r, responses, temperature)
    for _ in range(steps):
        slope = here.apply_transposed(here.counts) - r / sigma**2
        curvature = float(slope @ here.fisher(slope)) / max(float(slope @ slope), 1e-300) + 1 / sigma**2
        candidate = r + np.clip(_solve(here, slope, sigma, mu * curvature), -1.0, 1.0)
        there = LinearisedResponse(candidate, responses, temperature)
        gain = there.likelihood - here.likelihood - float(candidate @ candidate - r @ r) / (2 * sigma**2)
        if gain >= 0:
            r, here, mu = candidate, there, max(mu / 5, 1e-9)
            if gain < CONVERGED and mu < 1:
                break
        else:
            mu = min(8 * mu, 1e9)
    return LargeBelief(r.reshape(belief.reward.shape), sigma, mu, here)


def _solve(here: LinearisedResponse, rhs: np.ndarray, sigma: float, damping: float) -> np.ndarray:
    """(H + damping I)^{-1} rhs, to a relative residual of 1e-4 or in 200 products, (n,)."""
    from scipy.sparse.linalg import LinearOperator, cg

    def matvec(v: np.ndarray) -> np.ndarray:
        return here.fisher(v) + (1 / sigma**2 + damping) * v

    solution, _ = cg(LinearOperator((rhs.size, rhs.size), matvec=matvec, dtype=np.float64), rhs, rtol=1e-4, maxiter=200)  # type: ignore[call-arg]
    return solution
