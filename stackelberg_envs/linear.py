"""Linear systems ``(I - gamma P) x = b`` of a chain P: dense ones solved directly, long ones by a Krylov method.

A dense kernel (..., S, S) costs S^3; from some `DIRECT` states on, a chain of lists (`stackelberg_envs.successor_lists`) is solved faster
by BiCGSTAB (van der Vorst, SIAM J. Sci. Stat. Comput. 1992), which only multiplies with it, a few tens of times where the chain forgets
quickly and some hundreds on a grid.  Both are a `Factorised`, by which planners and solvers meet them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from array_api_compat import array_namespace

from .mdp import Array, through
from .successor_lists import SuccessorLists, plain

DIRECT = 400
"""States up to which chains of lists are written out and factorised."""
TOLERANCE = 1e-12
"""How far, in relation to the largest entry of b, the residual of an iterative solve may stay from 0."""
RESTART = 100
"""Iterations after which BiCGSTAB starts anew from the true residual, which the recursive one leaves little by little."""
MAX_PRODUCTS = 20_000


class PlanningError(RuntimeError):
    """An exact solve did not converge or met a system without a solution."""


class Factorised(Protocol):
    """A square matrix M (..., S, S) that can be solved with, again and again."""

    def solve(self, rhs: Array, tolerance: float | None = None) -> Array:
        """M^{-1} rhs for rhs (..., S); an iterative method may leave a residual of ``tolerance`` times the largest entry of rhs."""
        ...

    def solve_transposed(self, rhs: Array, tolerance: float | None = None) -> Array:
        """M^{-T} rhs for rhs (..., S)."""
        ...


@dataclass(frozen=True)
class Dense:
    """`Factorised` by the array library's own dense solver; it factorises anew at each call, where `solvers.linear.LU` keeps it."""

    matrix: Array

    def solve(self, rhs: Array, tolerance: float | None = None) -> Array:
        xp = array_namespace(self.matrix)
        return xp.linalg.solve(self.matrix, rhs[..., None])[..., 0]

    def solve_transposed(self, rhs: Array, tolerance: float | None = None) -> Array:
        xp = array_namespace(self.matrix)
        return xp.linalg.solve(xp.matrix_transpose(self.matrix), rhs[..., None])[..., 0]


@dataclass(frozen=True)
class System:
    """I - gamma P of a chain that is lists, never formed."""

    kernel: SuccessorLists
    discount: float

    def times(self, x: Array) -> Array:
        """(I - gamma P) x, (..., S)."""
        return x - self.discount * through(self.kernel, x)

    def transposed_times(self, x: Array) -> Array:
        """(I - gamma P)^T x, (..., S)."""
        return x - self.discount * self.kernel.carry(x[..., None, None])


class Krylov:
    """`Factorised` by BiCGSTAB; differentiable in right side and kernel, once.

    Args:
        matrix: the system.
        tolerance: of solves that name none.
    """

    def __init__(self, matrix: System, tolerance: float = TOLERANCE) -> None:
        self.matrix, self.tolerance = matrix, tolerance
        self._still = System(matrix.kernel.map(_still), matrix.discount)
        self.solves = 0
        """How often it has been solved with, for the ledger."""
        self.products = 0
        """How often the matrix has been multiplied with."""
        p = plain(self._still.kernel.probabilities)
        self._sparse = matrix.kernel.successors.matrix(p) if p is not None and p.ndim == 4 else None

    def solve(self, rhs: Array, tolerance: float | None = None) -> Array:
        return self._solved(rhs, tolerance or self.tolerance, transposed=False)

    def solve_transposed(self, rhs: Array, tolerance: float | None = None) -> Array:
        return self._solved(rhs, tolerance or self.tolerance, transposed=True)

    def _solved(self, rhs: Array, tolerance: float, *, transposed: bool) -> Array:
        self.solves += 1
        b = _still(rhs)
        near, sparse = plain(b), self._sparse
        if near is not None and near.ndim == 1 and sparse is not None:  # scipy multiplies twice as fast as a gather and a sum
            matrix, gamma = sparse.T if transposed else sparse, self.matrix.discount
            try:
                x, products = bicgstab(lambda y: y - gamma * (matrix @ y), near, tolerance)
            except PlanningError:
                x, products = _by_sparse_factors(matrix, gamma, near), 0
            x = array_namespace(b).asarray(x, dtype=b.dtype)
        else:
            x, products = bicgstab(self._still.transposed_times if transposed else self._still.times, b, tolerance)
        self.products += products
        if not (self.matrix.kernel.requires_grad or getattr(rhs, "requires_grad", False)):
            return x
        # x + M^{-1} (b - M x), whose second term is rounding and has the derivatives of the whole: dx = M^{-1} (db - dM x).
        residual = rhs - (self.matrix.transposed_times if transposed else self.matrix.times)(x)
        if not residual.requires_grad:  # nobody is recording
            return x
        residual.register_hook(lambda slope: self._solved(slope, tolerance, transposed=not transposed))
        return x + residual


def _by_sparse_factors(matrix: Any, discount: float, b: Any) -> Any:
    """A direct solve, for chains on which BiCGSTAB gives up, such as long one-way streets: these are sparse once factorised, too.

    Raises:
        PlanningError: if there is no solution.
    """
    from scipy.sparse import eye_array
    from scipy.sparse.linalg import splu

    with suppress(RuntimeError):  # a singular matrix
        x = splu((eye_array(len(b), dtype=b.dtype) - discount * matrix).tocsc()).solve(b)
        if max(abs(x)) < float("inf"):
            return x
    raise PlanningError("a system has no solution: are the tables finite, and does every episode end where the discount is 1?")


def bicgstab(times: Callable[[Array], Array], b: Array, tolerance: float = TOLERANCE) -> tuple[Array, int]:
    """x (..., S) with ``times(x) = b`` up to ``tolerance * max |b|`` or rounding, for each row of a batch, and the number of products.

    Raises:
        PlanningError: if `MAX_PRODUCTS` are not enough, or no progress is made (b not finite, a singular matrix).
    """
    xp = array_namespace(b)
    eps = float(xp.finfo(b.dtype).eps)

    def largest(vector: Array) -> Array:
        return xp.max(xp.abs(vector), axis=-1, keepdims=True)

    def dot(one: Array, other: Array) -> Array:
        return xp.sum(one * other, axis=-1, keepdims=True)

    def ratio(one: Array, other: Array) -> Array:
        """0 where there is nothing to divide by: that row of the batch stays where it is."""
        usable = xp.abs(other) > 0
        return xp.where(usable, one / xp.where(usable, other, 1.0), 0.0)

    x, size, products, before = xp.zeros_like(b), largest(b), 0, float("inf")
    r = b
    while True:
        goal = xp.maximum(tolerance * size, 8 * eps * xp.maximum(size, largest(x)))
        left = number(xp.max(largest(r) / xp.where(goal > 0, goal, 1.0)))
        if left <= 1:
            return x, products
        if not left < 0.9 * before or products >= MAX_PRODUCTS:
            raise PlanningError(
                f"an iterative solve stopped at a residual {left:.3g} times its goal after {products} products; are the tables finite, and "
                "does every episode end where the discount is 1?"
            )
        before, shadow, p, rho = left, r, r, dot(r, r)
        for _ in range(RESTART):
            active = largest(r) > goal / 2  # the recursive residual is a little smaller than the true one
            Mp = times(p)
            alpha = xp.where(active, ratio(rho, dot(shadow, Mp)), 0.0)
            s = r - alpha * Mp
            Ms = times(s)
            omega = xp.where(active, ratio(dot(Ms, s), dot(Ms, Ms)), 0.0)
            x, r, products = x + alpha * p + omega * s, xp.where(active, s - omega * Ms, r), products + 2
            if not bool(xp.any(largest(r) > goal / 2)):
                break
            following = dot(shadow, r)
            p, rho = r + ratio(following, rho) * ratio(alpha, omega) * (p - omega * Mp), following
        r, products = b - times(x), products + 1  # the true residual


def system(kernel: Array, discount: float) -> Array | System:
    """I - gamma P for a kernel (..., S, S), dense or lists as `stackelberg_envs.mdp.chain` gives it; of few states it is dense either way.

    Raises:
        PlanningError: if the discount is 1 and some state never leads to the end, so that the matrix is singular.
    """
    listed = isinstance(kernel, SuccessorLists)
    if discount >= 1 and not (_all_end(kernel) if listed else _ends(kernel)):
        raise PlanningError("an infinite horizon with discount 1 has no value where some state never leads to the end")
    if listed and kernel.shape[-1] > DIRECT:
        return System(kernel, discount)
    if listed:
        kernel = kernel.dense()[..., 0, 0, :]
    xp = array_namespace(kernel)
    identity = xp.eye(kernel.shape[-1], dtype=kernel.dtype, device=kernel.device)
    return identity - discount * kernel


def factorised(matrix: Any) -> Any:
    """A `system` made ready to be solved with, by its type."""
    return Krylov(matrix) if isinstance(matrix, System) else Dense(matrix)


def _ends(kernel: Array) -> bool:
    """Whether the end is reached from every state: P^n with n = 2^20 has lost mass in every row."""
    xp = array_namespace(kernel)
    for _ in range(20):  # row sums never grow again, so the first time is enough
        kernel = xp.matmul(kernel, kernel)
        if xp.max(xp.sum(kernel, axis=-1)) < 1 - 1e-9:
            return True
    return False


def _all_end(kernel: SuccessorLists) -> bool:
    """The same of lists: every state leads, by steps that are possible, to one with a deficit."""
    xp = array_namespace(kernel.probabilities)
    sums = xp.sum(kernel.probabilities, axis=-1)[..., 0, 0]
    possible = kernel.map(lambda p: xp.astype(p > 0, p.dtype))
    reached = xp.astype(sums < 1 - 1e-9, sums.dtype)
    while True:
        further = xp.astype((reached + through(possible, reached)) > 0, sums.dtype)
        if bool(xp.all(further == reached)):
            return bool(xp.all(reached > 0))
        reached = further


def number(scalar: Array) -> float:
    """A scalar array as a Python float, without its history."""
    return float(scalar.detach() if hasattr(scalar, "detach") else scalar)


def _still(array: Array) -> Array:
    """Without history."""
    return array.detach() if hasattr(array, "detach") else array
