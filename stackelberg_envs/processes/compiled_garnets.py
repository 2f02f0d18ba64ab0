"""The loop of `stackelberg_envs.processes.garnets.garnet`, compiled by numba (the extra ``fast``), to the same bits.

It draws what NumPy's ``Generator.choice`` and ``Generator.dirichlet`` draw, in their order: Floyd's sample without replacement (Bentley
and Floyd, CACM 1987) and a shuffle of it; then standard exponentials, normalised.
"""

from __future__ import annotations

import numpy as np
from numba import njit

LONGEST = 200
"""Successors up to which NumPy samples by Floyd's method whatever the number of states."""


@njit(cache=True)
def draw_lists(rng: np.random.Generator, states: int, dirichlet: bool, table: np.ndarray, probabilities: np.ndarray) -> None:
    """Fill ``table`` with successors and ``probabilities`` with weights, both (lists, K); the weights are Dirichlet(1), or U(0, 1)."""
    lists, branching = table.shape
    for row in range(lists):
        for place in range(branching):
            last = states - branching + place
            drawn = rng.integers(0, last + 1) if last > 0 else 0
            for earlier in range(place):
                if table[row, earlier] == drawn:
                    drawn = last
                    break
            table[row, place] = drawn
        for place in range(branching - 1, 0, -1):
            other = rng.integers(0, place + 1)
            table[row, place], table[row, other] = table[row, other], table[row, place]
        total = 0.0
        for place in range(branching):
            probabilities[row, place] = rng.standard_exponential() if dirichlet else rng.random()
            total += probabilities[row, place]
        if dirichlet:
            scale = 1.0 / total
            for place in range(branching):
                probabilities[row, place] *= scale
