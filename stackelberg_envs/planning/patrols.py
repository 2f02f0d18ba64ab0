r"""What a walk on a graph protects, and how well the best one can: bounds and exact values of patrols.

A ranger walks on a graph, one move a step.  A strike at target m takes d_m steps; it is caught if the ranger is there after one of the next
d_m moves, and pays the poacher v_m if it is not, and -f, a penalty, when it is.  All discount with gamma.

* **A poacher who watches** sees where the ranger is, and waits or strikes: V(p) = max(0, strikes at p, gamma E V(p')).  Let the ranger plan
  anew after every L steps of waiting.  It draws its walk from a distribution y over walks of L + D - 1 steps, D the longest duration; the
  poacher, who knows y, waits up to L steps and sees each, and may strike before each::

      U(p) = min_y max over such plans of the poacher of E_y[payoff of its strike, or gamma^L U(position after L steps)]

  A patrol that depends on p alone while the poacher waits has one such y at each p, so it leaves the poacher V >= U, by induction.  Each
  minimum is a linear programme, and U the value of a stochastic game (Shapley, PNAS 1953; the iteration is that of Hoffman and Karp,
  Management Science 1966).  If all strikes take one step, L = 1 is enough: y is the next move and nothing else, the walk
  that makes these moves attains U everywhere, and the bound is the optimum.
* **A poacher who knows the walk and sees nothing**: `stackelberg_envs.planning.blind_patrols`.

The game with d_m steps: Basilico, Gatti, Amigoni, "Patrolling security games", Artificial Intelligence 184-185 (2012).  The bound and its
proof are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..processes.arrays import Array, array_namespace
from .linear_systems import PlanningError

ROUNDS = 200
"""Of `watcher_value`; ten are usual."""
ACCURACY = 1e-9
MOST_WALKS = 20_000
"""Walks of the longest duration that `watcher_value` lists from a position."""
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


def watcher_value(walks: Walks, strikes: Strikes, lookahead: int = 1) -> PatrolBound:
    """U: the least that a poacher who watches is left with, if the ranger may plan anew after each ``lookahead`` steps of waiting.

    Raises:
        PlanningError: if there are more than `MOST_WALKS` walks of the longest duration and ``lookahead`` - 1 steps from a position.
    """
    plans = [_Plan.of(walks, strikes, p, lookahead) for p in range(len(walks.node))]
    values, worth = np.zeros(len(plans)), np.zeros(len(plans))
    mixtures: list[np.ndarray] = []
    for _ in range(ROUNDS):
        mixtures = [plan.best(values) for plan in plans]
        worth = np.array([plan.worth(y, values) for plan, y in zip(plans, mixtures, strict=True)])
        if np.abs(worth - values).max() <= ACCURACY:
            break
        change = np.inf
        while change > 0.1 * ACCURACY:  # what the poacher has against these plans
            before, values = values, np.array([plan.worth(y, values) for plan, y in zip(plans, mixtures, strict=True)])
            change = np.abs(values - before).max()
    policy = np.stack(
        [plan.first_moves(y, walks.moves[p], walks.possible[p]) for p, (plan, y) in enumerate(zip(plans, mixtures, strict=True))]
    )
    certified = np.minimum(values, worth) - max(float((values - worth).max()), 0.0) / (1 - strikes.discount**lookahead)
    return PatrolBound(float(certified[walks.start]), certified, policy, bool((strikes.durations == 1).all()))


@dataclass(frozen=True, eq=False)
class _Plan:
    """The walks that a ranger may plan at a position, and what the poacher makes of them before it plans anew."""

    parents: list[np.ndarray]
    """The number of the first l steps of each number of the first l + 1, for l = 0 to L - 1; before no step there is one number, 0."""
    last: np.ndarray
    """The number of the first L steps of each walk, (W,)."""
    ends: np.ndarray
    """The position after them, by their number."""
    first: np.ndarray
    """The position after the first step of each walk, (W,)."""
    payoffs: list[np.ndarray]
    """What strikes after l steps pay, discounted, (W, M), for l = 0 to L - 1."""
    discount: float
    """Of what comes after L steps."""

    @classmethod
    def of(cls, walks: Walks, strikes: Strikes, start: int, lookahead: int) -> _Plan:
        longest = int(strikes.durations.max())
        paths = np.full((1, 1), start)
        for _ in range(longest + lookahead - 1):
            possible = walks.possible[paths[:, -1]]
            if possible.sum() > MOST_WALKS:
                raise PlanningError(f"a position has more than {MOST_WALKS} walks of {longest + lookahead - 1} steps: look less far ahead")
            rows, moves = np.nonzero(possible)
            paths = np.column_stack([paths[rows], walks.moves[paths[rows, -1], moves]])
        payoffs = [
            strikes.discount**step * _strike_payoffs(walks, strikes, paths[:, step + 1 : step + 1 + longest]) for step in range(lookahead)
        ]
        alike = np.unique(np.column_stack([paths[:, : lookahead + 1], *payoffs]), axis=0)  # walks that do the same once
        paths, rest = alike[:, : lookahead + 1].astype(np.int64), alike[:, lookahead + 1 :]
        numbers = [np.unique(paths[:, : step + 1], axis=0, return_inverse=True)[1].ravel() for step in range(lookahead + 1)]
        parents = [np.zeros(int(numbers[step + 1].max()) + 1, dtype=np.int64) for step in range(lookahead)]
        for step, table in enumerate(parents):
            table[numbers[step + 1]] = numbers[step]
        ends = np.zeros(int(numbers[-1].max()) + 1, dtype=np.int64)
        ends[numbers[-1]] = paths[:, -1]
        return cls(parents, numbers[-1], ends, paths[:, 1], np.split(rest, lookahead, axis=1), strikes.discount**lookahead)

    def _numbers(self) -> list[np.ndarray]:
        """The number of the first l steps of each walk, for l = 0 to L."""
        found = [self.last]
        for parent in reversed(self.parents):
            found.append(parent[found[-1]])
        return found[::-1]

    def worth(self, y: np.ndarray, values: np.ndarray) -> float:
        """What the poacher makes of walks of probability ``y`` (W,), if ``values`` (P,) are what comes after them."""
        numbers = self._numbers()
        worth = self.discount * values[self.ends] * np.bincount(self.last, y)
        for step in range(len(self.parents) - 1, -1, -1):
            waits = np.bincount(self.parents[step], worth)
            struck = np.stack([np.bincount(numbers[step], y * column) for column in self.payoffs[step].T])
            worth = np.maximum(np.maximum(waits, 0.0), struck.max(axis=0))
        return float(worth[0])

    def best(self, values: np.ndarray) -> np.ndarray:
        """The distribution over walks (W,) of which the poacher makes least."""
        from scipy import sparse

        count, steps = len(self.last), len(self.parents)
        numbers = self._numbers()
        sizes = [int(number.max()) + 1 for number in numbers[:-1]]
        starts = count + np.cumsum([0, *sizes])
        blocks = []
        for step, size in enumerate(sizes):
            own = sparse.eye_array(size, starts[-1], k=int(starts[step]))
            for column in self.payoffs[step].T:
                struck = sparse.csr_array((column, (numbers[step], np.arange(count))), shape=(size, starts[-1]))
                blocks.append(struck - own)
            if step + 1 < steps:
                child = np.arange(sizes[step + 1])
                waits = sparse.csr_array((np.ones(len(child)), (self.parents[step], starts[step + 1] + child)), shape=(size, starts[-1]))
            else:
                after = self.discount * values[self.ends[self.last]]
                waits = sparse.csr_array((after, (numbers[step], np.arange(count))), shape=(size, starts[-1]))
            blocks.append(waits - own)
        rows: Any = sparse.vstack(blocks, format="csr")
        cost, total = np.zeros(starts[-1]), np.zeros((1, starts[-1]))
        cost[count], total[0, :count] = 1.0, 1.0
        found = lowest(cost, rows, np.zeros(rows.shape[0]), total, np.ones(1))
        if found is None:
            raise PlanningError(f"a programme of {count} walks has no solution")
        y = np.maximum(found[:count], 0.0)
        return y / y.sum()

    def first_moves(self, y: np.ndarray, moves: np.ndarray, possible: np.ndarray) -> np.ndarray:
        """The probabilities of the moves at this position, (A,)."""
        return np.where(possible, np.bincount(self.first, y, minlength=int(moves.max()) + 1)[moves], 0.0)


def _strike_payoffs(walks: Walks, strikes: Strikes, paths: np.ndarray) -> np.ndarray:
    """What a strike pays that begins before walks (W, D), (W, M)."""
    there = walks.node[paths[:, :, None]] == strikes.nodes
    there &= np.arange(paths.shape[1])[:, None] < strikes.durations
    missed = strikes.values * strikes.discount ** (strikes.durations - 1)
    return np.where(there.any(axis=1), -strikes.penalty * strikes.discount ** there.argmax(axis=1), missed)


def farthest_lookahead(walks: Walks, strikes: Strikes, most: int) -> int:
    """How far ahead `watcher_value` looks, 1 to 3, if no position is to have more than ``most`` walks; 1 whatever there are."""
    leads = np.zeros((len(walks.node),) * 2)
    np.add.at(leads, (np.nonzero(walks.possible)[0], walks.moves[walks.possible]), 1.0)
    longest = int(strikes.durations.max())
    return 1 + sum(bool(np.linalg.matrix_power(leads, longest + ahead).sum(axis=1).max() <= most) for ahead in (1, 2))


def best_outcomes(strikes: Strikes, losses: np.ndarray, catch: float, least: float) -> float:
    """The most that rangers have of a mix of outcomes that pays the poacher ``least`` or more: none, a catch, or a strike at a target.

    Discounts only mix an outcome with none, for what they take from the poacher they take from the rangers.

    Args:
        strikes: at M targets.
        losses: of the rangers by a strike that is not caught, (M,).
        catch: what they gain by one that is.
        least: what the poacher has.
    """
    late = strikes.discount ** (strikes.durations - 1.0)
    poacher = np.array([0.0, -strikes.penalty, *late * strikes.values])
    rangers = np.array([0.0, catch, *-late * losses])
    shares = lowest(-rangers, -poacher[None], np.array([-least]), np.ones((1, len(rangers))), np.ones(1))
    if shares is None:
        raise PlanningError(f"no outcome pays the poacher {least}")
    return float(rangers @ shares)


def lowest(cost: np.ndarray, rows: Any, bounds: np.ndarray, equal: Any, equals: np.ndarray) -> np.ndarray | None:
    """The z >= 0 of min cost.z s.t. rows z <= bounds, equal z = equals; None if there is none."""
    from scipy.optimize import linprog

    return linprog(cost, A_ub=rows, b_ub=bounds, A_eq=equal, b_eq=equals, method="highs", options=_TIGHT).x
