"""The passes of `solvers.estimators.visits` over a batch of visits, compiled by numba (the extra ``fast``)."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def returns_by_pair(
    pairs: np.ndarray, alive: np.ndarray, rewards: np.ndarray, discounts: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`solvers.estimators.visits.returns_by_pair`."""
    counts, worth, weights = np.zeros(size), np.zeros(size), np.zeros(size)
    togo = np.zeros(pairs.shape[1])
    for i in range(pairs.shape[0]):
        ahead = 0.0
        for t in range(pairs.shape[1] - 1, -1, -1):
            ahead = rewards[i, t] + discounts[1] * ahead if t < pairs.shape[1] - 1 else rewards[i, t]
            togo[t] = ahead
        for t in range(pairs.shape[1]):
            if alive[i, t]:
                pair = pairs[i, t]
                counts[pair] += 1.0
                worth[pair] += togo[t]
                weights[pair] += discounts[t]
    return counts, worth, weights


@njit(cache=True)
def influences_by_pair(pairs: np.ndarray, alive: np.ndarray, weight: np.ndarray, discount: float) -> np.ndarray:
    """`solvers.estimators.visits.influences_by_pair`."""
    total = np.zeros(weight.shape[0])
    for i in range(pairs.shape[0]):
        carried = 0.0
        for t in range(pairs.shape[1]):
            carried = (weight[pairs[i, t]] if alive[i, t] else 0.0) + discount * carried
            if alive[i, t]:
                total[pairs[i, t]] += carried
    return total


@njit(cache=True)
def sarsa_pass(
    table: np.ndarray, pairs: np.ndarray, after: np.ndarray, rewards: np.ndarray, policy: np.ndarray, rate: float, discount: float
) -> None:
    """`solvers.estimators.visits.sarsa_pass`."""
    b_count = policy.shape[1]
    for i in range(pairs.shape[0]):
        ahead = 0.0
        for b in range(b_count):
            ahead += policy[after[i], b] * table[after[i] * b_count + b]
        table[pairs[i]] += rate * (rewards[i] + discount * ahead - table[pairs[i]])
