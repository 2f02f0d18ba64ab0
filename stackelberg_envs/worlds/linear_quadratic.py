"""Linear-quadratic worlds: closed forms for the follower's soft response and for what the leader earns.

States s in R^d, leader actions a in R^k, follower actions b in R^m, all noise Gaussian::

    s' = A s + C a + B b + w,   w ~ N(0, W)           a ~ N(K s, L)  (k = 0 in design games, where x moves A, B, or costs)
    r_F = -s' Q s - b' R b                            tau: weight of the entropy bonus

The follower sees a, and its soft response is Gaussian (with e = a - K s; compare the public code of arXiv 2603.14867)::

    P = Q + g At' P At - g^2 At' P B S^-1 B' P At,    At = A + C K,   S = R + g B' P B          (discounted Riccati equation)
    b ~ N(-F (A s + C a), tau/2 S^-1),                F = g S^-1 B' P
    V(s,a) = -(s' P s + 2 s' At' P~ C e + (C e)' P~ C e + v),  P~ = g P - g^2 P B S^-1 B' P
    v (1 - g) = g tr(P W) + g tr(P~ C L C') + tau/2 logdet S - tau m/2 log(pi tau)

The closed loop is Gaussian, so the leader's expected reward of every step is exact: its mean and covariance propagate as ``mu <- M mu``
and ``X <- M X M' + N``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
from gymnasium.spaces import Box

from ..planning.linear_systems import PlanningError
from ..planning.riccati import blocks, congruent, outer, radii, radius, riccati, sandwich, trace
from ..processes.arrays import Array, array_namespace, as_float, nowhere
from ..processes.gaussian import GaussianPolicy, QuadraticValue, quadratic, rows
from ..processes.payments import Payment, QuadraticPayment
from ..processes.sampled import Noise, normal
from .sampled import NO_TEMPERATURE, SampledProcess

ACTION_BOUND = 100.0
"""Of actions that agents choose in the views, where libraries want bounded spaces; policies that the environment plays are not cut."""


@dataclass(frozen=True)
class LinearQuadratic(SampledProcess):
    """A linear-quadratic world under one commitment.

    Args:
        A: (..., d, d).
        B: (..., d, m).
        C: (d, k); k = 0 in a design game.
        gain: K of the leader's policy, (..., k, d).
        leader_sd: standard deviation of each of the leader's actions.
        noise_sd: of each component of w.
        Q: (d, d), positive semidefinite.
        R: (m, m), positive definite.
        payment: what the leader is paid.
        start_mean: (d,).
        start_sd: of each component of the first state.
        follower_discount: in [0, 1).
        leader_discount: in [0, 1].
    """

    A: Array
    B: Array
    C: Array
    gain: Array
    leader_sd: float
    noise_sd: float
    Q: Array
    R: Array
    payment: Payment
    start_mean: Array
    start_sd: float
    follower_discount: float
    leader_discount: float
    follower_sees: Literal["action", "policy"] = field(default="action", init=False)
    tables: ClassVar[tuple[str, ...]] = ("A", "B", "gain")
    rank: ClassVar[int] = 2

    @property
    def state_space(self) -> Box:  # type: ignore[override]
        """R^d."""
        return Box(-np.inf, np.inf, (self.A.shape[-1],), np.float64)

    @property
    def leader_actions(self) -> Box | None:  # type: ignore[override]
        """[-100, 100]^k; see `ACTION_BOUND`."""
        k = int(self.C.shape[-1])
        return Box(-ACTION_BOUND, ACTION_BOUND, (k,), np.float64) if k else None

    @property
    def leads(self) -> int:
        return int(self.C.shape[-1])

    @property
    def follower_action(self) -> Box:  # type: ignore[override]
        """[-100, 100]^m; see `ACTION_BOUND`."""
        return Box(-ACTION_BOUND, ACTION_BOUND, (int(self.B.shape[-1]),), np.float64)

    @property
    def noise(self) -> Noise:  # type: ignore[override]
        d, k = self.C.shape[-2:]
        return Noise(int(d) if self.start_sd > 0 else 0, int(k), int(d) if self.noise_sd > 0 else 0)

    def start(self, u: Array) -> Array:
        xp = array_namespace(u)
        mean = xp.broadcast_to(xp.asarray(self.start_mean, dtype=u.dtype, device=u.device), (*u.shape[:-1], self.A.shape[-1]))
        return mean + self.start_sd * normal(u) if self.start_sd > 0 else mean

    def lead(self, states: Array, u: Array) -> Array:
        return rows(states, self.gain) + (self.leader_sd * normal(u) if self.leads else 0 * u)

    def step(self, states: Array, leads: Array, actions: Array, u: Array) -> tuple[Array, Array]:
        arrived = rows(states, self.A) + rows(leads, self.C) + rows(actions, self.B)
        if self.noise_sd > 0:
            arrived = arrived + self.noise_sd * normal(u)
        return arrived, nowhere(arrived[..., 0])

    def rewards(self, states: Array, leads: Array, actions: Array, arrived: Array) -> tuple[Array, Array]:
        del leads, arrived
        return -quadratic(states, self.Q) - quadratic(actions, self.R), self.payment.of(states, actions)

    # -- closed forms ------------------------------------------------------------------------------------------------------------

    def soft_response(self, temperature: float) -> tuple[GaussianPolicy, QuadraticValue, float]:  # type: ignore[override]
        """(policy, V(s,a), residual of the Riccati equation).

        Raises:
            PlanningError: if the follower cannot keep its discounted costs finite.
        """
        xp = array_namespace(self.A, self.gain)
        gamma, closed = self.follower_discount, self.A + xp.matmul(self.C, self.gain)
        P, residual = riccati(closed, self.B, self.Q, self.R, gamma)
        S = self.R + gamma * congruent(self.B, P)
        PB = xp.matmul(P, self.B)
        inverse = xp.linalg.inv(S)
        F = gamma * xp.matmul(inverse, xp.matrix_transpose(PB))
        Pt = gamma * P - gamma**2 * xp.matmul(PB, xp.matmul(inverse, xp.matrix_transpose(PB)))
        spread = xp.linalg.cholesky(0.5 * temperature * 0.5 * (inverse + xp.matrix_transpose(inverse)))
        policy = GaussianPolicy(-xp.matmul(F, self.A), -xp.matmul(F, self.C), spread)
        cross = xp.matmul(xp.matrix_transpose(closed), Pt)
        matrix = blocks(P, cross, Pt)
        m = int(self.B.shape[-1])
        _, logdet = xp.linalg.slogdet(S)
        own = gamma * self.noise_sd**2 * trace(P) + 0.5 * temperature * (logdet - m * math.log(math.pi * temperature))
        later = gamma / (1 - gamma) * self.leader_sd**2 * trace(congruent(self.C, Pt))
        return policy, QuadraticValue(matrix, own / (1 - gamma) + later, self.C, self.gain), residual

    def solves(self, policy: Any) -> bool:
        """Gaussian policies."""
        return isinstance(policy, GaussianPolicy)

    def closed_loop(self, policy: GaussianPolicy) -> tuple[Array, Array, Array, Array]:
        """Under Gaussian policies on both sides z = (s, b) is Gaussian: (M, N, U, V) with s' = M s + N(0, N), b = U s + N(0, V)."""
        xp = array_namespace(self.A, policy.spread)
        U = policy.on_state + xp.matmul(policy.on_lead, self.gain)
        M = self.A + xp.matmul(self.C, self.gain) + xp.matmul(self.B, U)
        pushed = self.C + xp.matmul(self.B, policy.on_lead)
        drawn = xp.matmul(policy.spread, xp.matrix_transpose(policy.spread))
        identity = xp.eye(M.shape[-1], dtype=M.dtype, device=M.device)
        N = self.leader_sd**2 * outer(pushed) + outer(xp.matmul(self.B, policy.spread)) + self.noise_sd**2 * identity
        return M, N, U, self.leader_sd**2 * outer(policy.on_lead) + drawn

    def leader_return(self, policy: GaussianPolicy, horizon: int, discount: float) -> Array:  # type: ignore[override]
        """The leader's exact expected return over ``horizon`` steps, (...).

        Raises:
            PlanningError: if moments of an unstable closed loop overflow before the horizon.
        """
        xp = array_namespace(self.A, policy.spread)
        M, N, U, V = self.closed_loop(policy)
        d = M.shape[-1]
        both = xp.concat([xp.broadcast_to(xp.eye(d, dtype=M.dtype, device=M.device), (*U.shape[:-2], d, d)), U], axis=-2)
        pad = xp.zeros((*V.shape[:-2], d, d), dtype=M.dtype, device=M.device)
        side = xp.zeros((*V.shape[:-2], d, V.shape[-1]), dtype=M.dtype, device=M.device)
        drawn = blocks(pad, side, V)
        mean = xp.asarray(self.start_mean, dtype=M.dtype, device=M.device)
        spread = self.start_sd**2 * xp.eye(d, dtype=M.dtype, device=M.device)
        total: Any = 0.0
        with np.errstate(over="ignore", invalid="ignore"):  # said below
            for t in range(horizon):
                moved = xp.matmul(both, mean[..., None])[..., 0]
                total = total + discount**t * self.payment.expected_payment(moved, sandwich(both, spread) + drawn)
                mean, spread = xp.matmul(M, mean[..., None])[..., 0], sandwich(M, spread) + N
        if not math.isfinite(as_float(xp.sum(total))):
            raise PlanningError(
                f"the closed loop has spectral radius {radius(M):.4g}, and its moments overflow within {horizon} steps; "
                "score fewer steps, or keep the commitment smaller"
            )
        return total

    def follower_score(self, policy: GaussianPolicy, temperature: float, horizon: int) -> tuple[Array, Array, Array]:  # type: ignore[override]
        """(plain return over the horizon, own objective, gap to its optimum), each (...).

        The own objective is over the infinite horizon; -inf where the policy lets discounted costs grow without bound.
        """
        xp = array_namespace(self.A, policy.spread)
        d, m = self.B.shape[-2:]
        zero = xp.zeros((d, m), dtype=policy.spread.dtype, device=policy.spread.device)
        own = replace(self, payment=QuadraticPayment(blocks(self.Q, zero, self.R), 0.0))
        plain = own.leader_return(policy, horizon, self.follower_discount)
        best, _, _ = self.soft_response(max(temperature, NO_TEMPERATURE))
        attained, optimal = self._forever(policy, temperature), self._forever(best, temperature)
        gap = optimal - attained
        return plain, attained, xp.where(gap > 0, gap, xp.zeros_like(gap))

    def _forever(self, policy: GaussianPolicy, temperature: float) -> Array:
        """sum_t g^t E[r_F + tau H] over infinitely many steps: Y = sum_t g^t E[s s'] solves Y = E[s_0 s_0'] + g M Y M' + g/(1-g) N."""
        xp = array_namespace(self.A, policy.spread)
        gamma, (M, N, U, V) = self.follower_discount, self.closed_loop(policy)
        d = M.shape[-1]
        first = outer(xp.asarray(self.start_mean, dtype=M.dtype, device=M.device)[..., None])
        first = first + self.start_sd**2 * xp.eye(d, dtype=M.dtype, device=M.device)
        source = first + gamma / (1 - gamma) * N
        kron = xp.reshape(M[..., :, None, :, None] * M[..., None, :, None, :], (*M.shape[:-2], d * d, d * d))
        system = xp.eye(d * d, dtype=M.dtype, device=M.device) - gamma * kron
        Y = xp.reshape(xp.linalg.solve(system, xp.reshape(source, (*source.shape[:-2], d * d, 1))), source.shape)
        paid = -trace(xp.matmul(self.Q, Y)) - trace(xp.matmul(self.R, sandwich(U, Y) + V / (1 - gamma)))
        value = paid + temperature * policy.entropy / (1 - gamma)
        stable = gamma * np.asarray(radii(M)) ** 2 < 1
        return xp.where(xp.asarray(stable, device=M.device), value, -xp.inf * xp.ones_like(value))
