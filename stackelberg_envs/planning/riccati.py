"""The discounted Riccati equation, and the matrix algebra that linear-quadratic worlds need; all of it batched and differentiable."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..processes.arrays import Array, array_namespace, as_float
from .linear_systems import PlanningError

DOUBLINGS = 60


def riccati(a: Array, b: Array, q: Array, r: Array, discount: float) -> tuple[Array, float]:
    """The stabilising solution P of the discounted Riccati equation, and the relative size of its residual.

    Structure-preserving doubling (Chu, Fan, Lin, Wang, Int. J. Control 77, 2004): quadratic convergence, array algebra only, so that
    automatic differentiation goes through it.

    Raises:
        PlanningError: if it does not converge, because no policy keeps the discounted costs finite.
    """
    xp = array_namespace(a, b, q, r)
    root = math.sqrt(discount)
    Ak, Hk = root * a, q + xp.zeros_like(a)
    Gk = discount * xp.matmul(b, xp.linalg.solve(r, xp.matrix_transpose(b))) + xp.zeros_like(a)
    identity = xp.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    change = float("inf")
    with np.errstate(over="ignore", invalid="ignore"):  # said below
        for _ in range(DOUBLINGS):
            W = identity + xp.matmul(Gk, Hk)
            WA, WG = xp.linalg.solve(W, Ak), xp.linalg.solve(W, Gk)
            H = Hk + xp.matmul(xp.matrix_transpose(Ak), xp.matmul(Hk, WA))
            Gk = Gk + xp.matmul(Ak, xp.matmul(WG, xp.matrix_transpose(Ak)))
            Ak = xp.matmul(Ak, WA)
            scale = as_float(xp.max(xp.abs(H)))
            change, Hk = as_float(xp.max(xp.abs(H - Hk))) / max(scale, 1e-300), H
            if not math.isfinite(change) or change < 1e-15:
                break
    if not change < 1e-12:
        raise PlanningError(
            "the follower's Riccati equation has no stabilising solution: under this commitment no policy keeps its discounted costs finite"
        )
    PB = xp.matmul(Hk, b)
    inner = xp.linalg.solve(r + discount * xp.matmul(xp.matrix_transpose(b), PB), xp.matrix_transpose(PB))
    back = q + congruent(a, discount * Hk - discount**2 * xp.matmul(PB, inner))
    return Hk, as_float(xp.max(xp.abs(back - Hk))) / max(as_float(xp.max(xp.abs(Hk))), 1e-300)


def radii(matrix: Array) -> Any:
    """Spectral radius of each matrix (..., d, d), NumPy (...)."""
    detached = matrix.detach().cpu().numpy() if hasattr(matrix, "detach") else np.asarray(matrix)
    return np.abs(np.linalg.eigvals(detached)).max(-1)


def radius(matrix: Array) -> float:
    """The largest spectral radius of a batch."""
    return float(np.max(radii(matrix)))


def sandwich(matrix: Array, inner: Array) -> Array:
    """M X M'."""
    xp = array_namespace(matrix, inner)
    return xp.matmul(xp.matmul(matrix, inner), xp.matrix_transpose(matrix))


def congruent(matrix: Array, inner: Array) -> Array:
    """M' X M."""
    xp = array_namespace(matrix, inner)
    return xp.matmul(xp.matmul(xp.matrix_transpose(matrix), inner), matrix)


def outer(matrix: Array) -> Array:
    """M M'."""
    xp = array_namespace(matrix)
    return xp.matmul(matrix, xp.matrix_transpose(matrix))


def trace(matrix: Array) -> Array:
    """The sum of a diagonal, (...)."""
    xp = array_namespace(matrix)
    return xp.sum(xp.linalg.diagonal(matrix), axis=-1)


def blocks(corner: Array, side: Array, last: Array) -> Array:
    """The symmetric matrix ``((corner, side), (side', last))``, batch axes as in its parts."""
    xp = array_namespace(corner, side, last)
    return xp.concat([xp.concat([corner, side], axis=-1), xp.concat([xp.matrix_transpose(side), last], axis=-1)], axis=-2)
