"""Assignments of guards to targets that have given marginals: what is really done of a commitment to coverage.

* Guards who can protect anything (`comb_sample`): the targets lie on a line, each as long as its probability, and the teeth of a comb with
  spacing 1 and a uniform offset pick those on which they fall.  So many guards are out as the coverage sums to: that many or, if it is no
  whole number, one more or less.
* Guards who differ: a matrix p(g, i) of the probability that guard g protects target i, with rows and columns of at most 1, that has the
  marginals (`guard_marginals`, a linear programme); and the assignments whose mixture it is (`birkhoff`).  A matrix with rows and columns
  of at most 1 is a corner of one with sums of 1, [[p, 1 - rows], [1 - columns, p^T]] with the differences on diagonals, and that is a
  mixture of permutations.

Source: Tsai, Yin, Kwak, Kempe, Kiekintveld and Tambe, "Urban security: game-theoretic resource allocation in networked physical domains",
AAAI 2010 (comb sampling); Birkhoff 1946, and Korzhyk, Conitzer and Parr, AAAI 2010 (mixtures of assignments in security games).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

ROUNDING = 1e-9
"""A sum this near to a whole number is taken for it, and marginals may be outside what is feasible by so much."""


@dataclass(frozen=True)
class Mixture:
    """A distribution over K assignments of m guards to t targets."""

    weights: np.ndarray
    """(K,), positive, with sum 1."""
    assignments: np.ndarray
    """(K, m): the target of each guard; -1 for one who stays in."""

    def draw(self, uniforms: np.ndarray) -> np.ndarray:
        """One assignment for each uniform variate (...): (..., m)."""
        which = np.searchsorted(np.cumsum(self.weights), uniforms, side="right")
        return self.assignments[np.minimum(which, len(self.weights) - 1)]


def comb_sample(coverage: Any, uniforms: Any) -> np.ndarray:
    """Sets of covered targets, one for each uniform variate, in which each target has the probability that ``coverage`` says.

    Args:
        coverage: probabilities, (t,).
        uniforms: in [0, 1), (...).

    Returns:
        Booleans, (..., t): true of as many targets as ``coverage`` sums to, rounded up or down.

    Raises:
        ValueError: if ``coverage`` is not made of probabilities.
    """
    c = _probabilities(coverage, 1)
    ends = np.concatenate([[0.0], np.cumsum(c)])
    if abs(ends[-1] - np.rint(ends[-1])) < ROUNDING:
        ends = np.minimum(ends, np.rint(ends[-1]))
        ends[-1] = np.rint(ends[-1])
    teeth = np.floor(ends - np.asarray(uniforms, dtype=np.float64)[..., None])
    return np.diff(teeth, axis=-1) > 0


def guard_marginals(coverage: Any, protects: np.ndarray) -> np.ndarray:
    """How likely each guard is to protect each target, (m, t), such that targets are covered with probabilities ``coverage``.

    Args:
        coverage: (t,).
        protects: which targets each guard can protect, booleans (m, t).

    Raises:
        ValueError: if these guards cannot cover so much.
    """
    from scipy.optimize import linprog
    from scipy.sparse import coo_array

    c, (guard, target) = _probabilities(coverage, 1), np.nonzero(protects)
    pairs, ones = np.arange(len(guard)), np.ones(len(guard))
    found = linprog(
        -ones,  # as much as there can be of what is wanted: all of it, unless that is not feasible
        A_ub=coo_array(
            (np.concatenate([ones, ones]), (np.concatenate([guard, len(protects) + target]), np.concatenate([pairs, pairs])))
        ).tocsr(),
        b_ub=np.concatenate([np.ones(len(protects)), c]),
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    p = np.zeros(np.shape(protects))
    p[guard, target] = np.maximum(found.x, 0.0)
    if np.abs(p.sum(axis=0) - c).max() > ROUNDING * len(c):
        raise ValueError(f"these guards cannot cover targets with probabilities {c}: at most {p.sum():.6f} of {c.sum():.6f} in all")
    return p


def birkhoff(marginals: Any) -> Mixture:
    """The assignments whose mixture has these marginals; at most (m + t)^2 of them.

    Args:
        marginals: p(g, i), (m, t), with rows and columns that sum to at most 1.

    Raises:
        ValueError: if they are no such probabilities.
    """
    from scipy.optimize import linear_sum_assignment

    p = _probabilities(marginals, 2)
    rows, columns = 1 - p.sum(axis=1), 1 - p.sum(axis=0)
    if min(rows.min(), columns.min()) < -ROUNDING:
        raise ValueError(f"a guard protects one target, and a target has one guard: sums are at most 1; got {p.sum(1)} and {p.sum(0)}")
    rest = np.block([[p, np.diag(np.maximum(rows, 0.0))], [np.diag(np.maximum(columns, 0.0)), p.T]])
    size, (m, t) = len(rest), p.shape
    weights, assignments = [], []
    while rest.max(axis=1).min() > 1e-15:
        # A permutation of entries that are left; max-weight, so that few permutations take most of it.
        at, to = linear_sum_assignment(np.where(rest > 1e-15, rest, -float(size)), maximize=True)
        weight = rest[at, to].min()
        if weight <= 1e-15:
            break  # what is left is rounding
        rest[at, to] -= weight
        weights.append(weight)
        assignments.append(np.where(to[:m] < t, to[:m], -1))
    share = np.array(weights)
    return Mixture(share / share.sum(), np.array(assignments))


def _probabilities(table: Any, axes: int) -> np.ndarray:
    p = np.asarray(table, dtype=np.float64)
    if p.ndim != axes or p.size == 0 or not ((p >= -ROUNDING) & (p <= 1 + ROUNDING)).all():
        raise ValueError(f"marginals are probabilities with {axes} {'axis' if axes == 1 else 'axes'}, got {table}")
    return np.clip(p, 0.0, 1.0)
