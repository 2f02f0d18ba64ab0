"""Linear systems ``(I - gamma P) x = b`` of a Markov chain P: short ones solved directly, long ones by a Krylov method, stages in turn.

A dense chain (..., S, S) costs S^3; from `stackelberg_envs.processes.chains.DIRECT` states on, a chain of lists is solved faster by
BiCGSTAB (van der Vorst, SIAM J. Sci. Stat. Comput. 1992), which only multiplies with it, a few tens of times where the chain forgets
quickly and some hundreds on a grid.  Where there is a deadline the matrix is triangular, and solved by back-substitution.  Each is a
`Factorisation`, by which planners and solvers meet them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, Protocol

import numpy as np
from array_api_compat import is_numpy_array

from ..processes.arrays import Array, array_namespace, as_float, detach, numpy_view
from ..processes.chains import MarkovChain

TOLERANCE = 1e-12
"""How far, in relation to the largest entry of b, the residual of an iterative solve may stay from 0."""
RESTART = 100
"""Iterations after which BiCGSTAB starts anew from the true residual, which the recursive one leaves little by little."""
ATTEMPTS = 3
"""Starts in a row that may bring nothing, each with another shadow residual, before it gives up."""
MAX_PRODUCTS = 20_000
LARGEST_FACTORS = 10**10
"""Operations that a sparse factorisation may take: S times the square of the band that it has once its states are reordered."""


class PlanningError(RuntimeError):
    """An exact solve did not converge or met a system without a solution."""


class Factorisation(Protocol):
    """A square matrix M (..., S, S) that can be solved with, again and again."""

    def solve(self, rhs: Array, tolerance: float | None = None) -> Array:
        """M^{-1} rhs for rhs (..., S); an iterative method may leave a residual of ``tolerance`` times the largest entry of rhs."""
        ...

    def solve_transposed(self, rhs: Array, tolerance: float | None = None) -> Array:
        """M^{-T} rhs for rhs (..., S)."""
        ...


@dataclass(frozen=True)
class Dense:
    """`Factorisation` by the array library's own dense solver; it factorises anew at each call, where `solvers.linear.LU` keeps it."""

    matrix: Array

    def solve(self, rhs: Array, tolerance: float | None = None) -> Array:
        xp = array_namespace(self.matrix)
        return xp.linalg.solve(self.matrix, rhs[..., None])[..., 0]

    def solve_transposed(self, rhs: Array, tolerance: float | None = None) -> Array:
        xp = array_namespace(self.matrix)
        return xp.linalg.solve(xp.matrix_transpose(self.matrix), rhs[..., None])[..., 0]


@dataclass(frozen=True)
class System:
    """I - gamma P of a long chain, or of one with stages, never formed."""

    chain: MarkovChain
    discount: float

    def matvec(self, x: Array) -> Array:
        """(I - gamma P) x, (..., S)."""
        return x - self.discount * self.chain.expect(x)

    def rmatvec(self, x: Array) -> Array:
        """(I - gamma P)^T x, (..., S)."""
        return x - self.discount * self.chain.push_forward(x)

    def factorise(self, tolerance: float = TOLERANCE) -> Any:
        """Itself, made ready to be solved with by the method that suits its chain."""
        return Krylov(self, tolerance) if self.chain.stages is None else BackSubstitution(self)


class BackSubstitution:
    """`Factorisation` of a chain of stages, by T products: its matrix is triangular.  Exact, and differentiable as often as wanted.

    Args:
        matrix: the system; its chain is a `stackelberg_envs.processes.staged.StagedChain`.
    """

    def __init__(self, matrix: System) -> None:
        self._chain: Any = matrix.chain
        self._discount = matrix.discount
        self.solves = 0
        """How often it has been solved with, for the ledger."""

    def solve(self, rhs: Array, tolerance: float | None = None) -> Array:
        self.solves += 1
        return self._chain.solve(rhs, self._discount)

    def solve_transposed(self, rhs: Array, tolerance: float | None = None) -> Array:
        self.solves += 1
        return self._chain.solve_transposed(rhs, self._discount)


class Krylov:
    """`Factorisation` by BiCGSTAB; differentiable in right side and chain, once and in reverse mode.

    On a CPU each row of a batch is solved by itself, with a sparse matrix of scipy's, which multiplies twice as fast as a gather and a sum.

    Args:
        matrix: the system.
        tolerance: of solves that name none.
    """

    def __init__(self, matrix: System, tolerance: float = TOLERANCE) -> None:
        self.matrix, self.tolerance = matrix, tolerance
        self._detached = System(matrix.chain.map(detach), matrix.discount)
        self._on_cpu = numpy_view(self._detached.chain.numbers) is not None
        self._rows: dict[int, Any] = {}
        self.solves = 0
        """How often it has been solved with, for the ledger."""
        self.products = 0
        """How often the matrix has been multiplied with."""

    def solve(self, rhs: Array, tolerance: float | None = None) -> Array:
        return self._solve(rhs, tolerance or self.tolerance, transposed=False)

    def solve_transposed(self, rhs: Array, tolerance: float | None = None) -> Array:
        return self._solve(rhs, tolerance or self.tolerance, transposed=True)

    def _solve(self, rhs: Array, tolerance: float, *, transposed: bool) -> Array:
        self.solves += 1
        b = detach(rhs)
        near = numpy_view(b)
        if near is not None and self._on_cpu:
            x = array_namespace(b).asarray(self._solve_by_rows(near, tolerance, transposed=transposed), dtype=b.dtype)
        else:
            x, products = bicgstab(self._detached.rmatvec if transposed else self._detached.matvec, b, tolerance)
            self.products += products
        if not (any(getattr(array, "requires_grad", False) for array in (self.matrix.chain.numbers, rhs))):
            return x
        # x + M^{-1} (b - M x), whose second term is rounding and has the derivatives of the whole: dx = M^{-1} (db - dM x).
        residual = rhs - (self.matrix.rmatvec if transposed else self.matrix.matvec)(x)
        if not residual.requires_grad:  # nobody is recording
            return x

        def adjoint(gradient: Array) -> Array:
            if sys.modules["torch"].is_grad_enabled():
                raise RuntimeError("an iterative solve has first derivatives only: create_graph=True needs a dense transition here")
            return self._solve(gradient, tolerance, transposed=not transposed)

        residual.register_hook(adjoint)
        return x + residual

    def _solve_by_rows(self, b: np.ndarray, tolerance: float, *, transposed: bool) -> np.ndarray:
        """Each system of a batch (..., S) by itself."""
        gamma, own = self.matrix.discount, self.matrix.chain.batch
        batch = np.broadcast_shapes(b.shape[:-1], own)
        x, b = np.empty((*batch, b.shape[-1]), dtype=b.dtype), np.broadcast_to(b, (*batch, b.shape[-1]))
        numbers = np.broadcast_to(np.arange(max(1, prod(own))).reshape(own), batch)
        for at in np.ndindex(*batch):
            which = int(numbers[at])
            if which not in self._rows:
                self._rows[which] = self._detached.chain.sparse(which)
            matrix = self._rows[which].T if transposed else self._rows[which]
            try:
                x[at], products = bicgstab(lambda y, matrix=matrix: y - gamma * (matrix @ y), b[at], tolerance)
                self.products += products
            except PlanningError:
                x[at] = _solve_by_sparse_factors(matrix, gamma, b[at])
        return x


def _solve_by_sparse_factors(matrix: Any, discount: float, b: np.ndarray) -> np.ndarray:
    """A direct solve, for chains on which BiCGSTAB gives up, such as long one-way streets: their factors are sparse, too.

    Raises:
        PlanningError: if there is no solution, or its factors would fill up.
    """
    from scipy.sparse import eye_array
    from scipy.sparse.csgraph import reverse_cuthill_mckee
    from scipy.sparse.linalg import splu

    if np.isfinite(b).all() and np.isfinite(matrix.data).all():
        place = np.argsort(reverse_cuthill_mckee(matrix.tocsr()))
        rows, columns = matrix.nonzero()
        width = 1 + int(np.abs(place[rows] - place[columns]).max(initial=0))
        if len(b) * width**2 <= LARGEST_FACTORS:
            with suppress(RuntimeError):  # a singular matrix
                x = splu((eye_array(len(b)) - discount * matrix).tocsc()).solve(b)
                if np.isfinite(x).all():
                    return x
    raise PlanningError("a system was not solved: are the tables finite, and does every episode end where the discount is 1?")


class SparseLU:
    """`Factorisation` by sparse factors that are kept, of NumPy numbers without batch axes: for many solves with one matrix.

    Args:
        matrix: a `system`, (S, S).

    Raises:
        PlanningError: if it is singular.
    """

    def __init__(self, matrix: np.ndarray | System) -> None:
        from scipy.sparse import csc_array, eye_array
        from scipy.sparse.linalg import splu

        if isinstance(matrix, System):
            matrix = eye_array(matrix.chain.states) - matrix.discount * matrix.chain.sparse(0)
        try:
            self._factors = splu(csc_array(matrix))
        except RuntimeError as error:
            raise PlanningError("a system was not solved: does every episode end where the discount is 1?") from error

    def solve(self, rhs: np.ndarray, tolerance: float | None = None) -> np.ndarray:
        """M^{-1} rhs for rhs (S,)."""
        del tolerance
        return self._factors.solve(rhs)

    def solve_transposed(self, rhs: np.ndarray, tolerance: float | None = None) -> np.ndarray:
        """M^{-T} rhs for rhs (S,)."""
        del tolerance
        return self._factors.solve(rhs, "T")


def gmres(times: Callable[[np.ndarray], np.ndarray], b: np.ndarray, tolerance: float) -> tuple[np.ndarray, float]:
    """x (L,) with ``times(x) = b`` by scipy's GMRES, for products that are dear; and the residual, as a part of the size of b.

    The Euclidean norm of the residual is at most ``tolerance`` times that of b, or 300 products were not enough.
    """
    from scipy.sparse import linalg

    operator: Any = linalg.LinearOperator((len(b), len(b)), matvec=lambda v: times(v.ravel()), dtype=np.float64)  # type: ignore[call-arg]
    x, _ = linalg.gmres(operator, b, rtol=tolerance, atol=0.0, restart=min(len(b), 100), maxiter=3)
    return x, float(np.linalg.norm(times(x) - b) / max(float(np.linalg.norm(b)), np.finfo(float).tiny))


def bicgstab(times: Callable[[Array], Array], b: Array, tolerance: float = TOLERANCE) -> tuple[Array, int]:
    """x (..., S) with ``times(x) = b`` up to ``tolerance * max |b|`` or rounding, for each row of a batch, and the number of products.

    Raises:
        PlanningError: if `MAX_PRODUCTS` are not enough, or no progress is made (b not finite, a singular matrix).
    """
    xp = array_namespace(b)
    eps = float(xp.finfo(b.dtype).eps)

    def max_norm(vector: Array) -> Array:
        return xp.max(xp.abs(vector), axis=-1, keepdims=True)

    def dot(one: Array, other: Array) -> Array:
        return xp.sum(one * other, axis=-1, keepdims=True)

    def ratio(one: Array, other: Array) -> Array:
        """0 where there is nothing to divide by: that row of the batch stays where it is."""
        usable = xp.abs(other) > 0
        return xp.where(usable, one / xp.where(usable, other, 1.0), 0.0)

    size = max_norm(b)
    scale = xp.where(size > 0, size, 1.0 + 0 * size)
    b = b / scale  # squares of small numbers would underflow
    x, size, products, before, stalled = xp.zeros_like(b), size / scale, 0, float("inf"), 0
    r, along = b, xp.arange(b.shape[-1], dtype=b.dtype, device=b.device)
    while True:
        goal = xp.maximum(tolerance * size, 8 * eps * xp.maximum(size, max_norm(x)))
        left = as_float(xp.max(max_norm(r) / xp.where(goal > 0, goal, 1.0)))
        if left <= 1:
            return x * scale, products
        stalled = 0 if left < 0.9 * before else stalled + 1
        if stalled == ATTEMPTS or not left < float("inf") or products >= MAX_PRODUCTS:
            raise PlanningError(
                f"an iterative solve stopped at a residual {left:.3g} times its goal after {products} products; are the tables finite, and "
                "does every episode end where the discount is 1?"
            )
        # Not r itself: a uniform one is an eigenvector of P^T where columns sum to 1, and would see nothing of what is to be found.
        shadow = r * (1 + 0.5 * xp.sin((0.7 + stalled) * along**2 + 0.3))
        before, p, rho = left, r, dot(shadow, r)
        for _ in range(RESTART):
            active = max_norm(r) > goal / 2  # the recursive residual is a little smaller than the true one
            Mp = times(p)
            alpha = xp.where(active, ratio(rho, dot(shadow, Mp)), 0.0)
            s = r - alpha * Mp
            Ms = times(s)
            omega = xp.where(active, ratio(dot(Ms, s), dot(Ms, Ms)), 0.0)
            x, r, products = x + alpha * p + omega * s, xp.where(active, s - omega * Ms, r), products + 2
            if not bool(xp.any(max_norm(r) > goal / 2)):
                break
            following = dot(shadow, r)
            p, rho = r + ratio(following, rho) * ratio(alpha, omega) * (p - omega * Mp), following
        r, products = b - times(x), products + 1  # the true residual


def system(chain: MarkovChain, discount: float, initial: Array | None = None) -> Array | System:
    """I - gamma P of a chain: a matrix (..., S, S), or a `System` where the chain is long or has stages.

    Args:
        chain: P.
        discount: gamma, in [0, 1].
        initial: where episodes begin, (..., S).  If the discount is 1, states that never end and are never reached end at once.

    Raises:
        PlanningError: if the discount is 1 and a state that may be reached never leads to the end, so that the matrix is singular.
    """
    if discount >= 1 and not chain.reaches_end():
        chain = chain.select(states_that_end(chain, initial))
    if chain.iterative or chain.stages is not None:
        return System(chain, discount)
    matrix = chain.dense()
    identity, scaled = _identity(array_namespace(matrix), matrix.shape[-1], matrix.dtype, matrix.device), discount * matrix
    return np.subtract(identity, scaled, out=scaled) if is_numpy_array(scaled) else identity - scaled


@lru_cache(maxsize=4)
def _identity(xp: Any, size: int, dtype: Any, device: Any) -> Array:
    """The unit matrix, not to be written to: making it took longer than to subtract from it."""
    return xp.eye(size, dtype=dtype, device=device)


def states_that_end(chain: MarkovChain, initial: Array | None) -> Array:
    """The states that lead to the end, booleans (..., S); none of the others is ever reached from ``initial`` (..., S).

    Raises:
        PlanningError: if one is, or may be because ``initial`` is None.
    """
    endless = chain.endless_states()
    concerned = endless if initial is None else endless & chain.reachable_states(initial)
    if concerned.any() or not endless.any():
        which = f"state {int(concerned.nonzero()[-1][0])} never leads to the end" if concerned.any() else "some state hardly ever does"
        raise PlanningError(
            f"an infinite horizon with discount 1 has no value where an episode may not end: {which}.  A row of transitions that sums to "
            "less than 1 ends the episode; a state that only leads to itself does not"
        )
    xp = array_namespace(chain.numbers)
    return xp.asarray(~endless, device=chain.numbers.device)


def factorise(matrix: Any) -> Any:
    """A `system` made ready to be solved with, by its type."""
    return matrix.factorise() if isinstance(matrix, System) else Dense(matrix)
