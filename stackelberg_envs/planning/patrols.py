r"""What a walk on a graph protects, and how well the best one can: bounds and exact values of patrols.

A ranger walks on a graph, one move a step.  A strike at target m takes d_m steps; it is caught if the ranger is there after one of the next
d_m moves, and pays the poacher v_m if it is not, and -f, a penalty, when it is.  All discount with gamma.

* **A poacher who watches** sees where the ranger is, and waits or strikes: V(p) = max(0, strikes at p, gamma E V(p')).  Let the ranger plan
  its next D moves anew at each step of waiting, D the longest duration::

      U(p) = min over distributions y of D-step walks from p of max(0, max_m E_y[payoff of a strike at m], gamma E_y[U(p')])

  A patrol of any memory that depends on p alone while the poacher waits has one such y at each p, so V >= U by induction: it leaves the
  poacher no less.  Each minimum is a matrix game, so U is the value of a stochastic game (Shapley, PNAS 1953), found by the iteration of
  Hoffman and Karp, Management Science 1966.  If all strikes take one step, y is the next move and nothing else, so the walk that makes
  these moves attains U everywhere: the bound is the optimum.
* **A poacher who knows the walk and sees nothing** picks m and a time t in advance.  What a walk protects then depends on its flow on the
  time-expanded graph, and the least that it can leave the poacher is a linear programme (`blind_value`).  It is exact where strikes take
  one or two steps; of longer ones a second visit may count, too, so it is a bound.

The game with d_m steps: Basilico, Gatti, Amigoni, "Patrolling security games", Artificial Intelligence 184-185 (2012).  The bounds and
their proofs are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..processes.arrays import Array, array_namespace
from .linear_systems import PlanningError

ROUNDS = 200
"""Of `watched_value`; ten are usual."""
ACCURACY = 1e-9
MOST_WALKS = 20_000
"""Walks of the longest duration that `watched_value` lists from a position."""
_TIGHT = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


@dataclass(frozen=True, eq=False)
class Walks:
    """Where a ranger can be, and where its moves lead.

    A position is a node or, of rangers who remember it, the node before and the node.
    """

    moves: np.ndarray
    """The position after each move, (P, A)."""
    possible: np.ndarray
    """Which moves there are, booleans (P, A)."""
    node: np.ndarray
    """The node of each position, (P,)."""
    start: int
    """The first position."""


@dataclass(frozen=True, eq=False)
class Strikes:
    """What strikes at M targets take and pay."""

    nodes: np.ndarray
    """Of the targets, (M,)."""
    values: np.ndarray
    """What a strike that is not caught pays the poacher, (M,)."""
    durations: np.ndarray
    """d, in steps, (M,)."""
    penalty: float
    """What a poacher pays who is caught."""
    discount: float
    """gamma, below 1."""


@dataclass(frozen=True)
class PatrolBound:
    """The least that any patrol leaves the poacher, and moves of the ranger that do so where strikes take one step."""

    value: float
    """From the start; a lower bound, or exact."""
    values: np.ndarray
    """From each position, (P,)."""
    policy: np.ndarray
    """The ranger's next move at each position, (P, A)."""
    exact: bool
    """Whether ``policy`` is a patrol without further memory that attains ``values``."""


def strike_values(walk: Array, visits: Array, value: Array, penalty: float, durations: np.ndarray, discount: float) -> Array:
    """What a strike is worth, by target and by where the ranger is when it begins.

    Args:
        walk: the probabilities of the ranger's next positions, (..., P, P).
        visits: 1 where a position is at a target, (M, P).
        value: of a strike that is not caught, (M,).
        penalty: of a strike that is, paid when it is.
        durations: steps of a strike, (M,).
        discount: of each step after the first.

    Returns:
        (..., M, P).
    """
    xp = array_namespace(walk)
    backwards, worth = xp.matrix_transpose(walk), value[:, None] + 0 * visits
    for step in range(int(durations.max())):
        ahead = worth if step == 0 else discount * worth
        busy = xp.asarray(durations > step, device=walk.device)[:, None]
        worth = xp.where(busy, xp.matmul(xp.where(visits > 0, -penalty, ahead), backwards), worth)
    return worth


def watched_value(walks: Walks, strikes: Strikes) -> PatrolBound:
    """U: the least that a poacher who watches is left with, if the ranger may plan anew while it waits.

    Raises:
        PlanningError: if there are more than `MOST_WALKS` walks of the longest duration from a position.
    """
    games = [_walk_game(walks, strikes, p) for p in range(len(walks.node))]
    values, worth = np.zeros(len(games)), np.zeros(len(games))
    mixtures: list[np.ndarray] = []
    for _ in range(ROUNDS):
        solved = [_matrix_game(np.column_stack([payoffs, strikes.discount * values[first]])) for payoffs, first in games]
        mixtures, worth = [y for y, _ in solved], np.array([value for _, value in solved])
        if np.abs(worth - values).max() <= ACCURACY:
            break
        values = _stopping_values(games, mixtures, strikes.discount)
    policy = np.zeros(walks.moves.shape)
    for p, (y, (_, first)) in enumerate(zip(mixtures, games, strict=True)):
        for a in np.flatnonzero(walks.possible[p]):
            policy[p, a] = y[first == walks.moves[p, a]].sum()
    certified = np.minimum(values, worth) - max(float((values - worth).max()), 0.0) / (1 - strikes.discount)
    return PatrolBound(float(certified[walks.start]), certified, policy, bool((strikes.durations == 1).all()))


def _walk_game(walks: Walks, strikes: Strikes, p: int) -> tuple[np.ndarray, np.ndarray]:
    """What each walk from p makes of each strike, (walks, M), and the position after its first move; walks that do the same once."""
    longest = int(strikes.durations.max())
    paths = np.full((1, 1), p)
    for _ in range(longest):
        possible = walks.possible[paths[:, -1]]
        if possible.sum() > MOST_WALKS:
            raise PlanningError(f"a position has more than {MOST_WALKS} walks of {longest} steps: take shorter strikes or a smaller graph")
        rows, moves = np.nonzero(possible)
        paths = np.column_stack([paths[rows], walks.moves[paths[rows, -1], moves]])
    there = walks.node[paths[:, 1:, None]] == strikes.nodes  # (walks, D, M)
    there &= np.arange(longest)[:, None] < strikes.durations
    caught = there.any(axis=1)
    payoffs = np.where(
        caught, -strikes.penalty * strikes.discount ** there.argmax(axis=1), strikes.values * strikes.discount ** (strikes.durations - 1)
    )
    rows = np.unique(np.column_stack([paths[:, 1], payoffs]), axis=0)
    return rows[:, 1:], rows[:, 0].astype(np.int64)


def _matrix_game(payoffs: np.ndarray) -> tuple[np.ndarray, float]:
    """The mixture over rows that makes the best of the columns and of 0 least, and what that is."""
    from scipy.optimize import linprog

    rows, columns = payoffs.shape
    cost = np.append(np.zeros(rows), 1.0)
    found = linprog(
        cost,
        A_ub=np.column_stack([payoffs.T, -np.ones(columns)]),
        b_ub=np.zeros(columns),
        A_eq=np.append(np.ones(rows), 0.0)[None],
        b_eq=[1.0],
        method="highs",
        options=_TIGHT,
    )
    if found.x is None:
        raise PlanningError(f"a matrix game of {payoffs.shape} has no solution: {found.message}")
    y = np.maximum(found.x[:rows], 0.0)
    y /= y.sum()
    return y, max(0.0, float((y @ payoffs).max()))


def _stopping_values(games: list[tuple[np.ndarray, np.ndarray]], mixtures: list[np.ndarray], discount: float) -> np.ndarray:
    """What the poacher has at each position where the ranger's plans are fixed: it stops when a strike is better than to wait."""
    count = len(games)
    stop = np.array([max(0.0, float((y @ payoffs).max())) for y, (payoffs, _) in zip(mixtures, games, strict=True)])
    walk = np.zeros((count, count))
    for p, (y, (_, first)) in enumerate(zip(mixtures, games, strict=True)):
        np.add.at(walk[p], first, y)
    waits = np.zeros(count, dtype=bool)
    while True:
        values = np.linalg.solve(np.eye(count) - discount * waits[:, None] * walk, np.where(waits, 0.0, stop))
        better = discount * walk @ values > np.maximum(stop, 0.0) + 1e-12
        if (better <= waits).all():
            return values
        waits |= better
