"""Soft Bellman sweeps, with certified bounds on how far their values are from the solution.

One sweep is ``T V = sum_n w tau log sum_b exp((r + gamma P V) / tau)``.  With r = T V - V, MacQueen's bounds (J. Math. Anal. Appl. 1966)
hold for the soft operator too, which is monotone and moves a constant c, where all rows sum to 1, by gamma c::

    V* in T V + gamma / (1 - gamma) [low, high]      low, high = min r, max r        where all rows sum to 1
                                                     min(r, 0), max(r, 0)            where some fall short

The middle of the interval is taken for V*, and half its width is the bound.  Where all rows sum to 1 the width is the span of r, which
falls as fast as the chain forgets where it started and not as gamma^k: 5 to 900 times fewer sweeps than the largest entry of r needs.
"""

from __future__ import annotations

from typing import NamedTuple

from array_api_compat import array_namespace

from .linear import PlanningError, number
from .mdp import DEFICIT_TOLERANCE, Array, DecisionProblem, expect, stored


class Swept(NamedTuple):
    """What value iteration came to."""

    values: Array
    """V, (..., S): the middle of what is certified."""
    sweeps: int
    """How many the slowest of a batch took."""
    bound: Array
    """|V - V*| is at most this, (...); infinite where the discount is 1.  Rounding in a sweep is not in it: see `rounding`."""


def softmax_backup(q: Array, temperature: float) -> tuple[Array, Array]:
    """tau log sum_b exp(Q/tau) and its maximiser softmax_b(Q/tau), normalised explicitly; q (..., B)."""
    xp = array_namespace(q)
    top = xp.max(q, axis=-1, keepdims=True)
    weights = xp.exp((q - top) / temperature)
    total = xp.sum(weights, axis=-1, keepdims=True)
    return (top + temperature * xp.log(total))[..., 0], weights / total


def soft_backup(problem: DecisionProblem, discount: float, temperature: float, values: Array) -> tuple[Array, Array]:
    """One sweep: T V, (..., S), and the policy that attains it, (..., S, N, B)."""
    node_values, g = softmax_backup(problem.reward + discount * expect(problem.transition, values), temperature)
    return array_namespace(values).sum(problem.weight * node_values, axis=-1), g


def full_rows(transition: Array) -> bool:
    """Whether every row of a kernel sums to 1, so that no episode ever ends."""
    xp = array_namespace(stored(transition))
    sums = xp.sum(stored(transition), axis=-1)
    return number(xp.min(sums)) > 1 - max(DEFICIT_TOLERANCE, 1e3 * float(xp.finfo(sums.dtype).eps))


def certified(swept: Array, low: Array, high: Array, discount: float, *, full: bool) -> tuple[Array, Array]:
    """(middle (..., S), half width (...)) of the interval in which V* lies.

    Args:
        swept: T V, (..., S).
        low: smallest entry of T V - V, (...).
        high: largest entry.
        discount: gamma; from 1 on nothing is certified.
        full: whether all rows sum to 1.
    """
    xp = array_namespace(swept)
    if discount >= 1:
        return swept, xp.where(high - low >= 0, float("inf"), float("nan"))
    if not full:
        low, high = xp.where(low < 0, low, 0.0 * low), xp.where(high > 0, high, 0.0 * high)
    ahead = discount / (1 - discount)
    return swept + (ahead * (low + high) / 2)[..., None], ahead * (high - low) / 2


def rounding(values: Array, discount: float) -> float:
    """The size of a step that is only rounding: ``eps |V| / (1 - gamma)``, the factor capped for discounts near 1."""
    xp = array_namespace(values)
    scale = max(1.0, number(xp.max(xp.abs(values))))
    return 4 * float(xp.finfo(values.dtype).eps) * scale / max(1 - discount, 1e-4)


def soft_value_iteration(
    problem: DecisionProblem,
    discount: float,
    temperature: float,
    *,
    values: Array | None = None,
    tolerance: float = 1e-6,
    max_sweeps: int = 100_000,
) -> Swept:
    """Sweep until the values are certified to ``tolerance``, or to what rounding leaves of it (`rounding`).

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
    full = full_rows(problem.transition)
    start = xp.zeros_like(problem.reward[..., 0, 0]) if values is None else values
    v, bound = start, xp.zeros_like(start[..., 0])
    for sweep in range(1, max_sweeps + 1):
        swept, _ = soft_backup(problem, discount, temperature, v)
        r = swept - v
        middle, bound = certified(swept, xp.min(r, axis=-1), xp.max(r, axis=-1), discount, full=full)
        widest = number(xp.max(bound))
        if widest <= max(tolerance, rounding(swept, discount)):
            return Swept(middle, sweep, bound)
        if widest != widest:
            break
        v = swept
    raise unfinished(max_sweeps, number(xp.max(bound)), tolerance)


def unfinished(sweeps: int, bound: float, tolerance: float) -> PlanningError:
    """What to say where sweeps were not enough."""
    return PlanningError(
        f"values were certified to {bound:.3g} after at most {sweeps} sweeps, and not to {tolerance:.3g}; are the tables finite?  Near a "
        "discount of 1 soft_policy_iteration needs no more steps than far from it"
    )
