"""The equilibria of a game in normal form: pure ones of any number of players, mixed ones of two.

Mixed equilibria come by enumeration of supports (Porter, Nudelman and Shoham, "Simple search methods for finding a Nash equilibrium", GEB
2008, without its pruning): for each pair of equally many rows I and columns J the two linear systems under which all of I, and all of J,
are worth the same; what solves them, has no negative probability and leaves nobody anything to gain is an equilibrium.

* Where no mixture has more best responses than actions (a non-degenerate game) these are all equilibria, an odd number (Wilson 1971).
* A degenerate game may have infinitely many.  At least one is found: probabilities may be 0, and the equilibrium to which the path of
  Lemke and Howson (1964) leads solves such a pair of systems.  Whatever is found is an equilibrium, tested by its regrets.

Payoffs are arrays (n, B_0, ..., B_{n-1}), NumPy, one table a player.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import comb

import numpy as np

from .hard_policy_iteration import TIE_TOLERANCE
from .linear_systems import PlanningError

LARGEST_ENUMERATION = 20_000
"""Pairs of supports: 7 x 7 actions make 3,431, and 8 x 8 make 12,869, in about a second."""
SAME = 1e-7
"""Two equilibria are one if no probability differs by more."""


def regrets(payoffs: np.ndarray) -> np.ndarray:
    """What each player would gain by its best action alone, in each profile: (n, B_0, ..., B_{n-1})."""
    return np.stack([table.max(axis=i, keepdims=True) - table for i, table in enumerate(payoffs)])


def pure_equilibria(payoffs: np.ndarray) -> np.ndarray:
    """In which profiles nobody gains by deviating alone, booleans (B_0, ..., B_{n-1}); see `tie_tolerances`."""
    rest = [gain <= tie for gain, tie in zip(regrets(payoffs), tie_tolerances(payoffs), strict=True)]
    return np.logical_and.reduce(rest)


def tie_tolerances(payoffs: np.ndarray) -> np.ndarray:
    """What is no gain to each player, (n,): `TIE_TOLERANCE` in relation to the best that it can have, which a forbidding payoff is not."""
    return TIE_TOLERANCE * (1 + np.abs(payoffs.reshape(len(payoffs), -1).max(axis=1)))


def losses_of_deviating(table: np.ndarray, player: int) -> np.ndarray:
    """What a player with payoffs ``table`` loses by the best of its other actions, in each profile; 0 where it gains, or has no other."""
    if table.shape[player] == 1:
        return np.zeros_like(table)
    others = np.stack([np.delete(table, b, axis=player).max(axis=player) for b in range(table.shape[player])], axis=player)
    return np.maximum(table - others, 0.0)


def action_worths(table: np.ndarray, mixtures: Sequence[np.ndarray], player: int) -> np.ndarray:
    """What each action of a player is worth, (B_i,), by a table over profiles, while the others play their mixtures."""
    table = np.moveaxis(table, player, 0)
    for other, mixture in enumerate(mixtures):
        if other != player:
            table = np.tensordot(table, mixture, axes=(1, 0))
    return table


def mixed_equilibria(payoffs: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The equilibria of two players, pure ones among them, by the size of their supports and then lexicographically.

    Args:
        payoffs: (2, m, n).

    Returns:
        Mixtures (m,) and (n,).

    Raises:
        PlanningError: if there are more than `LARGEST_ENUMERATION` pairs of supports.
    """
    first, second = payoffs
    m, n = first.shape
    if (pairs := comb(m + n, n) - 1) > LARGEST_ENUMERATION:
        raise PlanningError(f"mixed equilibria of {m} x {n} actions take {pairs} pairs of supports, over {LARGEST_ENUMERATION}")
    found: list[tuple[np.ndarray, np.ndarray]] = []
    ties = tie_tolerances(payoffs)
    for size in range(1, min(m, n) + 1):
        rows, columns = (np.array(list(combinations(range(count), size))) for count in (m, n))
        i, j = (index.ravel() for index in np.meshgrid(np.arange(len(rows)), np.arange(len(columns)), indexing="ij"))
        rows, columns = rows[i], columns[j]
        w = _indifferent(first[rows[:, :, None], columns[:, None, :]], columns, n)
        u = _indifferent(second.T[columns[:, :, None], rows[:, None, :]], rows, m)
        rest = _is_best(w @ first.T, u, ties[0]) & _is_best(u @ second, w, ties[1])
        for own, other in zip(u[rest], w[rest], strict=True):
            if not any(max(np.abs(own - x).max(), np.abs(other - y).max()) <= SAME for x, y in found):
                found.append((own, other))
    return found


def _indifferent(tables: np.ndarray, support: np.ndarray, actions: int) -> np.ndarray:
    """Mixtures of the columns of tables (N, k, k) under which all rows are worth the same, as (N, actions); negative where there is none.

    Differences of rows are scaled by their largest entries, so that one large payoff does not blur the others.
    """
    differences = tables[:, 1:] - tables[:, :1]
    largest = np.abs(differences).max(axis=-1, keepdims=True, initial=0.0)
    differences = differences / np.where(largest > 0, largest, 1.0)
    matrix = np.concatenate([differences, np.ones_like(tables[:, :1])], axis=1)
    solved = np.linalg.pinv(matrix)[..., -1]
    mixture = np.zeros((len(tables), actions))
    np.put_along_axis(mixture, support, np.where(np.abs(solved) <= 1e-12, 0.0, solved), axis=1)
    proper = (mixture >= 0).all(axis=1) & (np.abs(mixture.sum(axis=1) - 1) <= SAME)
    return np.where(proper[:, None], mixture / np.where(proper, mixture.sum(axis=1), 1.0)[:, None], -1.0)


def _is_best(worth: np.ndarray, mixture: np.ndarray, tie: float) -> np.ndarray:
    """Whether mixtures (N, k) leave nothing to gain, beyond a tie, where actions are worth (N, k)."""
    return (mixture >= 0).all(axis=1) & (worth.max(axis=1) - (mixture * worth).sum(axis=1) <= tie)
