"""What the leader of a linear-quadratic world is paid for a step, and what that comes to when state and action are Gaussian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from .arrays import Array, array_namespace
from .gaussian import quadratic


class Payment(Protocol):
    """What the leader is paid for a step, and its expectation when state and action are Gaussian."""

    def of(self, states: Array, actions: Array) -> Array:
        """(..., N) for states (..., N, d) and follower actions (..., N, m)."""
        ...

    def expected_payment(self, mean: Array, covariance: Array) -> Array:
        """(...) for the joint mean (..., d + m) and covariance (..., d + m, d + m) of state and action."""
        ...


@dataclass(frozen=True)
class QuadraticPayment:
    """-(z' M z) - cost, z = (s, b)."""

    matrix: Array
    """M, (..., d + m, d + m)."""
    cost: Array
    """(...)."""

    def of(self, states: Array, actions: Array) -> Array:
        xp = array_namespace(states)
        return -quadratic(xp.concat([states, actions], axis=-1), self.matrix) - _broadcast_over_steps(self.cost, states)

    def expected_payment(self, mean: Array, covariance: Array) -> Array:
        xp = array_namespace(mean)
        return -xp.sum(self.matrix * (covariance + mean[..., :, None] * mean[..., None, :]), axis=(-2, -1)) - self.cost


@dataclass(frozen=True)
class TargetPayment:
    """exp(-1/2 sum_i ((s_i - centre_i) / width_i)^2), at most 1."""

    centre: Array
    """(d,)."""
    width: Array
    """(d,)."""

    def of(self, states: Array, actions: Array) -> Array:
        del actions
        xp = array_namespace(states)
        return xp.exp(-0.5 * xp.sum(((states - self.centre) / self.width) ** 2, axis=-1))

    def expected_payment(self, mean: Array, covariance: Array) -> Array:
        """sqrt(|D| / |D + X|) exp(-1/2 e' (D + X)^-1 e), D = diag(width^2), e = mean - centre."""
        xp = array_namespace(mean)
        d = self.centre.shape[-1]
        together = covariance[..., :d, :d] + xp.eye(d, dtype=mean.dtype, device=mean.device) * self.width**2
        off = mean[..., :d] - self.centre
        scaled = xp.linalg.solve(together, off[..., None])[..., 0]
        _, logdet = xp.linalg.slogdet(together)
        return xp.exp(xp.sum(xp.log(self.width)) - 0.5 * logdet - 0.5 * xp.sum(off * scaled, axis=-1))


def _broadcast_over_steps(scalar: Array, states: Array) -> Array:
    """A number a commitment, (...) or (..., 1), against steps (..., N)."""
    return scalar[..., None] if hasattr(scalar, "shape") and 0 < len(scalar.shape) < states.ndim - 1 else scalar
