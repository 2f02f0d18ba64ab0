"""Soft Bellman sweeps, with certified bounds on how far their values are from the solution.

One sweep is ``T V = sum_n w tau log sum_b exp((r + gamma P V) / tau)``.  With r = T V - V, bounds in the manner of MacQueen (J. Math. Anal.
Appl. 1966) hold for the soft operator too, which is monotone, and moves a constant c by at most gamma c, and by at least gamma (1 - delta)
c, where delta is the largest deficit of a row::

    T V + f(low) low <= V* <= T V + f(high) high        low, high = min r, max r
    f = gamma / (1 - gamma) on the outward side (low < 0, high > 0), and kappa / (1 - kappa), kappa = gamma (1 - delta), on the other

The middle of the interval is taken for V*, and half its width is the bound.  Where all rows sum to 1 the width is the span of r, which
falls as fast as the chain forgets where it started and not as gamma^k: 5 to 900 times fewer sweeps than the largest entry of r needs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from ..processes.arrays import Array, array_namespace, as_float, max_over_actions, sup_norm
from ..processes.mdp import DecisionProblem
from .linear_systems import PlanningError


class CertifiedValues(NamedTuple):
    """The values that value iteration ended with, and how far they may be from the solution."""

    values: Array
    """V, (..., S): the middle of what is certified."""
    sweeps: int
    """How many the slowest of a batch took."""
    bound: Array
    """``|V - V*|`` is at most this, (...); infinite where the discount is 1.  Rounding in a sweep is not in it: see `attainable_bound`."""


def softmax_backup(q: Array, temperature: float) -> tuple[Array, Array]:
    """tau log sum_b exp(Q/tau) and its maximiser softmax_b(Q/tau), normalised explicitly; q (..., B)."""
    xp = array_namespace(q)
    top = max_over_actions(q)[..., None]
    weights = xp.exp((q - top) / temperature)
    total = weights.sum(-1)[..., None]
    return (top + temperature * xp.log(total))[..., 0], weights / total


def soft_backup(problem: DecisionProblem, discount: float, temperature: float, values: Array) -> tuple[Array, Array]:
    """One sweep: T V, (..., S), and the policy that attains it, (..., S, N, B)."""
    node_values, g = softmax_backup(problem.action_values(values, discount), temperature)
    return problem.mean_over_nodes(node_values), g


def largest_deficit(problem: DecisionProblem) -> float:
    """delta: how far the least row of an available action, and the least weights of a state's nodes, fall short of 1; in [0, 1]."""
    xp = array_namespace(problem.reward)
    rows, nodes = problem.transition.row_sums(), xp.sum(problem.weight, axis=-1)
    if problem.available is not None:
        taken = problem.transition.sum_by_row(xp.astype(problem.available, rows.dtype)) > 0  # actions may share rows
        rows = xp.where(taken, rows, 1.0)
    return min(1.0, max(0.0, 1 - as_float(xp.min(rows)) * as_float(xp.min(nodes))))


def value_interval(backed_up: Array, low: Array, high: Array, discount: float, deficit: float) -> tuple[Array, Array]:
    """(middle (..., S), half width (...)) of the interval in which V* lies.

    Args:
        backed_up: T V, (..., S).
        low: smallest entry of T V - V, (...).
        high: largest entry.
        discount: gamma; from 1 on nothing is certified.
        deficit: delta, see `largest_deficit`.
    """
    xp = array_namespace(backed_up)
    if discount >= 1:
        return backed_up, xp.where(high - low >= 0, float("inf"), float("nan"))
    kept = discount * (1 - deficit)
    outward, inward = discount / (1 - discount), kept / (1 - kept)
    if low.ndim == 0:  # an array operation on one number costs as much as on hundreds
        bottom, top = as_float(low), as_float(high)
        bottom, top = bottom * (outward if bottom < 0 else inward), top * (outward if top > 0 else inward)
        return backed_up + (bottom + top) / 2, xp.asarray((top - bottom) / 2)
    low, high = xp.where(low < 0, outward * low, inward * low), xp.where(high > 0, outward * high, inward * high)
    return backed_up + ((low + high) / 2)[..., None], (high - low) / 2


def rounding_error(values: Array, discount: float) -> float:
    """The size of a step that is only rounding: ``eps |V| / (1 - gamma)``, the factor capped for discounts near 1."""
    scale = max(1.0, sup_norm(values))
    return 4 * _epsilon(array_namespace(values), values.dtype) * scale / max(1 - discount, 1e-4)


@lru_cache(maxsize=16)
def _epsilon(xp: Any, dtype: Any) -> float:
    """The distance from 1 to the next number."""
    return float(xp.finfo(dtype).eps)


def attainable_bound(values: Array, discount: float) -> float:
    """The half width that rounding leaves at best: the largest and the smallest entry of T V - V are each off by some ``eps |V|``."""
    return 4 * rounding_error(values, 0.0) / max(1 - discount, 1e-12)


def soft_value_iteration(
    problem: DecisionProblem,
    discount: float,
    temperature: float,
    *,
    values: Array | None = None,
    tolerance: float = 1e-6,
    max_sweeps: int = 100_000,
) -> CertifiedValues:
    """Sweep until the values are certified to ``tolerance``, or to what rounding leaves of it (`attainable_bound`).

    Args:
        problem: what the follower faces at its decision nodes, tables with or without batch axes.
        discount: gamma, below 1.
        temperature: tau > 0, in units of reward.
        values: a warm start (..., S); zero if not given.
        tolerance: largest bound that is wanted.
        max_sweeps: give up after so many.

    Raises:
        PlanningError: if ``max_sweeps`` are not enough, or the tables are not finite.
    """
    if not 0 <= discount < 1 or not temperature > 0 or not tolerance > 0:
        raise ValueError(f"sweeps need a discount in [0, 1), temperature and tolerance above 0, got {discount}, {temperature}, {tolerance}")
    xp = array_namespace(problem.reward)
    deficit = largest_deficit(problem)
    start = xp.zeros_like(problem.reward[..., 0, 0]) if values is None else values
    v, bound = start, xp.zeros_like(start[..., 0])
    for sweep in range(1, max_sweeps + 1):
        backed_up, _ = soft_backup(problem, discount, temperature, v)
        r = backed_up - v
        middle, bound = value_interval(backed_up, xp.min(r, axis=-1), xp.max(r, axis=-1), discount, deficit)
        widest = as_float(xp.max(bound))
        if widest <= max(tolerance, attainable_bound(backed_up, discount)):
            return CertifiedValues(middle, sweep, bound)
        if widest != widest:
            break
        v = backed_up
    raise convergence_error(max_sweeps, as_float(xp.max(bound)), tolerance)


def convergence_error(sweeps: int, bound: float, tolerance: float) -> PlanningError:
    """The error where sweeps were not enough."""
    return PlanningError(
        f"values were certified to {bound:.3g} after at most {sweeps} sweeps, and not to {tolerance:.3g}; are the tables finite?  Near a "
        "discount of 1 soft_policy_iteration needs no more steps than far from it"
    )
