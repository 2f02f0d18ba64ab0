"""Garnets: random transitions with few successors (Archibald, McKinnon, Thomas, JORS 1995)."""

from __future__ import annotations

import copy
from math import prod

import numpy as np

from .arrays import COMPILED
from .successor_lists import SuccessorLists
from .successors import Successors

MANY = 20_000
"""Lists from which on numba is worth its loading."""
COMPARED = 16
"""Lists that are drawn both ways before compiled ones are trusted."""


def garnet(rng: np.random.Generator, shape: tuple[int, int, int], branching: int, weights: str) -> SuccessorLists:
    """``branching`` random successors of each (s, a, b), ascending, with random weights.

    The numbers are those of ``rng.choice`` and ``rng.dirichlet``, or ``rng.uniform``, list by list.  Where numba is installed many lists
    are drawn by a compiled loop, to the same bits and with the same state of ``rng`` afterwards.

    Args:
        rng: the randomness.
        shape: (S, A, B).
        branching: K, from 1 to S.
        weights: ``"dirichlet"`` for Dirichlet(1) or ``"uniform"`` for U(0, 1), normalised.
    """
    states, count = shape[0], prod(shape)
    table, probabilities = np.zeros((count, branching), dtype=np.int64), np.zeros((count, branching))
    if not (COMPILED and count >= MANY and _draw_compiled(rng, states, weights, table, probabilities)):
        _draw(rng, states, weights, table, probabilities)
    if weights == "uniform":
        probabilities = probabilities / probabilities.sum(axis=-1, keepdims=True)
    order = np.argsort(table, axis=-1)
    table, probabilities = (np.take_along_axis(drawn, order, axis=-1).reshape(*shape, -1) for drawn in (table, probabilities))
    return SuccessorLists(Successors(table), probabilities)


def _draw(rng: np.random.Generator, states: int, weights: str, table: np.ndarray, probabilities: np.ndarray) -> None:
    """Fill ``table`` and ``probabilities`` (lists, K)."""
    branching = table.shape[-1]
    even = np.ones(branching)
    for entry in range(len(table)):
        table[entry] = rng.choice(states, size=branching, replace=False)
        probabilities[entry] = rng.dirichlet(even) if weights == "dirichlet" else rng.uniform(size=branching)


def _draw_compiled(rng: np.random.Generator, states: int, weights: str, table: np.ndarray, probabilities: np.ndarray) -> bool:
    """`_draw`, compiled, and True; or False, and nothing drawn, where it would not do the same.

    NumPy promises its streams for no later release, so that the first lists are compared.
    """
    from .compiled_garnets import LONGEST, draw_lists

    if table.shape[-1] > LONGEST:
        return False
    before, first = copy.deepcopy(rng.bit_generator.state), (table[:COMPARED].copy(), probabilities[:COMPARED].copy())
    _draw(rng, states, weights, *first)
    rng.bit_generator.state = before
    draw_lists(rng, states, weights == "dirichlet", table, probabilities)
    same = np.array_equal(first[0], table[:COMPARED]) and np.array_equal(first[1], probabilities[:COMPARED])
    if not same:
        rng.bit_generator.state = before
    return same
