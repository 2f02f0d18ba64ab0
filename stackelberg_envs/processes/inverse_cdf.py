"""Sampling by the inverse distribution function: noise is data.

Every random choice of the suite maps a uniform variate through cumulative probabilities, so that a PettingZoo episode and a batched
rollout that are fed the same variates visit the same states.
"""

from __future__ import annotations

from .arrays import Array, array_namespace

DEFICIT_TOLERANCE = 1e-9
"""Probabilities whose sum falls short of 1 by less than this (or by rounding of their dtype) have no deficit."""


def cumulative(probabilities: Array) -> Array:
    """Cumulative sums over the last axis; a total within rounding of 1 becomes exactly 1."""
    xp = array_namespace(probabilities)
    sums = xp.cumulative_sum(probabilities, axis=-1)
    total = sums[..., -1:]
    tolerance = max(DEFICIT_TOLERANCE, probabilities.shape[-1] * float(xp.finfo(sums.dtype).eps))
    return xp.where(total > 1 - tolerance, sums / xp.where(total > 0, total, 1.0), sums)


def inverse_cdf(cumulated: Array, u: Array) -> Array:
    """The first index whose cumulative probability exceeds ``u``; the number of entries where none does (the episode ends)."""
    return (cumulated <= u[..., None]).sum(-1)  # the method: rollouts call this at every step, and a namespace costs as much as the sum


def draw(probabilities: Array, u: Array) -> Array:
    """Map uniform variates to indices.

    Args:
        probabilities: (..., K), non-negative, summing to at most 1.
        u: (...) in [0, 1).

    Returns:
        Indices (...) in 0..K; K where ``u`` falls into the deficit.
    """
    return inverse_cdf(cumulative(probabilities), u)


def negligible_deficit(table: Array) -> float:
    """A deficit that may be rounding in the dtype of ``table``."""
    return max(DEFICIT_TOLERANCE, 16 * float(array_namespace(table).finfo(table.dtype).eps))
