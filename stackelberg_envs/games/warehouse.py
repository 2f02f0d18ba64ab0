"""Warehouse: place shelves where they are found quickly.

Shelves also stand in the way of those who fetch from others.

A floor of cells has M candidate sites, each reserved for one item, and the leader may furnish K of them with shelves.  An order (the
context) is for one item; a picker walks from the dock to the item's site and back, on the quickest way it can find.  Other shelves are
obstacles: a step that starts on one takes ``squeeze`` steps longer.  The leader is paid ``worth`` for an order, less the time of the
round trip, in the proportion in which the item is in stock::

    y in [0, 1]^M, sum y = K           how much of a shelf stands on each site
    t_m(s)  = 1 + squeeze y(cell of s)             time of a step from s on an errand for m; the shelf of m itself is no obstacle
    r_F     = -t_m                                 until the picker is back at the dock
    r_L     = y_m (worth P(back at the dock | s,b) - t_m)
    F       = sum_m p_m y_m (worth - T_m(y))       p: demand;  T_m: expected time of the round trip for m, undiscounted

Both variants have these tables, and differ in y(x) alone::

    "binary"    y_m = 1 for the K largest components of x, ties to the lowest index
    "relaxed"   y_m = sigmoid(x_m - nu(x)), nu such that sum y = K

The relaxed y is the projection onto {y in [0,1]^M : sum y = K} by binary entropy (Amos, Koltun, Kolter, "The Limited Multi-Label
Projection Layer", arXiv 1906.08707), and y(c x) tends to the binary y(x) as c grows, where x has no ties at the K-th place.  So every
layout has the same return in both games, up to how near to it a finite x comes, the best relaxed return is at least the best binary one,
and y has the order of x: rounding a relaxed commitment to K sites is playing the same x in the binary game.

Layouts for pickers are optimised by Zhang et al., "Multi-Robot Coordination and Layout Design for Automated Warehousing", IJCAI 2023;
this small game with one item a site, enumerable by itself, is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from math import comb
from typing import Any, Literal

import numpy as np
from gymnasium.spaces import Box

from ..arguments import check_memory, cycles, real, whole
from ..commitments import Saturation, sigmoid
from ..followers.exact import Soft
from ..game import Layout, StackelbergGame, as_tuple
from ..planning.hard_policy_iteration import hard_policy_iteration
from ..processes.arrays import Array, array_namespace, clip
from ..processes.constants import Constants
from ..processes.mdp import decision_problem
from ..worlds.mdp import InducedMDP

MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # north, east, south, west
LARGEST = 20.0
"""Bound of the components of x."""
MOST_LAYOUTS = 250
"""That `Warehouse.upper_bound` goes through, at some 20 ms each."""
HALVINGS = 40
FAR = 1000.0
"""A sigmoid is 0 or 1 long before."""
Cell = tuple[int, int]


@dataclass(frozen=True)
class Picker:
    """One follower: its dock (row, col), and how many orders for each item, in any unit, come from there; None: drawn."""

    dock: Cell
    demand: tuple[float, ...] | None = None


class Warehouse(StackelbergGame):
    """The layout game; see the module for its formulas.

    * Commitment: one number a site; the sites with the K largest get shelves (``"binary"``), or more of a shelf (``"relaxed"``).
    * Contexts: the item that is ordered, with the probability of its demand; the leader sees it only after it has built.
    * A picker's state is (errand, cell): cells row-major, first on the way out, then, from ``rows`` x ``columns`` on, on the way back.
    * Several pickers have docks of their own and do not get in one another's way.  Each is sent for the item that is ordered, and the
      leader is paid in proportion to its own demand for it: F is the sum of what F would be for each alone.
    * A shelf that others enclose costs ``squeeze`` for each shelf that has to be climbed over, out and back: no layout is impossible.
    * Nothing is discounted.  Rest is no answer, for every step costs at least 1; but a soft follower's entropy is worth up to tau log 4 a
      step, so from tau = 1 / log 4 = 0.72 on it may have no answer (`stackelberg_envs.planning.policy_iteration.PlanningError`).

    Args:
        variant: ``"binary"``, which is piecewise constant in x (``smooth`` is False: methods that differentiate decline), or
            ``"relaxed"``.
        rows: of the floor, at least 2.
        columns: likewise.
        candidates: how many sites M, the cells nearest to the first dock (where a trip is short, and a shelf in everybody's way; none on
            a dock that ``pickers`` could name); or the cells, as (row, col) from (0, 0).
        shelves: how many of them get one, K, 1 to M - 1.
        pickers: how many, 1 to 4 (docks in the middle of the bottom, top, left and right wall; bottom means (``rows`` - 1,
            ``columns`` // 2)); or which.
        worth: what an order is paid, in steps; more than 0.
        squeeze: extra steps for a step that starts on a shelf; at least 0.
        slip: probability that a step does not go where it should, split evenly over the other three directions.  A wall stops.
        seed: of demands that are drawn, from U(1, 10).
        max_cycles: steps after which a played episode is cut; scores are for whole trips.
    """

    name = "warehouse"
    context_visibility = "after"

    def __init__(
        self,
        *,
        variant: Literal["binary", "relaxed"] = "binary",
        rows: int = 7,
        columns: int = 9,
        candidates: int | Sequence[Cell] = 10,
        shelves: int = 4,
        pickers: int | Sequence[Picker] = 1,
        worth: float = 30.0,
        squeeze: float = 20.0,
        slip: float = 0.1,
        seed: int = 0,
        max_cycles: int = 200,
    ) -> None:
        self.variant, self.smooth = variant, variant == "relaxed"
        self.shape = whole("rows", rows, 2), whole("columns", columns, 2)
        sites = len(candidates) if isinstance(candidates, Sequence) else candidates
        check_memory("rows x columns x candidates", 16 * (rows * columns) ** 2 * sites)
        self.worth, self.squeeze = real("worth", worth, 0.0, open_low=True), real("squeeze", squeeze, 0.0)
        slip = real("slip", slip, 0.0, 1.0, open_high=True)
        docks = ((rows - 1, columns // 2), (0, columns // 2), (rows // 2, 0), (rows // 2, columns - 1))
        if isinstance(pickers, Sequence):
            self.pickers = tuple(pickers)
        else:
            self.pickers = tuple(Picker(dock) for dock in docks[: whole("pickers", pickers, 1, len(docks))])
        if not self.pickers or not all(isinstance(picker, Picker) for picker in self.pickers):
            raise ValueError(f"pickers is 1 to {len(docks)}, or a sequence of Picker, got {pickers!r}")
        taken = [_cell(self.shape, picker.dock) for picker in self.pickers]
        self.sites = _sites(self.shape, candidates, taken, {*docks, *taken})
        self.shelves = whole("shelves", shelves, 1, len(self.sites) - 1)

        drawn = np.random.default_rng(whole("seed", seed, 0)).uniform(1, 10, size=(len(self.pickers), len(self.sites)))
        demand = np.stack([_demand(picker, default) for picker, default in zip(self.pickers, drawn, strict=True)])
        self.context_probabilities = demand.mean(axis=0)
        self.contexts = tuple(f"item {m} at ({row}, {col})" for m, (row, col) in enumerate(self.sites))
        self.followers = len(self.pickers)
        self.max_cycles = cycles(max_cycles)
        self.leader_space = Box(-LARGEST, LARGEST, (len(self.sites),), np.float64)
        self.saturation = Saturation.softmax(len(self.sites)) if self.smooth else None
        self.default_follower = Soft(0.2)
        cells = tuple(product(range(rows), range(columns)))
        self.layout = Layout((" " * columns,) * rows, cells + cells)
        on = np.array([[cell == site for cell in cells + cells] for site in self.sites], dtype=np.float64)  # (M, S)
        errands = {f"{i}_{m}": (dock, site) for i, dock in enumerate(taken) for m, site in enumerate(self.sites)}
        kernels = {which: round_trip_kernel(self.shape, slip, dock, site) for which, (dock, site) in errands.items()}
        self._constants = Constants(
            idle=np.ones((on.shape[1], 1)),
            on=on,
            share=demand / self.context_probabilities,
            **{f"others_{m}": on * (np.arange(len(on)) != m)[:, None] for m in range(len(on))},
            **{f"initial_{i}": np.eye(on.shape[1])[cells.index(dock)] for i, dock in enumerate(taken)},
            **{f"transition_{which}": kernel for which, kernel in kernels.items()},
            **{f"back_{which}": np.clip(np.round(1 - kernel.sum(-1), 12), 0, 1) for which, kernel in kernels.items()},
        )

    def stock(self, x: Array) -> Array:
        """y(x), how much of a shelf stands on each site, (..., M)."""
        return (top_k_indicator if self.variant == "binary" else soft_top_k_indicator)(x, self.shelves)

    def commitment(self, sites: Sequence[int]) -> np.ndarray:
        """The commitment (M,) that furnishes just these sites, by index; in the relaxed game up to 2e-9 of a shelf.

        Raises:
            ValueError: if they are not K different sites.
        """
        chosen = sorted({whole("a site", site, 0, len(self.sites) - 1) for site in sites})
        if len(chosen) != self.shelves or len(chosen) != len(tuple(sites)):
            raise ValueError(f"a layout has {self.shelves} different sites, got {tuple(sites)}")
        return np.where(np.isin(np.arange(len(self.sites)), chosen), LARGEST, -LARGEST)

    def incentive(self, x: Array, context: int | str = 0) -> Array | tuple[Array, ...]:
        """-``squeeze`` y where the others' shelves are, (..., S, 1, 1): what layouts do to a picker's reward; one for each picker."""
        xp, context = array_namespace(x), self.context_index(context)
        others = getattr(self._constants.like(x), f"others_{context}")
        table = -self.squeeze * xp.matmul(self.stock(x)[..., None, :], others)[..., 0, :, None, None]
        return (table,) * self.followers if self.followers > 1 else table

    def leader_cost(self, x: Array, context: int | str = 0) -> Array | tuple[Array, ...]:
        """What the leader is short of ``worth`` for every order, (..., S, 1, B): time, and orders out of stock; one for each picker."""
        m = self.context_index(context)
        c, y, slow = self._constants.like(x), self.stock(x)[..., m, None, None, None], as_tuple(self.incentive(x, m))[0]
        unsold = tuple((1 - y) * self.worth * getattr(c, f"back_{i}_{m}") for i in range(self.followers))
        costs = tuple(c.share[i, m] * (missed + y * (1 - slow)) for i, missed in enumerate(unsold))
        return costs if self.followers > 1 else costs[0]

    def induced(self, x: Array, context: int) -> InducedMDP | tuple[InducedMDP, ...]:
        c, incentive, costs = self._constants.like(x), as_tuple(self.incentive(x, context)), as_tuple(self.leader_cost(x, context))
        problems = tuple(self._problem(x, c, i, context, incentive[i], costs[i]) for i in range(self.followers))
        return problems if self.followers > 1 else problems[0]

    def _problem(self, x: Array, c: Any, i: int, context: int, incentive: Array, cost: Array) -> InducedMDP:
        xp, back = array_namespace(x), getattr(c, f"back_{i}_{context}")
        return InducedMDP(
            leader_policy=c.idle,
            transition=getattr(c, f"transition_{i}_{context}"),
            follower_reward=xp.broadcast_to(incentive - 1, (*x.shape[:-1], *back.shape)),
            leader_reward=c.share[i, context] * self.worth * back - cost,
            initial=getattr(c, f"initial_{i}"),
            follower_discount=1.0,
            leader_discount=1.0,
        )

    def upper_bound(self) -> float:
        """What quickest trips would earn: on the floors of all layouts in the binary game if they are few, else on an empty floor.

        No picker is quicker than the quickest, shelves slow everybody down, and F = sum_m p_m y_m (worth - T_m(y)) is linear in y if T is
        that of an empty floor.
        """
        everywhere = np.ones(len(self.sites))
        empty = self._profit_of_quickest(0 * everywhere, everywhere)
        if self.variant == "relaxed" or comb(len(self.sites), self.shelves) > MOST_LAYOUTS:
            return float(np.sort(np.maximum(empty, 0))[-self.shelves :].sum())
        layouts = [np.isin(range(len(self.sites)), sites) * 1.0 for sites in combinations(range(len(self.sites)), self.shelves)]
        best = -np.inf
        for y in sorted(layouts, key=lambda y: -float(empty @ y)):
            if empty @ y <= best:
                break
            best = max(best, float(self._profit_of_quickest(y, y).sum()))
        return best

    def _profit_of_quickest(self, y: np.ndarray, stocked: np.ndarray) -> np.ndarray:
        """p_m (worth - T_m) for each ``stocked`` item (M,), else 0, where shelves are ``y`` and pickers are as quick as can be."""
        c, profit = self._constants.like(y), np.zeros(len(y))
        for m in np.flatnonzero(stocked):
            slow = -1 - self.squeeze * (y @ getattr(c, f"others_{m}"))[:, None, None]
            for i, mdp in enumerate(as_tuple(self.induced(np.zeros(len(y)), int(m)))):
                quickest = hard_policy_iteration(decision_problem(mdp, slow + 0 * mdp.follower_reward), 1.0)
                time = -float(mdp.initial @ quickest.values)
                profit[m] += self.context_probabilities[m] * c.share[i, m] * (self.worth - time)
        return profit

    def shading(self, x: Array) -> Array:
        """The share of a shelf at the picker's cell in each state, (..., S)."""
        return array_namespace(x).matmul(self.stock(x)[..., None, :], self._constants.like(x).on)[..., 0, :]

    def marks(self, context: int) -> dict[Cell, str]:
        """What to print on the map: S for docks, G for the site of the item that is ordered."""
        return {**{picker.dock: "S" for picker in self.pickers}, self.sites[context]: "G"}


def _sites(shape: tuple[int, int], candidates: int | Sequence[Cell], docks: Sequence[Cell], kept: set[Cell]) -> tuple[Cell, ...]:
    """The checked cells of the candidates: those given, or the nearest to the first dock that are not ``kept`` free."""
    rows, columns = shape
    floor = sorted(product(range(rows), range(columns)))
    if isinstance(candidates, Sequence):
        sites = tuple(_cell(shape, cell) for cell in candidates)
    else:
        near = sorted(set(floor) - kept, key=lambda cell: (abs(cell[0] - docks[0][0]) + abs(cell[1] - docks[0][1]), cell))
        if whole("candidates", candidates, 2) > len(near):
            raise ValueError(
                f"a floor of {rows} x {columns} has {len(near)} free cells for candidates, and {candidates} are asked for: give fewer "
                "candidates (and fewer shelves than these), name the cells, or give more rows or columns"
            )
        sites = tuple(near[:candidates])
    if len(set(sites)) < max(2, len(sites)) or not set(docks).isdisjoint(sites):
        raise ValueError(f"candidates are at least two different cells, and none is a dock, got {sites}")
    return sites


def _cell(shape: tuple[int, int], cell: Any) -> Cell:
    """A checked cell of the floor."""
    rows, columns = shape
    try:
        row, col = cell
        return whole("row", row, 0, rows - 1), whole("column", col, 0, columns - 1)
    except (TypeError, ValueError):
        last = rows - 1, columns - 1
        raise ValueError(f"docks and candidates are cells (row, col), whole numbers from (0, 0) to {last}, got {cell!r}") from None


def _demand(picker: Picker, drawn: np.ndarray) -> np.ndarray:
    """A picker's demand for each item, (M,), summing to 1."""
    demand = drawn if picker.demand is None else np.asarray(picker.demand, dtype=np.float64)
    if demand.shape != drawn.shape or not np.isfinite(demand).all() or not (demand > 0).all():
        raise ValueError(f"a picker's demand is {len(drawn)} positive numbers, one a candidate, got {picker.demand!r}")
    return demand / demand.sum()


def top_k_indicator(x: Array, count: int) -> Array:
    """1 for the ``count`` largest components of x (..., M), else 0; of equal ones the first."""
    xp = array_namespace(x)
    index = xp.arange(x.shape[-1], device=x.device)
    mine, its = x[..., :, None], x[..., None, :]
    before = (its > mine) | ((its == mine) & (index[None, :] < index[:, None]))
    return xp.astype(xp.sum(xp.astype(before, xp.int64), axis=-1) < count, x.dtype)


def soft_top_k_indicator(x: Array, count: int) -> Array:
    """sigmoid(x - nu) with nu such that it sums to ``count``, over the last axis of x (..., M).

    nu is within log M of the ``count``-th largest component or the next: found by bisection, then by two steps of Newton's method, whose
    derivative is that of the solution, d nu = sum w dx / sum w with w = y (1 - y).
    """
    xp, margin = array_namespace(x), float(np.log(x.shape[-1]))
    x = x - xp.sort(x, axis=-1, descending=True)[..., count - 1 : count]  # to count from there keeps the digits of a large x
    x = clip(x, -FAR, FAR)
    high = xp.zeros_like(x[..., :1]) + margin
    low = xp.sort(x, axis=-1, descending=True)[..., count : count + 1] - margin
    for _ in range(HALVINGS):
        nu = (low + high) / 2
        over = xp.sum(sigmoid(x - nu), axis=-1, keepdims=True) > count
        low, high = xp.where(over, nu, low), xp.where(over, high, nu)
    nu = (low + high) / 2
    for _ in range(2):
        y = sigmoid(x - nu)
        excess, weight = xp.sum(y, axis=-1, keepdims=True) - count, xp.sum(y * (1 - y), axis=-1, keepdims=True)
        near = xp.abs(excess) < 0.001 * weight  # else all is settled up to rounding, and any nu in between will do
        nu = nu + xp.where(near, excess / xp.where(near, weight, 1.0), 0.0)
    return sigmoid(x - nu)


def round_trip_kernel(shape: tuple[int, int], slip: float, dock: Cell, site: Cell) -> np.ndarray:
    """``P(s'|s,b)``, (S, 1, 4, S), of a round trip: from the site on the picker is on its way back, and at the dock it ends."""
    rows, columns = shape
    cells = rows * columns
    goal, home = site[0] * columns + site[1], dock[0] * columns + dock[1]
    kernel = np.zeros((2, cells, 1, len(MOVES), 2, cells))
    for (row, col), move in product(product(range(rows), range(columns)), range(len(MOVES))):
        here = row * columns + col
        for other, (down, right) in enumerate(MOVES):
            inside = 0 <= row + down < rows and 0 <= col + right < columns
            there = here + down * columns + right if inside else here
            probability = 1 - slip if other == move else slip / (len(MOVES) - 1)
            kernel[0, here, 0, move, int(there == goal), there] += probability
            if there != home:
                kernel[1, here, 0, move, 1, there] += probability
    return kernel.reshape(2 * cells, 1, len(MOVES), 2 * cells)
