"""Policies and values of linear-quadratic worlds: Gaussian actions around an affine mean, and quadratic forms."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .arrays import Array, array_namespace
from .sampled import normal


def rows(vectors: Array, matrix: Array) -> Array:
    """``matrix`` (..., p, q) times each of ``vectors`` (..., N, q) or (q,): (..., N, p).

    A matrix with as many axes before its last two as vectors have before their last, (..., 1, p, q) or (..., N, p, q), is one for each.
    """
    if matrix.ndim > 2 and matrix.ndim - 2 >= vectors.ndim - 1:
        return (matrix @ vectors[..., None])[..., 0]
    if type(vectors) is np.ndarray and vectors.ndim == 2 and len(vectors) == 1 and type(matrix) is np.ndarray:
        return vectors.dot(matrix.T)  # a single step: the same sums in half the time
    return vectors @ matrix.mT


def quadratic(vectors: Array, matrix: Array) -> Array:
    """v' M v of each of ``vectors`` (..., N, q): (..., N)."""
    return (vectors * rows(vectors, matrix)).sum(-1)


@dataclass(frozen=True)
class GaussianPolicy:
    """b ~ N(F_s s + F_a a, L L')."""

    on_state: Array
    """F_s, (..., m, d)."""
    on_lead: Array
    """F_a, (..., m, k)."""
    spread: Array
    """L, lower triangular, (..., m, m)."""

    @property
    def noise(self) -> int:
        """m."""
        return int(self.spread.shape[-1])

    def mean(self, states: Array, leads: Array) -> Array:
        """(..., N, m)."""
        return rows(states, self.on_state) + rows(leads, self.on_lead)

    def act(self, states: Array, leads: Array, u: Array) -> Array:
        """See `stackelberg_envs.processes.sampled.Actor.act`."""
        return self.mean(states, leads) + rows(normal(u), self.spread)

    def log_density(self, states: Array, leads: Array, actions: Array) -> Array:
        """log g(b|s,a), (..., N)."""
        xp = array_namespace(self.spread)
        off = actions - self.mean(states, leads)
        inverse = xp.linalg.inv(self.spread)
        return -0.5 * xp.sum(rows(off, inverse) ** 2, axis=-1) - self.entropy[..., None] + 0.5 * self.noise

    @property
    def entropy(self) -> Array:
        """(...)."""
        xp = array_namespace(self.spread)
        scales = xp.linalg.diagonal(self.spread)
        return xp.sum(xp.log(scales), axis=-1) + 0.5 * self.noise * (1 + math.log(2 * math.pi))


@dataclass(frozen=True)
class QuadraticValue:
    """The soft value of a follower that sees the leader's action, V(s,a) = -(z' M z + v) with z = (s, C (a - K s))."""

    matrix: Array
    """M, (..., 2d, 2d)."""
    constant: Array
    """v, (...)."""
    effect: Array
    """C, (..., d, k)."""
    gain: Array
    """K, (..., k, d)."""

    def __call__(self, states: Array, leads: Array) -> Array:
        """V(s,a) for states (..., N, d) and the leader's actions (..., N, k): (..., N)."""
        xp = array_namespace(self.matrix)
        pushed = rows(leads - rows(states, self.gain), self.effect)
        return -(quadratic(xp.concat([states, pushed], axis=-1), self.matrix) + self.constant[..., None])
