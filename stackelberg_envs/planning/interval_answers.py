"""A follower's answer, and a leader's best mixture, where values are known up to intervals.

Relaxations of one state, for `stackelberg_envs.planning.value_boxes` and `stackelberg_envs.planning.mixing`: what an answer can be whose
action values lie between two numbers, and the most that a leader can have under all such answers.
"""

from __future__ import annotations

import numpy as np

SLACK = 1e-12
"""What rounding may do to an interval."""
LARGEST_EXPONENT = 300.0
SMALLEST = np.finfo(np.float64).tiny


def soft_maximum(q: np.ndarray, temperature: float) -> np.ndarray:
    """tau log sum exp(q / tau) over the last axis, or the maximum."""
    top = q.max(axis=-1)
    return top if temperature == 0 else top + temperature * np.log(np.exp((q - top[..., None]) / temperature).sum(axis=-1))


def soft_answer(q: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities that attain `soft_maximum`."""
    top = q.max(axis=-1, keepdims=True)
    weights = (q == top).astype(np.float64) if temperature == 0 else np.exp((q - top) / temperature)
    return weights / weights.sum(axis=-1, keepdims=True)


def weight_ranges(least: np.ndarray, most: np.ndarray, temperature: float) -> np.ndarray:
    """Between which numbers the weight of each action is, (n, 2, B), if q is between ``least`` and ``most``, (n, B)."""
    if temperature > 0:
        exponents = (np.stack([least, most], axis=1) - least.max(axis=1)[:, None, None]) / temperature
        return np.exp(np.minimum(exponents, LARGEST_EXPONENT))  # which leaves out shares below e^-300, and none that is larger
    # What is best at worst is possible; where rounding has turned a range round, so is what is best at best.
    possible = most >= np.minimum(least.max(axis=1, keepdims=True), most.max(axis=1, keepdims=True)) - SLACK
    return np.stack([possible & (possible.sum(axis=1, keepdims=True) == 1), possible], axis=1).astype(np.float64)


def best_ratio(brackets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """max over e of sum e R / sum e, for R (n, V, B) and e between weights[:, 0] and weights[:, 1], (n, B): (n, V)."""
    low, high = weights[:, None, 0], weights[:, None, 1]
    ratio = (high * brackets).sum(axis=-1) / high.sum(axis=-1)
    for _ in range(brackets.shape[-1]):  # each step drops an action from those that take the upper number, or is the last
        chosen = np.where(brackets > ratio[..., None], high, low)
        better = (chosen * brackets).sum(axis=-1) / np.maximum(chosen.sum(axis=-1), SMALLEST)
        if (better <= ratio).all():
            break
        ratio = np.maximum(ratio, better)
    return ratio


def best_mixture(worth: np.ndarray, values: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """max over pi of sum_a pi(a) worth(a), where sum_a pi(a) values(a) can be a target: an upper bound, and a mixture that has it.

    Each value is between two numbers, and so is the target.  Of the two conditions, sum pi low <= target high and sum pi high >= target
    low, one is kept at a time.  The optimum under one is an action that meets it, or two of which one does, mixed so that it holds with
    equality.  The smaller of both optima bounds the optimum under both.

    Args:
        worth: (n, A).
        values: (n, A, 2).
        targets: (n, 2).

    Returns:
        The bound (n,) and the mixture (n, A); without any pi that meets a condition, the largest worth.
    """
    at_most = _one_condition(worth, values[..., 0] - targets[:, 1:])
    at_least = _one_condition(worth, targets[:, :1] - values[..., 1])
    smaller = at_most[0] <= at_least[0]
    return np.where(smaller, at_most[0], at_least[0]), np.where(smaller[:, None], at_most[1], at_least[1])


def _one_condition(worth: np.ndarray, excess: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """max sum pi worth where sum pi excess <= 0; all (n, A).  If every excess is above 0, the largest worth."""
    (n, a), meets = worth.shape, (excess <= 0) | (excess > 0).all(axis=1, keepdims=True)
    first, second = np.maximum(-excess, 0.0)[:, :, None], np.maximum(excess, 0.0)[:, None, :]
    # Of a pair (i, j) with excesses -f and g, j has the share f / (f + g); with g = 0 or i = j the mixture is i alone.
    share = np.where(second > 0, first / np.where(second > 0, first + second, 1.0), 0.0)
    mixed = worth[:, :, None] + share * (worth[:, None, :] - worth[:, :, None])
    mixed[~meets] = -np.inf
    pair, rows = mixed.reshape(n, -1).argmax(axis=1), np.arange(n)
    i, j = np.divmod(pair, a)
    pi = np.zeros((n, a))
    np.add.at(pi, (rows, i), 1 - share[rows, i, j])
    np.add.at(pi, (rows, j), share[rows, i, j])
    return mixed[rows, i, j], pi
